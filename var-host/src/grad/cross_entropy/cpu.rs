//! Gradient of the cross-entropy on the CPU: a row a task.

use core::convert::Infallible;

use var_kernel::cpu::Cpu;
use var_kernel::parts::math::exp;
use var_kernel::parts::simd::{LANES, Simd, SimdKernel};

use super::CrossEntropyBackward;

impl CrossEntropyBackward for Cpu<'_> {
    fn cross_entropy_backward(
        &self,
        dlogits: &mut [f32],
        dloss: &[f32],
        logits: &[f32],
        targets: &[u32],
        smoothing: f32,
    ) -> Result<(), Infallible> {
        let rows = targets.len();
        assert_eq!(dloss.len(), rows, "cross_entropy_backward: dloss is not one for each target");
        assert_eq!(dlogits.len(), logits.len(), "cross_entropy_backward: lengths differ");
        assert!(rows > 0 && logits.len().is_multiple_of(rows), "cross_entropy_backward: no rows");
        let (isa, codes) = (self.isa(), logits.len() / rows);
        self.for_each_run(dlogits, codes, |row, dlogits, _| {
            let (logits, factor) = (&logits[row * codes..][..codes], dloss[row]);
            let spread = smoothing / codes as f32;
            dlogits[targets[row] as usize] -= factor * (1.0 - smoothing);
            isa.run(LogitsRow { dlogits, logits, factor, spread });
        });
        Ok(())
    }
}

/// `dlogits += factor · (softmax(logits) − spread)`; sums run over sixteen lanes.
struct LogitsRow<'a> {
    dlogits: &'a mut [f32],
    logits: &'a [f32],
    factor: f32,
    spread: f32,
}

impl SimdKernel for LogitsRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut top = s.splat(f32::NEG_INFINITY);
        for part in self.logits.chunks(LANES) {
            top = s.max(top, s.load_or(part, f32::NEG_INFINITY));
        }
        let greatest = s.splat(s.greatest(top));
        let mut sum = s.splat(0.0);
        for part in self.logits.chunks(LANES) {
            sum = s.add(sum, exp(s, s.sub(s.load_or(part, f32::NEG_INFINITY), greatest)));
        }
        let (total, spread) = (s.splat(s.sum(sum)), s.splat(self.spread));
        let factor = s.splat(self.factor);
        for (to, part) in self.dlogits.chunks_mut(LANES).zip(self.logits.chunks(LANES)) {
            let p = s.div(exp(s, s.sub(s.load_or(part, f32::NEG_INFINITY), greatest)), total);
            s.store_part(s.mul_add(s.sub(p, spread), factor, s.load_or(to, 0.0)), to);
        }
    }
}
