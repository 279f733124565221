//! A whole product, cut into tiles that fit the caches.
//!
//! Each task makes one tile of the output. It packs its rows of the left operand for a stretch of k,
//! then walks the right operand: two panels of columns for 256 of k are packed into the
//! first-level cache, multiplied with all packed rows, and forgotten. So no packed copy of the right
//! operand outlives a tile.

use core::ops::Range;

use super::{Output, Start, multiply};
use crate::cpu::simd::{Kernel, LANES, Simd};
use crate::cpu::{Cpu, Isa};

/// Length of a block along k: two panels of columns and one of rows fit the first-level cache.
const DEPTH: usize = 256;

/// Columns packed at a time.
const COLUMNS: usize = 2 * LANES;

/// Rows of a tile are a multiple of this, and so of every instruction set's own tile.
const ROWS: usize = 12;

/// Rows of a tile at most: beyond, packing the right operand costs little already.
pub const MOST_TILE_ROWS: usize = 57 * ROWS;

/// Floats of scratch memory for the packed right operand.
const RIGHT_FLOATS: usize = COLUMNS * DEPTH;

/// Floats of scratch memory for the sums of [`COLUMNS`] columns. In the output their rows may lie a
/// power of two apart, where they push each other out of the cache.
const SUMS_FLOATS: usize = COLUMNS * MOST_TILE_ROWS;

/// Floats of scratch memory that [`tile`] wants at least; with more it packs the right operand less
/// often.
pub const PRODUCT_FLOATS: usize = RIGHT_FLOATS + SUMS_FLOATS + MOST_TILE_ROWS * DEPTH;

const _: () = assert!(PRODUCT_FLOATS <= crate::cpu::SCRATCH_FLOATS);

/// Sizes of a product.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Rows of the left operand and the output.
    pub rows: usize,
    /// Columns of the right operand and the output.
    pub columns: usize,
    /// Columns of the left operand, rows of the right.
    pub depth: usize,
}

/// Operands of a matrix product: how both are packed, and the epilogue of a sum.
///
/// As for [`Kernel`], all methods must be `#[inline(always)]`.
pub trait Operands: Sync {
    /// Packs `rows` × `depth` of the left operand as [`super::pack_left`] does.
    fn pack_left<S: Simd>(&self, s: S, to: &mut [f32], rows: Range<usize>, depth: Range<usize>);

    /// Packs `depth` × `columns` of the right operand as [`super::pack_right`] does.
    fn pack_right<S: Simd>(&self, s: S, to: &mut [f32], columns: Range<usize>, depth: Range<usize>);

    /// Applies the epilogue to finished sums while they are in the cache.
    ///
    /// `out`'s first row and column are `rows.start` and `left` of the product; those at `rows` and
    /// `columns` are finished.
    #[inline(always)]
    fn finish<S: Simd>(
        &self,
        _s: S,
        _out: &mut impl Output,
        _rows: Range<usize>,
        _columns: Range<usize>,
        _left: usize,
    ) {
    }
}

impl Cpu<'_> {
    /// `out = start + left · right`, `out` of `rows × columns`.
    ///
    /// Each element is one chain of fused multiply-adds in order of k, which begins at 0 or at the
    /// value in `out`.
    ///
    /// # Panics
    /// If `out` is of another length.
    pub fn product(&self, out: &mut [f32], operands: &impl Operands, size: Size, start: Start) {
        assert_eq!(out.len(), size.rows * size.columns, "product: out is not rows × columns");
        if out.is_empty() {
            return;
        }
        let isa = self.isa;
        let (rows, columns) = tile_size(size, self.workers.count());
        self.for_each_tile(out, size.columns, rows, columns, |mut out, scratch| {
            let (rows, columns) = (out.rows.clone(), out.columns.clone());
            tile(isa, &mut out, operands, rows, columns, size.depth, start, scratch);
        });
    }
}

/// The elements of a product at `rows` × `columns`, on this thread; `out`'s first is the first of them.
///
/// # Panics
/// If there are more than [`MOST_TILE_ROWS`] rows or fewer than [`PRODUCT_FLOATS`] of scratch memory.
pub fn tile(
    isa: Isa,
    out: &mut impl Output,
    operands: &impl Operands,
    rows: Range<usize>,
    columns: Range<usize>,
    depth: usize,
    start: Start,
    scratch: &mut [f32],
) {
    let (right, rest) = scratch.split_at_mut(RIGHT_FLOATS);
    let (sums, left) = rest.split_at_mut(SUMS_FLOATS);
    let height = rows.len().next_multiple_of(ROWS);
    assert!(height <= MOST_TILE_ROWS, "a tile of {} rows", rows.len());
    // As many blocks of k as fit: all of them when the rows are few.
    let stretch = (left.len() / height.max(1) / DEPTH).max(1) * DEPTH;
    let mut from = 0;
    loop {
        let to = depth.min(from + stretch);
        for (block, left) in blocks(from..to).zip(left.chunks_mut(height * DEPTH)) {
            isa.run(PackLeft { to: left, operands, rows: rows.clone(), block });
        }
        for first in columns.clone().step_by(COLUMNS) {
            let some = first..columns.end.min(first + COLUMNS);
            let place = some.start - columns.start..some.end - columns.start;
            let carries_on = from > 0 || start == Start::Output;
            for (block, left) in blocks(from..to).zip(left.chunks(height * DEPTH)) {
                let (is_first, is_last) = (block.start == from, block.end == to);
                let depth = block.len();
                isa.run(PackRight { to: right, operands, columns: some.clone(), block });
                let start = if is_first && !carries_on { Start::Zero } else { Start::Output };
                let way = Way {
                    sums,
                    out,
                    first: place.start,
                    begins_in_out: is_first,
                    ends_in_out: is_last,
                };
                let (rows, columns) = (rows.len(), some.len());
                isa.run(Multiply { way, rows, columns, left, right, depth, start });
            }
            if to == depth {
                let (rows, left) = (rows.clone(), columns.start);
                isa.run(Finish { out, operands, rows, columns: some, left });
            }
        }
        from = to;
        if from == depth {
            break;
        }
    }
}

/// Blocks of [`DEPTH`]; a single empty one if `range` is empty.
fn blocks(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let Range { start, end } = range;
    let count = (end - start).div_ceil(DEPTH).max(1);
    (0..count).map(move |i| start + i * DEPTH..end.min(start + (i + 1) * DEPTH))
}

/// Rows and columns of a tile: those with the shortest time, were a thread to need 1 for a vector of
/// multiply-adds and `PACKING` to pack a number.
pub fn tile_size(size: Size, threads: usize) -> (usize, usize) {
    const PACKING: usize = 12;
    let fewest = size.rows.div_ceil(MOST_TILE_ROWS);
    let mut best = (usize::MAX, (0, 0));
    let mut down = fewest;
    while down <= 2 * fewest.max(threads) {
        let rows = size.rows.div_ceil(down).next_multiple_of(ROWS);
        for across in 1..=4 * threads {
            let columns = size.columns.div_ceil(across).next_multiple_of(COLUMNS);
            let tasks = size.rows.div_ceil(rows) * size.columns.div_ceil(columns);
            let task = rows * columns / LANES + PACKING * (rows + columns) / LANES;
            // The last task to end keeps the other threads waiting for some part of it.
            let time = tasks.div_ceil(threads) * task + task / 8;
            best = best.min((time, (rows, columns)));
        }
        down *= 2;
    }
    best.1
}

/// Partial sums between a column's blocks of k: the first block begins at the output's values, the
/// last one ends there, and between blocks the sums lie close together.
struct Way<'a, O> {
    /// Rows of [`COLUMNS`].
    sums: &'a mut [f32],
    out: &'a mut O,
    /// The first of the columns in the output.
    first: usize,
    begins_in_out: bool,
    ends_in_out: bool,
}

impl<O: Output> Way<'_, O> {
    #[inline(always)]
    fn at(&mut self, in_out: bool, row: usize, columns: Range<usize>) -> &mut [f32] {
        if in_out {
            self.out.part(row, self.first + columns.start..self.first + columns.end)
        } else {
            &mut self.sums[row * COLUMNS..][columns]
        }
    }
}

impl<O: Output> Output for Way<'_, O> {
    #[inline(always)]
    fn part(&mut self, row: usize, columns: Range<usize>) -> &mut [f32] {
        self.at(self.ends_in_out, row, columns)
    }

    #[inline(always)]
    fn begun(&mut self, row: usize, columns: Range<usize>) -> &[f32] {
        self.at(self.begins_in_out, row, columns)
    }
}

struct PackLeft<'a, P> {
    to: &'a mut [f32],
    operands: &'a P,
    rows: Range<usize>,
    block: Range<usize>,
}

impl<P: Operands> Kernel for PackLeft<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.operands.pack_left(s, self.to, self.rows, self.block);
    }
}

struct PackRight<'a, P> {
    to: &'a mut [f32],
    operands: &'a P,
    columns: Range<usize>,
    block: Range<usize>,
}

impl<P: Operands> Kernel for PackRight<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.operands.pack_right(s, self.to, self.columns, self.block);
    }
}

struct Multiply<'a, O> {
    way: Way<'a, O>,
    rows: usize,
    columns: usize,
    left: &'a [f32],
    right: &'a [f32],
    depth: usize,
    start: Start,
}

impl<O: Output> Kernel for Multiply<'_, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { mut way, rows, columns, left, right, depth, start } = self;
        multiply(s, &mut way, 0..rows, 0..columns, left, right, depth, start);
    }
}

struct Finish<'a, P, O> {
    out: &'a mut O,
    operands: &'a P,
    rows: Range<usize>,
    columns: Range<usize>,
    left: usize,
}

impl<P: Operands, O: Output> Kernel for Finish<'_, P, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.operands.finish(s, self.out, self.rows, self.columns, self.left);
    }
}
