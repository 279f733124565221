//! Which rank this process is, as the launcher says.
//!
//! | launcher | rank, of how many, on this machine |
//! |---|---|
//! | torchrun, or by hand | `RANK`, `WORLD_SIZE`, `LOCAL_RANK` |
//! | Open MPI's `mpirun` | `OMPI_COMM_WORLD_RANK`, `OMPI_COMM_WORLD_SIZE`, `OMPI_COMM_WORLD_LOCAL_RANK` |
//! | MPICH's `mpirun` | `PMI_RANK`, `PMI_SIZE`, `MPI_LOCALRANKID` |
//! | SLURM's `srun` | `SLURM_PROCID`, `SLURM_STEP_NUM_TASKS` or `SLURM_NTASKS`, `SLURM_LOCALID` |
//!
//! The first of these that is there counts: `mpirun` under SLURM leaves the variables of a process
//! of its own behind. A batch script's own `SLURM_PROCID` and `SLURM_NTASKS`, outside of `srun`, say
//! nothing: its process is one, however many tasks the job may start.

mod hosts;
mod meeting;
mod variables;

pub use meeting::Meeting;
pub use variables::{EnvironmentError, NAMES};

use variables::Variables;

/// Who started this process as one of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Launcher {
    /// Nobody: it is alone.
    None,
    /// torchrun, or somebody who sets the same variables.
    Torchrun,
    /// Open MPI's `mpirun`.
    OpenMpi,
    /// MPICH's `mpirun`, or one like it (Intel MPI's).
    Mpich,
    /// SLURM's `srun`.
    Slurm,
}

/// Which of how many processes this is.
///
/// Where the ranks find each other is another matter: [`Meeting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Who says so.
    pub launcher: Launcher,
    /// The number of this process, from 0.
    pub rank: usize,
    /// How many processes there are.
    pub size: usize,
    /// The number of this process among those on this machine; `rank` where the launcher does not
    /// say.
    pub local_rank: usize,
    /// How many there are on this machine, where the launcher says.
    pub local_size: Option<usize>,
}

/// The variables of a launcher: rank, size, rank and size on the machine.
const LAUNCHERS: [(Launcher, [&str; 4]); 4] = [
    (Launcher::Torchrun, ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"]),
    (
        Launcher::OpenMpi,
        [
            "OMPI_COMM_WORLD_RANK",
            "OMPI_COMM_WORLD_SIZE",
            "OMPI_COMM_WORLD_LOCAL_RANK",
            "OMPI_COMM_WORLD_LOCAL_SIZE",
        ],
    ),
    (Launcher::Mpich, ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"]),
    (Launcher::Slurm, ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", ""]),
];

impl Launcher {
    /// The names of its variables; [`Launcher::None`] has none.
    fn names(self) -> [&'static str; 4] {
        let of = LAUNCHERS.iter().find(|(launcher, _)| *launcher == self);
        of.map_or([""; 4], |(_, names)| *names)
    }
}

impl Launch {
    /// What the environment says.
    ///
    /// # Errors
    /// If a variable is no number, one of a pair is missing, or a rank is not below the size.
    pub fn from_environment() -> Result<Self, EnvironmentError> {
        Self::read(&Variables::from_environment()?)
    }

    fn read(variables: &Variables) -> Result<Self, EnvironmentError> {
        for (launcher, mut names) in LAUNCHERS {
            if launcher == Launcher::Slurm {
                if !is_step(variables) {
                    continue;
                }
                if variables.text(names[1]).is_none() {
                    names[1] = "SLURM_NTASKS";
                }
            }
            let [rank, size, local_rank, local_size] = names;
            if variables.text(rank).is_some() || variables.text(size).is_some() {
                return Self::of(launcher, variables, [rank, size, local_rank, local_size]);
            }
        }
        Ok(Self { launcher: Launcher::None, rank: 0, size: 1, local_rank: 0, local_size: Some(1) })
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
        let local_rank = match variables.number(local_rank_name)? {
            Some(local_rank) => {
                let (bound_name, bound) =
                    local_size.map_or((size_name, size), |size| (local_size_name, size));
                variables.below(local_rank_name, local_rank, bound_name, bound)?;
                local_rank
            }
            None => rank,
        };
        Ok(Self { launcher, rank, size, local_rank, local_size })
    }
}

/// Whether this process is a task of `srun`, or somebody says where its rank 0 is.
fn is_step(variables: &Variables) -> bool {
    const SIGNS: [&str; 5] = [
        "SLURM_STEP_ID",
        "SLURM_STEP_NUM_TASKS",
        "SLURM_STEP_NODELIST",
        "SLURM_LAUNCH_NODE_IPADDR",
        "MASTER_ADDR",
    ];
    variables.text("SLURM_PROCID").is_some()
        && SIGNS.iter().any(|name| variables.text(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn launch(pairs: &[(&'static str, &str)]) -> Launch {
        Launch::read(&Variables::of(pairs)).unwrap()
    }

    #[test]
    fn a_process_without_variables_is_alone() {
        let alone = Launch {
            launcher: Launcher::None,
            rank: 0,
            size: 1,
            local_rank: 0,
            local_size: Some(1),
        };
        assert_eq!(launch(&[]), alone);
        let batch_script = [("SLURM_JOB_ID", "7"), ("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4")];
        assert_eq!(launch(&batch_script), alone);
        assert_eq!(launch(&[("SLURM_NTASKS", "4")]), alone);
    }

    #[test]
    fn every_launcher_is_understood() {
        let torchrun = [("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1")];
        let open_mpi = [
            ("OMPI_COMM_WORLD_RANK", "5"),
            ("OMPI_COMM_WORLD_SIZE", "8"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
        ];
        let mpich = [("PMI_RANK", "5"), ("PMI_SIZE", "8"), ("MPI_LOCALRANKID", "1")];
        let slurm = [
            ("SLURM_PROCID", "5"),
            ("SLURM_NTASKS", "8"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_LAUNCH_NODE_IPADDR", "10.0.0.1"),
        ];
        let expected =
            |launcher| Launch { launcher, rank: 5, size: 8, local_rank: 1, local_size: None };
        assert_eq!(launch(&torchrun), expected(Launcher::Torchrun));
        assert_eq!(launch(&open_mpi), expected(Launcher::OpenMpi));
        assert_eq!(launch(&mpich), expected(Launcher::Mpich));
        assert_eq!(launch(&slurm), expected(Launcher::Slurm));
    }

    #[test]
    fn the_nearest_launcher_counts() {
        let slurm = [
            ("SLURM_PROCID", "0"),
            ("SLURM_NTASKS", "2"),
            ("SLURM_STEP_NUM_TASKS", "1"),
            ("SLURM_STEP_ID", "0"),
        ];
        assert_eq!((launch(&slurm).launcher, launch(&slurm).size), (Launcher::Slurm, 1));
        let inner = [("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_SIZE", "4")];
        let both = [&slurm[..], &inner].concat();
        assert_eq!((launch(&both).rank, launch(&both).size), (3, 4));
        let by_hand = [&both[..], &[("RANK", "6"), ("WORLD_SIZE", "7")]].concat();
        assert_eq!((launch(&by_hand).rank, launch(&by_hand).size), (6, 7));
    }

    #[test]
    fn a_lone_size_of_one_is_enough() {
        assert_eq!(launch(&[("WORLD_SIZE", "1")]).size, 1);
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        for (pairs, message) in [
            (
                &[("RANK", "3"), ("WORLD_SIZE", "3")][..],
                "RANK is 3 in the environment, WORLD_SIZE 3",
            ),
            (&[("RANK", "0"), ("WORLD_SIZE", "0")], "RANK is 0 in the environment, WORLD_SIZE 0"),
            (&[("WORLD_SIZE", "2")], "WORLD_SIZE is 2 in the environment, RANK is not set"),
            (&[("RANK", "1")], "RANK is 1 in the environment, WORLD_SIZE is not set"),
            (&[("RANK", "x"), ("WORLD_SIZE", "2")], "RANK in the environment: \"x\" is no number"),
            (
                &[("RANK", "-1"), ("WORLD_SIZE", "2")],
                "RANK in the environment: \"-1\" is no number",
            ),
            (&[("RANK", ""), ("WORLD_SIZE", "2")], "RANK in the environment: \"\" is no number"),
            (&[("PMI_RANK", "1")], "PMI_RANK is 1 in the environment, PMI_SIZE is not set"),
            (
                &[("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "2")],
                "LOCAL_RANK is 2 in the environment, WORLD_SIZE 2",
            ),
            (
                &[("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "3")],
                "LOCAL_WORLD_SIZE is 3 in the environment, WORLD_SIZE 2",
            ),
            (
                &[
                    ("RANK", "2"),
                    ("WORLD_SIZE", "4"),
                    ("LOCAL_RANK", "2"),
                    ("LOCAL_WORLD_SIZE", "2"),
                ],
                "LOCAL_RANK is 2 in the environment, LOCAL_WORLD_SIZE 2",
            ),
            (
                &[("SLURM_PROCID", "4"), ("SLURM_STEP_NUM_TASKS", "4")],
                "SLURM_PROCID is 4 in the environment, SLURM_STEP_NUM_TASKS 4",
            ),
        ] {
            let error = Launch::read(&Variables::of(pairs)).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
