//! Gradients of attention on the CPU: a head of a sequence a task.
//!
//! A task writes its three gradients to scratch memory, one behind the other; a second pass adds them
//! to where they belong.

use core::convert::Infallible;
use core::ops::Range;

use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};
use var_kernel::ops::attention::{Dims, Mask};
use var_kernel::parts::math;
use var_kernel::parts::matmul::gemm::{self, GEMM_FLOATS, GemmOperands, MAX_MC};
use var_kernel::parts::matmul::{
    Initial, RowMajor, Strided, pack_a, pack_a_transposed, pack_b, pack_b_transposed,
};
use var_kernel::parts::simd::{LANES, Simd, SimdKernel};

use super::AttentionBackward;

/// Queries of a block of recomputed probabilities. Another number would give other bits.
const QUERIES: usize = 64;

/// Most keys: their probabilities for [`QUERIES`] queries fill a thread's scratch memory.
const MAX_KEYS: usize = (SCRATCH_FLOATS - GEMM_FLOATS) / (2 * QUERIES);

impl AttentionBackward for Cpu<'_> {
    fn attention_backward_scratch(&self, d: Dims) -> usize {
        d.batch * d.heads * floats_of_a_head(d)
    }

    fn attention_backward(
        &self,
        [dq, dk, dv]: [&mut [f32]; 3],
        dout: &[f32],
        q: &[f32],
        k: &[f32],
        v: &[f32],
        scale: f32,
        mask: Mask<'_>,
        scratch: &mut [f32],
        d: Dims,
    ) -> Result<(), Infallible> {
        let width = d.heads * d.head_width;
        let (queries, keys) = (d.batch * d.queries * width, d.batch * d.keys * width);
        assert_eq!(d.capacity, d.keys, "attention's gradient: the capacity is not the keys");
        assert_eq!([dq.len(), dout.len(), q.len()], [queries; 3], "not batch × queries × width");
        assert_eq!([dk.len(), dv.len(), k.len(), v.len()], [keys; 4], "not batch × keys × width");
        assert!(d.keys <= MAX_KEYS, "attention's gradient: {} keys, at most {MAX_KEYS}", d.keys);
        let (isa, heads) = (self.isa(), Heads { dout, q, k, v, scale, mask, d });
        let wanted = self.attention_backward_scratch(d);
        let parts = &mut scratch[..wanted];
        self.for_each_run(parts, floats_of_a_head(d), |task, part, scratch| {
            heads.one(isa, task / d.heads, task % d.heads, part, scratch);
        });
        let parts = &*parts;
        let (of_q, of_k) = (d.queries * d.head_width, d.keys * d.head_width);
        for (into, rows, start) in
            [(dq, d.queries, 0), (dk, d.keys, of_q), (dv, d.keys, of_q + of_k)]
        {
            self.for_each_run(into, width, |number, into, _| {
                let (sequence, row) = (number / rows, number % rows);
                for (head, into) in into.chunks_exact_mut(d.head_width).enumerate() {
                    let part = &parts[(sequence * d.heads + head) * floats_of_a_head(d) + start..];
                    let from = &part[row * d.head_width..];
                    into.iter_mut().zip(from).for_each(|(into, from)| *into += from);
                }
            });
        }
        Ok(())
    }
}

/// Floats of a head's three gradients.
fn floats_of_a_head(d: Dims) -> usize {
    (d.queries + 2 * d.keys) * d.head_width
}

/// The operands of one call.
struct Heads<'a> {
    dout: &'a [f32],
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    scale: f32,
    mask: Mask<'a>,
    d: Dims,
}

impl Heads<'_> {
    /// The gradients of one head of one sequence.
    fn one(&self, isa: Isa, sequence: usize, head: usize, out: &mut [f32], scratch: &mut [f32]) {
        let d = self.d;
        let stride = d.heads * d.head_width;
        let of = |values, rows| {
            let start = sequence * rows * stride + head * d.head_width;
            StridedRows { values: &<[f32]>::as_ref(values)[start..], stride }
        };
        let (q, dout) = (of(self.q, d.queries), of(self.dout, d.queries));
        let (k, v) = (of(self.k, d.keys), of(self.v, d.keys));
        let (dq, rest) = out.split_at_mut(d.queries * d.head_width);
        let (dk, dv) = rest.split_at_mut(d.keys * d.head_width);
        let (scratch, rest) = scratch.split_at_mut(GEMM_FLOATS);
        let (p, ds) = rest.split_at_mut(QUERIES * d.keys);

        let visible = |query| self.mask.visible(query, d.keys);
        for first in (0..d.queries).step_by(QUERIES) {
            let rows = first..d.queries.min(first + QUERIES);
            // Keys past those the last of these queries sees have probability 0 for all of them.
            let (count, keys) = (rows.len(), visible(rows.end - 1));
            let all = 0..keys;
            let mut run =
                |out: &mut [f32], operands: &OperandPair<'_>, rows, columns, depth, start| {
                    blocks(isa, out, operands, rows, columns, depth, start, scratch);
                };
            let (p, ds) = (&mut p[..count * keys], &mut ds[..count * keys]);
            run(
                p,
                &OperandPair::by_rows(q, k),
                rows.clone(),
                all.clone(),
                d.head_width,
                Initial::Zero,
            );
            run(
                ds,
                &OperandPair::by_rows(dout, v),
                rows.clone(),
                all.clone(),
                d.head_width,
                Initial::Zero,
            );
            for (row, (p, ds)) in
                p.chunks_exact_mut(keys).zip(ds.chunks_exact_mut(keys)).enumerate()
            {
                isa.run(Softmax { p, ds, seen: visible(first + row), scale: self.scale });
            }
            let start = if first == 0 { Initial::Zero } else { Initial::Output };
            let (p, ds) =
                (StridedRows { values: p, stride: keys }, StridedRows { values: ds, stride: keys });
            let (of_q, of_dout) = (q.from(first), dout.from(first));
            let width = 0..d.head_width;
            let dq = &mut dq[rows.start * d.head_width..rows.end * d.head_width];
            run(dq, &OperandPair::straight(ds, k), 0..count, width.clone(), keys, Initial::Zero);
            // Keys that come into sight later begin at zero.
            let seen_before = if first == 0 { 0 } else { visible(first - 1) };
            for (into, pair) in [
                (&mut *dk, OperandPair::over_rows(ds, of_q)),
                (&mut *dv, OperandPair::over_rows(p, of_dout)),
            ] {
                let (before, new) =
                    into[..keys * d.head_width].split_at_mut(seen_before * d.head_width);
                run(before, &pair, 0..seen_before, width.clone(), count, start);
                run(new, &pair, seen_before..keys, width.clone(), count, Initial::Zero);
            }
        }
        let seen = visible(d.queries - 1) * d.head_width;
        dk[seen..].fill(0.0);
        dv[seen..].fill(0.0);
    }
}

/// A product cut into as many tiles as its rows take; `out` holds `rows × columns`.
fn blocks(
    isa: Isa,
    out: &mut [f32],
    operands: &OperandPair<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    depth: usize,
    start: Initial,
    scratch: &mut [f32],
) {
    let stride = columns.len();
    for first in rows.clone().step_by(MAX_MC) {
        let some = first..rows.end.min(first + MAX_MC);
        let values = &mut out[(first - rows.start) * stride..][..some.len() * stride];
        let mut out = Strided { values, stride };
        gemm::tile(isa, &mut out, operands, some, columns.clone(), depth, start, scratch);
    }
}

/// Rows some floats apart.
#[derive(Clone, Copy)]
struct StridedRows<'a> {
    values: &'a [f32],
    stride: usize,
}

impl<'a> StridedRows<'a> {
    /// The rows from `first` on.
    fn from(self, first: usize) -> Self {
        Self { values: &self.values[first * self.stride..], ..self }
    }

    fn matrix(self) -> RowMajor<'a, f32> {
        RowMajor { values: self.values, stride: self.stride }
    }
}

/// Two operands, each as it lies or turned.
struct OperandPair<'a> {
    left: StridedRows<'a>,
    right: StridedRows<'a>,
    a_transposed: bool,
    b_transposed: bool,
}

impl<'a> OperandPair<'a> {
    /// `left · rightᵀ`
    fn by_rows(left: StridedRows<'a>, right: StridedRows<'a>) -> Self {
        Self { left, right, a_transposed: false, b_transposed: true }
    }

    /// `left · right`
    fn straight(left: StridedRows<'a>, right: StridedRows<'a>) -> Self {
        Self { left, right, a_transposed: false, b_transposed: false }
    }

    /// `leftᵀ · right`
    fn over_rows(left: StridedRows<'a>, right: StridedRows<'a>) -> Self {
        Self { left, right, a_transposed: true, b_transposed: false }
    }
}

impl GemmOperands for OperandPair<'_> {
    #[inline(always)]
    fn pack_a<S: Simd>(&self, s: S, to: &mut [f32], rows: Range<usize>, depth: Range<usize>) {
        if self.a_transposed {
            pack_a_transposed(s, to, &self.left.matrix(), rows, depth);
        } else {
            pack_a(s, to, &self.left.matrix(), rows, depth);
        }
    }

    #[inline(always)]
    fn pack_b<S: Simd>(&self, s: S, to: &mut [f32], columns: Range<usize>, depth: Range<usize>) {
        if self.b_transposed {
            pack_b_transposed(s, to, &self.right.matrix(), columns, depth);
        } else {
            pack_b(s, to, &self.right.matrix(), columns, depth);
        }
    }
}

/// One query: `p` from scores to probabilities, `ds` from `dP` to `scale · dS`; 0 for keys it does not
/// see.
struct Softmax<'a> {
    p: &'a mut [f32],
    ds: &'a mut [f32],
    seen: usize,
    scale: f32,
}

impl SimdKernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { p, ds, seen, scale } = self;
        let (p, unseen) = p.split_at_mut(seen);
        let (ds, unseen_ds) = ds.split_at_mut(seen);
        unseen.fill(0.0);
        unseen_ds.fill(0.0);
        let factor = s.splat(scale);
        let mut top = s.splat(f32::NEG_INFINITY);
        for part in p.chunks(LANES) {
            // Filled up with a number of the row, since −∞ times a negative factor would win.
            top = s.max(top, s.mul(s.load_or(part, part[0]), factor));
        }
        let greatest = s.splat(s.greatest(top));
        let mut sum = s.splat(0.0);
        for part in p.chunks_mut(LANES) {
            let below = s.sub(s.mul(s.load_or(part, 0.0), factor), greatest);
            s.store_part(math::exp(s, below), part);
            sum = s.add(sum, s.load_or(part, 0.0));
        }
        let total = s.splat(s.sum(sum));
        let mut dot = s.splat(0.0);
        for (p, ds) in p.chunks_mut(LANES).zip(ds.chunks(LANES)) {
            let probability = s.div(s.load_or(p, 0.0), total);
            s.store_part(probability, p);
            dot = s.mul_add(s.load_or(ds, 0.0), probability, dot);
        }
        let dot = s.splat(s.sum(dot));
        for (p, ds) in p.chunks(LANES).zip(ds.chunks_mut(LANES)) {
            let weighted = s.mul(s.load_or(p, 0.0), s.sub(s.load_or(ds, 0.0), dot));
            s.store_part(s.mul(weighted, factor), ds);
        }
    }
}
