//! Which of how many processes this is.

use std::io::{IsTerminal, stdin};

use super::variables::{EnvironmentError, Variables};
use super::{LAUNCHERS, Launcher};

/// Which of how many processes this is.
///
/// The address where the ranks find each other is another matter: [`Rendezvous`](super::Rendezvous).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The launcher.
    pub launcher: Launcher,
    /// The number of this process, from 0.
    pub rank: usize,
    /// How many processes there are.
    pub size: usize,
    /// The number of this process among those on this machine, where the launcher says.
    pub local_rank: Option<usize>,
    /// How many there are on this machine, where the launcher says.
    pub local_size: Option<usize>,
    /// The variables that hold rank and size.
    pub variables: [&'static str; 2],
}

/// The variable that asks for one process alone.
const ALONE: &str = "VAR_ALONE";

impl Launch {
    /// One process alone.
    pub const ALONE: Self = Self {
        launcher: Launcher::None,
        rank: 0,
        size: 1,
        local_rank: None,
        local_size: Some(1),
        variables: ["", ""],
    };

    /// The launch read from the environment.
    ///
    /// # Errors
    /// If a variable is no number, one of a pair is missing, a rank is not below the size, ranks set by
    /// hand contradict a launcher, or SLURM's variables are those of an interactive shell.
    pub fn from_environment() -> Result<Self, EnvironmentError> {
        Self::read(&Variables::from_environment()?, stdin().is_terminal())
    }

    /// `rank 1 of 4, from SLURM_PROCID and SLURM_NTASKS`; none for one process alone.
    pub fn share(&self) -> Option<String> {
        let [rank_name, size_name] = self.variables;
        let Self { rank, size, .. } = self;
        (self.size > 1).then(|| format!("rank {rank} of {size}, from {rank_name} and {size_name}"))
    }

    /// A line for a process alone in a SLURM job of several tasks: srun was forgotten, most likely.
    pub fn forgotten_srun(&self) -> Option<String> {
        let variables = Variables::from_environment().ok()?;
        (self.launcher == Launcher::None).then(|| unstarted_tasks(&variables)).flatten()
    }

    /// The number of this process's GPU: its number on this machine, or 0 where it sees one GPU.
    ///
    /// # Errors
    /// If it is one of several and the launcher does not say which on this machine.
    pub fn gpu(&self) -> Result<usize, EnvironmentError> {
        self.gpu_of(std::env::var("CUDA_VISIBLE_DEVICES").ok().as_deref())
    }

    fn gpu_of(&self, visible: Option<&str>) -> Result<usize, EnvironmentError> {
        // srun --gpus-per-task shows each task its own GPU.
        let sees_one = visible.is_some_and(|list| !list.is_empty() && !list.contains(','));
        match (self.local_rank, self.launcher) {
            (_, Launcher::Slurm) if sees_one => Ok(0),
            (Some(local_rank), _) => Ok(local_rank),
            (None, _) if self.size == 1 => Ok(0),
            (None, launcher) => Err(EnvironmentError::NoLocalRank {
                rank_name: self.variables[0],
                rank: self.rank,
                size: self.size,
                missing: launcher.names()[2],
            }),
        }
    }

    pub(super) fn read(variables: &Variables, on_terminal: bool) -> Result<Self, EnvironmentError> {
        match variables.text(ALONE).map(str::trim) {
            None | Some("0" | "") => {}
            Some("1") => return Ok(Self::ALONE),
            Some(value) => {
                return Err(EnvironmentError::NoSwitch { name: ALONE, value: value.to_owned() });
            }
        }
        let mut claims = Vec::new();
        for (launcher, mut names) in LAUNCHERS {
            if launcher == Launcher::Slurm {
                if !is_step(variables) {
                    continue;
                }
                if variables.text(names[1]).is_none() {
                    names[1] = "SLURM_NTASKS";
                }
            }
            let [rank, size, ..] = names;
            if variables.text(rank).is_some() || variables.text(size).is_some() {
                claims.push((launcher, names));
            }
        }
        let Some((&(launcher, names), others)) = claims.split_first() else {
            half_set(variables)?;
            return Ok(Self::ALONE);
        };
        let launch = Self::of(launcher, variables, names)?;
        let by_hand =
            launcher == Launcher::Torchrun && variables.text("TORCHELASTIC_RUN_ID").is_none();
        if by_hand {
            for (launcher, names) in others {
                launch.check_same(&Self::of(*launcher, variables, *names)?)?;
            }
        }
        if launcher == Launcher::Slurm && launch.size > 1 && on_terminal {
            let [name, size_name] = launch.variables;
            let (rank, size) = (launch.rank, launch.size);
            return Err(EnvironmentError::Interactive { name, rank, size_name, size });
        }
        Ok(launch)
    }

    fn of(
        launcher: Launcher,
        variables: &Variables,
        [rank_name, size_name, local_rank_name, local_size_name]: [&'static str; 4],
    ) -> Result<Self, EnvironmentError> {
        let missing = |missing, name: &'static str| EnvironmentError::Missing {
            missing,
            name,
            value: variables.text(name).unwrap_or_default().to_owned(),
        };
        let size = variables.number(size_name)?.ok_or_else(|| missing(size_name, rank_name))?;
        let rank = match variables.number(rank_name)? {
            Some(rank) => rank,
            None if size == 1 => 0,
            None => return Err(missing(rank_name, size_name)),
        };
        variables.below(rank_name, rank, size_name, size)?;
        let local_size = variables.number(local_size_name)?;
        if let Some(local_size) = local_size
            && (local_size == 0 || local_size > size)
        {
            let (name, bound_name, bound) = (local_size_name, size_name, size);
            return Err(EnvironmentError::OutOfRange {
                name,
                value: local_size,
                bound_name,
                bound,
            });
        }
        let local_rank = variables.number(local_rank_name)?;
        if let Some(local_rank) = local_rank {
            let (bound_name, bound) =
                local_size.map_or((size_name, size), |size| (local_size_name, size));
            variables.below(local_rank_name, local_rank, bound_name, bound)?;
        }
        let variables = [rank_name, size_name];
        Ok(Self { launcher, rank, size, local_rank, local_size, variables })
    }

    /// Refuses a launcher of several processes that says otherwise than `RANK` and `WORLD_SIZE`. It may
    /// have started one process on each machine, which then started the ranks.
    fn check_same(&self, launcher: &Self) -> Result<(), EnvironmentError> {
        let of_each = self.size / launcher.size;
        let nested =
            self.size.is_multiple_of(launcher.size) && self.rank / of_each == launcher.rank;
        if launcher.size == 1 || nested {
            return Ok(());
        }
        Err(EnvironmentError::Contradiction {
            variables: self.variables,
            says: [self.rank, self.size],
            other_variables: launcher.variables,
            other_says: [launcher.rank, launcher.size],
        })
    }
}

/// Refuses a process of several on this machine that has no number among all.
fn half_set(variables: &Variables) -> Result<(), EnvironmentError> {
    for (name, alone) in [("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1)] {
        if let Some(value) = variables.number(name)?
            && value != alone
        {
            let value = value.to_string();
            return Err(EnvironmentError::Missing { missing: "RANK", name, value });
        }
    }
    Ok(())
}

/// SLURM's names of steps that are not srun's: the batch script, a login to a machine of the job, an
/// interactive shell (4294967291, …92, …90).
const FIRST_SPECIAL_STEP: u64 = 0xffff_fff0;

/// Whether this process is a task of `srun`.
fn is_step(variables: &Variables) -> bool {
    const SIGNS: [&str; 4] = [
        "SLURM_STEP_ID",
        "SLURM_STEP_NUM_TASKS",
        "SLURM_STEP_NODELIST",
        "SLURM_LAUNCH_NODE_IPADDR",
    ];
    let step = variables.text("SLURM_STEP_ID").map(str::trim);
    let special = step.is_some_and(|step| {
        step.parse::<u64>().map_or(!step.is_empty(), |number| number >= FIRST_SPECIAL_STEP)
    });
    !special
        && variables.text("SLURM_PROCID").is_some()
        && SIGNS.iter().any(|name| variables.text(name).is_some())
}

/// A line for a process of a SLURM job that asks for several tasks, but is none of srun's.
fn unstarted_tasks(variables: &Variables) -> Option<String> {
    let tasks = variables.text("SLURM_NTASKS")?.trim().parse::<usize>().ok()?;
    (tasks > 1 && !is_step(variables)).then(|| {
        format!("one process alone: SLURM_NTASKS is {tasks}, but srun did not start this one")
    })
}

#[cfg(test)]
mod tests;
