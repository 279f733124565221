//! AdamW, the norm of a gradient, and the average of weights: passes over flat memory.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(test)]
mod tests;

use var_kernel::memory::Device;

/// Operands of one step of AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization",
/// 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the average gradient, β₁.
    pub beta_1: f64,
    /// Decay of the average square, β₂.
    pub beta_2: f64,
    /// Epsilon of the divisor.
    pub eps: f64,
    /// Updates with this one, from 1.
    pub step: u64,
}

/// The optimizer's operation on a device.
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

/// The numbers of one step as a device computes with them, PyTorch's: bias correction is folded into
/// the rate and the divisor.
#[derive(Clone, Copy)]
struct Factors {
    /// β₁ and 1 − β₁.
    beta_1: [f32; 2],
    /// β₂ and 1 − β₂.
    beta_2: [f32; 2],
    /// `1 − rate · decay`
    keep: f32,
    /// `rate / (1 − β₁ᵗ)`
    size: f32,
    /// `√(1 − β₂ᵗ)`
    root: f32,
    /// Epsilon of the divisor.
    eps: f32,
}

impl AdamW {
    fn factors(self, decay: f64) -> Factors {
        let Self { rate, beta_1, beta_2, eps, step } = self;
        let power = |beta: f64| 1.0 - beta.powf(step as f64);
        Factors {
            beta_1: [beta_1 as f32, (1.0 - beta_1) as f32],
            beta_2: [beta_2 as f32, (1.0 - beta_2) as f32],
            keep: (1.0 - rate * decay) as f32,
            size: (rate / power(beta_1)) as f32,
            root: power(beta_2).sqrt() as f32,
            eps: eps as f32,
        }
    }
}
