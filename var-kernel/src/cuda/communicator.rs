//! All-reduce over GPUs: the gradients of ranks.

use std::boxed::Box;
use std::sync::Arc;

use super::driver::nvidia::nccl;
use super::driver::{Driver, UniqueId};
use super::error::CudaError;
use super::{Cuda, driver};
use crate::memory::Floats;
use crate::remote::Remote;

/// This process's GPU as a member of a group of GPUs, one for each rank (NCCL).
pub struct Communicator {
    /// First, so that the membership ends before the driver it belongs to.
    member: Box<dyn driver::DriverCommunicator>,
    _driver: Arc<dyn Driver>,
}

impl Communicator {
    /// Whether NCCL is on this machine.
    pub fn can_be() -> bool {
        nccl::is_present()
    }

    /// A new group's identity: made by one member, told to the others.
    ///
    /// # Errors
    /// If NCCL is not there or fails.
    pub fn unique_id() -> Result<UniqueId, CudaError> {
        nccl::unique_id()
    }

    /// Joins a group of `size` GPUs as number `rank`; returns when all have joined.
    ///
    /// # Errors
    /// If NCCL is not there or fails, or the GPU is none of NVIDIA's.
    pub fn join(
        cuda: &Cuda,
        unique_id: &UniqueId,
        rank: usize,
        size: usize,
    ) -> Result<Self, CudaError> {
        let driver = Arc::clone(&cuda.driver);
        Ok(Self { member: driver.join(unique_id, rank, size)?, _driver: driver })
    }

    /// Begins an all-reduce of `run`, as long on every GPU, after all commands before and beside all later
    /// ones; every GPU begins the same sums in the same order. Until
    /// [`Communicator::end_sums`] the run's numbers are unspecified.
    ///
    /// # Errors
    /// Only the GPUs' own.
    pub fn begin_sum(&mut self, run: &mut Remote) -> Result<(), CudaError> {
        if run.is_empty() {
            return Ok(());
        }
        // SAFETY: the run is memory of the GPU, as long as it says, and borrowed mutably.
        #[allow(unsafe_code, reason = "the run's own address and length")]
        unsafe {
            self.member.begin_sum(run.address(), run.len())
        }
    }

    /// Whether all sums that were begun are there.
    ///
    /// # Errors
    /// If another GPU left, or this one failed.
    pub fn is_done(&mut self) -> Result<bool, CudaError> {
        self.member.is_done()
    }

    /// Lets later commands wait for all sums that were begun.
    ///
    /// # Errors
    /// Only the GPU's own.
    pub fn end_sums(&mut self) -> Result<(), CudaError> {
        self.member.end_sums()
    }
}
