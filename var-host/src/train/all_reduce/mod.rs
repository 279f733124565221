//! All-reduce of gradients: their sums over ranks.

#[cfg(feature = "cuda")]
mod nccl;

use var_kernel::memory::Device;

use super::{Host, Storage, TrainError};
use crate::parallel::Ranks;

#[cfg(feature = "cuda")]
pub use nccl::Nccl;

/// Sums over the memories of all ranks.
pub trait AllReduce<S: Storage>: Default {
    /// Lets the devices of all ranks find each other; returns a warning if they could but do not.
    ///
    /// # Errors
    /// If another rank cannot be reached, or the devices cannot.
    fn join(
        &mut self,
        d: &S::Device<'_>,
        ranks: &dyn Ranks,
    ) -> Result<Option<&'static str>, TrainError>;

    /// Replaces elements by their sums.
    ///
    /// # Errors
    /// If another rank cannot be reached.
    fn sum(
        &mut self,
        d: &S::Device<'_>,
        ranks: &dyn Ranks,
        elements: &mut S::Slice,
    ) -> Result<(), TrainError>;

    /// Whether sums can begin while the device computes something else; by default they cannot.
    fn overlaps(&self) -> bool {
        false
    }

    /// Begins to sum elements that nobody touches until [`AllReduce::end`].
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If sums do not [overlap](AllReduce::overlaps).
    fn begin<'d>(
        &mut self,
        d: &S::Device<'d>,
        elements: &mut S::Slice,
    ) -> Result<(), <S::Device<'d> as Device>::Error> {
        let _ = (d, elements);
        panic!("sums cannot begin early here")
    }

    /// Returns when all sums that were begun are there.
    ///
    /// # Errors
    /// If another rank cannot be reached.
    fn end(&mut self, ranks: &dyn Ranks) -> Result<(), TrainError> {
        let _ = ranks;
        Ok(())
    }
}

/// Sums on the host, by the ranks' own collectives.
#[derive(Clone, Copy, Debug, Default)]
pub struct OverRanks;

impl AllReduce<Host> for OverRanks {
    fn join(
        &mut self,
        _: &var_kernel::cpu::Cpu<'_>,
        _: &dyn Ranks,
    ) -> Result<Option<&'static str>, TrainError> {
        Ok(None)
    }

    fn sum(
        &mut self,
        _: &var_kernel::cpu::Cpu<'_>,
        ranks: &dyn Ranks,
        elements: &mut [f32],
    ) -> Result<(), TrainError> {
        Ok(ranks.sum(elements)?)
    }
}
