//! The gradient of pooling on the CPU: one row of the input a task.

use core::convert::Infallible;
use core::ops::Range;

use var_kernel::cpu::Cpu;
use var_kernel::ops::pool::{Dims, Pooling};

use super::PoolBackward;

impl PoolBackward for Cpu<'_> {
    fn pool_backward(
        &self,
        dx: &mut [f32],
        dy: &[f32],
        x: &[f32],
        pooling: Pooling,
        d: Dims,
    ) -> Result<(), Infallible> {
        assert_eq!(dx.len(), x.len(), "pool_backward: dx is not as x");
        d.check(dy.len(), x.len());
        let ([rows, columns], channels) = (d.out_grid(), d.channels);
        self.for_each_run(dx, (d.width * channels).max(1), |number, dx, _| {
            let (image, y) = (number / d.height, number % d.height);
            let x = &x[image * d.height * d.width * channels..];
            for (row, down) in (0..rows).map(|row| (row, d.window(row, d.height))) {
                if !down.contains(&y) {
                    continue;
                }
                for column in 0..columns {
                    let across = d.window(column, d.width);
                    let cell = (image * rows + row) * columns + column;
                    let dy = &dy[cell * d.into.of + d.into.first..][..channels];
                    let window = PoolWindow { x, down: down.clone(), across, d };
                    match pooling {
                        Pooling::Max => window.add_to_greatest(dx, dy, y),
                        Pooling::Average => window.add_to_all(dx, dy),
                    }
                }
            }
        });
        Ok(())
    }
}

/// A window of an image.
struct PoolWindow<'a> {
    /// The image.
    x: &'a [f32],
    down: Range<usize>,
    across: Range<usize>,
    d: Dims,
}

impl PoolWindow<'_> {
    /// Adds `dy` where row `y` has the first of the maximum cells.
    fn add_to_greatest(&self, dx: &mut [f32], dy: &[f32], y: usize) {
        let Dims { width, channels, .. } = self.d;
        for (c, dy) in dy.iter().enumerate() {
            let (mut place, mut most) = ((self.down.start, self.across.start), f32::NAN);
            for row in self.down.clone() {
                for column in self.across.clone() {
                    let x = self.x[(row * width + column) * channels + c];
                    if x > most || (row, column) == (self.down.start, self.across.start) {
                        (place, most) = ((row, column), x);
                    }
                }
            }
            if place.0 == y {
                dx[place.1 * channels + c] += dy;
            }
        }
    }

    /// Adds its share of `dy` to each cell of a row.
    fn add_to_all(&self, dx: &mut [f32], dy: &[f32]) {
        let (channels, count) = (self.d.channels, (self.down.len() * self.across.len()) as f32);
        for column in self.across.clone() {
            for (dx, dy) in dx[column * channels..].iter_mut().zip(dy) {
                *dx += dy / count;
            }
        }
    }
}
