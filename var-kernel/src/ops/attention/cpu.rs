//! attention on the CPU.
//!
//! Both products are turned so that the sixteen lanes of a vector are sixteen queries: scores are
//! `k·qᵀ`, laid out `[key][query]`, which is how the second product `vᵀ·pᵀ` wants its right operand.
//! So probabilities are never rearranged, and maximum, exponential and sum go lane by lane.
//!
//! Keys past the number a query sees get probability 0, which changes neither a sum of probabilities
//! nor a chain of fused multiply-adds: the result is as if the keys were not there.

use core::convert::Infallible;
use core::ops::Range;

use super::{Attention, Dims, Mask};
use crate::cpu::matmul::gemm::blocks;
use crate::cpu::matmul::{
    Initial, Panels, RowMajor, multiply, pack_a, pack_a_transposed, pack_b_transposed, packed_a_len,
};
use crate::cpu::simd::{LANES, Simd, SimdKernel};
use crate::cpu::tiles::Tile;
use crate::cpu::{Cpu, math};

/// Keys between two updates of the running maximum. Another number would give other bits.
const KEYS: usize = 256;

/// Partial sums of probabilities in a block of keys: key j adds to number j mod this.
const SUMS: usize = 4;

/// Queries of a task at most: beyond, packing the keys costs little already.
const MAX_QUERIES: usize = 256;

/// Queries of a group: their scores for a block of keys take 32 KiB.
const GROUP: usize = 2 * LANES;

/// Floats of scratch memory for packed keys and values at most; a share of all.
const PACKED_FLOATS: usize = 1 << 16;
const PACKED_SHARE: usize = 16;

/// The most rows that any instruction set's panel has.
const PANEL: usize = 12;

impl Attention for Cpu<'_> {
    fn attention(
        &self,
        out: &mut [f32],
        q: &[f32],
        k: &[f32],
        v: &[f32],
        scale: f32,
        mask: Mask<'_>,
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), q.len(), k.len(), v.len(), mask);
        self.begin("attention", d.multiply_adds(), 4 * (2 * out.len() + 2 * k.len()));
        if out.is_empty() {
            return Ok(());
        }
        let heads = AttentionOperands { q, k, v, scale, mask, d };
        let isa = self.isa;
        let scratch = self.scratch_len("attention", scratch_len(d));
        let rows = rows_of_a_task(d, self.workers.count(), scratch);
        self.for_each_tile(out, d.heads * d.head_width, rows, d.head_width, |mut tile, scratch| {
            let mut row = tile.rows.start;
            while row < tile.rows.end {
                // A tile may hold rows of several sequences.
                let end = tile.rows.end.min((row / d.queries + 1) * d.queries);
                isa.run(QueryBlock { heads: &heads, tile: &mut tile, rows: row..end, scratch });
                row = end;
            }
        });
        Ok(())
    }
}

/// Floats of scratch memory of a query: itself, its output, its scores, its running softmax.
fn floats_of_a_query(d: Dims) -> usize {
    2 * d.head_width + KEYS.min(d.keys) + 3
}

/// Floats of `scratch` for packed keys and values: a panel of either at least.
fn packed_len(d: Dims, scratch: usize) -> usize {
    let panel = PANEL * d.head_width.max(KEYS.min(d.keys));
    (scratch / PACKED_SHARE).min(PACKED_FLOATS).max(panel)
}

/// Floats of scratch memory that a thread wants at least.
pub(crate) fn scratch_len(d: Dims) -> usize {
    packed_len(d, 0) + LANES * floats_of_a_query(d)
}

/// As many query rows as the scratch memory holds, or fewer to keep all threads busy.
fn rows_of_a_task(d: Dims, threads: usize, scratch: usize) -> usize {
    let left = scratch - packed_len(d, scratch);
    let mut rows = (left / floats_of_a_query(d) / LANES * LANES).min(MAX_QUERIES);
    while rows > 2 * LANES && (d.batch * d.queries).div_ceil(rows) * d.heads < 2 * threads {
        rows = (rows / 2).next_multiple_of(LANES);
    }
    rows
}

/// The operands of one call.
struct AttentionOperands<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    scale: f32,
    mask: Mask<'a>,
    d: Dims,
}

/// Some queries of one head of one sequence.
struct QueryBlock<'a, 'o> {
    heads: &'a AttentionOperands<'a>,
    tile: &'a mut Tile<'o>,
    rows: Range<usize>,
    scratch: &'a mut [f32],
}

impl SimdKernel for QueryBlock<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { heads, tile, rows, scratch } = self;
        let d = heads.d;
        let width = d.heads * d.head_width;
        let (sequence, first) = (rows.start / d.queries, rows.start % d.queries);
        let queries = first..first + rows.len();
        let kept = sequence * d.capacity * width + tile.columns.start;
        let k = RowMajor { values: &heads.k[kept..], stride: width };
        let v = RowMajor { values: &heads.v[kept..], stride: width };
        let q = RowMajor { values: &heads.q[tile.columns.start..], stride: width };

        let lanes = rows.len().next_multiple_of(LANES);
        let (packed, rest) = scratch.split_at_mut(packed_len(d, scratch.len()));
        let (packed_q, rest) = rest.split_at_mut(lanes * d.head_width);
        let (sums, rest) = rest.split_at_mut(lanes * d.head_width);
        let (scores, rest) = rest.split_at_mut(lanes * KEYS.min(d.keys));
        let mut softmax = OnlineSoftmax::new(rest, lanes);
        for (lane, seen) in softmax.seen.iter_mut().enumerate() {
            let query = (first + lane).min(queries.end - 1);
            *seen = heads.mask.visible(query, d.keys) as f32;
        }
        pack_b_transposed(s, packed_q, &q, rows.clone(), 0..d.head_width);
        sums.fill(0.0);

        let block = KEYS.min(d.keys);
        let k_len = packed_a_len::<S>(block, d.head_width);
        // Where a block's keys and values can be packed once for all queries, these go by in groups
        // whose scores stay in the first-level cache; else all together.
        let once = k_len + packed_a_len::<S>(d.head_width, block) <= packed.len();
        let group = if once { GROUP } else { lanes };
        let packed_k = 0..if once { k_len } else { packed.len() };
        let packed_v = if once { k_len } else { 0 }..packed.len();
        let end = heads.mask.visible(queries.end - 1, d.keys);
        for key in (0..end).step_by(KEYS) {
            let keys = key..end.min(key + KEYS);
            for first in (0..lanes).step_by(group) {
                let columns = 0..group.min(lanes - first);
                let scores = &mut scores[..columns.len() * keys.len()];
                let sums = &mut sums[first * d.head_width..][..columns.len() * d.head_width];
                let packs = first == 0 || !once;

                let packed_q = &packed_q[first * d.head_width..];
                let packed_k = &mut packed[packed_k.clone()];
                for some in blocks(keys.clone(), chunk::<S>(packed_k, d.head_width)) {
                    if packs {
                        pack_a(s, packed_k, &k, some.clone(), 0..d.head_width);
                    }
                    let mut out = Panels { values: &mut *scores, height: keys.len() };
                    let (rows, columns) = (some.start - key..some.end - key, columns.clone());
                    let (depth, initial) = (d.head_width, Initial::Zero);
                    multiply(s, &mut out, rows, columns, packed_k, packed_q, depth, initial);
                }

                let each_scores = scores.chunks_exact_mut(keys.len() * LANES);
                let each_sums = sums.chunks_exact_mut(d.head_width * LANES);
                for (i, (scores, sums)) in each_scores.zip(each_sums).enumerate() {
                    softmax.advance(s, first / LANES + i, scores, sums, keys.start, heads.scale);
                }

                let packed_v = &mut packed[packed_v.clone()];
                for some in blocks(0..d.head_width, chunk::<S>(packed_v, keys.len())) {
                    if packs {
                        pack_a_transposed(s, packed_v, &v, some.clone(), keys.clone());
                    }
                    let mut out = Panels { values: &mut *sums, height: d.head_width };
                    let (depth, initial) = (keys.len(), Initial::Output);
                    multiply(s, &mut out, some, columns.clone(), packed_v, scores, depth, initial);
                }
            }
        }
        for (panel, sums) in sums.chunks_exact(d.head_width * LANES).enumerate() {
            let from = rows.start - tile.rows.start + panel * LANES;
            let to = (from + LANES).min(rows.end - tile.rows.start);
            write(s, tile, from..to, sums, softmax.row_sum(panel));
        }
    }
}

/// How many rows of depth `depth` are packed at a time.
#[inline(always)]
fn chunk<S: Simd>(packed: &[f32], depth: usize) -> usize {
    let rows = packed.len() / depth / S::MR * S::MR;
    debug_assert!(packed_a_len::<S>(rows, depth) <= packed.len());
    rows
}

/// Running softmax of each query: row maximum, row sum, output so far.
struct OnlineSoftmax<'a> {
    /// The greatest score so far.
    row_max: &'a mut [f32],
    /// The sum of exponentials so far, relative to the maximum.
    row_sum: &'a mut [f32],
    /// How many keys the query sees.
    seen: &'a mut [f32],
}

impl<'a> OnlineSoftmax<'a> {
    fn new(scratch: &'a mut [f32], lanes: usize) -> Self {
        let (row_max, rest) = scratch.split_at_mut(lanes);
        let (row_sum, rest) = rest.split_at_mut(lanes);
        row_max.fill(f32::NEG_INFINITY);
        row_sum.fill(0.0);
        Self { row_max, row_sum, seen: &mut rest[..lanes] }
    }

    fn row_sum(&self, panel: usize) -> &[f32; LANES] {
        &self.row_sum.as_chunks().0[panel]
    }

    /// Turns a panel of scores for the keys from `first_key` on into exponentials, and scales the
    /// panel's sums to the new maximum.
    #[inline(always)]
    fn advance<S: Simd>(
        &mut self,
        s: S,
        panel: usize,
        scores: &mut [f32],
        sums: &mut [f32],
        first_key: usize,
        scale: f32,
    ) {
        let (scores, _) = scores.as_chunks_mut::<LANES>();
        let (sums, _) = sums.as_chunks_mut::<LANES>();
        let row_max = &mut self.row_max.as_chunks_mut::<LANES>().0[panel];
        let row_sum = &mut self.row_sum.as_chunks_mut::<LANES>().0[panel];
        let seen = s.load(&self.seen.as_chunks::<LANES>().0[panel]);
        let scale = s.splat(scale);
        let masked = s.splat(f32::NEG_INFINITY);

        let old_max = s.load(row_max);
        let mut new_max = old_max;
        for (i, score) in scores.iter_mut().enumerate() {
            let key = s.splat((first_key + i) as f32);
            let x = s.where_less(key, seen, s.mul(s.load(score), scale), masked);
            new_max = s.max(new_max, x);
            s.store(x, score);
        }
        s.store(new_max, row_max);

        let mut partial = [s.splat(0.0); SUMS];
        for group in scores.chunks_mut(SUMS) {
            for (partial, score) in partial.iter_mut().zip(group) {
                let p = math::exp(s, s.sub(s.load(score), new_max));
                *partial = s.add(*partial, p);
                s.store(p, score);
            }
        }
        let [a, b, c, d] = partial;
        let rescale = math::exp(s, s.sub(old_max, new_max));
        let sum = s.add(s.add(a, c), s.add(b, d));
        s.store(s.mul_add(s.load(row_sum), rescale, sum), row_sum);
        for sum in sums {
            s.store(s.mul(s.load(sum), rescale), sum);
        }
    }
}

/// Divides a panel of sums, `[channel][query]`, by the queries' totals and writes it as rows.
#[inline(always)]
fn write<S: Simd>(
    s: S,
    tile: &mut Tile<'_>,
    rows: Range<usize>,
    sums: &[f32],
    row_sum: &[f32; LANES],
) {
    let row_sum = s.load(row_sum);
    let (sums, _) = sums.as_chunks::<LANES>();
    for (block, sums) in sums.chunks(LANES).enumerate() {
        let mut vectors = [s.splat(0.0); LANES];
        for (vector, sum) in vectors.iter_mut().zip(sums) {
            // A sum may have become −0 by underflow; a key with probability 0 makes it +0.
            *vector = s.add(s.div(s.load(sum), row_sum), s.splat(0.0));
        }
        let queries = s.transpose(vectors);
        for (i, row) in rows.clone().enumerate() {
            let out = &mut tile.row(row)[block * LANES..][..sums.len()];
            s.store_part(queries[i], out);
        }
    }
}
