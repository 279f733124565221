//! Sequences of operations: captured as a graph, or freed and recomputed in a backward pass.

use crate::memory::Device;

/// Sequences of operations that repeat (CUDA graphs).
pub trait Capture: Device {
    /// Runs `work`, a sequence of operations likely to be repeated with other values of the same sizes.
    ///
    /// A device may record its operations and launch them as one when `work` returns; so `work` must
    /// not read results back.
    ///
    /// # Errors
    /// Those of `work`, or the device's own.
    fn capture(
        &self,
        work: &mut dyn FnMut() -> Result<(), Self::Error>,
    ) -> Result<(), Self::Error> {
        work()
    }
}

/// Segments of activation checkpointing: their results are freed and recomputed in the backward pass.
pub trait Segments: Device {
    /// Starts an activation-checkpoint segment: all results from offset `start` of the working memory
    /// on, but the last, are freed at [`Segments::end_segment`].
    fn begin_segment(&self, start: usize) {
        let _ = start;
    }

    /// Ends the segment.
    fn end_segment(&self) {}
}
