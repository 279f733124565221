//! The projections of class embeddings to AdaLN parameters.

use super::block::PARTS;
use super::condition::HEAD_PARTS;
use super::shared::SharedConditions;
use super::{Conditions, Transformer};
use crate::arena::Arena;
use crate::memory::Floats;
use crate::ops::Backend;
use crate::ops::elementwise::Unary;
use crate::ops::linear::Epilogue;

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
        let shared = if arena.keeps() { None } else { SharedConditions::find(labels, null) };
        let shared = shared.as_ref();
        let rows = shared.map_or(sequences, SharedConditions::conditions);
        let mut arena = arena.scope();
        let active = arena.take(rows * width);
        match shared {
            Some(shared) => {
                let mut arena = arena.scope();
                let few = arena.take(rows * width);
                shared.look_up(b, few, transformer.class_embedding, width)?;
                shared.spread(b, classes, few, width)?;
                b.map(active, few, Unary::Silu)?;
            }
            None => {
                let (with_class, without) = classes.split_at_mut(labels.len() * width);
                b.embedding(with_class, transformer.class_embedding, labels, width)?;
                let null = transformer.null_embedding();
                for row in 0..without.len() / width {
                    b.copy(without.range_mut(row * width..(row + 1) * width), null)?;
                }
                b.map(active, classes, Unary::Silu)?;
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
}

/// Lets `make` write one row of `width` for each of `rows` conditions, then copies a row to each
/// sequence of `out`.
fn project<B: Backend>(
    b: &B,
    shared: Option<&SharedConditions>,
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
