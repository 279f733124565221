//! Operands that several operations take: a row of a table for each row, some channels of a cell.

use crate::memory::Floats;

/// A row of numbers for each row of a matrix, out of a wider table: the part of the adaptive
/// LayerNorm's projection that scales, shifts or gates.
///
/// The value for row r, channel c is `table[start + (r / rows) · stride + c]`: `rows` neighboring
/// rows share one row of the table.
#[derive(Debug)]
pub struct PerRow<'a, S: ?Sized> {
    /// The table.
    pub table: &'a S,
    /// Where the part begins in a row of the table.
    pub start: usize,
    /// Width of a row of the table.
    pub stride: usize,
    /// Rows of the matrix that share one row of the table.
    pub rows: usize,
}

// Derived, it would want the slice itself to be `Copy`.
impl<S: ?Sized> Clone for PerRow<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ?Sized> Copy for PerRow<'_, S> {}

impl<S: Floats + ?Sized> PerRow<'_, S> {
    /// Refuses a table too short for `rows` rows of `width`.
    #[track_caller]
    pub fn check(&self, rows: usize, width: usize) {
        assert!(self.rows > 0, "a row of the table must serve at least one row");
        assert!(self.start + width <= self.stride, "the part reaches over its row of the table");
        let wanted = rows.div_ceil(self.rows) * self.stride;
        assert!(self.table.len() >= wanted, "table: {} floats, {wanted} wanted", self.table.len());
    }
}

impl<'a> PerRow<'a, [f32]> {
    /// The values for row `row`.
    #[inline(always)]
    pub fn row(&self, row: usize, width: usize) -> &'a [f32] {
        let start = self.start + row / self.rows * self.stride;
        &self.table[start..start + width]
    }
}

/// Which of the channels that lie side by side in a cell an operation writes: those from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// The first that is written.
    pub first: usize,
    /// How many a cell has.
    pub of: usize,
}

impl Channels {
    /// All of them.
    pub fn all(channels: usize) -> Self {
        Self { first: 0, of: channels }
    }

    /// Refuses to write more channels than there are.
    #[track_caller]
    pub(crate) fn check(self, count: usize) {
        let Self { first, of } = self;
        assert!(first + count <= of, "channels {first}..{} of {of}", first + count);
    }
}

#[cfg(feature = "cuda")]
impl PerRow<'_, crate::cuda::Remote> {
    /// Adds this to a kernel's arguments: address, start, stride, rows.
    #[track_caller]
    pub fn add_to(self, launch: crate::cuda::Launch) -> crate::cuda::Launch {
        launch.slice(self.table).size(self.start).size(self.stride).size(self.rows)
    }
}
