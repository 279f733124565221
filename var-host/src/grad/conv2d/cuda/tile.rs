//! How a product is cut into blocks.

use var_kernel::cuda::Card;

/// Bytes that one access moves at most.
pub(super) const ACCESS: u64 = 16;

/// Channels the tensor cores' tiles can be cut from.
pub(super) const SHORT_CHANNELS: usize = 8;

/// How a product is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) kernel: &'static str,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Bytes of shared memory.
    pub(super) shared: usize,
}

impl Tile {
    /// How many there are in `rows` × `columns` sums.
    pub(super) fn count(self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.rows) * columns.div_ceil(self.columns)
    }

    /// Whether there are enough to keep a GPU busy, and they fit its shared memory.
    pub(super) fn fills(self, rows: usize, columns: usize, card: &Card) -> bool {
        let enough = self.count(rows, columns) >= card.multiprocessors as usize;
        enough && self.shared <= card.shared as usize
    }
}
