//! The interface of ranks, and one process alone.

use super::error::ProcessGroupError;

/// Processes that train one model together.
///
/// All ranks make the same calls in the same order. After an error the ranks are of no more use:
/// each further call fails too.
pub trait ProcessGroup {
    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// Replaces `values` on every rank by the sum over ranks, added in the order of ranks: the same
    /// bytes everywhere.
    ///
    /// # Errors
    /// If a rank is gone, or makes another call or brings another number of values.
    fn sum(&self, values: &mut [f32]) -> Result<(), ProcessGroupError>;

    /// [`sum`](Self::sum) in f64.
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    fn sum_f64(&self, values: &mut [f64]) -> Result<(), ProcessGroupError>;

    /// Rank 0's bytes, everywhere.
    ///
    /// # Errors
    /// If a rank is gone, or makes another call.
    fn broadcast(&self, bytes: &mut Vec<u8>) -> Result<(), ProcessGroupError>;

    /// Returns when all ranks have come here.
    ///
    /// # Errors
    /// If a rank is gone, or makes another call.
    fn barrier(&self) -> Result<(), ProcessGroupError>;

    /// Whether all ranks are there, as far as is known: it takes no time and asks nobody. For long
    /// work between two calls, which would notice too.
    ///
    /// # Errors
    /// If a rank is gone.
    fn check(&self) -> Result<(), ProcessGroupError> {
        Ok(())
    }

    /// The same, and whether none has ended its part of the run: for work that wants all ranks to its
    /// end.
    ///
    /// # Errors
    /// If a rank is gone or has left.
    fn check_none_left(&self) -> Result<(), ProcessGroupError> {
        self.check()
    }
}

/// One process alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct SingleProcess;

impl ProcessGroup for SingleProcess {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, _: &mut [f32]) -> Result<(), ProcessGroupError> {
        Ok(())
    }

    fn sum_f64(&self, _: &mut [f64]) -> Result<(), ProcessGroupError> {
        Ok(())
    }

    fn broadcast(&self, _: &mut Vec<u8>) -> Result<(), ProcessGroupError> {
        Ok(())
    }

    fn barrier(&self) -> Result<(), ProcessGroupError> {
        Ok(())
    }
}
