//! AdamW, the norm of a gradient, and the average of weights: passes over flat memory.

use core::convert::Infallible;

use var_kernel::cpu::Cpu;
use var_kernel::memory::Device;

/// Floats in one task.
const RUN: usize = 1 << 14;

/// What one step of AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019) is
/// made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the average gradient, β₁.
    pub beta_1: f64,
    /// Decay of the average square, β₂.
    pub beta_2: f64,
    /// What keeps the division from zero.
    pub eps: f64,
    /// Updates with this one, from 1.
    pub step: u64,
}

/// What an optimizer asks of a device.
pub trait Update: Device {
    /// One step for some weights and their `moments`, m and v.
    ///
    /// `m = β₁·m + (1 − β₁)·g`, `v = β₂·v + (1 − β₂)·g²`,
    /// `w = w·(1 − rate·decay) − rate · m̂ / (√v̂ + eps)`, m̂ and v̂ divided by `1 − βᵗ`,
    /// `g = factor · gradient`: clipping and loss scaling in one.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn adamw(
        &self,
        weights: &mut Self::Slice,
        moments: [&mut Self::Slice; 2],
        gradient: &Self::Slice,
        factor: f32,
        decay: f64,
        step: AdamW,
    ) -> Result<(), Self::Error>;

    /// `Σ x²` in `f64`; on the CPU in runs of 16384, added up in their order.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn sum_of_squares(&self, x: &Self::Slice) -> Result<f64, Self::Error>;

    /// `average = decay · average + (1 − decay) · x`
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn average(
        &self,
        average: &mut Self::Slice,
        x: &Self::Slice,
        decay: f32,
    ) -> Result<(), Self::Error>;
}

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
        let AdamW { rate, beta_1, beta_2, eps, step } = step;
        // PyTorch's order: the corrections are folded into the rate and the divisor.
        let power = |beta: f64| 1.0 - beta.powf(step as f64);
        let size = (rate / power(beta_1)) as f32;
        let (root, eps) = (power(beta_2).sqrt() as f32, eps as f32);
        let keep = (1.0 - rate * decay) as f32;
        let (b1, rest_1) = (beta_1 as f32, (1.0 - beta_1) as f32);
        let (b2, rest_2) = (beta_2 as f32, (1.0 - beta_2) as f32);
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
