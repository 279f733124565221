//! linear on the CPU.
//!
//! Each task makes one tile of the output. It packs its rows of `x` for a stretch of k into half of
//! its scratch memory, then walks the weights: two panels of columns for [`DEPTH`] of k are widened
//! and packed into the first-level cache, multiplied with all packed rows, and forgotten. So no
//! packed copy of the weights outlives a tile. A tile of very few rows packs nothing: see [`super::few`].

use core::convert::Infallible;
use core::ops::Range;

use super::few::{FewRows, MOST_ROWS};
use super::{Dims, Epilogue, Linear};
use crate::cpu::matmul::{
    Numbers, RowMajor, RowMajorQ8, Start, Strided, multiply, pack_left, pack_right_transposed,
};
use crate::cpu::simd::{Kernel, LANES, Simd};
use crate::cpu::workers::Tile;
use crate::cpu::{Cpu, Isa, Matrix, SCRATCH_FLOATS, math};

/// Length of a block along k: two panels of columns and one of rows fit the first-level cache.
const DEPTH: usize = 256;

/// Columns packed at a time.
const COLUMNS: usize = 2 * LANES;

/// Rows of a tile are a multiple of this, and so of every instruction set's own tile.
const ROWS: usize = 12;

/// Rows of a tile at most: beyond, packing the weights costs little already.
const MOST_TILE_ROWS: usize = 57 * ROWS;

/// Floats of scratch memory for packed weights.
const RIGHT_FLOATS: usize = COLUMNS * DEPTH;

/// Floats of scratch memory for the sums of [`COLUMNS`] columns. In the output their rows may lie a
/// power of two apart, where they push each other out of the cache.
const SUMS_FLOATS: usize = COLUMNS * MOST_TILE_ROWS;

/// Floats of scratch memory for packed rows.
const LEFT_FLOATS: usize = SCRATCH_FLOATS - RIGHT_FLOATS - SUMS_FLOATS;

const _: () = assert!(LEFT_FLOATS >= MOST_TILE_ROWS * DEPTH);

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
        let (rows, columns) = tile_size(d, self.workers.count());
        let product = Product { isa: self.isa, x, weight, bias, epilogue, d };
        self.for_each_tile(out, d.outer, rows, columns, |tile, scratch| {
            product.tile(tile, scratch)
        });
        Ok(())
    }
}

/// The operands of one call.
struct Product<'a> {
    isa: Isa,
    x: &'a [f32],
    weight: Matrix<'a>,
    bias: Option<&'a [f32]>,
    epilogue: Epilogue<'a, [f32]>,
    d: Dims,
}

impl Product<'_> {
    fn tile(&self, mut tile: Tile<'_>, scratch: &mut [f32]) {
        let Self { isa, weight, bias, epilogue, d, .. } = *self;
        if tile.rows.len() <= MOST_ROWS {
            isa.run(FewRows { tile: &mut tile, x: self.x, weight, d });
            let columns = tile.columns.clone();
            isa.run(Finish { tile: &mut tile, columns, bias, epilogue, d });
            return;
        }
        let x = RowMajor { values: self.x, stride: d.inner };
        let (right, rest) = scratch.split_at_mut(RIGHT_FLOATS);
        let (sums, left) = rest.split_at_mut(SUMS_FLOATS);
        let rows = tile.rows.clone();
        let height = rows.len().next_multiple_of(ROWS);
        // As many blocks of k as fit: all of them when the rows are few.
        let stretch = (LEFT_FLOATS / height / DEPTH).max(1) * DEPTH;
        let mut from = 0;
        loop {
            let to = d.inner.min(from + stretch);
            for (block, left) in blocks(from..to).zip(left.chunks_mut(height * DEPTH)) {
                isa.run(PackRows { to: left, x, rows: rows.clone(), block });
            }
            for first in tile.columns.clone().step_by(COLUMNS) {
                let columns = first..tile.columns.end.min(first + COLUMNS);
                let mut sums = Sums { values: sums, columns: columns.clone() };
                if from > 0 {
                    sums.fetch(&mut tile);
                }
                for (block, left) in blocks(from..to).zip(left.chunks(height * DEPTH)) {
                    let start = if block.start == 0 { Start::Zero } else { Start::Output };
                    let (depth, columns) = (block.len(), columns.clone());
                    let sums = &mut sums;
                    isa.run(PackWeights { to: right, weight, stride: d.inner, columns, block });
                    isa.run(Multiply { sums, rows: rows.len(), left, right, depth, start });
                }
                sums.put_back(&mut tile);
                if to == d.inner {
                    isa.run(Finish { tile: &mut tile, columns, bias, epilogue, d });
                }
            }
            from = to;
            if from == d.inner {
                break;
            }
        }
    }
}

/// Blocks of [`DEPTH`]; a single empty one if `range` is empty.
fn blocks(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let Range { start, end } = range;
    let count = (end - start).div_ceil(DEPTH).max(1);
    (0..count).map(move |i| start + i * DEPTH..end.min(start + (i + 1) * DEPTH))
}

/// Rows and columns of a tile: those with the shortest time, were a thread to need 1 for a vector of
/// multiply-adds and [`PACKING`] to pack a number.
fn tile_size(d: Dims, threads: usize) -> (usize, usize) {
    const PACKING: usize = 12;
    let fewest = d.rows.div_ceil(MOST_TILE_ROWS);
    let mut best = (usize::MAX, (0, 0));
    let mut down = fewest;
    while down <= 2 * fewest.max(threads) {
        let rows = d.rows.div_ceil(down).next_multiple_of(ROWS);
        for across in 1..=4 * threads {
            let columns = d.outer.div_ceil(across).next_multiple_of(COLUMNS);
            let tasks = d.rows.div_ceil(rows) * d.outer.div_ceil(columns);
            let task = rows * columns / LANES + PACKING * (rows + columns) / LANES;
            // The last task to end keeps the other threads waiting for some part of it.
            let time = tasks.div_ceil(threads) * task + task / 8;
            best = best.min((time, (rows, columns)));
        }
        down *= 2;
    }
    best.1
}

struct PackRows<'a> {
    to: &'a mut [f32],
    x: RowMajor<'a, f32>,
    rows: Range<usize>,
    block: Range<usize>,
}

impl Kernel for PackRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        pack_left(s, self.to, &self.x, self.rows, self.block);
    }
}

struct PackWeights<'a> {
    to: &'a mut [f32],
    weight: Matrix<'a>,
    stride: usize,
    columns: Range<usize>,
    block: Range<usize>,
}

impl PackWeights<'_> {
    #[inline(always)]
    fn from<S: Simd>(self, s: S, weight: impl Numbers) {
        pack_right_transposed(s, self.to, &weight, self.columns, self.block);
    }
}

impl Kernel for PackWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let stride = self.stride;
        match self.weight {
            Matrix::F32(values) => self.from(s, RowMajor { values, stride }),
            Matrix::F16(values) => self.from(s, RowMajor { values, stride }),
            Matrix::Bf16(values) => self.from(s, RowMajor { values, stride }),
            Matrix::Q8 { values, scales } => self.from(s, RowMajorQ8 { values, scales, stride }),
        }
    }
}

/// The sums of some columns of a tile, their rows one behind the other.
struct Sums<'a> {
    values: &'a mut [f32],
    columns: Range<usize>,
}

impl Sums<'_> {
    /// Takes what the tile holds.
    fn fetch(&mut self, tile: &mut Tile<'_>) {
        self.each_row(tile, |sums, out| sums.copy_from_slice(out));
    }

    /// Gives the tile what they have come to.
    fn put_back(&mut self, tile: &mut Tile<'_>) {
        self.each_row(tile, |sums, out| out.copy_from_slice(sums));
    }

    fn each_row(&mut self, tile: &mut Tile<'_>, copy: impl Fn(&mut [f32], &mut [f32])) {
        let (left, width) = (tile.columns.start, self.columns.len());
        for (r, sums) in self.values.chunks_mut(COLUMNS).take(tile.rows.len()).enumerate() {
            let out = &mut tile.row(r)[self.columns.start - left..self.columns.end - left];
            copy(&mut sums[..width], out);
        }
    }
}

struct Multiply<'a, 's> {
    sums: &'a mut Sums<'s>,
    rows: usize,
    left: &'a [f32],
    right: &'a [f32],
    depth: usize,
    start: Start,
}

impl Kernel for Multiply<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { sums, rows, left, right, depth, start } = self;
        let columns = 0..sums.columns.len();
        let mut out = Strided { values: sums.values, stride: COLUMNS };
        multiply(s, &mut out, 0..rows, columns, left, right, depth, start);
    }
}

/// Bias and epilogue for some columns of a tile, which the product has just left in the cache.
struct Finish<'a, 'o> {
    tile: &'a mut Tile<'o>,
    columns: Range<usize>,
    bias: Option<&'a [f32]>,
    epilogue: Epilogue<'a, [f32]>,
    d: Dims,
}

impl Kernel for Finish<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { tile, columns, bias, epilogue, d } = self;
        let left = tile.columns.start;
        for r in 0..tile.rows.len() {
            let row = tile.rows.start + r;
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
                let sums = &mut tile.row(r)[part.start - left..part.end - left];
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

/// An [`Epilogue`] for one row.
#[derive(Clone, Copy)]
enum After<'a> {
    Nothing,
    Gelu,
    Gated(&'a [f32], &'a [f32]),
    Plus(&'a [f32]),
}
