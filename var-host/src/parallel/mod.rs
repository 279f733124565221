//! Processes that train one model together.
//!
//! | file | holds |
//! |---|---|
//! | `process_group` | [`ProcessGroup`]: collectives of all ranks; [`SingleProcess`] |
//! | `environment` | which rank this process is, as the launcher says |
//! | `tcp` | [`Tcp`]: ranks over TCP |
//! | `mpi` | `Mpi`: ranks of MPI, with the feature of that name |
//! | `threads` | [`ThreadGroup`]: threads of one process as ranks |
//! | `call`, `error` | collectives, and their errors |
//! | `gather` | [`gather`]: the bytes of all ranks on each |

mod call;
pub mod environment;
mod error;
mod gather;
#[cfg(feature = "mpi")]
mod mpi;
mod process_group;
mod tcp;
mod threads;

pub use call::{Collective, CollectiveCall};
pub use environment::{Launch, Launcher, Rendezvous};
pub use error::{PeerFailure, ProcessGroupError};
pub use gather::gather;
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
pub use process_group::{ProcessGroup, SingleProcess};
pub use tcp::Tcp;
pub use threads::ThreadGroup;

/// The ranks that a launcher started (torchrun, SLURM, Open MPI, MPICH). `note` prints a line: the
/// kind of secret, and each unknown connection that was refused.
///
/// Ranks that `mpirun` starts are MPI's in a build with the feature `mpi`; all others, and those of
/// `mpirun` in a build without, meet over TCP as [`Rendezvous`] says.
///
/// # Errors
/// If the environment contradicts itself, or the ranks do not find together.
pub fn meet(
    launch: &Launch,
    note: &dyn Fn(&str),
) -> Result<Box<dyn ProcessGroup>, ProcessGroupError> {
    if launch.size == 1 {
        return Ok(Box::new(SingleProcess));
    }
    #[cfg(feature = "mpi")]
    if matches!(launch.launcher, Launcher::OpenMpi | Launcher::Mpich) {
        return Ok(Box::new(Mpi::start(launch)?));
    }
    let rendezvous = Rendezvous::from_environment(launch)?;
    if let Some(warning) = rendezvous.warning() {
        note(&warning);
    }
    Ok(Box::new(Tcp::meet(launch, &rendezvous, note)?))
}
