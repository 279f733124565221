//! The gradient of the leaky rectifier on the CPU.

use core::convert::Infallible;

use var_kernel::cpu::Cpu;
use var_kernel::cpu::simd::{Kernel, LANES, Simd};

use super::LeakyReluBackward;

/// Floats in one task: 64 KiB, enough to outweigh handing it out.
const RUN: usize = 1 << 14;

impl LeakyReluBackward for Cpu<'_> {
    fn leaky_relu_backward(
        &self,
        dx: &mut [f32],
        dy: &[f32],
        x: &[f32],
        slope: f32,
    ) -> Result<(), Infallible> {
        assert_eq!([dy.len(), x.len()], [dx.len(); 2], "leaky_relu_backward: lengths differ");
        let isa = self.isa();
        self.for_each_run(dx, RUN, |number, dx, _| {
            let start = number * RUN;
            isa.run(Rectified { dx, dy: &dy[start..], x: &x[start..], slope });
        });
        Ok(())
    }
}

struct Rectified<'a> {
    dx: &'a mut [f32],
    dy: &'a [f32],
    x: &'a [f32],
    slope: f32,
}

impl Kernel for Rectified<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (one, slope, zero) = (s.splat(1.0), s.splat(self.slope), s.splat(0.0));
        let operands = self.dy.chunks(LANES).zip(self.x.chunks(LANES));
        for (dx, (dy, x)) in self.dx.chunks_mut(LANES).zip(operands) {
            let factor = s.where_less(zero, s.load_or(x, 0.0), one, slope);
            s.store_part(s.mul_add(s.load_or(dy, 0.0), factor, s.load_or(dx, 0.0)), dx);
        }
    }
}
