//! The gradient of pooling on the CPU: one row of the input a task.

use core::convert::Infallible;

use var_kernel::cpu::Cpu;
use var_kernel::ops::max_pool::Dims;

use super::MaxPoolBackward;

impl MaxPoolBackward for Cpu<'_> {
    fn max_pool_backward(
        &self,
        dx: &mut [f32],
        dy: &[f32],
        x: &[f32],
        d: Dims,
    ) -> Result<(), Infallible> {
        assert_eq!(dx.len(), x.len(), "max_pool_backward: dx is not as x");
        d.check(dy.len(), x.len());
        let (rows, columns) = d.out_grid();
        let channels = d.channels;
        self.for_each_run(dx, (d.width * channels).max(1), |number, dx, _| {
            let (picture, y) = (number / d.height, number % d.height);
            if y / 2 == rows {
                return;
            }
            for column in 0..columns {
                let cells = d.cells(picture, y / 2, column).map(|at| &x[at..at + channels]);
                let dy =
                    &dy[((picture * rows + y / 2) * columns + column) * channels..][..channels];
                let (left, right) = dx[2 * column * channels..].split_at_mut(channels);
                for c in 0..channels {
                    let first = greatest(cells.map(|cell| cell[c]));
                    // Of the four, this row holds two.
                    match first.checked_sub(y % 2 * 2) {
                        Some(0) => left[c] += dy[c],
                        Some(1) => right[c] += dy[c],
                        _ => {}
                    }
                }
            }
        });
        Ok(())
    }
}

/// The first place of the greatest.
#[inline(always)]
fn greatest(of: [f32; 4]) -> usize {
    let mut best = 0;
    for i in 1..4 {
        if of[i] > of[best] {
            best = i;
        }
    }
    best
}
