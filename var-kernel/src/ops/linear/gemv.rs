//! linear for few rows, which is bound by how fast the weights arrive.
//!
//! Sixteen weights of each of sixteen rows are turned in registers and go straight into the sums:
//! nothing is packed, and with so few instructions to a line of memory many lines are under way.

use super::Dims;
use crate::cpu::Matrix;
use crate::cpu::matmul::{LoadElements, RowMajor};
use crate::cpu::simd::{LANES, Simd, SimdKernel};
use crate::cpu::tiles::Tile;

/// More rows than this are packed.
pub(super) const MAX_ROWS: usize = 4;

/// The sums of a tile of at most [`MAX_ROWS`] rows.
pub(super) struct Gemv<'a, 'o> {
    pub(super) tile: &'a mut Tile<'o>,
    pub(super) x: &'a [f32],
    pub(super) weight: Matrix<'a>,
    pub(super) d: Dims,
}

impl Gemv<'_, '_> {
    #[inline(always)]
    fn with<S: Simd>(self, s: S, weight: impl LoadElements) {
        match self.tile.rows.len() {
            1 => self.rows::<S, 1>(s, weight),
            2 => self.rows::<S, 2>(s, weight),
            _ => self.rows::<S, 4>(s, weight),
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const ROWS: usize>(self, s: S, weight: impl LoadElements) {
        let Self { tile, x, d, .. } = self;
        let rows = tile.rows.clone();
        let columns = tile.columns.clone();
        for first in columns.clone().step_by(LANES) {
            let width = LANES.min(columns.end - first);
            let mut sums = [s.splat(0.0); ROWS];
            for k in (0..d.inner).step_by(LANES) {
                let count = LANES.min(d.inner - k);
                // Rows past the tile's are computed like its last and not written.
                let mut x_rows = [[0.0; LANES]; ROWS];
                for r in 0..ROWS {
                    let row = (rows.start + r).min(rows.end - 1);
                    let from = &x[row * d.inner + k..][..count];
                    s.store(s.load_or(from, 0.0), &mut x_rows[r]);
                }
                let mut weights = [s.splat(0.0); LANES];
                if width == LANES && count == LANES {
                    for c in 0..LANES {
                        weights[c] = weight.load(s, first + c, k, LANES);
                    }
                    multiply_add(s, &mut sums, s.transpose(weights), &x_rows, LANES);
                } else {
                    for c in 0..width {
                        weights[c] = weight.load(s, first + c, k, count);
                    }
                    multiply_add(s, &mut sums, s.transpose(weights), &x_rows, count);
                }
            }
            let at = first - columns.start;
            for r in 0..rows.len() {
                s.store_part(sums[r], &mut tile.row(r)[at..at + width]);
            }
        }
    }
}

/// Carries the sums on by `count` ≤ 16 of k.
#[inline(always)]
fn multiply_add<S: Simd, const ROWS: usize>(
    s: S,
    sums: &mut [S::F32; ROWS],
    weights: [S::F32; LANES],
    x: &[[f32; LANES]; ROWS],
    count: usize,
) {
    for i in 0..count {
        for r in 0..ROWS {
            sums[r] = s.mul_add(weights[i], s.splat(x[r][i]), sums[r]);
        }
    }
}

impl SimdKernel for Gemv<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let stride = self.d.inner;
        match self.weight {
            Matrix::F32(values) => self.with(s, RowMajor { values, stride }),
            Matrix::F16(values) => self.with(s, RowMajor { values, stride }),
            Matrix::Bf16(values) => self.with(s, RowMajor { values, stride }),
            Matrix::Q8 { .. } => unreachable!("q8 is no operand of gemv"),
        }
    }
}
