//! pool on the CPU: one row of output cells a task, sixteen channels a vector.

use core::convert::Infallible;

use super::{Dims, Pool, Pooling};
use crate::cpu::Cpu;
use crate::cpu::simd::{LANES, Simd, SimdKernel};
use crate::cpu::tiles::Tile;

impl Pool for Cpu<'_> {
    fn pool(&self, out: &mut [f32], x: &[f32], p: Pooling, d: Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        self.begin("pool", 0, 4 * (out.len() + x.len()));
        match p {
            Pooling::Max if d.is_halving() => halve(*self, out, x, d),
            Pooling::Max => pool::<true>(*self, out, x, d),
            Pooling::Average => pool::<false>(*self, out, x, d),
        }
        Ok(())
    }
}

fn pool<const MAX: bool>(cpu: Cpu<'_>, out: &mut [f32], x: &[f32], d: Dims) {
    let [_, width] = d.out_grid();
    let within = d.into.first..d.into.first + d.channels;
    let columns = d.channels.max(1);
    cpu.for_each_tile_within(out, d.into.of.max(1), within, width, columns, |tile, _| {
        cpu.isa.run(PoolRow::<MAX> { tile, x, d });
    });
}

/// One row of output cells.
struct PoolRow<'a, const MAX: bool> {
    tile: Tile<'a>,
    x: &'a [f32],
    d: Dims,
}

impl<const MAX: bool> SimdKernel for PoolRow<'_, MAX> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let d = self.d;
        let [height, width] = d.out_grid();
        let number = self.tile.rows.start / width;
        let (picture, y) = (number / height * d.height, number % height);
        let rows = d.window(y, d.height);
        for column in 0..width {
            let columns = d.window(column, d.width);
            let count = s.splat((rows.len() * columns.len()) as f32);
            let to = self.tile.row(column);
            for (block, to) in to.chunks_mut(LANES).enumerate() {
                let mut sum = s.splat(if MAX { f32::NEG_INFINITY } else { 0.0 });
                for row in rows.clone() {
                    let line = (picture + row) * d.width;
                    for column in columns.clone() {
                        let start = (line + column) * d.channels + block * LANES;
                        let from = s.load_or(&self.x[start..start + to.len()], 0.0);
                        sum = if MAX { s.max(sum, from) } else { s.add(sum, from) };
                    }
                }
                s.store_part(if MAX { sum } else { s.div(sum, count) }, to);
            }
        }
    }
}

/// Maxima of 2 × 2 cells.
fn halve(cpu: Cpu<'_>, out: &mut [f32], x: &[f32], d: Dims) {
    let ([height, width], channels, isa) = (d.out_grid(), d.channels, cpu.isa);
    cpu.for_each_run(out, (width * channels).max(1), |number, row, _| {
        let first = number / height * d.height + number % height * 2;
        for (column, out) in row.chunks_exact_mut(channels).enumerate() {
            let cells = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(down, right)| {
                let start = ((first + down) * d.width + 2 * column + right) * channels;
                &x[start..start + channels]
            });
            isa.run(MaxOfFour { out, cells });
        }
    });
}

/// One cell.
struct MaxOfFour<'a> {
    out: &'a mut [f32],
    cells: [&'a [f32]; 4],
}

impl SimdKernel for MaxOfFour<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [a, b, c, d] = self.cells.map(|cell| cell.chunks(LANES));
        let upper = a.zip(b);
        let lower = c.zip(d);
        for (out, ((a, b), (c, d))) in self.out.chunks_mut(LANES).zip(upper.zip(lower)) {
            let upper = s.max(s.load_or(a, 0.0), s.load_or(b, 0.0));
            let lower = s.max(s.load_or(c, 0.0), s.load_or(d, 0.0));
            s.store_part(s.max(upper, lower), out);
        }
    }
}
