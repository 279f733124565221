//! Ranks of MPI.
//!
//! Before each call the ranks send each other its header. They wait for headers with pauses and notice
//! ranks that have left; the collective that MPI itself waits for then is under way everywhere. A rank
//! that is killed is the launcher's to notice, which ends the others.

use core::cell::{Cell, RefCell};
use core::ops::AddAssign;
use core::time::Duration;
use std::thread;

use bytemuck::Pod;
use mpi::datatype::Equivalence;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Destination, Root, Source};

use super::call::{Collective, CollectiveCall, HEADER};
use super::environment::Launch;
use super::error::{PeerFailure, ProcessGroupError};
use super::process_group::ProcessGroup;

/// Ranks of MPI. Dropping it waits until all ranks drop theirs, as MPI can only end together.
pub struct Mpi {
    rank: usize,
    size: usize,
    world: SimpleCommunicator,
    /// Calls made.
    number: Cell<u64>,
    /// The first rank that left or was out of step.
    lost: RefCell<Option<(usize, PeerFailure)>>,
    /// Ranks that have sent the shutdown message.
    left: RefCell<Vec<bool>>,
    /// MPI ends with it.
    _universe: Universe,
}

/// Values of one rank that are added up at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Bytes broadcast at a time: MPI counts them in 31 bits.
const PIECE: usize = 64 << 20;

/// The message of a leaving rank: the header of no call.
const SHUTDOWN: [u8; HEADER] = [0; HEADER];

/// Room for messages sent and not received yet: a few headers to each rank.
const BUFFER_PER_RANK: usize = 4 << 10;

impl Mpi {
    /// Begins MPI, which the launcher must have prepared.
    ///
    /// # Errors
    /// If MPI was begun before in this process, or knows of other ranks than the launcher says.
    pub fn start(launch: &Launch) -> Result<Self, ProcessGroupError> {
        let mut universe = mpi::initialize().ok_or(ProcessGroupError::MpiTwice)?;
        let world = universe.world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        if (rank, size) != (launch.rank, launch.size) {
            let (mpi_rank, mpi_size) = (rank, size);
            return Err(ProcessGroupError::Mpi {
                rank: launch.rank,
                size: launch.size,
                mpi_rank,
                mpi_size,
            });
        }
        universe.set_buffer_size(BUFFER_PER_RANK * size);
        Ok(Self {
            rank,
            size,
            world,
            number: Cell::new(0),
            lost: RefCell::new(None),
            left: RefCell::new(vec![false; size]),
            _universe: universe,
        })
    }

    /// Tells all ranks of a call and hears that they make it too. Returns rank 0's.
    fn agree(
        &self,
        operation: Collective,
        length: usize,
    ) -> Result<CollectiveCall, ProcessGroupError> {
        self.check()?;
        let number = self.number.get() + 1;
        self.number.set(number);
        let own = CollectiveCall { number, operation, length: length as u64 };
        self.send_all(&own.to_bytes());
        let mut of_rank_0 = own;
        for rank in self.others() {
            let Some(theirs) = CollectiveCall::from_bytes(&self.receive(rank)) else {
                self.left.borrow_mut()[rank] = true;
                self.lost.replace(Some((rank, PeerFailure::Left)));
                return Err(ProcessGroupError::Lost { rank, failure: PeerFailure::Left });
            };
            if !theirs.agrees(&own) {
                self.lost.replace(Some((rank, PeerFailure::OutOfStep)));
                return Err(ProcessGroupError::Mismatch { rank, theirs, own });
            }
            if rank == 0 {
                of_rank_0 = theirs;
            }
        }
        Ok(of_rank_0)
    }

    fn others(&self) -> impl Iterator<Item = usize> {
        let own = self.rank;
        (0..self.size).filter(move |rank| *rank != own)
    }

    fn send_all(&self, head: &[u8; HEADER]) {
        for rank in self.others() {
            self.world.process_at_rank(rank as i32).buffered_send(&head[..]);
        }
    }

    /// Waits for a rank's message: spinning first, for a call about to come, then with pauses that
    /// leave the core to others.
    fn receive(&self, rank: usize) -> [u8; HEADER] {
        const HASTY: u32 = 1000;
        const PAUSE: Duration = Duration::from_micros(200);
        let process = self.world.process_at_rank(rank as i32);
        let mut looks = 0;
        while process.immediate_probe().is_none() {
            looks += 1;
            if looks < HASTY { thread::yield_now() } else { thread::sleep(PAUSE) }
        }
        let mut head = SHUTDOWN;
        process.receive_into(&mut head[..]);
        head
    }

    fn sum_of<T: MpiElement>(
        &self,
        operation: Collective,
        values: &mut [T],
    ) -> Result<(), ProcessGroupError> {
        self.agree(operation, values.len())?;
        let chunk = self.size * (CHUNK_BYTES / size_of::<T>());
        let even = values.len() - values.len() % self.size;
        let (even, rest) = values.split_at_mut(even);
        let mut received = vec![T::zeroed(); even.len().clamp(self.size, chunk)];
        for values in even.chunks_mut(chunk) {
            self.sum_even(values, &mut received[..values.len()]);
        }
        if !rest.is_empty() {
            let mut padded = vec![T::zeroed(); self.size];
            padded[..rest.len()].copy_from_slice(rest);
            self.sum_even(&mut padded, &mut received[..self.size]);
            rest.copy_from_slice(&padded[..rest.len()]);
        }
        Ok(())
    }

    /// The sum of values that can be shared out evenly: each rank adds up its part, in the order of
    /// ranks, and gives the sum to all.
    fn sum_even<T: MpiElement>(&self, values: &mut [T], received: &mut [T]) {
        self.world.all_to_all_into(&*values, received);
        let (sum, others) = received.split_at_mut(values.len() / self.size);
        for other in others.chunks_exact(sum.len()) {
            for (sum, value) in sum.iter_mut().zip(other) {
                *sum += *value;
            }
        }
        self.world.all_gather_into(&*sum, values);
    }
}

/// Element types of sums.
trait MpiElement: Pod + AddAssign + Equivalence {}
impl MpiElement for f32 {}
impl MpiElement for f64 {}

impl ProcessGroup for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), ProcessGroupError> {
        self.sum_of(Collective::Sum, values)
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<(), ProcessGroupError> {
        self.sum_of(Collective::SumF64, values)
    }

    fn broadcast(&self, bytes: &mut Vec<u8>) -> Result<(), ProcessGroupError> {
        let own = if self.rank == 0 { bytes.len() } else { 0 };
        let length = self.agree(Collective::Broadcast, own)?.length;
        bytes.resize(length as usize, 0);
        for piece in bytes.chunks_mut(PIECE) {
            self.world.process_at_rank(0).broadcast_into(piece);
        }
        Ok(())
    }

    fn barrier(&self) -> Result<(), ProcessGroupError> {
        self.agree(Collective::Barrier, 0).map(drop)
    }

    fn check(&self) -> Result<(), ProcessGroupError> {
        match self.lost.borrow().clone() {
            Some((rank, failure)) => Err(ProcessGroupError::Lost { rank, failure }),
            None => Ok(()),
        }
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        self.send_all(&SHUTDOWN);
        let left = self.left.take();
        for rank in self.others().filter(|rank| !left[*rank]) {
            while self.receive(rank) != SHUTDOWN {}
        }
    }
}
