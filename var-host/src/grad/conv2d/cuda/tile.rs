//! How a product is cut into blocks.

use var_kernel::cuda::GpuProperties;

/// Bytes that one access moves at most.
pub(super) const ACCESS: u64 = 16;

/// Channels the tensor cores' tiles can be cut from.
pub(super) const HALF_CHANNELS: usize = 8;

/// How a product is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConvTile {
    pub(super) kernel: &'static str,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Bytes of shared memory.
    pub(super) shared: usize,
}

impl ConvTile {
    /// How many there are in `rows` × `columns` sums.
    pub(super) fn count(self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.rows) * columns.div_ceil(self.columns)
    }

    /// Whether there are enough to keep a GPU busy, and they fit its shared memory.
    pub(super) fn fills(self, rows: usize, columns: usize, gpu: &GpuProperties) -> bool {
        let enough = self.count(rows, columns) >= gpu.multiprocessors as usize;
        enough && self.shared <= gpu.shared as usize
    }
}
