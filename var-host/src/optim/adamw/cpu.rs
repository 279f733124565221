//! AdamW on the CPU.

use core::convert::Infallible;

use var_kernel::cpu::Cpu;

use super::{AdamW, Factors, Update};

/// Floats in one task.
const RUN: usize = 1 << 14;

impl Update for Cpu<'_> {
    fn adamw(
        &self,
        weights: &mut [f32],
        [m, v]: [&mut [f32]; 2],
        gradient: &[f32],
        factor: f32,
        decay: f64,
        step: AdamW,
    ) -> Result<(), Infallible> {
        let length = weights.len();
        assert_eq!([m.len(), v.len(), gradient.len()], [length; 3], "adamw: lengths differ");
        let Factors { beta_1, beta_2, keep, size, root, eps } = step.factors(decay);
        let ([b1, rest_1], [b2, rest_2]) = (beta_1, beta_2);
        self.for_each_run(m, RUN, |number, m, _| {
            for (m, g) in m.iter_mut().zip(&gradient[number * RUN..]) {
                *m = b1 * *m + rest_1 * (factor * g);
            }
        });
        self.for_each_run(v, RUN, |number, v, _| {
            for (v, g) in v.iter_mut().zip(&gradient[number * RUN..]) {
                let g = factor * g;
                *v = b2 * *v + rest_2 * (g * g);
            }
        });
        let (m, v) = (&*m, &*v);
        self.for_each_run(weights, RUN, |number, weights, _| {
            let moments = m[number * RUN..].iter().zip(&v[number * RUN..]);
            for (w, (m, v)) in weights.iter_mut().zip(moments) {
                *w = *w * keep - size * m / (v.sqrt() / root + eps);
            }
        });
        Ok(())
    }

    fn sum_of_squares(&self, x: &[f32]) -> Result<f64, Infallible> {
        let mut parts = vec![0.0; x.len().div_ceil(RUN)];
        self.for_each_run(&mut parts, 1, |number, part, _| {
            let run = &x[number * RUN..x.len().min((number + 1) * RUN)];
            part[0] = run.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        });
        Ok(parts.iter().sum())
    }

    fn average(&self, average: &mut [f32], x: &[f32], decay: f32) -> Result<(), Infallible> {
        assert_eq!(average.len(), x.len(), "average: lengths differ");
        self.for_each_run(average, RUN, |number, average, _| {
            for (average, x) in average.iter_mut().zip(&x[number * RUN..]) {
                *average = decay * *average + (1.0 - decay) * x;
            }
        });
        Ok(())
    }
}
