//! How the sums of a gradient are cut into tasks.

use var_kernel::ops::conv2d::Dims;
use var_kernel::parts::simd::LANES;

/// Tasks to aim at.
const TASKS: usize = 32;

/// Blocks of output and input channels: for each pair of channels so many sums, a block one task's.
#[derive(Clone, Copy)]
pub(super) struct SumBlocks {
    outer: usize,
    inner: usize,
    /// Sums of a pair of channels.
    sums: usize,
    /// Output channels of a task.
    pub(super) rows: usize,
    /// Input channels of a task, whole vectors.
    pub(super) channels: usize,
}

impl SumBlocks {
    /// Blocks of at most `rows` output and `channels` input channels, as even as can be.
    pub(super) fn of(d: Dims, sums: usize, rows: usize, channels: usize) -> Self {
        let evenly = |length: usize, most: usize| length.div_ceil(length.div_ceil(most).max(1));
        let padded = d.inner.next_multiple_of(LANES);
        let channels = evenly(padded, channels).next_multiple_of(LANES).max(LANES);
        let rows = evenly(d.outer, rows).max(1);
        Self { outer: d.outer, inner: d.inner, sums, rows, channels }
    }

    /// The most chunks: enough for all threads, of at most so many floats in all, unless it is one chunk.
    pub(super) fn chunks_within(self, floats: usize) -> usize {
        let padded = self.inner.next_multiple_of(LANES);
        let blocks = self.outer.div_ceil(self.rows) * padded.div_ceil(self.channels);
        let of_chunk = self.outer * padded * self.sums;
        (floats / of_chunk.max(1)).min(TASKS / blocks.max(1)).max(1)
    }

    /// Rows of a chunk's sums: the output channels, in whole tasks.
    pub(super) fn height(self) -> usize {
        self.outer.next_multiple_of(self.rows)
    }

    /// Width of a row of sums: for each task's input channels all sums.
    pub(super) fn width(self) -> usize {
        self.inner.div_ceil(self.channels) * self.columns()
    }

    /// Columns of a task.
    pub(super) fn columns(self) -> usize {
        self.sums * self.channels
    }
}
