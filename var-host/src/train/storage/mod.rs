//! Memory in which a network is trained: the host's, or a GPU's.
//!
//! A trainer is written once over a [`Storage`]. Each has its own memory, copies, and rounding of
//! weights; sums over ranks are [`AllReduce`]'s, apart from it.

#[cfg(feature = "cuda")]
mod gpu;
mod host;

use core::ops::{Deref, DerefMut};
use std::borrow::Cow;

use var_kernel::cpu::Cpu;
use var_kernel::memory::{Device, Floats};

use super::layout::ParameterLayout;
use super::{Precision, TrainError};
use crate::grad::TrainBackend;
use crate::optim::Update;
use crate::parallel::ProcessGroup;

#[cfg(feature = "cuda")]
pub use gpu::{DeviceMemory, Nccl};
pub use host::{GroupAllReduce, Host};

/// Memory of weights, gradients and the optimizer's state.
pub trait Storage: Sized + 'static {
    /// Some of its elements.
    type Slice: Floats + ?Sized;
    /// Owns elements.
    type Buffer: DerefMut<Target = Self::Slice>;
    /// Working memory that grows; empty by default.
    type Workspace: Default;
    /// Sums over the memories of all ranks.
    type AllReduce: AllReduce<Self>;
    /// The backend that computes in it.
    type Device<'d>: TrainBackend<Slice = Self::Slice, Error: Into<TrainError>> + Update;
    /// Gives the device.
    type Handle<'d>: Deref<Target = Self::Device<'d>>;

    /// The device; `cpu` where it is the processor.
    fn device<'d>(&'d self, cpu: Cpu<'d>) -> Self::Handle<'d>;

    /// `floats` zeros.
    ///
    /// # Errors
    /// If the device has not the memory.
    fn zeros(d: &Self::Device<'_>, floats: usize) -> Result<Self::Buffer, TrainError>;

    /// Takes elements in the order of `layout`.
    ///
    /// # Errors
    /// If the device has not the memory.
    fn from_host(
        d: &Self::Device<'_>,
        layout: &ParameterLayout,
        elements: Vec<f32>,
    ) -> Result<Self::Buffer, TrainError>;

    /// The elements in the order of `layout`, for the host to read.
    ///
    /// # Errors
    /// Only the device's own.
    fn to_host<'n>(
        d: &Self::Device<'_>,
        layout: &ParameterLayout,
        elements: &'n Self::Buffer,
    ) -> Result<Cow<'n, [f32]>, TrainError>;

    /// `floats` of working memory, contents unspecified.
    ///
    /// # Errors
    /// If the device has not as much.
    fn workspace<'m>(
        d: &Self::Device<'_>,
        working: &'m mut Self::Workspace,
        floats: usize,
    ) -> Result<&'m mut Self::Slice, TrainError>;

    /// Writes the compute weights to `computed`: `weights` with the blocks' matrices rounded to the
    /// nearest value of `precision`.
    ///
    /// # Errors
    /// Only the device's own.
    fn round(
        d: &Self::Device<'_>,
        precision: Precision,
        layout: &ParameterLayout,
        weights: &Self::Slice,
        computed: &mut Self::Slice,
    ) -> Result<(), TrainError>;

    /// Bytes that a run may take; none if that cannot be told.
    fn free(d: &Self::Device<'_>) -> Option<u64>;
}

/// Sums over the memories of all ranks.
pub trait AllReduce<S: Storage>: Default {
    /// Lets the devices of all ranks find each other; returns a warning if they could but do not.
    ///
    /// # Errors
    /// If another rank cannot be reached, or the devices cannot.
    fn join(
        &mut self,
        d: &S::Device<'_>,
        ranks: &dyn ProcessGroup,
    ) -> Result<Option<&'static str>, TrainError>;

    /// Replaces elements by their sums.
    ///
    /// # Errors
    /// If another rank cannot be reached.
    fn sum(
        &mut self,
        d: &S::Device<'_>,
        ranks: &dyn ProcessGroup,
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
    fn end(&mut self, ranks: &dyn ProcessGroup) -> Result<(), TrainError> {
        let _ = ranks;
        Ok(())
    }
}
