//! Vectors of four registers, each of four `f32` or two `f64`, where the hardware does not fuse.
//!
//! A chain of multiply-adds keeps its sum in a register of `f64` that holds `f32` values, and looks
//! for doubtful sums (see [`fused`](super::fused)) once a stretch: a stretch with one is done again,
//! lane by lane.

use super::fused::multiply_add;
use super::{LANES, Simd};

/// Steps of a chain between two looks for doubtful sums. Among operands of few bits, as weights of
/// `f16` are, one in some thousands is.
const STRETCH: usize = 4;

/// A test of one half of a number's bits: those `kept`, plus `offset`, are less than `below`.
#[derive(Clone, Copy)]
pub(crate) struct HalfTest {
    pub(crate) kept: i32,
    pub(crate) offset: i32,
    pub(crate) below: i32,
}

/// [`is_doubtful`](super::fused::is_doubtful) for a comparison of signed integers of 32 bits: whether
/// the low half of a sum's bits ends in 10…0, and whether the high half is a subnormal `f32`'s.
pub(crate) const DOUBTS: [HalfTest; 2] = [
    HalfTest { kept: 0x1fff_ffff, offset: i32::MIN.wrapping_sub(0x1000_0000), below: i32::MIN + 1 },
    HalfTest {
        kept: i32::MAX,
        offset: i32::MIN.wrapping_sub(1),
        below: i32::MIN + LEAST_NORMAL - 1,
    },
];

/// The high half of the least normal `f32`'s bits as an `f64`.
const LEAST_NORMAL: i32 = ((f32::MIN_POSITIVE as f64).to_bits() >> 32) as i32;

/// An instruction set with registers of two `f64`.
pub(crate) trait Doubles: Simd<F32 = [Self::Quad; 4]> {
    /// Four `f32`.
    type Quad: Copy;

    /// Two `f64`.
    type Pair: Copy;

    /// Four neighbors.
    fn load_quad(self, from: &[f32; 4]) -> Self::Quad;

    /// Writes four neighbors.
    fn store_quad(self, v: Self::Quad, to: &mut [f32; 4]);

    /// Widens exactly.
    fn widen(self, v: Self::Quad) -> [Self::Pair; 2];

    /// Rounds to `f32`.
    fn narrow(self, v: [Self::Pair; 2]) -> Self::Quad;

    /// Rounds to `f32` and widens again.
    fn round(self, v: Self::Pair) -> Self::Pair;

    /// `x` in both lanes.
    fn splat_pair(self, x: f32) -> Self::Pair;

    /// `a · b + c`, its product exact.
    fn product_sum(self, a: Self::Pair, b: Self::Pair, c: Self::Pair) -> Self::Pair;

    /// Bits in which nothing is doubtful.
    fn no_doubts(self) -> Self::Quad;

    /// `doubts` and, wherever `sum` is [doubtful](super::fused::is_doubtful), more of them.
    fn doubts(self, doubts: Self::Quad, sum: Self::Pair) -> Self::Quad;

    /// Whether anything is doubtful.
    fn any(self, doubts: Self::Quad) -> bool;
}

/// `a · b + c` rounded once, lane by lane where a sum is doubtful.
#[inline(always)]
pub(crate) fn mul_add<D: Doubles>(d: D, a: D::F32, b: D::F32, c: D::F32) -> D::F32 {
    let mut out = c;
    let mut doubts = d.no_doubts();
    for i in 0..4 {
        let (a, b, c) = (d.widen(a[i]), d.widen(b[i]), d.widen(c[i]));
        let sums = [d.product_sum(a[0], b[0], c[0]), d.product_sum(a[1], b[1], c[1])];
        doubts = d.doubts(d.doubts(doubts, sums[0]), sums[1]);
        out[i] = d.narrow(sums);
    }
    if d.any(doubts) {
        let mut lanes = [[0.0; LANES]; 4];
        let [a_lanes, b_lanes, c_lanes, out_lanes] = &mut lanes;
        d.store(a, a_lanes);
        d.store(b, b_lanes);
        d.store(c, c_lanes);
        each_lane(out_lanes, a_lanes, b_lanes, c_lanes);
        out = d.load(out_lanes);
    }
    out
}

#[cold]
#[inline(never)]
fn each_lane(out: &mut [f32; LANES], a: &[f32; LANES], b: &[f32; LANES], c: &[f32; LANES]) {
    for i in 0..LANES {
        out[i] = multiply_add(a[i], b[i], c[i]);
    }
}

/// [`Simd::chains`], four columns at a time so that sums stay in registers.
#[inline(always)]
pub(crate) fn chains<D: Doubles, const ROWS: usize, const VECTORS: usize>(
    d: D,
    sums: &mut [[D::F32; VECTORS]; ROWS],
    a: &[f32],
    b: [&[[f32; LANES]]; VECTORS],
) {
    for v in 0..VECTORS {
        for quad in 0..4 {
            let mut pairs = [[d.splat_pair(0.0); 2]; ROWS];
            for r in 0..ROWS {
                pairs[r] = d.widen(sums[r][v][quad]);
            }
            for (a, b) in a.chunks(STRETCH * D::MR).zip(b[v].chunks(STRETCH)) {
                let before = pairs;
                let mut doubts = d.no_doubts();
                for (a, b) in a.chunks_exact(D::MR).zip(b) {
                    let b = d.widen(d.load_quad(&b.as_chunks().0[quad]));
                    for r in 0..ROWS {
                        let a = d.splat_pair(a[r]);
                        for i in 0..2 {
                            let sum = d.product_sum(a, b[i], pairs[r][i]);
                            doubts = d.doubts(doubts, sum);
                            pairs[r][i] = d.round(sum);
                        }
                    }
                }
                if d.any(doubts) {
                    for r in 0..ROWS {
                        let mut lanes = [0.0; 4];
                        d.store_quad(d.narrow(before[r]), &mut lanes);
                        chains_of_lanes(&mut lanes, a[r..].iter().step_by(D::MR), b, quad);
                        pairs[r] = d.widen(d.load_quad(&lanes));
                    }
                }
            }
            for r in 0..ROWS {
                sums[r][v][quad] = d.narrow(pairs[r]);
            }
        }
    }
}

#[cold]
#[inline(never)]
fn chains_of_lanes<'a>(
    sums: &mut [f32; 4],
    a: impl Iterator<Item = &'a f32>,
    b: &[[f32; LANES]],
    quad: usize,
) {
    for (a, b) in a.zip(b) {
        for (sum, b) in sums.iter_mut().zip(&b.as_chunks::<4>().0[quad]) {
            *sum = multiply_add(*a, *b, *sum);
        }
    }
}
