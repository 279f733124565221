//! The parameters of a network in training: weights, their average, gradients, the optimizer's state.

use core::ops::DerefMut;

use super::layout::ParameterLayout;
use super::optimizer::{Optimizer, OptimizerConfig};
use super::state::{StateCounter, StateTensor, TrainState};
use super::storage::{Host, Storage};
use super::{TrainError, on};
use crate::grad::Sums;
use crate::optim::Update;

/// Parameters of a network, flat as one layout says.
pub struct TrainParameters<S: Storage = Host> {
    /// Offsets of the tensors.
    pub layout: ParameterLayout,
    /// The weights that the optimizer moves.
    pub weights: S::Buffer,
    /// Their exponential moving average, if one is kept.
    pub average: Option<S::Buffer>,
    /// Gradients of the step under way.
    pub gradients: S::Buffer,
    /// The optimizer's state.
    pub optimizer: Optimizer<S>,
    /// Decay of the average; 0 without one.
    decay: f64,
}

impl<S: Storage> TrainParameters<S> {
    /// Parameters that begin with `weights`; with an average of them if its `decay` is above 0.
    ///
    /// # Errors
    /// If the device has not the memory.
    ///
    /// # Panics
    /// If `weights` is not as long as the layout.
    pub fn new(
        d: &S::Device<'_>,
        layout: ParameterLayout,
        weights: Vec<f32>,
        constants: OptimizerConfig,
        decay: f64,
    ) -> Result<Self, TrainError> {
        let average = (decay > 0.0).then(|| S::from_host(d, &layout, weights.clone()));
        Ok(Self {
            optimizer: Optimizer::new(d, &layout, constants)?,
            average: average.transpose()?,
            gradients: S::zeros(d, layout.floats())?,
            weights: S::from_host(d, &layout, weights)?,
            layout,
            decay,
        })
    }

    /// The weights that are validated, sampled and saved: the average, if one is kept.
    pub fn best(&self) -> &S::Buffer {
        self.average.as_ref().unwrap_or(&self.weights)
    }

    /// Bytes of everything that is as long as the weights.
    pub fn bytes(&self) -> u64 {
        // Weights, gradients, both moments.
        let copies = 4 + usize::from(self.average.is_some());
        4 * (copies * self.layout.floats()) as u64
    }

    /// Sets the gradients to 0.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn zero_gradients(&mut self, d: &S::Device<'_>) -> Result<(), TrainError> {
        on(d, || d.fill(&mut self.gradients, 0.0))
    }

    /// Moves the weights against the gradients of a loss multiplied by `loss_scale`; returns the
    /// gradient's norm before clipping, not finite if everything was left as it was.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn step(
        &mut self,
        d: &S::Device<'_>,
        loss_scale: f32,
        rate: f64,
        weight_decay: f64,
    ) -> Result<f64, TrainError> {
        let Self { layout, weights, gradients, optimizer, .. } = self;
        let weights = weights.deref_mut();
        let updated =
            optimizer.update(d, layout, weights, gradients, loss_scale, rate, weight_decay)?;
        Ok(updated.norm)
    }

    /// Takes the weights into their average, if one is kept.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn update_average(&mut self, d: &S::Device<'_>) -> Result<(), TrainError> {
        let Some(average) = &mut self.average else { return Ok(()) };
        let decay = average_decay(self.decay, self.optimizer.steps);
        on(d, || d.average(average, &self.weights, decay as f32))
    }

    /// The state: the weights as a model under `model`, if they are one of the file's, flat tensors whose
    /// names begin with `prefix`, and the number of `updates` under that name.
    pub fn state(
        &mut self,
        model: Option<&str>,
        prefix: &str,
        updates: &'static str,
    ) -> TrainState<'_, S> {
        let Self { layout, weights, average, optimizer, .. } = self;
        let Optimizer { m, v, steps, .. } = optimizer;
        let flat =
            |name: &str, elements| StateTensor::flat(format!("{prefix}{name}"), elements, layout);
        let (best, raw) = match average {
            Some(average) => (average, Some(weights)),
            None => (weights, None),
        };
        let best = match model {
            Some(model) => StateTensor::model(model, best, layout),
            None => flat("weights", best),
        };
        let mut tensors = vec![best, flat("m", m), flat("v", v).without_negatives()];
        tensors.extend(raw.map(|weights| flat("weights", weights)));
        TrainState { tensors, counters: vec![(updates, StateCounter::Count(steps))] }
    }
}

/// `min(decay, (1 + n) / (10 + n))` at update n, from 1: the first weights, which are random, are soon
/// forgotten.
pub(crate) fn average_decay(decay: f64, updates: u64) -> f64 {
    let n = updates as f64;
    decay.min((1.0 + n) / (10.0 + n))
}
