//! A part of a table that neighboring rows share.

use var_kernel::ops::PerRow;

use super::span::Span;

/// The part of a table that a [`PerRow`] reads, where its gradient goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSlice {
    /// Where the part begins in a row of the table.
    pub start: usize,
    /// Width of a row of the table.
    pub stride: usize,
    /// Rows of the matrix that share one row of the table.
    pub rows: usize,
}

impl TableSlice {
    /// Refuses a gradient of `table` floats, too short for `rows` rows of `width`; returns how many of them
    /// those rows share.
    ///
    /// # Panics
    /// If it is, or the part reaches over its row of the table.
    #[track_caller]
    pub(crate) fn check(self, table: usize, rows: usize, width: usize) -> usize {
        assert!(self.start + width <= self.stride, "the part reaches over its row of the table");
        let used = rows.div_ceil(self.rows) * self.stride;
        assert!(table >= used, "the table's gradient: {table} floats, {used} wanted");
        used
    }
}

/// [`PerRow`] with a span for its table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableSpan {
    pub(crate) span: Span,
    pub(crate) part: TableSlice,
}

impl TableSpan {
    /// The part of `table`, the numbers of its span.
    pub(crate) fn over<S: ?Sized>(self, table: &S) -> PerRow<'_, S> {
        let TableSlice { start, stride, rows } = self.part;
        PerRow { table, start, stride, rows }
    }
}
