//! AdaLN parameters of every block: projected once per class, not once per scale.

use crate::arena::Arena;
use crate::memory::{Device, Floats};
use crate::model::transformer::block::PARTS;
use crate::ops::{Backend, PerRow};

/// Parts of the head's modulation: scale, shift.
pub(super) const HEAD_PARTS: usize = 2;

/// The class embeddings of some sequences and their projections for every block and the head.
pub struct Conditions<'m, B: Device> {
    /// `sequences × width`
    pub(crate) classes: &'m B::Slice,
    /// `depth × sequences × PARTS·width`
    pub(super) blocks: &'m B::Slice,
    /// `sequences × 2·width`
    pub(super) head: &'m B::Slice,
    pub(super) width: usize,
}

impl<'m, B: Backend> Conditions<'m, B> {
    /// The same conditions under stochastic depth: each half of each block weighs `factors` for each
    /// sequence, 0 where it is left out.
    ///
    /// `factors`: `depth × sequences × 6`: those of the two gates, then ones for the other parts.
    /// (Huang and others, "Deep Networks with Stochastic Depth", 2016.)
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If there are not as many factors.
    pub fn with_drop_path(
        self,
        b: &B,
        factors: &B::Slice,
        arena: &mut Arena<'m, B::Slice>,
    ) -> Result<Self, B::Error> {
        let wanted = self.blocks.len() / self.width;
        assert_eq!(factors.len(), wanted, "drop path: factors are not depth × sequences × parts");
        let blocks = arena.take(self.blocks.len());
        let rows = self.rows() * PARTS;
        let table = rows * self.width;
        // Block by block, as they are read: a backward pass then needs not wait for all of them.
        for number in 0..self.blocks.len() / table {
            let of_block = blocks.range_mut(number * table..(number + 1) * table);
            let factors = factors.range(number * rows..(number + 1) * rows);
            b.scale_rows(of_block, self.of_block(number), factors)?;
        }
        Ok(Self { blocks, ..self })
    }

    /// How many sequences.
    pub(crate) fn rows(&self) -> usize {
        self.classes.len() / self.width
    }

    /// The projections for block `number`: `sequences × PARTS·width`.
    pub(crate) fn of_block(&self, number: usize) -> &'m B::Slice {
        let table = self.rows() * PARTS * self.width;
        self.blocks.range(number * table..(number + 1) * table)
    }

    /// The head's scale (0) or shift (1); `each` rows share a condition.
    pub(crate) fn of_head(&self, part: usize, each: usize) -> PerRow<'m, B::Slice> {
        let (start, stride) = (part * self.width, HEAD_PARTS * self.width);
        PerRow { table: self.head, start, stride, rows: each }
    }
}
