//! Threads of one process as ranks, for tests.

use core::cell::Cell;
use core::ops::AddAssign;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytemuck::{Pod, cast_slice};

use super::Ranks;
use super::call::{Call, Operation};
use super::error::{PeerFailure, RanksError};

/// One of several threads that work as ranks.
pub struct Threads {
    rank: usize,
    size: usize,
    /// Calls made.
    number: Cell<u64>,
    table: Arc<Table>,
}

/// Each thread's contribution to a call, in the order of ranks.
type Brought = Vec<(Call, Vec<u8>)>;

/// The exchange of contributions between threads.
struct Table {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Contributions to this call so far.
    brought: Vec<Option<(Call, Vec<u8>)>>,
    /// All that came for the call before.
    complete: Arc<Vec<(Call, Vec<u8>)>>,
    /// How many calls are complete.
    links: u64,
    /// The first that left, or was out of step.
    lost: Option<(usize, PeerFailure)>,
}

impl Threads {
    /// As many ranks, one for each thread.
    ///
    /// # Panics
    /// If `size` is zero.
    #[track_caller]
    pub fn new(size: usize) -> Vec<Self> {
        assert!(size > 0, "ranks: there must be one");
        let state = State {
            brought: Vec::from_iter((0..size).map(|_| None)),
            complete: Arc::default(),
            links: 0,
            lost: None,
        };
        let table = Arc::new(Table { state: Mutex::new(state), changed: Condvar::new() });
        let handle = |rank| Self { rank, size, number: Cell::new(0), table: Arc::clone(&table) };
        (0..size).map(handle).collect()
    }

    /// Contributes `bytes` to a call of all ranks; returns all contributions.
    fn exchange(
        &self,
        operation: Operation,
        length: usize,
        bytes: Vec<u8>,
    ) -> Result<Arc<Brought>, RanksError> {
        let number = self.number.get() + 1;
        self.number.set(number);
        let own = Call { number, operation, length: length as u64 };
        let mut state = self.table.lock();
        if let Some((rank, failure)) = state.lost.clone() {
            return Err(RanksError::Lost { rank, failure });
        }
        state.brought[self.rank] = Some((own, bytes));
        if state.brought.iter().all(Option::is_some) {
            let brought = state.brought.iter_mut().filter_map(Option::take);
            state.complete = Arc::new(brought.collect());
            state.links += 1;
            self.table.changed.notify_all();
        }
        while state.links < number {
            if let Some((rank, failure)) = state.lost.clone() {
                return Err(RanksError::Lost { rank, failure });
            }
            state = self.table.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let complete = Arc::clone(&state.complete);
        match complete.iter().position(|(theirs, _)| !theirs.agrees(&own)) {
            Some(rank) => {
                state.lost.get_or_insert((rank, PeerFailure::OutOfStep));
                Err(RanksError::Mismatch { rank, theirs: complete[rank].0, own })
            }
            None => Ok(complete),
        }
    }

    fn sum_of<T: Pod + AddAssign>(
        &self,
        operation: Operation,
        values: &mut [T],
    ) -> Result<(), RanksError> {
        let brought = cast_slice(values).to_vec();
        let all = self.exchange(operation, values.len(), brought)?;
        for (rank, (_, bytes)) in all.iter().enumerate() {
            let brought = bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned);
            for (sum, value) in values.iter_mut().zip(brought) {
                if rank == 0 { *sum = value } else { *sum += value }
            }
        }
        Ok(())
    }
}

impl Ranks for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), RanksError> {
        self.sum_of(Operation::Sum, values)
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<(), RanksError> {
        self.sum_of(Operation::SumF64, values)
    }

    fn broadcast(&self, bytes: &mut Vec<u8>) -> Result<(), RanksError> {
        let brought = if self.rank == 0 { bytes.clone() } else { Vec::new() };
        let all = self.exchange(Operation::Broadcast, 0, brought)?;
        bytes.clone_from(&all[0].1);
        Ok(())
    }

    fn barrier(&self) -> Result<(), RanksError> {
        self.exchange(Operation::Barrier, 0, Vec::new()).map(drop)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.table.lock().lost.get_or_insert((self.rank, PeerFailure::Left));
        self.table.changed.notify_all();
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
