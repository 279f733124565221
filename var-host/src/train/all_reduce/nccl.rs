//! Sums between GPUs by NCCL, where it is on each rank, else over the host.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use var_kernel::cuda::{Communicator, Cuda, CudaError, Remote};
use var_kernel::memory::{Device, Floats};

use super::AllReduce;
use crate::parallel::Ranks;
use crate::train::TrainError;
use crate::train::storage::DeviceMemory;

/// Floats that are sent over the host at once: 16 MiB.
const SENT_TOGETHER: usize = 1 << 22;

/// Time between two looks whether sums are done.
const BETWEEN_LOOKS: Duration = Duration::from_micros(50);

/// Time that sums may take to their end after another rank has left.
const AFTER_ANOTHER: Duration = Duration::from_secs(5);

/// The communicator of the GPUs of all ranks; none where they do not reach each other.
#[derive(Default)]
pub struct Nccl(Option<Communicator>);

impl AllReduce<DeviceMemory> for Nccl {
    fn join(&mut self, cuda: &Cuda, ranks: &dyn Ranks) -> Result<Option<&'static str>, TrainError> {
        let (rank, size) = (ranks.rank(), ranks.size());
        let mut able = [if Communicator::can_be() { 1.0 } else { 0.0 }];
        ranks.sum(&mut able)?;
        if size == 1 {
            return Ok(None);
        }
        if able[0] < size as f32 {
            return Ok(Some(
                "gradients are added up over the host, which takes longer: NCCL (libnccl.so.2) is not \
                 where each rank runs; put its folder into LD_LIBRARY_PATH",
            ));
        }
        let mut unique_id =
            if rank == 0 { Communicator::unique_id()?.to_vec() } else { Vec::new() };
        ranks.broadcast(&mut unique_id)?;
        let unique_id = unique_id.try_into().expect("the first rank's");
        self.0 = Some(Communicator::join(cuda, &unique_id, rank, size)?);
        Ok(None)
    }

    fn sum(
        &mut self,
        cuda: &Cuda,
        ranks: &dyn Ranks,
        elements: &mut Remote,
    ) -> Result<(), TrainError> {
        if ranks.size() == 1 {
            return Ok(());
        }
        if self.0.is_some() {
            self.begin(cuda, elements)?;
            return self.end(ranks);
        }
        let (length, mut on_host) = (elements.len(), Vec::new());
        for start in (0..length).step_by(SENT_TOGETHER) {
            let slice = elements.range_mut(start..length.min(start + SENT_TOGETHER));
            on_host.resize(slice.len(), 0.0);
            cuda.download(&mut on_host, slice)?;
            ranks.sum(&mut on_host)?;
            cuda.upload(slice, &on_host)?;
        }
        Ok(())
    }

    fn overlaps(&self) -> bool {
        self.0.is_some()
    }

    fn begin<'d>(&mut self, _: &Cuda, elements: &mut Remote) -> Result<(), CudaError> {
        self.0.as_mut().expect("GPUs that have joined").begin_sum(elements)
    }

    fn end(&mut self, ranks: &dyn Ranks) -> Result<(), TrainError> {
        let Some(group) = &mut self.0 else { return Ok(()) };
        // A rank that is gone never joins in: only the ranks themselves hear of it. One that has left may
        // only have seen the end of the sums first.
        let mut left = None;
        while !group.is_done()? {
            ranks.check()?;
            if let Err(error) = ranks.check_none_left()
                && left.get_or_insert_with(Instant::now).elapsed() > AFTER_ANOTHER
            {
                return Err(error.into());
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        Ok(group.end_sums()?)
    }
}
