//! One step of training: forward, loss, backward, sum over ranks, update.

use core::ops::Deref;

use var_kernel::model::VarConfig;

use super::buckets::{BUCKET, Overlap};
use super::dropout::RngKey;
use super::hyperparameters::VarHyperparameters;
use super::layout::ParameterLayout;
use super::metrics::MetricAccumulator;
use super::optimizer::OptimizerConfig;
use super::parameters::TrainParameters;
use super::progressive::ProgressiveStage;
use super::state::{StateCounter, TrainState};
use super::storage::{AllReduce, Host, Storage};
use super::teacher::TeacherInputs;
use super::transformer::{
    BatchShape, TransformerBatch, evaluate, evaluation_workspace_size, forward_backward,
    workspace_size,
};
use super::workspace::{Buffers, SizeCache, ValueMemory, WorkspaceSize};
use super::{Initialization, TrainError, initialize, on};
use crate::model::weights::transformer_tensors;
use crate::optim::LossScale;
use crate::parallel::ProcessGroup;

/// Images that go through the transformer together.
#[derive(Clone, Copy, Debug)]
pub struct Microbatch<'a> {
    /// The class of each.
    pub labels: &'a [u32],
    /// L tokens of each, one image's after the other.
    pub tokens: &'a [u32],
}

/// A transformer in training.
pub struct VarTrainer<S: Storage = Host> {
    /// Its sizes.
    pub config: VarConfig,
    /// How it is trained.
    pub hyperparameters: VarHyperparameters,
    /// Weights, gradients, optimizer state.
    pub parameters: TrainParameters<S>,
    /// Loss scale in half precision.
    pub loss_scale: Option<LossScale>,
    /// Whether the backward pass recomputes activations of blocks: the same numbers.
    pub recomputes: bool,
    /// Compute weights, where they are not the weights themselves.
    computed: Option<S::Buffer>,
    all_reduce: S::AllReduce,
    buffers: Buffers<S>,
    sizes: SizeCache<BatchShape, WorkspaceSize>,
}

/// Results of a step.
#[derive(Clone, Debug)]
pub struct VarStep {
    /// The gradient's norm before clipping; not finite if the weights were left as they were.
    pub norm: f64,
    /// The learning rate.
    pub rate: f64,
    /// The weight decay.
    pub decay: f64,
    /// Scales and weights of the loss.
    pub stage: ProgressiveStage,
    /// Losses and hits over all ranks, if they were asked for.
    pub accumulator: Option<MetricAccumulator>,
}

/// The weights of a transformer before its first step.
pub fn initial(
    config: &VarConfig,
    seed: u64,
    initialization: Initialization,
) -> (ParameterLayout, Vec<f32>) {
    let layout = ParameterLayout::new(transformer_tensors(*config));
    let mut weights = vec![0.0; layout.floats()];
    initialize::transformer(&mut weights, &layout, config, initialization, seed);
    (layout, weights)
}

impl<S: Storage> VarTrainer<S> {
    /// A transformer that goes on from `weights`.
    ///
    /// # Errors
    /// If the device has not the memory.
    ///
    /// # Panics
    /// If there are not as many as `layout` says.
    pub fn new(
        d: &S::Device<'_>,
        config: VarConfig,
        hyperparameters: VarHyperparameters,
        layout: ParameterLayout,
        weights: Vec<f32>,
    ) -> Result<Self, TrainError> {
        let constants =
            OptimizerConfig { clip: hyperparameters.clip, ..OptimizerConfig::TRANSFORMER };
        let half = hyperparameters.precision == super::Precision::F16;
        let computed = hyperparameters.precision.rounds().then(|| S::zeros(d, layout.floats()));
        Ok(Self {
            parameters: TrainParameters::new(
                d,
                layout,
                weights,
                constants,
                hyperparameters.average,
            )?,
            loss_scale: half.then(LossScale::new),
            recomputes: false,
            computed: computed.transpose()?,
            all_reduce: S::AllReduce::default(),
            buffers: Buffers::default(),
            sizes: SizeCache::default(),
            config,
            hyperparameters,
        })
    }

    /// Lets the devices of all ranks find each other, before the first step; returns a warning if they
    /// could but do not.
    ///
    /// # Errors
    /// If another rank cannot be reached.
    pub fn join(
        &mut self,
        d: &S::Device<'_>,
        ranks: &dyn ProcessGroup,
    ) -> Result<Option<&'static str>, TrainError> {
        self.all_reduce.join(d, ranks)
    }

    /// Bytes in all: weights, gradients, optimizer state, and working memory for `images` images at a
    /// time.
    pub fn memory(&self, d: &S::Device<'_>, images: usize) -> u64 {
        let computed = usize::from(self.computed.is_some()) * self.parameters.layout.floats();
        self.parameters.bytes() + 4 * computed as u64 + self.working_memory(d, images)
    }

    /// Bytes of working memory that learning from `images` images at a time takes.
    pub fn working_memory(&self, d: &S::Device<'_>, images: usize) -> u64 {
        let shape = BatchShape {
            images,
            scales: self.config.ladder.scales(),
            factors: self.hyperparameters.dropout.depth != 0.0,
            recomputes: self.recomputes,
        };
        4 * workspace_size(d, self.config, shape).floats() as u64
    }

    /// Learns from this rank's share of a batch, given in parts with their `inputs`; with the other ranks,
    /// all of which are at the same iteration. Weights stay as they are if a gradient is not finite.
    ///
    /// # Errors
    /// If there is too little memory, tokens are not the VQVAE's, or another rank cannot be reached.
    ///
    /// # Panics
    /// If there are more images than the recipe's share of this rank, or none.
    pub fn step(
        &mut self,
        d: &S::Device<'_>,
        ranks: &dyn ProcessGroup,
        iteration: u64,
        parts: &[Microbatch<'_>],
        inputs: &mut dyn TeacherInputs<S>,
        report: bool,
    ) -> Result<VarStep, TrainError> {
        assert!(!parts.is_empty(), "a step learns from something");
        let stage = self.hyperparameters.stage(iteration, &self.config.ladder);
        let batch = self.hyperparameters.batch as usize;
        let share = batch / ranks.size();
        let factor = self.loss_scale.map_or(1.0, |scale| scale.factor);
        let mut weights = stage.weights(&self.config.ladder);
        weights.iter_mut().for_each(|weight| *weight *= factor / batch as f32);
        if let Some(computed) = &mut self.computed {
            let TrainParameters { layout, weights, .. } = &self.parameters;
            S::round(d, self.hyperparameters.precision, layout, weights, computed)?;
        }
        self.parameters.zero_gradients(d)?;
        let mut accumulator =
            report.then(|| MetricAccumulator::new(self.config.ladder, self.config.codes));
        let mut done = 0;
        // While the last part's gradients are computed, those that are complete are added up.
        let begins = self.all_reduce.overlaps();
        for (number, part) in parts.iter().enumerate() {
            assert!(done + part.labels.len() <= share, "more images than this rank's share");
            let first = ranks.rank() * share + done;
            let key = RngKey { seed: self.hyperparameters.seed, iteration, first };
            let sums = begins && number + 1 == parts.len();
            let input = inputs.of(d, number, part.tokens)?;
            self.forward_backward_microbatch(
                d,
                (*part, input),
                stage,
                key,
                &weights,
                accumulator.as_mut(),
                sums,
            )?;
            done += part.labels.len();
        }
        if begins {
            self.all_reduce.end(ranks)?;
        } else {
            self.all_reduce.sum(d, ranks, &mut self.parameters.gradients)?;
        }
        if let Some(accumulator) = &mut accumulator {
            accumulator.sum(ranks)?;
        }
        let rate = self.hyperparameters.schedule.learning_rate(iteration);
        let decay = self.hyperparameters.schedule.weight_decay(iteration);
        let norm = self.update(d, factor, rate, decay)?;
        Ok(VarStep { norm, rate, decay, stage, accumulator })
    }

    /// Adds the gradients of one part; `sums`: and begins to add them up over ranks.
    fn forward_backward_microbatch(
        &mut self,
        d: &S::Device<'_>,
        (part, input): (Microbatch<'_>, &S::Slice),
        stage: ProgressiveStage,
        key: RngKey,
        weights: &[f32],
        accumulator: Option<&mut MetricAccumulator>,
        sums: bool,
    ) -> Result<(), TrainError> {
        let VarHyperparameters { dropout, smoothing, .. } = self.hyperparameters;
        let images = part.labels.len();
        let mut labels = part.labels.to_vec();
        dropout.drop_classes(&mut labels, self.config.classes as u32, key);
        let factors = dropout.factors(self.config.depth, images, key);
        let targets = self.first_scales(part.tokens, stage.scales);
        let batch = TransformerBatch {
            labels: &labels,
            targets: &targets,
            input,
            factors: factors.as_deref(),
            scales: stage.scales,
            smoothing,
            recomputes: self.recomputes,
        };
        let size = |shape: &BatchShape| workspace_size(d, self.config, *shape);
        let size = self.sizes.get(batch.shape(), size);
        let mut workspace = self.buffers.workspace(d, size)?;
        let TrainParameters { layout, weights: moved, gradients, .. } = &mut self.parameters;
        let (config, layout) = (self.config, &*layout);
        let computed = self.computed.as_ref().unwrap_or(moved).deref();
        let (report, all_reduce) = (accumulator.is_some(), &mut self.all_reduce);
        let mut begin = |slice: &mut S::Slice| all_reduce.begin(d, slice);
        let overlap = sums.then_some(Overlap { floats: BUCKET, begin: &mut begin });
        let losses = on(d, || {
            forward_backward(
                d,
                config,
                layout,
                computed,
                gradients,
                &mut workspace,
                batch,
                weights,
                report,
                overlap,
            )
        })?;
        if let Some(accumulator) = accumulator {
            accumulator.add(&losses, &targets, stage.scales);
        }
        Ok(())
    }

    /// Moves the weights; returns the gradient's norm.
    fn update(
        &mut self,
        d: &S::Device<'_>,
        factor: f32,
        rate: f64,
        decay: f64,
    ) -> Result<f64, TrainError> {
        let norm = self.parameters.step(d, factor, rate, decay)?;
        if let Some(scale) = &mut self.loss_scale {
            scale.update(norm.is_finite());
        }
        if norm.is_finite() {
            self.parameters.update_average(d)?;
        }
        Ok(norm)
    }

    /// The state that a checkpoint holds.
    pub fn state(&mut self) -> TrainState<'_, S> {
        let mut state = self.parameters.state(Some("var."), "train.", "updates");
        let scale = self.loss_scale.as_mut().map(StateCounter::LossScale);
        state.counters.extend(scale.map(|scale| ("loss_scale", scale)));
        state
    }

    /// Adds to `accumulator` how well the tokens of `microbatch` are predicted, with nothing left out.
    ///
    /// # Errors
    /// If there is too little memory.
    pub fn evaluate(
        &mut self,
        d: &S::Device<'_>,
        microbatch: Microbatch<'_>,
        input: &S::Slice,
        accumulator: &mut MetricAccumulator,
    ) -> Result<(), TrainError> {
        let (weights, layout) = (self.parameters.best(), &self.parameters.layout);
        let (config, memory) = (self.config, &mut self.buffers.values);
        let weights = (layout, &**weights);
        evaluate_microbatch::<S>(d, config, weights, memory, microbatch, input, accumulator)
    }

    /// Of each image's tokens those of the first scales.
    fn first_scales(&self, tokens: &[u32], scales: usize) -> Vec<u32> {
        let (all, length) = (self.config.ladder.length(), self.config.ladder.range(scales - 1).end);
        tokens.chunks_exact(all).flat_map(|image| &image[..length]).copied().collect()
    }
}

/// Adds to `accumulator` how well a transformer with these weights predicts the tokens of `microbatch`,
/// whose teacher-forcing input is `input`.
///
/// # Errors
/// If there is too little memory.
///
/// # Panics
/// If the weights are not as the layout says.
pub fn evaluate_microbatch<S: Storage>(
    d: &S::Device<'_>,
    config: VarConfig,
    (layout, weights): (&ParameterLayout, &S::Slice),
    memory: &mut ValueMemory<S>,
    microbatch: Microbatch<'_>,
    input: &S::Slice,
    accumulator: &mut MetricAccumulator,
) -> Result<(), TrainError> {
    let (Microbatch { labels, tokens }, scales) = (microbatch, config.ladder.scales());
    let batch = TransformerBatch {
        labels,
        targets: tokens,
        input,
        factors: None,
        scales,
        smoothing: 0.0,
        recomputes: false,
    };
    let measure = |images| evaluation_workspace_size(d, config, images, scales);
    let values = memory.evaluation(d, labels.len(), measure)?;
    let losses = on(d, || evaluate(d, config, layout, weights, values, batch))?;
    accumulator.add(&losses, tokens, scales);
    Ok(())
}
