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
//! of its own behind. `RANK` and `WORLD_SIZE` without torchrun's own variables were set by hand, and
//! are refused where they contradict a launcher. A batch script's own `SLURM_PROCID` and
//! `SLURM_NTASKS`, outside of `srun`, say nothing: its process is one, however many tasks the job may
//! start. With `VAR_ALONE=1` none of these counts.

mod hosts;
mod launch;
mod rendezvous;
mod secret;
mod variables;

pub use launch::Launch;
pub use rendezvous::Rendezvous;
pub use secret::Secret;
pub use variables::{EnvironmentError, NAMES};

/// The program that started this process as one of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Launcher {
    /// None: the process is alone.
    None,
    /// torchrun, or the same variables set by hand.
    Torchrun,
    /// Open MPI's `mpirun`.
    OpenMpi,
    /// MPICH's `mpirun`, or one like it (Intel MPI's).
    Mpich,
    /// SLURM's `srun`.
    Slurm,
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
