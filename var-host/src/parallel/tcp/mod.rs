//! Ranks over TCP.
//!
//! | file | holds |
//! |---|---|
//! | `rendezvous`, `acceptor`, `connector` | how ranks connect: addresses, the listening side, the connecting side |
//! | `calls` | sums, broadcasts, barriers over connections between all ranks |
//! | `heartbeat` | heartbeats, and the ranks that sent none |
//! | `wire` | the bytes on the connections, and proof of the job's key |
//!
//! Between any two ranks are two connections, one for collectives and one for heartbeats.

mod acceptor;
mod connector;
mod heartbeat;
mod links;
mod rendezvous;
mod wire;

#[cfg(test)]
mod tests;

use core::cell::Cell;

use super::call::{Collective, CollectiveCall};
use super::environment::{Launch, Rendezvous};
use super::error::{PeerFailure, ProcessGroupError};
use super::process_group::ProcessGroup;

use heartbeat::{Heartbeat, HeartbeatConfig};
use links::{LinkFault, Links};

/// Ranks over TCP: any machines that can reach each other's ports.
pub struct Tcp {
    links: Links,
    heartbeat: Heartbeat,
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
        rendezvous: &Rendezvous,
        note: &dyn Fn(&str),
    ) -> Result<Self, ProcessGroupError> {
        Self::meet_as(launch.rank, launch.size, rendezvous, HeartbeatConfig::default(), note)
    }

    fn meet_as(
        rank: usize,
        size: usize,
        rendezvous: &Rendezvous,
        config: HeartbeatConfig,
        note: &dyn Fn(&str),
    ) -> Result<Self, ProcessGroupError> {
        let (links, lines) = rendezvous::start(rank, size, rendezvous, note)?;
        let heartbeat = Heartbeat::start(rank, lines, config);
        let heartbeat = heartbeat.map_err(|source| ProcessGroupError::Thread { source })?;
        Ok(Self { links, heartbeat, number: Cell::new(0) })
    }

    /// Makes a call that all ranks make.
    fn call(
        &self,
        operation: Collective,
        length: usize,
        work: impl FnOnce(&CollectiveCall) -> Result<(), LinkFault>,
    ) -> Result<(), ProcessGroupError> {
        self.heartbeat.check()?;
        let number = self.number.get() + 1;
        self.number.set(number);
        let call = CollectiveCall { number, operation, length: length as u64 };
        work(&call).map_err(|fault| match fault {
            LinkFault::Connection { rank, error } => {
                self.heartbeat.broken(rank, PeerFailure::broken(&error))
            }
            LinkFault::Mismatch { rank, theirs } => {
                self.heartbeat.give_up(rank, PeerFailure::OutOfStep);
                ProcessGroupError::Mismatch { rank, theirs, own: call }
            }
            LinkFault::Thread(source) => ProcessGroupError::Thread { source },
        })
    }
}

impl ProcessGroup for Tcp {
    fn rank(&self) -> usize {
        self.links.rank
    }

    fn size(&self) -> usize {
        self.links.peers.len() + 1
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), ProcessGroupError> {
        self.call(Collective::Sum, values.len(), |call| self.links.sum(call, values))
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<(), ProcessGroupError> {
        self.call(Collective::SumF64, values.len(), |call| self.links.sum(call, values))
    }

    fn broadcast(&self, bytes: &mut Vec<u8>) -> Result<(), ProcessGroupError> {
        self.call(Collective::Broadcast, 0, |call| self.links.broadcast(call, bytes))
    }

    fn barrier(&self) -> Result<(), ProcessGroupError> {
        self.call(Collective::Barrier, 0, |call| self.links.barrier(call))
    }

    fn check(&self) -> Result<(), ProcessGroupError> {
        self.heartbeat.check()
    }

    fn check_none_left(&self) -> Result<(), ProcessGroupError> {
        self.heartbeat.check_none_left()
    }
}
