//! Ranks over TCP.
//!
//! | file | holds |
//! |---|---|
//! | `start`, `lobby`, `visit` | how ranks come together: those that listen, those that connect |
//! | `calls` | sums, broadcasts, barriers over connections between all ranks |
//! | `watch` | signs of life |
//! | `wire` | the bytes on the connections, and proof of the job's key |
//!
//! Between any two ranks are two connections, one for calls and one for signs of life.

mod calls;
mod lobby;
mod start;
mod visit;
mod watch;
mod wire;

#[cfg(test)]
mod tests;

use core::cell::Cell;

use super::Ranks;
use super::call::{Call, Operation};
use super::environment::{Launch, Meeting};
use super::error::{Loss, RanksError};

use calls::{Calls, Fault};
use watch::{Rhythm, Watch};

/// Ranks over TCP: any machines that can reach each other's ports.
pub struct Tcp {
    calls: Calls,
    watch: Watch,
    /// Calls made.
    number: Cell<u64>,
}

impl Tcp {
    /// Meets the other ranks; all have come when this returns. `note` prints a line: connections that
    /// are turned away.
    ///
    /// # Errors
    /// If a rank does not come, cannot be reached, or was told of another number of ranks.
    pub fn meet(
        launch: &Launch,
        meeting: &Meeting,
        note: &dyn Fn(&str),
    ) -> Result<Self, RanksError> {
        Self::meet_as(launch.rank, launch.size, meeting, Rhythm::default(), note)
    }

    fn meet_as(
        rank: usize,
        size: usize,
        meeting: &Meeting,
        rhythm: Rhythm,
        note: &dyn Fn(&str),
    ) -> Result<Self, RanksError> {
        let (calls, lines) = start::start(rank, size, meeting, note)?;
        let watch = Watch::start(rank, lines, rhythm);
        let watch = watch.map_err(|source| RanksError::Thread { source })?;
        Ok(Self { calls, watch, number: Cell::new(0) })
    }

    /// Makes a call that all ranks make.
    fn call(
        &self,
        operation: Operation,
        length: usize,
        work: impl FnOnce(&Call) -> Result<(), Fault>,
    ) -> Result<(), RanksError> {
        self.watch.check()?;
        let number = self.number.get() + 1;
        self.number.set(number);
        let call = Call { number, operation, length: length as u64 };
        work(&call).map_err(|fault| match fault {
            Fault::Connection { rank, error } => self.watch.broken(rank, Loss::broken(&error)),
            Fault::Mismatch { rank, theirs } => {
                self.watch.give_up(rank, Loss::OutOfStep);
                RanksError::Mismatch { rank, theirs, own: call }
            }
            Fault::Thread(source) => RanksError::Thread { source },
        })
    }
}

impl Ranks for Tcp {
    fn rank(&self) -> usize {
        self.calls.rank
    }

    fn size(&self) -> usize {
        self.calls.peers.len() + 1
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), RanksError> {
        self.call(Operation::Sum, values.len(), |call| self.calls.sum(call, values))
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<(), RanksError> {
        self.call(Operation::SumF64, values.len(), |call| self.calls.sum(call, values))
    }

    fn broadcast(&self, bytes: &mut Vec<u8>) -> Result<(), RanksError> {
        self.call(Operation::Broadcast, 0, |call| self.calls.broadcast(call, bytes))
    }

    fn barrier(&self) -> Result<(), RanksError> {
        self.call(Operation::Barrier, 0, |call| self.calls.barrier(call))
    }

    fn check(&self) -> Result<(), RanksError> {
        self.watch.check()
    }

    fn check_none_left(&self) -> Result<(), RanksError> {
        self.watch.check_none_left()
    }
}
