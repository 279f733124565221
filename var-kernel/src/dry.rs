//! A backend that computes nothing: it checks shapes, counts multiply-adds, and by running a model
//! in an [`Arena`](crate::arena::Arena) of lengths finds out how much memory the model wants.
//!
//! Its operations are beside the others, `ops/*/dry.rs`.

use core::cell::Cell;
use core::convert::Infallible;
use core::marker::PhantomData;

use crate::capture::{Capture, Segments};
use crate::memory::{Device, Floats};
use crate::remote::DryAddresses;
use crate::transfer::{ImageTransfer, TokenTransfer};

/// The memory of a dry run's arena: lengths without numbers, without a limit.
pub type Lengths = [(); usize::MAX];

/// Stands in for a backend and reports its scratch sizes; its runs are lengths, or places too.
pub struct Dry<'b, B, S: ?Sized = [()]> {
    pub(crate) backend: &'b B,
    multiply_adds: Cell<u64>,
    scratch: Cell<usize>,
    runs: PhantomData<fn(&S)>,
}

/// A weight matrix that is only a number of weights.
#[derive(Clone, Copy, Debug)]
pub struct DryMatrix(pub usize);

impl<'b, B> Dry<'b, B> {
    /// A dry run for `backend`.
    pub fn new(backend: &'b B) -> Self {
        Self { backend, multiply_adds: Cell::new(0), scratch: Cell::new(0), runs: PhantomData }
    }
}

impl<'b, B> Dry<'b, B, DryAddresses> {
    /// The same where it can be told where each run lies.
    pub fn with_addresses(backend: &'b B) -> Self {
        Self { backend, multiply_adds: Cell::new(0), scratch: Cell::new(0), runs: PhantomData }
    }
}

impl<B, S: ?Sized> Dry<'_, B, S> {
    /// Multiply-adds of all products so far, by their formulas: half the FLOP count.
    pub fn multiply_adds(&self) -> u64 {
        self.multiply_adds.get()
    }

    /// Floats of scratch memory that each of a CPU's threads wants at least for the operations so far.
    pub fn scratch_len(&self) -> usize {
        self.scratch.get()
    }

    pub(crate) fn wants_scratch(&self, floats: usize) {
        self.scratch.set(self.scratch.get().max(floats));
    }

    pub(crate) fn count(&self, multiply_adds: u64) -> Result<(), Infallible> {
        self.multiply_adds.set(self.multiply_adds.get() + multiply_adds);
        Ok(())
    }
}

impl<B: Device, S: Floats + ?Sized + 'static> Device for Dry<'_, B, S> {
    type Slice = S;
    type Tokens = S;
    type Matrix<'a> = DryMatrix;
    type Error = Infallible;

    fn upload(&self, to: &mut S, from: &[f32]) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "upload: lengths differ");
        Ok(())
    }

    fn download(&self, to: &mut [f32], from: &S) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "download: lengths differ");
        Ok(())
    }
}

impl<B: ImageTransfer, S: Floats + ?Sized + 'static> ImageTransfer for Dry<'_, B, S> {
    fn upload_images(&self, to: &mut S, from: &[u8]) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "upload: lengths differ");
        Ok(())
    }

    fn download_images(&self, to: &mut [u8], from: &S) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "download: lengths differ");
        Ok(())
    }

    fn images_together(&self) -> usize {
        self.backend.images_together()
    }
}

impl<B: Device, S: Floats + ?Sized + 'static> TokenTransfer for Dry<'_, B, S> {
    fn tokens_in(run: &mut S) -> &mut S {
        run
    }

    fn upload_tokens(&self, to: &mut S, from: &[u32]) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "upload: lengths differ");
        Ok(())
    }

    fn download_tokens(&self, to: &mut [u32], from: &S) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "download: lengths differ");
        to.fill(0);
        Ok(())
    }
}

impl<B: Device, S: Floats + ?Sized + 'static> Capture for Dry<'_, B, S> {}

impl<B: Device, S: Floats + ?Sized + 'static> Segments for Dry<'_, B, S> {}
