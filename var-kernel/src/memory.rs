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

/// Where numbers live and how they get there.
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

    /// Copies samples of images to the device, as numbers in [−1, 1]: `sample / 127.5 − 1`.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own.
    fn upload_pictures(&self, to: &mut Self::Slice, from: &[u8]) -> Result<(), Self::Error>;

    /// Copies images back to the host, as samples: `round(255 · (clamp(x, −1, 1) + 1) / 2)`, halves to the
    /// even one; NaN becomes 0.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own.
    fn download_pictures(&self, to: &mut [u8], from: &Self::Slice) -> Result<(), Self::Error>;

    /// The memory of `run`, to hold as many tokens; contents unspecified.
    fn tokens_in(run: &mut Self::Slice) -> &mut Self::Tokens;

    /// Copies tokens to the device.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own.
    fn upload_tokens(&self, to: &mut Self::Tokens, from: &[u32]) -> Result<(), Self::Error>;

    /// Copies tokens back to the host.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own.
    fn download_tokens(&self, to: &mut [u32], from: &Self::Tokens) -> Result<(), Self::Error>;

    /// Floats of memory that hold `numbers` keys or values: as many, or fewer where a device keeps
    /// them in a shorter format.
    fn kept_len(&self, numbers: usize) -> usize {
        numbers
    }

    /// As how many keys or values a run of `length` floats counts where `numbers` are wanted: as many if
    /// it is [`Device::kept_len`] long.
    fn kept_numbers(&self, length: usize, numbers: usize) -> usize {
        if length == self.kept_len(numbers) { numbers } else { length }
    }

    /// How many images a VQVAE should take at once, if memory allows.
    fn pictures_together(&self) -> usize {
        1
    }

    /// Starts an activation-checkpoint segment: all results from offset `start` of the working memory
    /// on, but the last, are freed at [`Device::end_segment`].
    fn begin_segment(&self, start: usize) {
        let _ = start;
    }

    /// Ends the segment.
    fn end_segment(&self) {}

    /// Returns when all that was asked of the device is done.
    ///
    /// # Errors
    /// If something of it failed.
    fn wait(&self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Runs `work`, a sequence of operations likely to be repeated with other values of the same sizes.
    ///
    /// A device may note its operations and do them as a whole when `work` returns; so `work` must
    /// not read results back.
    ///
    /// # Errors
    /// Those of `work`, or the device's own.
    fn section(
        &self,
        work: &mut dyn FnMut() -> Result<(), Self::Error>,
    ) -> Result<(), Self::Error> {
        work()
    }
}
