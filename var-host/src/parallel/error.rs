//! What can go wrong between ranks.

use core::fmt;
use core::time::Duration;

use super::call::Call;
use super::environment::EnvironmentError;

/// Why ranks cannot work together, or no longer can.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RanksError {
    /// The environment contradicts itself.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A rank is gone.
    #[error("rank {rank} {loss}")]
    Lost {
        /// The rank.
        rank: usize,
        /// How it went.
        loss: Loss,
    },
    /// Two ranks are at different calls.
    #[error("rank {rank} is at {theirs}, this rank at {own}")]
    Mismatch {
        /// The other rank.
        rank: usize,
        /// What it calls.
        theirs: Call,
        /// What this rank calls.
        own: Call,
    },
}

/// How a rank was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// It ended its part of the run, with or without an error of its own.
    Left,
    /// Its connections broke: it was killed, or its machine or the network failed.
    Broken(String),
    /// Nothing was heard of it for so long, not even signs of life.
    Silent(Duration),
    /// Another rank says that it is lost.
    Reported {
        /// The other rank.
        by: usize,
    },
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => formatter.write_str("has left the run"),
            Self::Broken(reason) => write!(formatter, "is gone: {reason}"),
            Self::Silent(time) => {
                write!(formatter, "gave no sign of life for {} s", time.as_secs())
            }
            Self::Reported { by } => write!(formatter, "is gone, as rank {by} reports"),
        }
    }
}
