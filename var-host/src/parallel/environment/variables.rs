//! The variables launchers set, and their faults.

use std::collections::HashMap;
use std::env;

use crate::plural::count;

/// Every variable that is read, for a clean environment of ranks that are started.
pub const NAMES: [&str; 32] = [
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_RESTART_COUNT",
    "TORCHELASTIC_USE_AGENT_STORE",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_SIZE",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "OMPI_MCA_ess_base_jobid",
    "PMIX_NAMESPACE",
    "PMI_RANK",
    "PMI_SIZE",
    "MPI_LOCALRANKID",
    "MPI_LOCALNRANKS",
    "SLURM_PROCID",
    "SLURM_NTASKS",
    "SLURM_LOCALID",
    "SLURM_JOB_ID",
    "SLURM_JOB_NODELIST",
    "SLURM_STEP_ID",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_STEP_NODELIST",
    "SLURM_LAUNCH_NODE_IPADDR",
    "VAR_ALONE",
    "VAR_RANKS_JOB",
    "VAR_RANKS_SECRET",
    "VAR_RANKS_TIMEOUT",
];

/// Why the environment cannot be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// A variable should be a number.
    #[error("{name} in the environment: {value:?} is no number")]
    NotANumber {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A variable is not Unicode.
    #[error("{name} in the environment is not Unicode")]
    NotUnicode {
        /// The variable.
        name: &'static str,
    },
    /// One variable of a pair is not set.
    #[error("{name} is {value} in the environment, {missing} is not set")]
    Missing {
        /// The one that is not.
        missing: &'static str,
        /// The one that is set.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// Two numbers contradict each other.
    #[error("{name} is {value} in the environment, {bound_name} {bound}")]
    OutOfRange {
        /// The number that is too large.
        name: &'static str,
        /// Its value.
        value: usize,
        /// The one that bounds it.
        bound_name: &'static str,
        /// Its value.
        bound: usize,
    },
    /// A variable should be a port, or a time of at least a second.
    #[error("{name} is {value} in the environment, wants {least} to {most}")]
    OutOfBounds {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: usize,
        /// The least it may be.
        least: usize,
        /// The most it may be.
        most: usize,
    },
    /// A variable should name a machine.
    #[error("{name} in the environment: {value:?} names no machine")]
    NoMachine {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A variable should be 0 or 1.
    #[error("{name} in the environment: {value:?} is neither 0 nor 1")]
    NoSwitch {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A secret is so short that it can be guessed.
    #[error("{name} in the environment has {}, at least {wants} are needed", count(*has, "byte"))]
    ShortSecret {
        /// The variable.
        name: &'static str,
        /// Its length in bytes.
        has: usize,
        /// The least.
        wants: usize,
    },
    /// Ranks set by hand are not those of a launcher.
    #[error(
        "{} and {} in the environment say {} of {}, {} and {} {} of {}: unset one pair, or VAR_ALONE=1",
        variables[0], variables[1], says[0], says[1],
        other_variables[0], other_variables[1], other_says[0], other_says[1]
    )]
    Contradiction {
        /// The variables set by hand: rank and size.
        variables: [&'static str; 2],
        /// Their values.
        says: [usize; 2],
        /// The launcher's.
        other_variables: [&'static str; 2],
        /// Their values.
        other_says: [usize; 2],
    },
    /// The variables are those of a shell that srun started, not of a task.
    #[error(
        "{name} and {size_name} in the environment say {rank} of {size}, but the input is a terminal: \
         these are the variables of an interactive shell; start ranks with srun, or one process with \
         --alone"
    )]
    Interactive {
        /// The variable of the rank.
        name: &'static str,
        /// Its value.
        rank: usize,
        /// The variable of the size.
        size_name: &'static str,
        /// Its value.
        size: usize,
    },
    /// The launcher does not say which process of this machine this is.
    #[error(
        "{rank_name} is {rank} of {size} in the environment, {missing} is not set: which GPU is this \
         rank's? Set it, or give --device cuda:N"
    )]
    NoLocalRank {
        /// The variable of the rank.
        rank_name: &'static str,
        /// Its value.
        rank: usize,
        /// How many ranks there are.
        size: usize,
        /// The variable that is not set.
        missing: &'static str,
    },
    /// Nobody says where rank 0 is.
    #[error(
        "{name} is {value} in the environment, {size_name} {size}: \
         on several machines, MASTER_ADDR must name that of rank 0"
    )]
    SeveralMachines {
        /// How many ranks are on this machine.
        name: &'static str,
        /// Its value.
        value: usize,
        /// How many ranks there are.
        size_name: &'static str,
        /// Its value.
        size: usize,
    },
}

/// Variables of the environment by name.
pub(super) struct Variables(HashMap<&'static str, String>);

impl Variables {
    /// Those of [`NAMES`] that are set.
    pub(super) fn from_environment() -> Result<Self, EnvironmentError> {
        let mut variables = HashMap::new();
        for name in NAMES {
            match env::var(name) {
                Ok(value) => drop(variables.insert(name, value)),
                Err(env::VarError::NotPresent) => {}
                Err(env::VarError::NotUnicode(_)) => {
                    return Err(EnvironmentError::NotUnicode { name });
                }
            }
        }
        Ok(Self(variables))
    }

    #[cfg(test)]
    pub(super) fn of(pairs: &[(&'static str, &str)]) -> Self {
        for (name, _) in pairs {
            assert!(NAMES.contains(name), "{name} is not read");
        }
        Self(pairs.iter().map(|&(name, value)| (name, value.to_owned())).collect())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &'static str) -> Result<Option<usize>, EnvironmentError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.trim().parse();
        let error = |_| EnvironmentError::NotANumber { name, value: text.to_owned() };
        number.map(Some).map_err(error)
    }

    /// A number from `least` to `most`.
    pub(super) fn number_within(
        &self,
        name: &'static str,
        least: usize,
        most: usize,
    ) -> Result<Option<usize>, EnvironmentError> {
        let number = self.number(name)?;
        match number {
            Some(value) if !(least..=most).contains(&value) => {
                Err(EnvironmentError::OutOfBounds { name, value, least, most })
            }
            _ => Ok(number),
        }
    }

    /// Refuses a value that is not below its bound.
    pub(super) fn below(
        &self,
        name: &'static str,
        value: usize,
        bound_name: &'static str,
        bound: usize,
    ) -> Result<(), EnvironmentError> {
        if value < bound {
            return Ok(());
        }
        Err(EnvironmentError::OutOfRange { name, value, bound_name, bound })
    }
}
