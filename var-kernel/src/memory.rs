//! Runs of `f32` that live on some device.

use core::ops::Range;

/// A run of numbers that can be cut up like a slice, wherever it lives.
///
/// `[f32]` on the CPU; `[()]` (lengths without numbers) in a dry run.
pub trait Floats {
    /// How many numbers it holds.
    fn len(&self) -> usize;

    /// Whether it holds none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers at `range`.
    ///
    /// # Panics
    /// If `range` reaches past the end.
    fn range(&self, range: Range<usize>) -> &Self;

    /// The numbers at `range`, to write.
    ///
    /// # Panics
    /// If `range` reaches past the end.
    fn range_mut(&mut self, range: Range<usize>) -> &mut Self;

    /// The first `middle` numbers and the rest.
    ///
    /// # Panics
    /// If `middle` is past the end.
    fn split_at_mut(&mut self, middle: usize) -> (&mut Self, &mut Self);
}

impl<T> Floats for [T] {
    fn len(&self) -> usize {
        <[T]>::len(self)
    }

    fn range(&self, range: Range<usize>) -> &Self {
        &self[range]
    }

    fn range_mut(&mut self, range: Range<usize>) -> &mut Self {
        &mut self[range]
    }

    fn split_at_mut(&mut self, middle: usize) -> (&mut Self, &mut Self) {
        <[T]>::split_at_mut(self, middle)
    }
}

/// Memory of one kind, and its copies to and from the host.
pub trait Device {
    /// A run of `f32` on this device.
    type Slice: Floats + ?Sized + 'static;

    /// A run of tokens on this device: `[u32]` on the CPU.
    type Tokens: Floats + ?Sized + 'static;

    /// A weight matrix on this device, in whatever format it is stored; `Copy` because it is a view.
    type Matrix<'a>: Copy;

    /// A failure of the device itself; uninhabited on the CPU.
    type Error: core::error::Error + Send + Sync + 'static;

    /// Copies `from` to the device.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own.
    fn upload(&self, to: &mut Self::Slice, from: &[f32]) -> Result<(), Self::Error>;

    /// Copies `from` back to the host.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own.
    fn download(&self, to: &mut [f32], from: &Self::Slice) -> Result<(), Self::Error>;

    /// Returns when all commands of the device are done.
    ///
    /// # Errors
    /// If something of it failed.
    fn wait(&self) -> Result<(), Self::Error> {
        Ok(())
    }
}
