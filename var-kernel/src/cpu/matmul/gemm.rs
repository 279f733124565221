//! A whole product, cut into tiles that fit the caches.
//!
//! Each task makes one tile of the output. It packs its rows of the left operand for a stretch of k,
//! then walks the right operand: two panels of columns for 256 of k are packed into the
//! first-level cache, multiplied with all packed rows, and forgotten. So no packed copy of the right
//! operand outlives a tile.

use core::ops::Range;

use super::{Initial, Output, multiply};
use crate::cpu::simd::{LANES, Simd, SimdKernel};
use crate::cpu::{Cpu, Isa};

/// Length of a block along k, the first that scratch memory allows: with 256, two panels of columns and
/// one of rows fit the first-level cache.
const KC: [usize; 3] = [256, 64, 16];

/// Columns packed at a time.
const NC: usize = 2 * LANES;

/// Rows of a tile are a multiple of this, and so of every instruction set's own tile.
const MC_STEP: usize = 12;

/// Rows of a tile at most: beyond, packing the right operand costs little already.
pub const MAX_MC: usize = 57 * MC_STEP;

/// Floats of scratch memory with which [`tile`] takes [`MAX_MC`] rows; with more it packs the right
/// operand less often.
pub const GEMM_FLOATS: usize = GemmBlocks::len(KC[0], MAX_MC);

const _: () = assert!(GEMM_FLOATS <= crate::cpu::SCRATCH_FLOATS);

/// Floats of scratch memory that [`tile`] wants at least.
pub(crate) const LEAST_GEMM_FLOATS: usize = GemmBlocks::len(KC[2], MC_STEP);

/// How large the blocks are that some scratch memory holds.
#[derive(Clone, Copy)]
struct GemmBlocks {
    /// Length along k.
    depth: usize,
    /// Rows at most.
    rows: usize,
}

impl GemmBlocks {
    /// Floats: the packed right operand, the sums of [`NC`] columns, the packed left operand. (In the
    /// output the sums' rows may lie a power of two apart, where they push each other out of the
    /// cache.)
    const fn len(depth: usize, rows: usize) -> usize {
        NC * depth + (NC + depth) * rows
    }

    /// The blocks for `scratch` floats, at least [`LEAST_GEMM_FLOATS`].
    fn of(scratch: usize) -> Self {
        // Packing the right operand for a few rows alone costs as much as the product.
        let fits = |depth: &usize| Self::len(*depth, 4 * MC_STEP) <= scratch;
        let depth = KC.into_iter().find(fits).unwrap_or(KC[2]);
        let rows = scratch.saturating_sub(NC * depth) / (NC + depth) / MC_STEP * MC_STEP;
        Self { depth, rows: rows.min(MAX_MC) }
    }
}

/// Sizes of a product.
#[derive(Clone, Copy, Debug)]
pub struct GemmSize {
    /// Rows of the left operand and the output.
    pub rows: usize,
    /// Columns of the right operand and the output.
    pub columns: usize,
    /// Columns of the left operand, rows of the right.
    pub depth: usize,
}

/// Operands of a matrix product: how both are packed, and the epilogue of a sum.
///
/// As for [`SimdKernel`], all methods must be `#[inline(always)]`.
pub trait GemmOperands: Sync {
    /// Packs `rows` × `depth` of the left operand as [`super::pack_a`] does.
    fn pack_a<S: Simd>(&self, s: S, to: &mut [f32], rows: Range<usize>, depth: Range<usize>);

    /// Packs `depth` × `columns` of the right operand as [`super::pack_b`] does.
    fn pack_b<S: Simd>(&self, s: S, to: &mut [f32], columns: Range<usize>, depth: Range<usize>);

    /// Applies the epilogue to finished sums while they are in the cache.
    ///
    /// `out`'s first row and column are `rows.start` and `first_column` of the product; those at `rows` and
    /// `columns` are finished.
    #[inline(always)]
    fn finish<S: Simd>(
        &self,
        _s: S,
        _out: &mut impl Output,
        _rows: Range<usize>,
        _columns: Range<usize>,
        _first_column: usize,
    ) {
    }
}

impl Cpu<'_> {
    /// `out = start + a · b`, `out` of `rows × columns`.
    ///
    /// Each element is one chain of fused multiply-adds in order of k, which begins at 0 or at the
    /// value in `out`.
    ///
    /// # Panics
    /// If `out` is of another length.
    pub fn gemm(
        &self,
        out: &mut [f32],
        operands: &impl GemmOperands,
        size: GemmSize,
        start: Initial,
    ) {
        assert_eq!(out.len(), size.rows * size.columns, "product: out is not rows × columns");
        if out.is_empty() {
            return;
        }
        let isa = self.isa;
        let scratch = self.scratch_len("product", LEAST_GEMM_FLOATS);
        let (rows, columns) = tile_size(size, self.workers.count(), scratch);
        self.for_each_tile(out, size.columns, rows, columns, |mut out, scratch| {
            let (rows, columns) = (out.rows.clone(), out.columns.clone());
            tile(isa, &mut out, operands, rows, columns, size.depth, start, scratch);
        });
    }
}

/// The elements of a product at `rows` × `columns`, on this thread; `out`'s first is the first of them.
///
/// # Panics
/// If there are more rows than [`tile_size`] gives for the scratch memory.
pub fn tile(
    isa: Isa,
    out: &mut impl Output,
    operands: &impl GemmOperands,
    rows: Range<usize>,
    columns: Range<usize>,
    depth: usize,
    start: Initial,
    scratch: &mut [f32],
) {
    let GemmBlocks { depth: kc, rows: most } = GemmBlocks::of(scratch.len());
    let height = rows.len().next_multiple_of(MC_STEP);
    assert!(height <= most, "a tile of {} rows, at most {most} fit", rows.len());
    let (b, rest) = scratch.split_at_mut(NC * kc);
    let (sums, a) = rest.split_at_mut(NC * most);
    // As many blocks of k as fit: all of them when the rows are few.
    let stretch = (a.len() / height.max(1) / kc).max(1) * kc;
    let mut from = 0;
    loop {
        let to = depth.min(from + stretch);
        for (block, a) in blocks(from..to, kc).zip(a.chunks_mut(height * kc)) {
            isa.run(PackA { to: a, operands, rows: rows.clone(), block });
        }
        for first in columns.clone().step_by(NC) {
            let some = first..columns.end.min(first + NC);
            let place = some.start - columns.start..some.end - columns.start;
            let carries_on = from > 0 || start == Initial::Output;
            for (block, a) in blocks(from..to, kc).zip(a.chunks(height * kc)) {
                let (is_first, is_last) = (block.start == from, block.end == to);
                let depth = block.len();
                isa.run(PackB { to: b, operands, columns: some.clone(), block });
                let start = if is_first && !carries_on { Initial::Zero } else { Initial::Output };
                let partial = PartialSums {
                    sums,
                    out,
                    first: place.start,
                    begins_in_out: is_first,
                    ends_in_out: is_last,
                };
                let (rows, columns) = (rows.len(), some.len());
                isa.run(Multiply { partial, rows, columns, a, b, depth, start });
            }
            if to == depth {
                let (rows, first_column) = (rows.clone(), columns.start);
                isa.run(FinishTile { out, operands, rows, columns: some, first_column });
            }
        }
        from = to;
        if from == depth {
            break;
        }
    }
}

/// Blocks of `depth`; a single empty one if `range` is empty.
pub(crate) fn blocks(range: Range<usize>, depth: usize) -> impl Iterator<Item = Range<usize>> {
    let Range { start, end } = range;
    let count = (end - start).div_ceil(depth).max(1);
    (0..count).map(move |i| start + i * depth..end.min(start + (i + 1) * depth))
}

/// Rows and columns of a tile: those with the shortest time, were a thread to need 1 for a vector of
/// multiply-adds and `PACKING` to pack a number; no more rows than fit `scratch` floats.
pub fn tile_size(size: GemmSize, threads: usize, scratch: usize) -> (usize, usize) {
    const PACKING: usize = 12;
    let fewest = size.rows.div_ceil(GemmBlocks::of(scratch).rows);
    let task = |rows, columns| rows * columns / LANES + PACKING * (rows + columns) / LANES;
    shortest_tile((size.rows, size.columns), threads, fewest, (MC_STEP, NC), task)
}

/// Rows and columns of a tile: of multiples of `step`, at least `fewest` tiles one below the other, those for which
/// `threads` threads are done first, where a tile of some rows and columns takes the time `task`.
pub(super) fn shortest_tile(
    (rows, columns): (usize, usize),
    threads: usize,
    fewest: usize,
    step: (usize, usize),
    task: impl Fn(usize, usize) -> usize,
) -> (usize, usize) {
    let mut best = (usize::MAX, (0, 0));
    let mut down = fewest;
    while down <= 2 * fewest.max(threads) {
        let height = rows.div_ceil(down).next_multiple_of(step.0);
        for across in 1..=4 * threads {
            let width = columns.div_ceil(across).next_multiple_of(step.1);
            let tasks = rows.div_ceil(height) * columns.div_ceil(width);
            let task = task(height, width);
            // The last task to end keeps the other threads waiting for some part of it.
            let time = tasks.div_ceil(threads) * task + task / 8;
            best = best.min((time, (height, width)));
        }
        down *= 2;
    }
    best.1
}

/// Partial sums between a column's blocks of k: the first block begins at the output's values, the
/// last one ends there, and between blocks the sums lie close together.
struct PartialSums<'a, O> {
    /// Rows of [`NC`].
    sums: &'a mut [f32],
    out: &'a mut O,
    /// The first of the columns in the output.
    first: usize,
    begins_in_out: bool,
    ends_in_out: bool,
}

impl<O: Output> PartialSums<'_, O> {
    #[inline(always)]
    fn at(&mut self, in_out: bool, row: usize, columns: Range<usize>) -> &mut [f32] {
        if in_out {
            self.out.part(row, self.first + columns.start..self.first + columns.end)
        } else {
            &mut self.sums[row * NC..][columns]
        }
    }
}

impl<O: Output> Output for PartialSums<'_, O> {
    #[inline(always)]
    fn part(&mut self, row: usize, columns: Range<usize>) -> &mut [f32] {
        self.at(self.ends_in_out, row, columns)
    }

    #[inline(always)]
    fn initial(&mut self, row: usize, columns: Range<usize>) -> &[f32] {
        self.at(self.begins_in_out, row, columns)
    }
}

struct PackA<'a, P> {
    to: &'a mut [f32],
    operands: &'a P,
    rows: Range<usize>,
    block: Range<usize>,
}

impl<P: GemmOperands> SimdKernel for PackA<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.operands.pack_a(s, self.to, self.rows, self.block);
    }
}

struct PackB<'a, P> {
    to: &'a mut [f32],
    operands: &'a P,
    columns: Range<usize>,
    block: Range<usize>,
}

impl<P: GemmOperands> SimdKernel for PackB<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.operands.pack_b(s, self.to, self.columns, self.block);
    }
}

struct Multiply<'a, O> {
    partial: PartialSums<'a, O>,
    rows: usize,
    columns: usize,
    a: &'a [f32],
    b: &'a [f32],
    depth: usize,
    start: Initial,
}

impl<O: Output> SimdKernel for Multiply<'_, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mut partial, rows, columns, a, b, depth, start } = self;
        multiply(s, &mut partial, 0..rows, 0..columns, a, b, depth, start);
    }
}

struct FinishTile<'a, P, O> {
    out: &'a mut O,
    operands: &'a P,
    rows: Range<usize>,
    columns: Range<usize>,
    first_column: usize,
}

impl<P: GemmOperands, O: Output> SimdKernel for FinishTile<'_, P, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.operands.finish(s, self.out, self.rows, self.columns, self.first_column);
    }
}
