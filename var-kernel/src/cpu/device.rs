//! The CPU as a device.

use core::convert::Infallible;

use super::isa::Isa;
use super::matrix::Matrix;
use super::workers::{Operation, Workers};
use crate::capture::{Capture, Segments};
use crate::image;
use crate::memory::Device;
use crate::transfer::{ImageTransfer, TokenTransfer};

/// The CPU with one instruction set and the caller's threads.
///
/// Results are the same bytes for every [`Isa`] and every number of threads.
#[derive(Clone, Copy)]
pub struct Cpu<'w> {
    pub(crate) isa: Isa,
    pub(crate) workers: &'w dyn Workers,
}

impl<'w> Cpu<'w> {
    /// Computes with `isa` on `workers`.
    pub fn new(isa: Isa, workers: &'w dyn Workers) -> Self {
        Self { isa, workers }
    }

    /// Floats of scratch memory of each thread, for an operation that wants `least`.
    ///
    /// # Panics
    /// If they are fewer.
    #[track_caller]
    pub(crate) fn scratch_len(&self, operation: &str, least: usize) -> usize {
        let lent = self.workers.scratch_len();
        assert!(lent >= least, "{operation}: {least} floats of scratch memory wanted, {lent} lent");
        lent
    }

    /// Tells the workers which operation comes next.
    pub(crate) fn begin(&self, name: &'static str, multiply_adds: u64, bytes: usize) {
        self.workers.begin(Operation { name, multiply_adds, bytes: bytes as u64 });
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }
}

impl Device for Cpu<'_> {
    type Slice = [f32];
    type Tokens = [u32];
    type Matrix<'a> = Matrix<'a>;
    type Error = Infallible;

    fn upload(&self, to: &mut [f32], from: &[f32]) -> Result<(), Infallible> {
        to.copy_from_slice(from);
        Ok(())
    }

    fn download(&self, to: &mut [f32], from: &[f32]) -> Result<(), Infallible> {
        to.copy_from_slice(from);
        Ok(())
    }
}

impl ImageTransfer for Cpu<'_> {
    fn upload_images(&self, to: &mut [f32], from: &[u8]) -> Result<(), Infallible> {
        image::from_bytes(to, from);
        Ok(())
    }

    fn download_images(&self, to: &mut [u8], from: &[f32]) -> Result<(), Infallible> {
        image::to_bytes(to, from);
        Ok(())
    }
}

impl TokenTransfer for Cpu<'_> {
    fn tokens_in(run: &mut [f32]) -> &mut [u32] {
        bytemuck::cast_slice_mut(run)
    }

    fn upload_tokens(&self, to: &mut [u32], from: &[u32]) -> Result<(), Infallible> {
        to.copy_from_slice(from);
        Ok(())
    }

    fn download_tokens(&self, to: &mut [u32], from: &[u32]) -> Result<(), Infallible> {
        to.copy_from_slice(from);
        Ok(())
    }
}

impl Capture for Cpu<'_> {}

impl Segments for Cpu<'_> {}
