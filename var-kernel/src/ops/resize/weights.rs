//! Input cells of an output cell along one axis, and their weights.

use core::ops::Range;

use super::Dims;

/// Cells that one cell of a cubic convolution is mixed from, along one axis.
pub const TAPS: usize = 4;

/// The input cells that enlarging mixes to output cell `i`, and their weights; at the border a cell
/// comes more than once.
///
/// The cell's center lies at `(i + ½)·from/to − ½` on the input's grid.
pub fn cubic(i: usize, d: Dims) -> ([usize; TAPS], [f32; TAPS]) {
    let twice_to = 2 * d.to as i64;
    let center = (2 * i as i64 + 1) * d.from as i64 - d.to as i64;
    let first = center.div_euclid(twice_to) - 1;
    let t = center.rem_euclid(twice_to) as f64 / twice_to as f64;
    let cells = [0, 1, 2, 3].map(|tap| (first + tap).clamp(0, d.from as i64 - 1) as usize);
    (cells, [1.0 + t, t, 1.0 - t, 2.0 - t].map(|distance| keys(distance) as f32))
}

/// Keys' kernel with a = −0.75.
fn keys(distance: f64) -> f64 {
    const A: f64 = -0.75;
    let x = distance;
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    }
}

/// The input cells that shrinking averages to output cell `i`.
pub fn area(i: usize, d: Dims) -> Range<usize> {
    i * d.from / d.to..((i + 1) * d.from).div_ceil(d.to)
}
