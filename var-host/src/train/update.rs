//! From gradients to new weights.

use var_kernel::memory::Floats;

use super::TrainError;
use super::home::{Home, OnProcessor};
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
pub struct Optimizer<H: Home = OnProcessor> {
    /// Constants.
    pub constants: Constants,
    /// Average gradients.
    pub m: H::Numbers,
    /// Average squares.
    pub v: H::Numbers,
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
    /// An optimizer on the processor.
    pub fn on_processor(layout: &Layout, constants: Constants) -> Self {
        let zeros = || vec![0.0; layout.floats()];
        Self { constants, m: zeros(), v: zeros(), steps: 0 }
    }
}

impl<H: Home> Optimizer<H> {
    /// An optimizer for as many weights as `layout` has.
    ///
    /// # Errors
    /// If the device has not the memory.
    pub fn new(
        d: &H::Device<'_>,
        layout: &Layout,
        constants: Constants,
    ) -> Result<Self, TrainError> {
        let zeros = || H::zeros(d, layout.floats());
        Ok(Self { constants, m: zeros()?, v: zeros()?, steps: 0 })
    }

    /// Moves `weights` against `gradients`, which were computed from a loss multiplied by `loss_scale`;
    /// leaves everything as it is if a gradient is not finite.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If a slice is not as long as the layout.
    pub fn update(
        &mut self,
        d: &H::Device<'_>,
        layout: &Layout,
        weights: &mut H::Slice,
        gradients: &H::Slice,
        loss_scale: f32,
        rate: f64,
        weight_decay: f64,
    ) -> Result<Updated, TrainError> {
        let Constants { beta_1, beta_2, eps, clip } = self.constants;
        let squares = d.sum_of_squares(gradients).map_err(Into::into)?;
        let norm = squares.sqrt() / f64::from(loss_scale);
        if !norm.is_finite() {
            return Ok(Updated { norm });
        }
        self.steps += 1;
        // PyTorch's clip_grad_norm_ adds a millionth to the norm.
        let clipped = if clip > 0.0 { (clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
        let factor = (clipped / f64::from(loss_scale)) as f32;
        let step = AdamW { rate, beta_1, beta_2, eps, step: self.steps };
        for tensor in layout.tensors() {
            let range = tensor.range.clone();
            let decay = if decays(&tensor.name, tensor.shape.len()) { weight_decay } else { 0.0 };
            let moments = [self.m.range_mut(range.clone()), self.v.range_mut(range.clone())];
            let gradient = gradients.range(range.clone());
            d.adamw(weights.range_mut(range), moments, gradient, factor, decay, step)
                .map_err(Into::into)?;
        }
        Ok(Updated { norm })
    }
}
