//! linear on the CPU.
//!
//! A tile of very few rows packs nothing: see [`super::gemv`].

use core::convert::Infallible;
use core::ops::Range;

use super::gemv::{Gemv, MAX_ROWS};
use super::{Dims, Epilogue, Linear};
use crate::cpu::matmul::gemm::{self, GemmOperands, GemmSize, LEAST_GEMM_FLOATS};
use crate::cpu::matmul::{Initial, Output, RowMajor, RowMajorQ8, pack_a, pack_b_transposed};
use crate::cpu::simd::{LANES, Simd, SimdKernel};
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
        let size = GemmSize { rows: d.rows, columns: d.outer, depth: d.inner };
        let scratch = self.scratch_len("linear", scratch_len(d));
        let (rows, columns) = gemm::tile_size(size, self.workers.count(), scratch);
        let (isa, operands) = (self.isa, LinearOperands { x, weight, bias, epilogue, d });
        self.for_each_tile(out, d.outer, rows, columns, |mut tile, scratch| {
            if tile.rows.len() <= MAX_ROWS {
                isa.run(Gemv { tile: &mut tile, x, weight, d });
                isa.run(FinishGemv { tile: &mut tile, operands: &operands });
            } else {
                let (rows, columns, initial) =
                    (tile.rows.clone(), tile.columns.clone(), Initial::Zero);
                gemm::tile(isa, &mut tile, &operands, rows, columns, d.inner, initial, scratch);
            }
        });
        Ok(())
    }
}

/// Floats of scratch memory that a thread wants at least.
pub(crate) fn scratch_len(_: Dims) -> usize {
    LEAST_GEMM_FLOATS
}

/// The operands of one call.
struct LinearOperands<'a> {
    x: &'a [f32],
    weight: Matrix<'a>,
    bias: Option<&'a [f32]>,
    epilogue: Epilogue<'a, [f32]>,
    d: Dims,
}

impl GemmOperands for LinearOperands<'_> {
    #[inline(always)]
    fn pack_a<S: Simd>(&self, s: S, to: &mut [f32], rows: Range<usize>, depth: Range<usize>) {
        pack_a(s, to, &RowMajor { values: self.x, stride: self.d.inner }, rows, depth);
    }

    #[inline(always)]
    fn pack_b<S: Simd>(&self, s: S, to: &mut [f32], columns: Range<usize>, depth: Range<usize>) {
        let stride = self.d.inner;
        match self.weight {
            Matrix::F32(values) => {
                pack_b_transposed(s, to, &RowMajor { values, stride }, columns, depth)
            }
            Matrix::F16(values) => {
                pack_b_transposed(s, to, &RowMajor { values, stride }, columns, depth)
            }
            Matrix::Bf16(values) => {
                pack_b_transposed(s, to, &RowMajor { values, stride }, columns, depth)
            }
            Matrix::Q8 { values, scales } => {
                pack_b_transposed(s, to, &RowMajorQ8 { values, scales, stride }, columns, depth)
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
        first_column: usize,
    ) {
        let Self { bias, epilogue, d, .. } = *self;
        for (r, row) in rows.enumerate() {
            let epilogue_of_row = match epilogue {
                Epilogue::None => RowEpilogue::Nothing,
                Epilogue::Gelu => RowEpilogue::Gelu,
                Epilogue::Gated { residual, gate } => RowEpilogue::Gated(
                    &residual[row * d.outer..][..d.outer],
                    gate.row(row, d.outer),
                ),
                Epilogue::Plus { table } => {
                    let period = table.len() / d.outer;
                    RowEpilogue::Plus(&table[row % period * d.outer..][..d.outer])
                }
            };
            for c in columns.clone().step_by(LANES) {
                let part = c..columns.end.min(c + LANES);
                let sums = out.part(r, part.start - first_column..part.end - first_column);
                let mut y = s.load_or(sums, 0.0);
                if let Some(bias) = bias {
                    y = s.add(y, s.load_or(&bias[part.clone()], 0.0));
                }
                let value = match epilogue_of_row {
                    RowEpilogue::Nothing => y,
                    RowEpilogue::Gelu => math::gelu(s, y),
                    RowEpilogue::Gated(residual, gate) => {
                        let residual = s.load_or(&residual[part.clone()], 0.0);
                        s.mul_add(s.load_or(&gate[part], 0.0), y, residual)
                    }
                    RowEpilogue::Plus(table) => s.add(y, s.load_or(&table[part], 0.0)),
                };
                s.store_part(value, sums);
            }
        }
    }
}

/// [`LinearOperands::finish`] for a tile of few rows.
struct FinishGemv<'a, 'o> {
    tile: &'a mut Tile<'o>,
    operands: &'a LinearOperands<'a>,
}

impl SimdKernel for FinishGemv<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (rows, columns) = (self.tile.rows.clone(), self.tile.columns.clone());
        let first_column = columns.start;
        self.operands.finish(s, self.tile, rows, columns, first_column);
    }
}

/// An [`Epilogue`] for one row.
#[derive(Clone, Copy)]
enum RowEpilogue<'a> {
    Nothing,
    Gelu,
    Gated(&'a [f32], &'a [f32]),
    Plus(&'a [f32]),
}
