//! Errors between ranks.

use core::fmt;
use core::time::Duration;
use std::io;

use super::call::CollectiveCall;
use super::environment::EnvironmentError;

/// Why ranks cannot work together, or no longer can.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessGroupError {
    /// The environment contradicts itself.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A rank is gone.
    #[error("rank {rank} {failure}")]
    Lost {
        /// The rank.
        rank: usize,
        /// How it went.
        failure: PeerFailure,
    },
    /// Two ranks are at different calls.
    #[error("rank {rank} is at {theirs}, this rank at {own}")]
    Mismatch {
        /// The other rank.
        rank: usize,
        /// Its call.
        theirs: CollectiveCall,
        /// This rank's call.
        own: CollectiveCall,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread for the ranks")]
    Thread {
        /// The system's error.
        source: io::Error,
    },
    /// A rank cannot listen for others.
    #[error("rank {rank} cannot listen at {address}")]
    Listen {
        /// This rank.
        rank: usize,
        /// The machine and its ports.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// Not all ranks have come.
    #[error("waited {} s for {size} ranks: {} came, {} did not{}", waited.as_secs(), list(came), list(missing), turned_away(refused))]
    Missing {
        /// How long was waited.
        waited: Duration,
        /// How many there should be.
        size: usize,
        /// Those that came, this one among them.
        came: Vec<usize>,
        /// Those that did not.
        missing: Vec<usize>,
        /// Ranks of this job that could not take part, and why.
        refused: Vec<String>,
    },
    /// A rank that should listen cannot be reached.
    #[error("waited {} s for rank {rank} at {address}: {reason}", waited.as_secs())]
    Unreachable {
        /// How long was waited.
        waited: Duration,
        /// The rank.
        rank: usize,
        /// Where it should be.
        address: String,
        /// The reason.
        reason: String,
    },
    /// MPI and the launcher do not know each other.
    #[error(
        "the launcher says rank {rank} of {size}, MPI says {mpi_rank} of {mpi_size}: \
         is the launcher of another MPI than this program?"
    )]
    Mpi {
        /// The launcher's number.
        rank: usize,
        /// The same.
        size: usize,
        /// MPI's number.
        mpi_rank: usize,
        /// The same.
        mpi_size: usize,
    },
    /// MPI was begun before, and can be only once.
    #[error("MPI was begun before in this process")]
    MpiTwice,
    /// Another rank does not take this one in.
    #[error("rank {rank} refuses this rank: {reason}")]
    Refused {
        /// The other rank.
        rank: usize,
        /// Its reason.
        reason: String,
    },
}

/// Numbers with commas between them.
fn list(numbers: &[usize]) -> String {
    let texts: Vec<String> = numbers.iter().map(usize::to_string).collect();
    texts.join(", ")
}

/// The end of a line about ranks that could not take part.
fn turned_away(ranks: &[String]) -> String {
    if ranks.is_empty() { String::new() } else { format!("; turned away: {}", ranks.join("; ")) }
}

/// How a rank was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerFailure {
    /// It ended its part of the run, with or without an error of its own.
    Left,
    /// Its connections broke: it was killed, or its machine or the network failed.
    Broken(String),
    /// Nothing was heard of it for so long, not even a heartbeat.
    Silent(Duration),
    /// Another rank says that it is lost.
    Reported {
        /// The other rank.
        by: usize,
    },
    /// It has lost this rank.
    GaveUp,
    /// It made a call that the others did not make.
    OutOfStep,
}

impl PeerFailure {
    /// The failure of the rank at the other end of a connection with this error.
    pub(super) fn broken(error: &io::Error) -> Self {
        Self::Broken(match error.kind() {
            io::ErrorKind::UnexpectedEof => "its connection closed".to_owned(),
            _ => error.to_string(),
        })
    }

    /// The same for a connection that was listened to for so long.
    pub(super) fn after(waited: Duration, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Silent(waited),
            _ => Self::broken(error),
        }
    }
}

impl fmt::Display for PeerFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => formatter.write_str("has left the run"),
            Self::Broken(reason) => write!(formatter, "is gone: {reason}"),
            Self::Silent(time) => {
                write!(formatter, "gave no sign of life for {} s", time.as_secs())
            }
            Self::GaveUp => formatter.write_str("has given up this rank"),
            Self::OutOfStep => formatter.write_str("made another call before"),
            Self::Reported { by } => write!(formatter, "is gone, as rank {by} reports"),
        }
    }
}
