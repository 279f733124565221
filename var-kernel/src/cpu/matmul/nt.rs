//! `x · weightᵀ`, both row-major: a linear layer's product (BLAS: gemm, no transpose · transpose), which
//! reads the weights as they lie.
//!
//! The sixteen lanes of a vector are rows of `x`; a weight goes to all lanes. So `x` alone is
//! rearranged, once a task. The weights of a tile, [`Simd::MR`] rows, are copied next to each other,
//! widened where they are stored in fewer bits, and all rows of `x` pass by; between their multiply-adds
//! the next tile's weights are copied and those of the tile after it prefetched. Sums come out
//! transposed and are turned when they are finished.

use core::ops::Range;

use super::gemm::{GemmOperands, GemmSize, blocks, shortest_tile};
use super::pack::LoadElements;
use super::{Output, Strided};
use crate::cpu::Isa;
use crate::cpu::simd::{LANES, Simd, SimdKernel};

/// Length of a block along k at most.
const KC: usize = 1024;

/// From one copied row of weights to the next: not a power of two, by which rows would push each other
/// out of the cache. A constant, so that an instruction tells the rows apart by itself.
const STRIDE: usize = KC + LANES;

/// The most rows that any instruction set's tile has.
const MAX_MR: usize = 12;

/// Weights by which a row is prefetched before it is copied: 200 cycles of multiply-adds with one vector of `x`,
/// 400 with two. Where the rows are few, the lines of a longer distance leave the first-level cache again.
const AHEAD: usize = 2 * LANES;

/// Rows of `x` of a task at most: a block of them (640 KiB) fits the second-level cache.
const MAX_MC: usize = 160;

/// Columns that are finished together where one block of k holds everything: whole tiles of every
/// instruction set and whole vectors.
const NC: usize = 4 * MAX_MR;

/// Floats of scratch memory that [`tile`] wants at least.
pub const LEAST_NT_FLOATS: usize = scratch_len(LANES);

/// Floats of scratch memory for `lanes` rows of `x`, and those before the first of a cache line.
const fn scratch_len(lanes: usize) -> usize {
    (LANES - 1) + 2 * MAX_MR * STRIDE + lanes * (KC + NC)
}

/// A copied row of weights, a block of k of it.
type CopiedRow = [f32; STRIDE];

/// The left operand of [`tile`], and the epilogue of the sums.
///
/// As for [`SimdKernel`], all methods must be `#[inline(always)]`.
pub trait NtOperands: GemmOperands {
    /// Packs `rows` × `depth` of `x` as [`super::pack_lanes`] does.
    fn pack_x<S: Simd>(&self, s: S, to: &mut [f32], rows: Range<usize>, depth: Range<usize>);
}

/// Rows and columns of a task: those with the shortest time, were a thread to need 1 for a vector of
/// multiply-adds.
pub fn tile_size(size: GemmSize, threads: usize, scratch: usize) -> (usize, usize) {
    /// To pack sixteen numbers of `x`.
    const PACKING: usize = 12;
    /// To fetch sixteen weights from memory.
    const FETCHING: usize = 12;
    let most = (scratch.saturating_sub(scratch_len(0)) / (KC + NC) / LANES * LANES).min(MAX_MC);
    let task = |rows, columns| rows * columns + PACKING * rows + FETCHING * columns;
    let fewest = size.rows.div_ceil(most);
    shortest_tile((size.rows, size.columns), threads, fewest, (LANES, LANES), task)
}

/// The elements of a product at `rows` × `columns`, on this thread; `out`'s first is the first of them.
/// A column of the product is a row of `weights`.
///
/// Each is one chain of fused multiply-adds in order of k that begins at 0.
///
/// # Panics
/// If there are more rows than [`tile_size`] gives for the scratch memory, or less of that than
/// [`LEAST_NT_FLOATS`].
pub fn tile(
    isa: Isa,
    out: &mut impl Output,
    operands: &impl NtOperands,
    weights: &impl LoadElements,
    rows: Range<usize>,
    columns: Range<usize>,
    depth: usize,
    scratch: &mut [f32],
) {
    let lanes = rows.len().next_multiple_of(LANES);
    // A vector that lies in two cache lines is loaded at half the speed.
    let before_line = scratch.as_ptr().align_offset(size_of::<[f32; LANES]>());
    let (copied, rest) = scratch[before_line..].split_at_mut(2 * MAX_MR * STRIDE);
    let (copied, _) = copied.as_chunks_mut();
    let (current, next) = copied.split_at_mut(MAX_MR);
    let mut copied = CopiedTiles { current, next, first: None };
    let (x, sums) = rest.split_at_mut(lanes * depth.min(KC));
    let one_block = depth <= KC;
    let group = if one_block { NC } else { sums.len() / lanes / NC * NC };
    let first_column = columns.start;
    for first in columns.clone().step_by(group) {
        let is_first = first == columns.start;
        let columns_of_group = first..columns.end.min(first + group);
        for block in blocks(0..depth, KC) {
            if !one_block || is_first {
                isa.run(PackX { to: x, operands, rows: rows.clone(), block: block.clone() });
                copied.first = None;
            }
            // The tiles of the next group follow on these where they are of the same block of k.
            let end = if one_block { columns.end } else { columns_of_group.end };
            let (copied, columns) = (&mut copied, columns_of_group.clone());
            let finished = FinishedTile { out: &mut *out, rows: rows.len(), first_column };
            let finished = (block.end == depth).then_some(finished);
            isa.run(MultiplyNt { sums, x, weights, copied, lanes, columns, end, block, finished });
        }
        let (rows, columns) = (rows.clone(), columns_of_group);
        isa.run(FinishNt { out, operands, sums, rows, columns, first_column });
    }
}

struct PackX<'a, P> {
    to: &'a mut [f32],
    operands: &'a P,
    rows: Range<usize>,
    block: Range<usize>,
}

impl<P: NtOperands> SimdKernel for PackX<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.operands.pack_x(s, self.to, self.rows, self.block);
    }
}

/// The copied weights of the tile that is multiplied, and room for those of the next.
struct CopiedTiles<'a> {
    current: &'a mut [CopiedRow],
    next: &'a mut [CopiedRow],
    /// First row of the tile that `current` holds the whole vectors of.
    first: Option<usize>,
}

/// One block of k for some columns.
struct MultiplyNt<'a, 'c, W, O> {
    /// `[column][lane]`
    sums: &'a mut [f32],
    /// Packed.
    x: &'a [f32],
    weights: &'a W,
    copied: &'a mut CopiedTiles<'c>,
    lanes: usize,
    columns: Range<usize>,
    /// Columns up to here follow with the same block.
    end: usize,
    block: Range<usize>,
    /// Where the sums of the last block will be finished.
    finished: Option<FinishedTile<'a, O>>,
}

impl<W: LoadElements, O: Output> SimdKernel for MultiplyNt<'_, '_, W, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { sums, x, weights, copied, lanes, columns, end, block, mut finished } = self;
        let (x, _) = x.as_chunks::<LANES>();
        let (sums, _) = sums.as_chunks_mut::<LANES>();
        let (vectors, depth) = (lanes / LANES, block.len());
        let shares = vectors.div_ceil(S::NR_VECTORS);
        for (panel, first) in columns.clone().step_by(S::MR).enumerate() {
            let next = first + S::MR;
            let so_far = if copied.first == Some(first) { depth / LANES * LANES } else { 0 };
            for k in (so_far..depth).step_by(LANES) {
                let length = LANES.min(depth - k);
                for (to, row) in copied.current.iter_mut().zip(first..end.min(next)) {
                    let values = weights.load(s, row, block.start + k, length);
                    s.store_part(values, &mut to[k..k + length]);
                }
            }
            for share in 0..shares {
                let vector = share * S::NR_VECTORS;
                let width = S::NR_VECTORS.min(vectors - vector);
                if let Some(finished) = &mut finished {
                    let part = (panel % PANELS) * width * LANES / PANELS;
                    let rows = vector * LANES + part..;
                    let group = columns.start + panel / PANELS * PANELS * S::MR;
                    let columns = group..columns.end.min(group + PANELS * S::MR);
                    finished.prefetch(s, rows.take(width * LANES / PANELS), columns);
                }
                let tile = RegisterTile {
                    sums: &mut sums[panel * S::MR * vectors + vector..],
                    stride: vectors,
                    carries_on: block.start > 0,
                    x: &x[vector * depth..][..width * depth],
                    copied: copied.current,
                    weights,
                    next: copied.next,
                    next_rows: next..end.min(next + S::MR),
                    start: block.start,
                    share: [share, shares],
                };
                match (S::MR, width) {
                    (12, 1) => tile.multiply::<S, 12, 1>(s),
                    (12, 2) => tile.multiply::<S, 12, 2>(s),
                    (6, 1) => tile.multiply::<S, 6, 1>(s),
                    (4, 1) => tile.multiply::<S, 4, 1>(s),
                    (2, 1) => tile.multiply::<S, 2, 1>(s),
                    _ => unreachable!("no tile of {} rows and {width} vectors", S::MR),
                }
            }
            core::mem::swap(&mut copied.current, &mut copied.next);
            copied.first = Some(next);
        }
    }
}

/// Panels beside which the lines of their output are prefetched, a part of the rows beside each.
const PANELS: usize = 4;

/// The output of a task.
struct FinishedTile<'a, O> {
    out: &'a mut O,
    rows: usize,
    first_column: usize,
}

impl<O: Output> FinishedTile<'_, O> {
    #[inline(always)]
    fn prefetch<S: Simd>(
        &mut self,
        s: S,
        rows: impl Iterator<Item = usize>,
        columns: Range<usize>,
    ) {
        let columns = columns.start - self.first_column..columns.end - self.first_column;
        for row in rows.take_while(|row| *row < self.rows) {
            for c in columns.clone().step_by(LANES) {
                s.prefetch(self.out.part(row, c..columns.end.min(c + LANES)));
            }
        }
    }
}

/// Some rows of weights and vectors of `x`, whose sums fit the registers.
struct RegisterTile<'a, W> {
    sums: &'a mut [[f32; LANES]],
    /// Vectors from one row of sums to the next.
    stride: usize,
    /// Whether the sums begin at those of the block of k before.
    carries_on: bool,
    /// `[k][vector]`
    x: &'a [[f32; LANES]],
    copied: &'a [CopiedRow],
    weights: &'a W,
    /// Where the next tile's weights are copied to, whole vectors of them.
    next: &'a mut [CopiedRow],
    next_rows: Range<usize>,
    /// The block's first k.
    start: usize,
    /// Which share of the next tile's rows is copied, of how many.
    share: [usize; 2],
}

impl<W: LoadElements> RegisterTile<'_, W> {
    /// `sums[r][v] = initial + Σₖ weights[r][k] · x[k][v]`
    #[inline(always)]
    fn multiply<S: Simd, const ROWS: usize, const VECTORS: usize>(self, s: S) {
        let Self { sums, stride, carries_on, x, copied, weights, next, next_rows, start, share } =
            self;
        let mut tile = [[s.splat(0.0); VECTORS]; ROWS];
        if carries_on {
            unrolled!(r < ROWS, v < VECTORS, { tile[r][v] = s.load(&sums[r * stride + v]) });
        }
        let (x, _) = x.as_chunks::<VECTORS>();
        for (block, x) in x.chunks(LANES).enumerate() {
            let k = block * LANES;
            for r in (share[0]..ROWS).step_by(share[1]) {
                let row = next_rows.start + r;
                if row < next_rows.end && x.len() == LANES {
                    let values = weights.load(s, row, start + k, LANES);
                    s.store(values, &mut next[r].as_chunks_mut().0[block]);
                }
                weights.prefetch(s, row, start + k + AHEAD);
            }
            let copied = &copied.as_flattened()[k..][..(ROWS - 1) * STRIDE + LANES];
            if S::CHAINS && VECTORS == 1 {
                let mut packed = [[0.0; ROWS]; LANES];
                for (k, packed) in packed.iter_mut().enumerate() {
                    for r in 0..ROWS {
                        packed[r] = copied[r * STRIDE + k];
                    }
                }
                let packed = &packed.as_flattened()[..x.len() * ROWS];
                s.chains(&mut tile, packed, [x.as_flattened(); VECTORS]);
                continue;
            }
            for (k, x) in x.iter().enumerate() {
                let mut vectors = [s.splat(0.0); VECTORS];
                for v in 0..VECTORS {
                    vectors[v] = s.load(&x[v]);
                }
                unrolled!(r < ROWS, v < VECTORS, {
                    let weight = s.splat(copied[r * STRIDE + k]);
                    tile[r][v] = s.mul_add(vectors[v], weight, tile[r][v]);
                });
            }
        }
        unrolled!(r < ROWS, v < VECTORS, { s.store(tile[r][v], &mut sums[r * stride + v]) });
    }
}

/// Turns sums to rows, applies the epilogue, and stores them in the output.
struct FinishNt<'a, P, O> {
    out: &'a mut O,
    operands: &'a P,
    /// `[column][lane]`
    sums: &'a [f32],
    rows: Range<usize>,
    columns: Range<usize>,
    first_column: usize,
}

impl<P: NtOperands, O: Output> SimdKernel for FinishNt<'_, P, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { out, operands, sums, rows, columns, first_column } = self;
        let (sums, _) = sums.as_chunks::<LANES>();
        let (vectors, first_of_sums) = (rows.len().div_ceil(LANES), columns.start);
        let mut turned = [0.0; LANES * NC];
        for (vector, first_row) in (0..rows.len()).step_by(LANES).enumerate() {
            let height = LANES.min(rows.len() - first_row);
            for first in columns.clone().step_by(NC) {
                let columns = first..columns.end.min(first + NC);
                let sums = &sums[(first - first_of_sums) * vectors + vector..];
                for part in 0..columns.len().div_ceil(LANES) {
                    let mut lanes = [s.splat(0.0); LANES];
                    for i in 0..LANES {
                        lanes[i] = s.load(&sums[(part * LANES + i) * vectors]);
                    }
                    let lanes = s.transpose(lanes);
                    let (turned, _) = turned.as_chunks_mut();
                    for i in 0..LANES {
                        s.store(lanes[i], &mut turned[i * (NC / LANES) + part]);
                    }
                }
                let mut turned = Strided { values: &mut turned, stride: NC };
                let rows = rows.start + first_row..rows.start + first_row + height;
                operands.finish(s, &mut turned, rows, columns.clone(), first);
                // All of a row at once: rows far apart push each other out of the cache.
                for row in 0..height {
                    for c in (0..columns.len()).step_by(LANES) {
                        let part = c..columns.len().min(c + LANES);
                        let at = first - first_column;
                        let to = out.part(first_row + row, at + part.start..at + part.end);
                        s.store_part(s.load_or(turned.part(row, part), 0.0), to);
                    }
                }
            }
        }
    }
}
