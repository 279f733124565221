//! linear on the CPU.
//!
//! The weights are read as they lie: see [`nt`], and [`super::gemv`] for very few rows.

use core::convert::Infallible;
use core::ops::Range;

use super::gemv::{Gemv, MAX_ROWS};
use super::{Dims, Epilogue, Linear};
use crate::cpu::matmul::gemm::{self, GemmOperands, GemmSize, LEAST_GEMM_FLOATS};
use crate::cpu::matmul::nt::{self, LEAST_NT_FLOATS, NtOperands};
use crate::cpu::matmul::q8::{self, LEAST_Q8_FLOATS};
use crate::cpu::matmul::{
    Initial, Output, RowMajor, RowMajorQ8, RowMajorWeights, pack_a, pack_b_transposed, pack_lanes,
};
use crate::cpu::matrix::Q8_BLOCK;
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
        self.begin("linear", d.multiply_adds(), 4 * (out.len() + x.len()) + weight.bytes());
        epilogue.check(d);
        if out.is_empty() {
            return Ok(());
        }
        let scratch = self.scratch_len("linear", scratch_len(d));
        let operands = LinearOperands { x, weight, bias, epilogue, d };
        if let Matrix::Q8 { values, scales } = weight
            && d.inner > 0
            && d.inner.is_multiple_of(Q8_BLOCK)
        {
            let weight = RowMajorQ8 { values, scales, stride: d.inner };
            self.linear_q8(out, &operands, weight, scratch);
            return Ok(());
        }
        let size = GemmSize { rows: d.rows, columns: d.outer, depth: d.inner };
        let algorithm = Algorithm::of(d, weight, scratch);
        let threads = self.workers.count();
        let (rows, columns) = match algorithm {
            Algorithm::Nt => nt::tile_size(size, threads, scratch),
            Algorithm::Gemv | Algorithm::Gemm => gemm::tile_size(size, threads, scratch),
        };
        let isa = self.isa;
        self.for_each_tile_by_columns(out, d.outer, rows, columns, |mut tile, scratch| {
            let (rows, columns) = (tile.rows.clone(), tile.columns.clone());
            match algorithm {
                Algorithm::Gemv => {
                    isa.run(Gemv { tile: &mut tile, x, weight, d });
                    let columns = 0..columns.len();
                    isa.run(FinishColumns { tile: &mut tile, columns, operands: &operands });
                }
                Algorithm::Nt if HAS_NT => {
                    let weights = RowMajorWeights { matrix: weight, stride: d.inner };
                    nt::tile(isa, &mut tile, &operands, &weights, rows, columns, d.inner, scratch);
                }
                Algorithm::Nt | Algorithm::Gemm => {
                    let initial = Initial::Zero;
                    gemm::tile(isa, &mut tile, &operands, rows, columns, d.inner, initial, scratch);
                }
            }
        });
        Ok(())
    }
}

/// How a product of floats is computed. All give the same bits.
#[derive(Clone, Copy)]
enum Algorithm {
    /// Few rows: [`super::gemv`].
    Gemv,
    /// [`nt::tile`]
    Nt,
    /// Little scratch memory: [`gemm::tile`].
    Gemm,
}

/// Whether there is [`nt::tile`]: a WebAssembly module without fused multiply-adds is bound by its sums, and should
/// be small.
const HAS_NT: bool = !cfg!(all(target_arch = "wasm32", not(target_feature = "relaxed-simd")));

impl Algorithm {
    fn of(d: Dims, weight: Matrix<'_>, scratch: usize) -> Self {
        match d.rows {
            // Rows that are not whole blocks: rare.
            _ if matches!(weight, Matrix::Q8 { .. }) => Self::Gemm,
            ..=MAX_ROWS => Self::Gemv,
            _ if HAS_NT && scratch >= LEAST_NT_FLOATS => Self::Nt,
            _ => Self::Gemm,
        }
    }
}

/// Floats of scratch memory that a thread wants at least.
pub(crate) fn scratch_len(_: Dims) -> usize {
    LEAST_GEMM_FLOATS.max(LEAST_Q8_FLOATS)
}

impl Cpu<'_> {
    /// The product of integers, for `scratch` floats of scratch memory.
    fn linear_q8(
        &self,
        out: &mut [f32],
        operands: &LinearOperands<'_>,
        weight: RowMajorQ8<'_>,
        scratch: usize,
    ) {
        let (isa, LinearOperands { x, d, .. }) = (self.isa, operands);
        let (rows, columns) = q8::tile_size(d.rows, d.outer, self.workers.count(), scratch);
        self.for_each_tile_by_columns(out, d.outer, rows, columns, |mut tile, scratch| {
            let (rows, columns) = (tile.rows.clone(), tile.columns.clone());
            let finish = |tile: &mut Tile<'_>, columns| {
                isa.run(FinishColumns { tile, columns, operands });
            };
            q8::tile(isa, &mut tile, x, weight, rows, columns, d.inner, scratch, finish);
        });
    }
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
        let weights = RowMajorWeights { matrix: self.weight, stride: self.d.inner };
        pack_b_transposed(s, to, &weights, columns, depth);
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

impl NtOperands for LinearOperands<'_> {
    #[inline(always)]
    fn pack_x<S: Simd>(&self, s: S, to: &mut [f32], rows: Range<usize>, depth: Range<usize>) {
        pack_lanes(s, to, &RowMajor { values: self.x, stride: self.d.inner }, rows, depth);
    }
}

/// [`LinearOperands::finish`] for all rows of a tile and some columns, counted from its first.
struct FinishColumns<'a, 'o> {
    tile: &'a mut Tile<'o>,
    columns: Range<usize>,
    operands: &'a LinearOperands<'a>,
}

impl SimdKernel for FinishColumns<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (rows, first_column) = (self.tile.rows.clone(), self.tile.columns.start);
        let columns = first_column + self.columns.start..first_column + self.columns.end;
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
