//! Threads of one process as ranks, for tests.

use core::cell::Cell;
use core::ops::AddAssign;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytemuck::{Pod, cast_slice};

use super::call::{Collective, CollectiveCall};
use super::error::{PeerFailure, ProcessGroupError};
use super::process_group::ProcessGroup;

/// One of several threads that work as ranks.
pub struct ThreadGroup {
    rank: usize,
    size: usize,
    /// Calls made.
    number: Cell<u64>,
    table: Arc<Exchange>,
}

/// Each thread's contribution to a call, in the order of ranks.
type Contributions = Vec<(CollectiveCall, Vec<u8>)>;

/// The exchange of contributions between threads.
struct Exchange {
    state: Mutex<ExchangeState>,
    changed: Condvar,
}

struct ExchangeState {
    /// Contributions to this call so far.
    brought: Vec<Option<(CollectiveCall, Vec<u8>)>>,
    /// All that came for the call before.
    complete: Arc<Vec<(CollectiveCall, Vec<u8>)>>,
    /// How many calls are complete.
    links: u64,
    /// The first that left, or was out of step.
    lost: Option<(usize, PeerFailure)>,
}

impl ThreadGroup {
    /// As many ranks, one for each thread.
    ///
    /// # Panics
    /// If `size` is zero.
    #[track_caller]
    pub fn new(size: usize) -> Vec<Self> {
        assert!(size > 0, "ranks: there must be one");
        let state = ExchangeState {
            brought: Vec::from_iter((0..size).map(|_| None)),
            complete: Arc::default(),
            links: 0,
            lost: None,
        };
        let table = Arc::new(Exchange { state: Mutex::new(state), changed: Condvar::new() });
        let handle = |rank| Self { rank, size, number: Cell::new(0), table: Arc::clone(&table) };
        (0..size).map(handle).collect()
    }

    /// Contributes `bytes` to a call of all ranks; returns all contributions.
    fn exchange(
        &self,
        operation: Collective,
        length: usize,
        bytes: Vec<u8>,
    ) -> Result<Arc<Contributions>, ProcessGroupError> {
        let number = self.number.get() + 1;
        self.number.set(number);
        let own = CollectiveCall { number, operation, length: length as u64 };
        let mut state = self.table.lock();
        if let Some((rank, failure)) = state.lost.clone() {
            return Err(ProcessGroupError::Lost { rank, failure });
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
                return Err(ProcessGroupError::Lost { rank, failure });
            }
            state = self.table.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let complete = Arc::clone(&state.complete);
        match complete.iter().position(|(theirs, _)| !theirs.agrees(&own)) {
            Some(rank) => {
                state.lost.get_or_insert((rank, PeerFailure::OutOfStep));
                Err(ProcessGroupError::Mismatch { rank, theirs: complete[rank].0, own })
            }
            None => Ok(complete),
        }
    }

    fn sum_of<T: Pod + AddAssign>(
        &self,
        operation: Collective,
        values: &mut [T],
    ) -> Result<(), ProcessGroupError> {
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

impl ProcessGroup for ThreadGroup {
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
        let brought = if self.rank == 0 { bytes.clone() } else { Vec::new() };
        let all = self.exchange(Collective::Broadcast, 0, brought)?;
        bytes.clone_from(&all[0].1);
        Ok(())
    }

    fn barrier(&self) -> Result<(), ProcessGroupError> {
        self.exchange(Collective::Barrier, 0, Vec::new()).map(drop)
    }
}

impl Drop for ThreadGroup {
    fn drop(&mut self) {
        self.table.lock().lost.get_or_insert((self.rank, PeerFailure::Left));
        self.table.changed.notify_all();
    }
}

impl Exchange {
    fn lock(&self) -> MutexGuard<'_, ExchangeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
