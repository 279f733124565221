//! From gradients to new weights.

use var_kernel::capture::Capture;
use var_kernel::memory::Floats;

use super::layout::ParameterLayout;
use super::storage::{Host, Storage};
use super::{TrainError, on};
use crate::optim::groups::decays;
use crate::optim::{AdamW, Update};

/// Constants of the optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerConfig {
    /// β₁.
    pub beta_1: f64,
    /// β₂.
    pub beta_2: f64,
    /// Epsilon of the divisor.
    pub eps: f64,
    /// The greatest norm of a gradient; 0 for no clipping.
    pub clip: f64,
}

impl OptimizerConfig {
    /// The transformer's (MODEL.md, section 7).
    pub const TRANSFORMER: Self = Self { beta_1: 0.9, beta_2: 0.95, eps: 1e-8, clip: 2.0 };
}

/// AdamW's state: averages that mirror the weights.
pub struct Optimizer<S: Storage = Host> {
    /// Constants.
    pub constants: OptimizerConfig,
    /// Average gradients.
    pub m: S::Buffer,
    /// Average squares.
    pub v: S::Buffer,
    /// Updates so far.
    pub steps: u64,
}

/// Results of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateStats {
    /// The gradient's norm before clipping; not finite if the weights were left as they were.
    pub norm: f64,
}

impl Optimizer {
    /// An optimizer on the processor.
    pub fn on_host(layout: &ParameterLayout, constants: OptimizerConfig) -> Self {
        let zeros = || vec![0.0; layout.floats()];
        Self { constants, m: zeros(), v: zeros(), steps: 0 }
    }
}

impl<S: Storage> Optimizer<S> {
    /// An optimizer for as many weights as `layout` has.
    ///
    /// # Errors
    /// If the device has not the memory.
    pub fn new(
        d: &S::Device<'_>,
        layout: &ParameterLayout,
        constants: OptimizerConfig,
    ) -> Result<Self, TrainError> {
        let zeros = || S::zeros(d, layout.floats());
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
        d: &S::Device<'_>,
        layout: &ParameterLayout,
        weights: &mut S::Slice,
        gradients: &S::Slice,
        loss_scale: f32,
        rate: f64,
        weight_decay: f64,
    ) -> Result<UpdateStats, TrainError> {
        let OptimizerConfig { beta_1, beta_2, eps, clip } = self.constants;
        let squares = on(d, || d.sum_of_squares(gradients))?;
        let norm = squares.sqrt() / f64::from(loss_scale);
        if !norm.is_finite() {
            return Ok(UpdateStats { norm });
        }
        self.steps += 1;
        // PyTorch's clip_grad_norm_ adds a millionth to the norm.
        let clipped = if clip > 0.0 { (clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
        let factor = (clipped / f64::from(loss_scale)) as f32;
        let step = AdamW { rate, beta_1, beta_2, eps, step: self.steps };
        // Values that change from step to step are graph parameters, so that the graph stays valid.
        on(d, || {
            d.capture(&mut || {
                layout.tensors().iter().try_for_each(|tensor| {
                    let range = tensor.range.clone();
                    let decays = decays(&tensor.name, tensor.shape.len());
                    let decay = if decays { weight_decay } else { 0.0 };
                    let (m, v) = (&mut self.m, &mut self.v);
                    let moments = [m.range_mut(range.clone()), v.range_mut(range.clone())];
                    let gradient = gradients.range(range.clone());
                    d.adamw(weights.range_mut(range), moments, gradient, factor, decay, step)
                })
            })
        })?;
        Ok(UpdateStats { norm })
    }
}

#[cfg(test)]
mod tests {
    use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};

    use super::*;
    use crate::model::listing::Wanted;
    use crate::pool::Threads;
    use crate::train::Host;

    /// A matrix, which decays, and a bias, which does not.
    fn layout() -> ParameterLayout {
        let wanted = |name: &str, shape: &[usize]| Wanted {
            name: name.to_owned(),
            shape: shape.to_vec(),
            matrix: shape.len() == 2,
        };
        ParameterLayout::new(vec![wanted("head.weight", &[2, 2]), wanted("head.bias", &[1])])
    }

    const OPTIMIZER_CONFIG: OptimizerConfig =
        OptimizerConfig { beta_1: 0.9, beta_2: 0.95, eps: 1e-8, clip: 2.0 };

    fn with_cpu<R>(work: impl FnOnce(&Cpu<'_>) -> R) -> R {
        let threads = Threads::new(1, SCRATCH_FLOATS).unwrap();
        work(&Cpu::new(Isa::best(), &threads))
    }

    /// Gradients of this norm: 5 numbers of equal size.
    fn gradients(layout: &ParameterLayout, norm: f32) -> Vec<f32> {
        let mut all = vec![0.0; layout.floats()];
        for tensor in layout.tensors() {
            all[tensor.range.clone()].fill(norm / 5.0_f32.sqrt());
        }
        all
    }

    /// The first m of an optimizer after one update: `0.1 · factor · g`.
    fn moment(clip: f64, norm: f32, loss_scale: f32) -> (f64, f64) {
        let layout = layout();
        let mut optimizer =
            Optimizer::on_host(&layout, OptimizerConfig { clip, ..OPTIMIZER_CONFIG });
        let (mut weights, gradients) = (vec![1.0; layout.floats()], gradients(&layout, norm));
        let updated = with_cpu(|cpu| {
            optimizer.update(cpu, &layout, &mut weights, &gradients, loss_scale, 0.0, 0.0).unwrap()
        });
        (updated.norm, f64::from(optimizer.m[0]))
    }

    #[test]
    fn clipping_scales_gradients_to_the_greatest_norm() {
        let share = 0.1 / 5.0_f64.sqrt();
        for (clip, norm, loss_scale, want) in [
            // As PyTorch's clip_grad_norm_: 2 / (10 + 1e-6), and 1 below the limit.
            (2.0, 10.0, 1.0, 2.0),
            (2.0, 1.9, 1.0, 1.9),
            (2.0, 2.1, 1.0, 2.0),
            (0.0, 10.0, 1.0, 10.0),
            (0.5, 10.0, 4.0, 0.5),
            (2.0, 6.0, 4.0, 1.5),
        ] {
            let (found, m) = moment(clip, norm, loss_scale);
            let unscaled = f64::from(norm / loss_scale);
            assert!((found - unscaled).abs() <= 1e-6 * unscaled, "norm {found}, want {unscaled}");
            let want = share * want;
            assert!((m - want).abs() <= 2e-6 * want, "clip {clip} of {norm}: {m}, want {want}");
        }
        // The millionth that PyTorch adds shows where norm and limit are small.
        let (_, m) = moment(1e-6, 1e-6, 1.0);
        assert!((m / (share * 0.5e-6) - 1.0).abs() < 1e-5, "{m}");
    }

    #[test]
    fn matrices_decay_and_biases_do_not() {
        let layout = layout();
        let mut optimizer = Optimizer::on_host(&layout, OPTIMIZER_CONFIG);
        let mut weights = vec![1.0; layout.floats()];
        let zeros = vec![0.0; layout.floats()];
        with_cpu(|cpu| optimizer.update(cpu, &layout, &mut weights, &zeros, 1.0, 0.1, 0.5))
            .unwrap();
        let of = |name| weights[layout.tensor(name).unwrap().range.start];
        assert_eq!([of("head.weight"), of("head.bias")], [0.95, 1.0]);
    }

    #[test]
    fn gradient_that_is_not_finite_changes_nothing() {
        let layout = layout();
        let mut optimizer: Optimizer<Host> = Optimizer::on_host(&layout, OPTIMIZER_CONFIG);
        let mut weights = vec![1.0; layout.floats()];
        with_cpu(|cpu| {
            let mut update = |gradients: &[f32]| {
                let updated =
                    optimizer.update(cpu, &layout, &mut weights, gradients, 1.0, 0.1, 0.5).unwrap();
                let Optimizer { m, v, steps, .. } = &optimizer;
                (updated.norm, weights.clone(), m.clone(), v.clone(), *steps)
            };
            let mut gradients = gradients(&layout, 1.0);
            let before = update(&gradients);
            assert_eq!(before.4, 1);
            for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                gradients[1] = broken;
                let after = update(&gradients);
                assert!(!after.0.is_finite());
                assert!(
                    (after.1, after.2, after.3, after.4)
                        == (before.1.clone(), before.2.clone(), before.3.clone(), before.4)
                );
            }
        });
    }
}
