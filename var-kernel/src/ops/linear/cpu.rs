//! linear on the CPU.
//!
//! A tile of very few rows packs nothing: see [`super::few`].

use core::convert::Infallible;
use core::ops::Range;

use super::few::{FewRows, MOST_ROWS};
use super::{Dims, Epilogue, Linear};
use crate::cpu::matmul::product::{self, Operands, Size};
use crate::cpu::matmul::{Output, RowMajor, RowMajorQ8, Start, pack_left, pack_right_transposed};
use crate::cpu::simd::{Kernel, LANES, Simd};
use crate::cpu::tiles::Tile;
use crate::cpu::{Cpu, Matrix, math};

impl Linear for Cpu<'_> {
    fn linear(
        &self,
        out: &mut [f32],
        x: &[f32],
        weight: Matrix<'_>,
        bias: Option<&[f32]>,
        epilogue: Epilogue<'_, [f32]>,
        d: Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.len(), bias.map(<[f32]>::len));
        epilogue.check(d);
        if out.is_empty() {
            return Ok(());
        }
        let size = Size { rows: d.rows, columns: d.outer, depth: d.inner };
        let (rows, columns) = product::tile_size(size, self.workers.count());
        let (isa, operands) = (self.isa, Rows { x, weight, bias, epilogue, d });
        self.for_each_tile(out, d.outer, rows, columns, |mut tile, scratch| {
            if tile.rows.len() <= MOST_ROWS {
                isa.run(FewRows { tile: &mut tile, x, weight, d });
                isa.run(FinishFew { tile: &mut tile, operands: &operands });
            } else {
                let (rows, columns, start) = (tile.rows.clone(), tile.columns.clone(), Start::Zero);
                product::tile(isa, &mut tile, &operands, rows, columns, d.inner, start, scratch);
            }
        });
        Ok(())
    }
}

/// The operands of one call.
struct Rows<'a> {
    x: &'a [f32],
    weight: Matrix<'a>,
    bias: Option<&'a [f32]>,
    epilogue: Epilogue<'a, [f32]>,
    d: Dims,
}

impl Operands for Rows<'_> {
    #[inline(always)]
    fn pack_left<S: Simd>(&self, s: S, to: &mut [f32], rows: Range<usize>, depth: Range<usize>) {
        pack_left(s, to, &RowMajor { values: self.x, stride: self.d.inner }, rows, depth);
    }

    #[inline(always)]
    fn pack_right<S: Simd>(
        &self,
        s: S,
        to: &mut [f32],
        columns: Range<usize>,
        depth: Range<usize>,
    ) {
        let stride = self.d.inner;
        match self.weight {
            Matrix::F32(values) => {
                pack_right_transposed(s, to, &RowMajor { values, stride }, columns, depth)
            }
            Matrix::F16(values) => {
                pack_right_transposed(s, to, &RowMajor { values, stride }, columns, depth)
            }
            Matrix::Bf16(values) => {
                pack_right_transposed(s, to, &RowMajor { values, stride }, columns, depth)
            }
            Matrix::Q8 { values, scales } => {
                pack_right_transposed(s, to, &RowMajorQ8 { values, scales, stride }, columns, depth)
            }
        }
    }

    /// Bias and epilogue.
    #[inline(always)]
    fn finish<S: Simd>(
        &self,
        s: S,
        out: &mut impl Output,
        rows: Range<usize>,
        columns: Range<usize>,
        left: usize,
    ) {
        let Self { bias, epilogue, d, .. } = *self;
        for (r, row) in rows.enumerate() {
            let after = match epilogue {
                Epilogue::None => After::Nothing,
                Epilogue::Gelu => After::Gelu,
                Epilogue::Gated { residual, gate } => {
                    After::Gated(&residual[row * d.outer..][..d.outer], gate.row(row, d.outer))
                }
                Epilogue::Plus { table } => {
                    let period = table.len() / d.outer;
                    After::Plus(&table[row % period * d.outer..][..d.outer])
                }
            };
            for c in columns.clone().step_by(LANES) {
                let part = c..columns.end.min(c + LANES);
                let sums = out.part(r, part.start - left..part.end - left);
                let mut y = s.load_or(sums, 0.0);
                if let Some(bias) = bias {
                    y = s.add(y, s.load_or(&bias[part.clone()], 0.0));
                }
                let value = match after {
                    After::Nothing => y,
                    After::Gelu => math::gelu(s, y),
                    After::Gated(residual, gate) => {
                        let residual = s.load_or(&residual[part.clone()], 0.0);
                        s.mul_add(s.load_or(&gate[part], 0.0), y, residual)
                    }
                    After::Plus(table) => s.add(y, s.load_or(&table[part], 0.0)),
                };
                s.store_part(value, sums);
            }
        }
    }
}

/// [`Rows::finish`] for a tile of few rows.
struct FinishFew<'a, 'o> {
    tile: &'a mut Tile<'o>,
    operands: &'a Rows<'a>,
}

impl Kernel for FinishFew<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (rows, columns) = (self.tile.rows.clone(), self.tile.columns.clone());
        let left = columns.start;
        self.operands.finish(s, self.tile, rows, columns, left);
    }
}

/// An [`Epilogue`] for one row.
#[derive(Clone, Copy)]
enum After<'a> {
    Nothing,
    Gelu,
    Gated(&'a [f32], &'a [f32]),
    Plus(&'a [f32]),
}
