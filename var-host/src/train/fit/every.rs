//! Intervals of a run's events.

use core::fmt;

use serde::{Serialize, Serializer};

/// Interval of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// Once in so many iterations or epochs; 0 = never.
    Count(u32),
    /// Once an epoch.
    Epoch,
    /// Once, at the end.
    End,
}

impl Every {
    /// In iterations, of which `epoch` make an epoch; 0 = never.
    pub fn iterations(self, epoch: u64) -> u64 {
        match self {
            Self::Count(count) => count.into(),
            Self::Epoch => epoch,
            Self::End => u64::MAX,
        }
    }

    /// In epochs; 0 = never.
    pub fn epochs(self) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Epoch => 1,
            Self::End => u32::MAX,
        }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Epoch => f.write_str("epoch"),
            Self::End => f.write_str("end"),
        }
    }
}

impl Serialize for Every {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => count.serialize(serializer),
            word => serializer.collect_str(word),
        }
    }
}
