//! leaky_relu on the CPU.

use core::convert::Infallible;

use super::LeakyRelu;
use crate::cpu::Cpu;
use crate::cpu::simd::{Kernel, LANES, Simd};

/// Floats in one task: 64 KiB, enough to outweigh handing it out.
const RUN: usize = 1 << 14;

impl LeakyRelu for Cpu<'_> {
    fn leaky_relu(&self, out: &mut [f32], x: &[f32], slope: f32) -> Result<(), Infallible> {
        assert_eq!(out.len(), x.len(), "leaky_relu: lengths differ");
        let isa = self.isa;
        self.for_each_run(out, RUN, |number, out, _| {
            isa.run(Rectify { out, x: &x[number * RUN..], slope });
        });
        Ok(())
    }
}

struct Rectify<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    slope: f32,
}

impl Kernel for Rectify<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (slope, zero) = (s.splat(self.slope), s.splat(0.0));
        for (out, x) in self.out.chunks_mut(LANES).zip(self.x.chunks(LANES)) {
            let x = s.load_or(x, 0.0);
            // NaN is not above 0, and stays NaN in the product.
            s.store_part(s.where_less(zero, x, x, s.mul(slope, x)), out);
        }
    }
}
