//! AdaLN parameters of every block: projected once per class, not once per scale.

use super::Transformer;
use super::shared::Shared;
use crate::arena::Arena;
use crate::memory::{Device, Floats};
use crate::model::transformer::block::PARTS;
use crate::ops::linear::Epilogue;
use crate::ops::{Backend, PerRow};

/// Parts of the head's modulation: scale, shift.
const HEAD_PARTS: usize = 2;

/// The class embeddings of some sequences and their projections for every block and the head.
pub struct Conditions<'m, B: Device> {
    /// `sequences × width`
    pub(crate) classes: &'m B::Slice,
    /// `depth × sequences × PARTS·width`
    blocks: &'m B::Slice,
    /// `sequences × 2·width`
    head: &'m B::Slice,
    width: usize,
}

impl<'m, B: Backend> Conditions<'m, B> {
    /// Looks up and projects `labels`, one for each sequence, in memory from `arena`; if `guided`,
    /// as many sequences of the null class follow.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If a label is above the null class.
    pub fn new(
        b: &B,
        transformer: &Transformer<'_, '_, B>,
        labels: &[u32],
        guided: bool,
        arena: &mut Arena<'m, B::Slice>,
    ) -> Result<Self, B::Error> {
        let width = transformer.config.width;
        let sequences = if guided { 2 * labels.len() } else { labels.len() };
        let classes = arena.take(sequences * width);
        let table = sequences * PARTS * width;
        let blocks = arena.take(transformer.blocks.len() * table);
        let head = arena.take(sequences * HEAD_PARTS * width);

        let null = guided.then_some(transformer.config.classes as u32);
        // A backward pass wants every sequence's own row.
        let shared = if arena.keeps() { None } else { Shared::find(labels, null) };
        let shared = shared.as_ref();
        let rows = shared.map_or(sequences, Shared::conditions);
        let mut arena = arena.scope();
        let active = arena.take(rows * width);
        match shared {
            Some(shared) => {
                let mut arena = arena.scope();
                let few = arena.take(rows * width);
                shared.look_up(b, few, transformer.class_embedding, width)?;
                shared.spread(b, classes, few, width)?;
                b.silu(active, few)?;
            }
            None => {
                let (with_class, without) = classes.split_at_mut(labels.len() * width);
                b.embedding(with_class, transformer.class_embedding, labels, width)?;
                let null = transformer.null_embedding();
                for row in 0..without.len() / width {
                    b.copy(without.range_mut(row * width..(row + 1) * width), null)?;
                }
                b.silu(active, classes)?;
            }
        }
        let projection = &transformer.head_modulation;
        project(b, shared, head, (rows, HEAD_PARTS * width), &mut arena, |out, arena| {
            projection.forward(b, out, active, rows, Epilogue::None, arena)
        })?;
        let of_all_blocks = match &transformer.shared_modulation {
            Some(projection) => {
                let out = arena.take(rows * PARTS * width);
                projection.forward(b, out, active, rows, Epilogue::None, &mut arena)?;
                Some(&*out)
            }
            None => None,
        };
        for (number, block) in transformer.blocks.iter().enumerate() {
            let out = blocks.range_mut(number * table..(number + 1) * table);
            project(b, shared, out, (rows, PARTS * width), &mut arena, |out, arena| {
                block.modulate(b, out, active, of_all_blocks, rows, arena)
            })?;
        }
        Ok(Self { classes, blocks, head, width })
    }

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

/// Lets `make` write one row of `width` for each of `rows` conditions, then copies a row to each
/// sequence of `out`.
fn project<B: Backend>(
    b: &B,
    shared: Option<&Shared>,
    out: &mut B::Slice,
    (rows, width): (usize, usize),
    arena: &mut Arena<'_, B::Slice>,
    make: impl FnOnce(&mut B::Slice, &mut Arena<'_, B::Slice>) -> Result<(), B::Error>,
) -> Result<(), B::Error> {
    let Some(shared) = shared else { return make(out, arena) };
    let mut arena = arena.scope();
    let few = arena.take(rows * width);
    make(few, &mut arena)?;
    shared.spread(b, out, few, width)
}
