//! Where a run's numbers live: the processor's memory, or a card's.
//!
//! [`Trainer`](super::Trainer) is written once over a [`Home`]. Each has its own memory, copies,
//! rounding of weights and all-reduce of gradients.

#[cfg(feature = "cuda")]
mod card;
mod processor;

use core::ops::{Deref, DerefMut};
use std::borrow::Cow;

use var_kernel::cpu::Cpu;
use var_kernel::memory::{Device, Floats};

use super::layout::Layout;
use super::{Precision, TrainError};
use crate::grad::TrainBackend;
use crate::optim::Update;
use crate::parallel::Ranks;

#[cfg(feature = "cuda")]
pub use card::OnCard;
pub use processor::OnProcessor;

/// Where weights, gradients and the optimizer's state live.
pub trait Home: 'static {
    /// A run of numbers there.
    type Slice: Floats + ?Sized;
    /// Owns a run.
    type Numbers: DerefMut<Target = Self::Slice>;
    /// Working memory that grows; by default there is none yet.
    type Working: Default;
    /// A way from device to device, if there is one.
    type Group: Default;
    /// The backend that computes with them.
    type Device<'d>: TrainBackend<Slice = Self::Slice, Error: Into<TrainError>> + Update;
    /// Gives the device.
    type Handle<'d>: Deref<Target = Self::Device<'d>>;

    /// The device; `cpu` where it is the processor.
    fn device<'d>(&'d self, cpu: Cpu<'d>) -> Self::Handle<'d>;

    /// `floats` zeros.
    ///
    /// # Errors
    /// If the device has not the memory.
    fn zeros(d: &Self::Device<'_>, floats: usize) -> Result<Self::Numbers, TrainError>;

    /// Takes numbers that lie as `layout` says.
    ///
    /// # Errors
    /// If the device has not the memory.
    fn keep(
        d: &Self::Device<'_>,
        layout: &Layout,
        numbers: Vec<f32>,
    ) -> Result<Self::Numbers, TrainError>;

    /// The numbers as `layout` says, for the host to read.
    ///
    /// # Errors
    /// Only the device's own.
    fn read<'n>(
        d: &Self::Device<'_>,
        layout: &Layout,
        numbers: &'n Self::Numbers,
    ) -> Result<Cow<'n, [f32]>, TrainError>;

    /// `floats` of working memory, contents unspecified.
    ///
    /// # Errors
    /// If the device has not as much.
    fn room<'m>(
        d: &Self::Device<'_>,
        working: &'m mut Self::Working,
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
        layout: &Layout,
        weights: &Self::Slice,
        computed: &mut Self::Slice,
    ) -> Result<(), TrainError>;

    /// How the devices of all ranks reach each other; by default they do not.
    ///
    /// # Errors
    /// If another rank cannot be reached, or the devices cannot.
    fn group(d: &Self::Device<'_>, ranks: &dyn Ranks) -> Result<Self::Group, TrainError>;

    /// Why sums go over the host though the devices could reach each other, if so.
    fn over_host(group: &Self::Group, ranks: &dyn Ranks) -> Option<&'static str> {
        let _ = (group, ranks);
        None
    }

    /// Adds up the numbers of all ranks: over `group` where the devices reach each other, else over the
    /// host.
    ///
    /// # Errors
    /// If another rank cannot be reached.
    fn sum(
        d: &Self::Device<'_>,
        group: &mut Self::Group,
        ranks: &dyn Ranks,
        numbers: &mut Self::Numbers,
    ) -> Result<(), TrainError>;

    /// Whether [`Home::begin_sum`] can be asked for; by default it cannot.
    fn begins_sums(group: &Self::Group) -> bool {
        let _ = group;
        false
    }

    /// Begins to add up a run of all ranks while the device computes something else; until
    /// [`Home::end_sums`] nobody touches it.
    ///
    /// # Errors
    /// Only the device's own.
    fn begin_sum<'d>(
        d: &Self::Device<'d>,
        group: &mut Self::Group,
        run: &mut Self::Slice,
    ) -> Result<(), <Self::Device<'d> as Device>::Error> {
        let _ = (d, group, run);
        unreachable!("sums cannot begin early here")
    }

    /// Returns when all sums that were begun are there.
    ///
    /// # Errors
    /// If another rank cannot be reached.
    fn end_sums(group: &mut Self::Group, ranks: &dyn Ranks) -> Result<(), TrainError> {
        let _ = (group, ranks);
        Ok(())
    }

    /// Bytes that a run may take; none if that cannot be told.
    fn free(d: &Self::Device<'_>) -> Option<u64>;
}
