//! `x · weightᵀ`, both row-major: a linear layer's product (BLAS: gemm, no transpose · transpose), which
//! reads the weights as they lie.
//!
//! The sixteen lanes of a vector are rows of `x`; a weight goes to all lanes. So `x` alone is
//! rearranged, once a task. The weights of a tile, [`Simd::MR`] rows, are copied next to each other,
//! widened where they are stored in fewer bits, and all rows of `x` pass by; meanwhile the next
//! tile's weights are prefetched. Sums come out transposed and are turned when they are finished.

use core::ops::Range;

use super::Output;
use super::gemm::{GemmOperands, GemmSize, blocks, shortest_tile};
use super::pack::LoadElements;
use crate::cpu::Isa;
use crate::cpu::simd::{LANES, Simd, SimdKernel};

/// Length of a block along k at most.
const KC: usize = 1024;

/// From one copied row of weights to the next: not a power of two, by which rows would push each other
/// out of the cache. A constant, so that an instruction tells the rows apart by itself.
const STRIDE: usize = KC + LANES;

/// The most rows that any instruction set's tile has.
const MAX_MR: usize = 12;

/// Rows of `x` of a task at most: a block of them (640 KiB) fits the second-level cache.
const MAX_MC: usize = 160;

/// Columns that are finished together where one block of k holds everything: whole tiles of every
/// instruction set and whole vectors.
const NC: usize = 4 * MAX_MR;

/// Floats of scratch memory that [`tile`] wants at least.
pub const LEAST_NT_FLOATS: usize = scratch_len(LANES);

/// Floats of scratch memory for `lanes` rows of `x`.
const fn scratch_len(lanes: usize) -> usize {
    MAX_MR * STRIDE + lanes * (KC + NC)
}

/// A copied row of weights, a block of k of it.
pub type CopiedRow = [f32; STRIDE];

/// Operands of [`tile`], and the epilogue of a sum.
///
/// As for [`SimdKernel`], all methods must be `#[inline(always)]`.
pub trait NtOperands: GemmOperands {
    /// Packs `rows` × `depth` of `x` as [`pack_lanes`] does.
    fn pack_x<S: Simd>(&self, s: S, to: &mut [f32], rows: Range<usize>, depth: Range<usize>);

    /// Copies `rows` × `depth` of the weights as [`copy_rows`] does.
    fn copy_weights<S: Simd>(
        &self,
        s: S,
        to: &mut [CopiedRow],
        rows: Range<usize>,
        depth: Range<usize>,
    );

    /// Prefetches the weight of `row` at `k` and its neighbors, if there is one.
    fn prefetch_weights<S: Simd>(&self, s: S, row: usize, k: usize);
}

/// Copies `rows` × `depth` of `from`, widened.
///
/// # Panics
/// If `depth` is longer than a [`CopiedRow`].
#[inline(always)]
pub fn copy_rows<S: Simd>(
    s: S,
    to: &mut [CopiedRow],
    from: &impl LoadElements,
    rows: Range<usize>,
    depth: Range<usize>,
) {
    for (to, row) in to.iter_mut().zip(rows) {
        let to = to[..depth.len()].chunks_mut(LANES);
        for (to, k) in to.zip(depth.clone().step_by(LANES)) {
            s.store_part(from.load(s, row, k, to.len()), to);
        }
    }
}

/// Packs `rows` × `depth` of `from` into panels of [`Simd::NR_VECTORS`] vectors laid out `[k][row]`; the
/// last panel has as many vectors as are left.
///
/// # Panics
/// If `to` is shorter than the depth times the rows, rounded up to whole vectors.
#[inline(always)]
pub fn pack_lanes<S: Simd>(
    s: S,
    to: &mut [f32],
    from: &impl LoadElements,
    rows: Range<usize>,
    depth: Range<usize>,
) {
    let (to, _) = to.as_chunks_mut::<LANES>();
    let length = depth.len();
    let vectors = rows.len().div_ceil(LANES);
    for vector in 0..vectors {
        let panel = vector / S::NR_VECTORS * S::NR_VECTORS;
        let width = S::NR_VECTORS.min(vectors - panel);
        let to = &mut to[panel * length + vector - panel..];
        let first = rows.start + vector * LANES;
        let height = LANES.min(rows.end - first);
        for k in (0..length).step_by(LANES) {
            let count = LANES.min(length - k);
            let mut lanes = [s.splat(0.0); LANES];
            for r in 0..LANES {
                if r < height {
                    lanes[r] = from.load(s, first + r, depth.start + k, count);
                }
            }
            let lanes = s.transpose(lanes);
            for i in 0..LANES {
                if i < count {
                    s.store(lanes[i], &mut to[(k + i) * width]);
                }
            }
        }
    }
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
    rows: Range<usize>,
    columns: Range<usize>,
    depth: usize,
    scratch: &mut [f32],
) {
    let lanes = rows.len().next_multiple_of(LANES);
    let (weights, rest) = scratch.split_at_mut(MAX_MR * STRIDE);
    let (weights, _) = weights.as_chunks_mut();
    let (x, sums) = rest.split_at_mut(lanes * depth.min(KC));
    let group = if depth <= KC { NC } else { sums.len() / lanes / NC * NC };
    for first in columns.clone().step_by(group) {
        let is_first = first == columns.start;
        let columns_of_group = first..columns.end.min(first + group);
        for block in blocks(0..depth, KC) {
            let (operands, columns) = (operands, columns_of_group.clone());
            if depth > KC || is_first {
                isa.run(PackX { to: x, operands, rows: rows.clone(), block: block.clone() });
            }
            isa.run(MultiplyNt { sums, operands, x, weights, lanes, columns, block });
        }
        let (rows, columns, first_column) = (rows.clone(), columns_of_group, columns.start);
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

/// One block of k for some columns.
struct MultiplyNt<'a, P> {
    /// `[column][lane]`
    sums: &'a mut [f32],
    operands: &'a P,
    /// Packed.
    x: &'a [f32],
    weights: &'a mut [CopiedRow],
    lanes: usize,
    columns: Range<usize>,
    block: Range<usize>,
}

impl<P: NtOperands> SimdKernel for MultiplyNt<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { sums, operands, x, weights, lanes, columns, block } = self;
        let (x, _) = x.as_chunks::<LANES>();
        let (sums, _) = sums.as_chunks_mut::<LANES>();
        let (vectors, depth) = (lanes / LANES, block.len());
        let shares = vectors.div_ceil(S::NR_VECTORS);
        for (panel, first) in columns.clone().step_by(S::MR).enumerate() {
            let rows = first..columns.end.min(first + S::MR);
            operands.copy_weights(s, weights, rows, block.clone());
            for share in 0..shares {
                let vector = share * S::NR_VECTORS;
                let width = S::NR_VECTORS.min(vectors - vector);
                let tile = RegisterTile {
                    sums: &mut sums[panel * S::MR * vectors + vector..],
                    stride: vectors,
                    carries_on: block.start > 0,
                    operands,
                    weights,
                    x: &x[vector * depth..][..width * depth],
                    next: [first + S::MR, block.start],
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
        }
    }
}

/// Some rows of weights and vectors of `x`, whose sums fit the registers.
struct RegisterTile<'a, P> {
    sums: &'a mut [[f32; LANES]],
    /// Vectors from one row of sums to the next.
    stride: usize,
    /// Whether the sums begin at those of the block of k before.
    carries_on: bool,
    operands: &'a P,
    weights: &'a [CopiedRow],
    /// `[k][vector]`
    x: &'a [[f32; LANES]],
    /// Row and k of the next tile's first weight.
    next: [usize; 2],
    /// Which share of the next tile's weights is prefetched, of how many.
    share: [usize; 2],
}

impl<P: NtOperands> RegisterTile<'_, P> {
    /// `sums[r][v] = initial + Σₖ weights[r][k] · x[k][v]`
    #[inline(always)]
    fn multiply<S: Simd, const ROWS: usize, const VECTORS: usize>(self, s: S) {
        let Self { sums, stride, carries_on, operands, weights, x, next, share } = self;
        let mut tile = [[s.splat(0.0); VECTORS]; ROWS];
        if carries_on {
            unrolled!(r < ROWS, v < VECTORS, { tile[r][v] = s.load(&sums[r * stride + v]) });
        }
        let (x, _) = x.as_chunks::<VECTORS>();
        for (block, x) in x.chunks(LANES).enumerate() {
            let k = block * LANES;
            for r in (share[0]..ROWS).step_by(share[1]) {
                operands.prefetch_weights(s, next[0] + r, next[1] + k);
            }
            let weights = &weights.as_flattened()[k..][..(ROWS - 1) * STRIDE + LANES];
            if S::CHAINS && VECTORS == 1 {
                let mut packed = [[0.0; ROWS]; LANES];
                for (k, packed) in packed.iter_mut().enumerate() {
                    for r in 0..ROWS {
                        packed[r] = weights[r * STRIDE + k];
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
                    let weight = s.splat(weights[r * STRIDE + k]);
                    tile[r][v] = s.mul_add(vectors[v], weight, tile[r][v]);
                });
            }
        }
        unrolled!(r < ROWS, v < VECTORS, { s.store(tile[r][v], &mut sums[r * stride + v]) });
    }
}

/// Turns sums to rows of the output and applies the epilogue.
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
        let vectors = rows.len().div_ceil(LANES);
        for c in (0..columns.len()).step_by(LANES) {
            let width = LANES.min(columns.len() - c);
            let at = columns.start - first_column + c;
            for vector in 0..vectors {
                let mut lanes = [s.splat(0.0); LANES];
                for i in 0..LANES {
                    lanes[i] = s.load(&sums[(c + i) * vectors + vector]);
                }
                let lanes = s.transpose(lanes);
                let height = LANES.min(rows.len() - vector * LANES);
                for i in 0..LANES {
                    if i < height {
                        s.store_part(lanes[i], out.part(vector * LANES + i, at..at + width));
                    }
                }
            }
        }
        operands.finish(s, out, rows, columns, first_column);
    }
}
