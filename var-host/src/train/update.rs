//! From gradients to new weights.

use var_kernel::cpu::Cpu;

use super::parameters::Layout;
use crate::optim::groups::decays;
use crate::optim::{AdamW, Update};

/// Constants of the optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constants {
    /// β₁.
    pub beta_1: f64,
    /// β₂.
    pub beta_2: f64,
    /// What keeps the division from zero.
    pub eps: f64,
    /// The greatest norm of a gradient; 0 for no clipping.
    pub clip: f64,
}

impl Constants {
    /// The transformer's (model.md, section 7).
    pub const TRANSFORMER: Self = Self { beta_1: 0.9, beta_2: 0.95, eps: 1e-8, clip: 2.0 };
}

/// AdamW's state: averages that mirror the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    /// Constants.
    pub constants: Constants,
    /// Average gradients.
    pub m: Vec<f32>,
    /// Average squares.
    pub v: Vec<f32>,
    /// Updates so far.
    pub steps: u64,
}

/// What an update did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Updated {
    /// The gradient's norm before clipping; not finite if the weights were left as they were.
    pub norm: f64,
}

impl Optimizer {
    /// An optimizer for as many weights as `layout` has.
    pub fn new(layout: &Layout, constants: Constants) -> Self {
        let zeros = vec![0.0; layout.floats()];
        Self { constants, m: zeros.clone(), v: zeros, steps: 0 }
    }

    /// Moves `weights` against `gradients`, which were computed from a loss multiplied by `loss_scale`;
    /// leaves everything as it is if a gradient is not finite.
    ///
    /// # Panics
    /// If a slice is not as long as the layout.
    pub fn update(
        &mut self,
        cpu: &Cpu<'_>,
        layout: &Layout,
        weights: &mut [f32],
        gradients: &[f32],
        loss_scale: f32,
        rate: f64,
        weight_decay: f64,
    ) -> Updated {
        let Constants { beta_1, beta_2, eps, clip } = self.constants;
        let Ok(squares) = cpu.sum_of_squares(gradients);
        let norm = squares.sqrt() / f64::from(loss_scale);
        if !norm.is_finite() {
            return Updated { norm };
        }
        self.steps += 1;
        // PyTorch's clip_grad_norm_ adds a millionth to the norm.
        let clipped = if clip > 0.0 { (clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
        let factor = (clipped / f64::from(loss_scale)) as f32;
        let step = AdamW { rate, beta_1, beta_2, eps, step: self.steps };
        for tensor in layout.tensors() {
            let range = tensor.range.clone();
            let decay = if decays(&tensor.name, tensor.shape.len()) { weight_decay } else { 0.0 };
            let moments = [&mut self.m[range.clone()], &mut self.v[range.clone()]];
            let gradient = &gradients[range.clone()];
            let Ok(()) = cpu.adamw(&mut weights[range], moments, gradient, factor, decay, step);
        }
        Updated { norm }
    }
}
