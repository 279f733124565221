//! Products of `f32` activations and q8 weights, computed with integers.
//!
//! Activations are quantized as the weights are, a scale for each [`Q8_BLOCK`] neighbors of a row:
//!
//! ```text
//! s = max |x| / 127    q = x / s, rounded to nearest even, within ±127
//! y ← fma(Σ q·w, s · s_w, y)    block by block, in order of k
//! ```
//!
//! The sum of a block is an exact integer, and so an element is one chain of `f32` operations that
//! depends on its row and its column alone: the same bytes from every machine, tile and batch.
//!
//! Each task quantizes and packs its rows for a stretch of k, then packs the columns sixteen at a time
//! and multiplies them with all rows.

mod layout;
mod quantize;
#[cfg(test)]
mod tests;
mod tile;
mod weights;

use core::ops::Range;

use layout::GROUPS;
use quantize::QuantizeRows;
use tile::MultiplyPanels;
use weights::PackColumns;

use crate::cpu::Isa;
use crate::cpu::matmul::gemm::shortest_tile;
use crate::cpu::matmul::{Output, RowMajorQ8};
use crate::cpu::matrix::Q8_BLOCK;
use crate::cpu::simd::LANES;

/// Words of [`Dot`](crate::cpu::simd::dot::Dot) in a group at most.
const MOST_WORDS: usize = 2;

/// Columns packed at a time.
const NC: usize = 2 * LANES;

/// Rows of a tile are a multiple of this, and so of every machine's own tile.
const MC_STEP: usize = 12;

/// Rows of a tile at most: their quantized numbers stay in the second-level cache.
const MAX_MC: usize = 57 * MC_STEP;

/// Blocks of [`Q8_BLOCK`] in a stretch of k, the first that scratch memory allows.
const KC: [usize; 4] = [32, 16, 4, 1];

/// Floats of scratch memory that [`tile`] wants at least.
pub(crate) const LEAST_Q8_FLOATS: usize = LINE + Stretch::len(KC[3], MC_STEP);

/// Floats of a cache line, where packed columns begin: a vector across two lines takes two loads.
const LINE: usize = 16;

/// How much of a product some scratch memory holds.
#[derive(Clone, Copy)]
struct Stretch {
    /// Blocks along k.
    blocks: usize,
    /// Rows at most.
    rows: usize,
}

impl Stretch {
    /// Floats of `rows` packed rows and [`NC`] packed columns, where integers are largest.
    const fn len(blocks: usize, rows: usize) -> usize {
        blocks * (NC * (1 + GROUPS * MOST_WORDS) + rows * (2 + GROUPS * MOST_WORDS))
    }

    /// For `scratch` floats, at least [`LEAST_Q8_FLOATS`].
    fn of(scratch: usize) -> Self {
        let scratch = scratch.saturating_sub(LINE);
        let fits = |blocks: &usize| Self::len(*blocks, 4 * MC_STEP) <= scratch;
        let blocks = KC.into_iter().find(fits).unwrap_or(KC[3]);
        let steps = scratch.saturating_sub(Self::len(blocks, 0))
            / (Self::len(blocks, MC_STEP) - Self::len(blocks, 0));
        Self { blocks, rows: (steps * MC_STEP).min(MAX_MC) }
    }
}

/// Rows and columns of a tile of `rows × columns`: those with the shortest time, were a thread to
/// need 1 for a product of a row and a column and these for quantizing a row and packing a column.
pub(crate) fn tile_size(
    rows: usize,
    columns: usize,
    threads: usize,
    scratch: usize,
) -> (usize, usize) {
    const QUANTIZE: usize = 64;
    const PACK: usize = 8;
    let task = |height: usize, width| {
        let tall = height.min(rows);
        tall * width + QUANTIZE * tall + PACK * width
    };
    let fewest = rows.div_ceil(Stretch::of(scratch).rows);
    shortest_tile((rows, columns), threads, fewest, (MC_STEP, NC), task)
}

/// The elements of `x · weightᵀ` at `rows` × `columns`, on this thread; `out`'s first is the first of them.
///
/// `x`: rows of `depth`, whole blocks of [`Q8_BLOCK`]. `finish` is called with columns, counted from `out`'s
/// first, as soon as their sums are final.
///
/// # Panics
/// If there are more rows than [`tile_size`] gives for the scratch memory, or `depth` is not whole blocks.
pub(crate) fn tile<O: Output>(
    isa: Isa,
    out: &mut O,
    x: &[f32],
    weight: RowMajorQ8<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    depth: usize,
    scratch: &mut [f32],
    finish: impl Fn(&mut O, Range<usize>),
) {
    let stretch = Stretch::of(scratch.len());
    assert!(depth.is_multiple_of(Q8_BLOCK), "a depth of {depth} is not blocks of {Q8_BLOCK}");
    assert!(rows.len() <= stretch.rows, "a tile of {} rows, {} fit", rows.len(), stretch.rows);
    let skipped = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let (b, a) = scratch[skipped..].split_at_mut(Stretch::len(stretch.blocks, 0));
    let all = depth / Q8_BLOCK;
    for start in (0..all).step_by(stretch.blocks) {
        let blocks = start..all.min(start + stretch.blocks);
        isa.run_dot(QuantizeRows { to: a, x, depth, rows: rows.clone(), blocks: blocks.clone() });
        for first in columns.clone().step_by(NC) {
            let some = first..columns.end.min(first + NC);
            let place = some.start - columns.start..some.end - columns.start;
            isa.run_dot(PackColumns { to: b, weight, columns: some, blocks: blocks.clone() });
            isa.run_dot(MultiplyPanels {
                out,
                rows: rows.len(),
                columns: place.clone(),
                a,
                b,
                blocks: blocks.len(),
                carries_on: start > 0,
            });
            if blocks.end == all {
                finish(out, place);
            }
        }
    }
}
