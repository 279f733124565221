//! The three transforms of Winograd's minimal filtering F(4×4, 3×3), and two of them transposed.
//!
//! Four outputs of a three-tap filter are interpolated from six products instead of twelve: the
//! product of two polynomials, taken at the points 0, ±¾, ±1½ and ∞ (Winograd, "Arithmetic
//! complexity of computations", 1980; Lavin and Gray, "Fast algorithms for convolutional neural
//! networks", 2015). With p_j the points:
//!
//! * filter: `Σₖ g_k·p_jᵏ / Π_{l≠j}(p_j − p_l)`,
//! * input: the coefficients of `Π_{l≠j}(x − p_l)`,
//! * output: `Σ_j m_j·p_jⁱ`; ∞ stands for the highest coefficient.
//!
//! The gradient of the filter takes those of output and filter transposed, and that of the input as it
//! is.
//!
//! Lavin and Gray's points 0, ±1, ±2 double the error; those here cost 1.7 times that of the plain
//! sum, and every constant of the input's and output's transforms is exact.

use crate::cpu::simd::Simd;

/// Points, so inputs along one axis of a tile.
pub const POINTS: usize = 6;

/// Products of a tile.
pub const PRODUCTS: usize = POINTS * POINTS;

/// Outputs along one axis of a tile.
pub const SIDE: usize = 4;

/// The lesser point.
const A: f32 = 0.75;

/// The greater point.
const B: f32 = 1.5;

/// Input numbers of a tile to factors, along both axes.
#[inline(always)]
pub fn of_input<S: Simd>(s: S, tile: [[S::F32; POINTS]; POINTS]) -> [[S::F32; POINTS]; POINTS] {
    let mut rows = tile;
    for y in 0..POINTS {
        rows[y] = input_axis(s, tile[y]);
    }
    let mut out = rows;
    for x in 0..POINTS {
        let mut column = rows[0];
        for y in 0..POINTS {
            column[y] = rows[y][x];
        }
        let column = input_axis(s, column);
        for y in 0..POINTS {
            out[y][x] = column[y];
        }
    }
    out
}

#[inline(always)]
fn input_axis<S: Simd>(s: S, d: [S::F32; POINTS]) -> [S::F32; POINTS] {
    let (minus_a2, minus_b2) = (s.splat(-A * A), s.splat(-B * B));
    let (sum, product) = (s.splat(-A * A - B * B), s.splat(A * A * B * B));
    let even_a = s.mul_add(minus_b2, d[2], d[4]);
    let odd_a = s.mul_add(minus_b2, d[1], d[3]);
    let even_b = s.mul_add(minus_a2, d[2], d[4]);
    let odd_b = s.mul_add(minus_a2, d[1], d[3]);
    [
        s.mul_add(product, d[0], s.mul_add(sum, d[2], d[4])),
        s.mul_add(s.splat(A), odd_a, even_a),
        s.mul_add(s.splat(-A), odd_a, even_a),
        s.mul_add(s.splat(B), odd_b, even_b),
        s.mul_add(s.splat(-B), odd_b, even_b),
        s.mul_add(product, d[1], s.mul_add(sum, d[3], d[5])),
    ]
}

/// The nine weights of a filter to factors, along both axes.
#[inline(always)]
pub(super) fn of_filter<S: Simd>(s: S, g: [[S::F32; 3]; 3]) -> [[S::F32; POINTS]; POINTS] {
    let mut rows = [[s.splat(0.0); POINTS]; 3];
    for y in 0..3 {
        rows[y] = filter_axis(s, g[y]);
    }
    let mut out = [[s.splat(0.0); POINTS]; POINTS];
    for x in 0..POINTS {
        let column = filter_axis(s, [rows[0][x], rows[1][x], rows[2][x]]);
        for y in 0..POINTS {
            out[y][x] = column[y];
        }
    }
    out
}

/// The filter's polynomial at 0, by its denominator.
const AT_ZERO: f32 = 1.0 / (A * A * B * B);
/// That at ±¾: the factors of its three coefficients.
const AT_A: [f32; 3] = of_point(1.0 / (2.0 * A * A * (A * A - B * B)), A);
/// That at ±1½.
const AT_B: [f32; 3] = of_point(1.0 / (2.0 * B * B * (B * B - A * A)), B);

const fn of_point(factor: f32, point: f32) -> [f32; 3] {
    [factor, factor * point, factor * point * point]
}

#[inline(always)]
fn filter_axis<S: Simd>(s: S, g: [S::F32; 3]) -> [S::F32; POINTS] {
    let ([a0, a1, a2], [b0, b1, b2]) = (AT_A, AT_B);
    let even_a = s.mul_add(s.splat(a2), g[2], s.mul(s.splat(a0), g[0]));
    let even_b = s.mul_add(s.splat(b2), g[2], s.mul(s.splat(b0), g[0]));
    [
        s.mul(s.splat(AT_ZERO), g[0]),
        s.mul_add(s.splat(a1), g[1], even_a),
        s.mul_add(s.splat(-a1), g[1], even_a),
        s.mul_add(s.splat(b1), g[1], even_b),
        s.mul_add(s.splat(-b1), g[1], even_b),
        g[2],
    ]
}

/// The products of a tile to outputs, along both axes.
#[inline(always)]
pub(super) fn to_output<S: Simd>(s: S, m: [[S::F32; POINTS]; POINTS]) -> [[S::F32; SIDE]; SIDE] {
    let mut rows = [[s.splat(0.0); SIDE]; POINTS];
    for y in 0..POINTS {
        rows[y] = output_axis(s, m[y]);
    }
    let mut out = [[s.splat(0.0); SIDE]; SIDE];
    for x in 0..SIDE {
        let mut column = m[0];
        for y in 0..POINTS {
            column[y] = rows[y][x];
        }
        let column = output_axis(s, column);
        for y in 0..SIDE {
            out[y][x] = column[y];
        }
    }
    out
}

#[inline(always)]
fn output_axis<S: Simd>(s: S, m: [S::F32; POINTS]) -> [S::F32; SIDE] {
    let (sum_a, difference_a) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (sum_b, difference_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    [
        s.add(m[0], s.add(sum_a, sum_b)),
        s.mul_add(s.splat(A), difference_a, s.mul(s.splat(B), difference_b)),
        s.mul_add(s.splat(A * A), sum_a, s.mul(s.splat(B * B), sum_b)),
        s.mul_add(
            s.splat(A * A * A),
            difference_a,
            s.mul_add(s.splat(B * B * B), difference_b, m[5]),
        ),
    ]
}

/// Gradients of a tile's outputs to factors, along both axes: the output's transform, transposed.
#[inline(always)]
pub fn of_output_gradient<S: Simd>(s: S, d: [[S::F32; SIDE]; SIDE]) -> [[S::F32; POINTS]; POINTS] {
    let mut rows = [[s.splat(0.0); POINTS]; SIDE];
    for y in 0..SIDE {
        rows[y] = output_gradient_axis(s, d[y]);
    }
    let mut out = [[s.splat(0.0); POINTS]; POINTS];
    for x in 0..POINTS {
        let column = output_gradient_axis(s, [rows[0][x], rows[1][x], rows[2][x], rows[3][x]]);
        for y in 0..POINTS {
            out[y][x] = column[y];
        }
    }
    out
}

#[inline(always)]
fn output_gradient_axis<S: Simd>(s: S, d: [S::F32; SIDE]) -> [S::F32; POINTS] {
    let even_a = s.mul_add(s.splat(A * A), d[2], d[0]);
    let odd_a = s.mul_add(s.splat(A * A * A), d[3], s.mul(s.splat(A), d[1]));
    let even_b = s.mul_add(s.splat(B * B), d[2], d[0]);
    let odd_b = s.mul_add(s.splat(B * B * B), d[3], s.mul(s.splat(B), d[1]));
    [
        d[0],
        s.add(even_a, odd_a),
        s.sub(even_a, odd_a),
        s.add(even_b, odd_b),
        s.sub(even_b, odd_b),
        d[3],
    ]
}

/// The sums of the tiles' products to the gradient of the nine weights, along both axes: the filter's
/// transform, transposed.
#[inline(always)]
pub fn to_filter_gradient<S: Simd>(s: S, m: [[S::F32; POINTS]; POINTS]) -> [[S::F32; 3]; 3] {
    let mut rows = [[s.splat(0.0); 3]; POINTS];
    for y in 0..POINTS {
        rows[y] = filter_gradient_axis(s, m[y]);
    }
    let mut out = [[s.splat(0.0); 3]; 3];
    for x in 0..3 {
        let mut column = m[0];
        for y in 0..POINTS {
            column[y] = rows[y][x];
        }
        let column = filter_gradient_axis(s, column);
        for y in 0..3 {
            out[y][x] = column[y];
        }
    }
    out
}

#[inline(always)]
fn filter_gradient_axis<S: Simd>(s: S, m: [S::F32; POINTS]) -> [S::F32; 3] {
    let ([a0, a1, a2], [b0, b1, b2]) = (AT_A, AT_B);
    let (sum_a, difference_a) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (sum_b, difference_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    let even = s.mul_add(s.splat(b0), sum_b, s.mul(s.splat(a0), sum_a));
    [
        s.mul_add(s.splat(AT_ZERO), m[0], even),
        s.mul_add(s.splat(b1), difference_b, s.mul(s.splat(a1), difference_a)),
        s.mul_add(s.splat(b2), sum_b, s.mul_add(s.splat(a2), sum_a, m[5])),
    ]
}
