//! pool on the CPU: one row of output cells a task, sixteen channels a vector.

use core::convert::Infallible;
use core::ops::Range;

use super::{Dims, Pool};
use crate::cpu::Cpu;
use crate::cpu::simd::{Kernel, LANES, Simd};
use crate::cpu::tiles::Tile;

impl Pool for Cpu<'_> {
    fn max_pool(&self, out: &mut [f32], x: &[f32], d: Dims) -> Result<(), Infallible> {
        pool::<true>(*self, out, x, d);
        Ok(())
    }

    fn average_pool(&self, out: &mut [f32], x: &[f32], d: Dims) -> Result<(), Infallible> {
        pool::<false>(*self, out, x, d);
        Ok(())
    }
}

#[track_caller]
fn pool<const MAX: bool>(cpu: Cpu<'_>, out: &mut [f32], x: &[f32], d: Dims) {
    d.check(out.len(), x.len());
    let [_, width] = d.out_grid();
    let within = d.into.first..d.into.first + d.channels;
    let columns = d.channels.max(1);
    cpu.for_each_tile_within(out, d.into.of.max(1), within, width, columns, |tile, _| {
        cpu.isa.run(Row::<MAX> { tile, x, d });
    });
}

/// One row of output cells.
struct Row<'a, const MAX: bool> {
    tile: Tile<'a>,
    x: &'a [f32],
    d: Dims,
}

impl<const MAX: bool> Kernel for Row<'_, MAX> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let d = self.d;
        let [height, width] = d.out_grid();
        let number = self.tile.rows.start / width;
        let (picture, y) = (number / height * d.height, number % height);
        let rows = window(y, d.height, d);
        for column in 0..width {
            let columns = window(column, d.width, d);
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

/// The input cells of output cell `i` along an axis of `side` cells.
#[inline(always)]
fn window(i: usize, side: usize, d: Dims) -> Range<usize> {
    let start = i * d.stride;
    start.saturating_sub(d.padding)..(start + d.kernel - d.padding).min(side)
}
