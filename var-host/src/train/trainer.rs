//! One step of training: forward, loss, backward, sum over ranks, update.

use core::ops::Deref;

use var_kernel::model::VarConfig;

use super::buckets::{BUCKET, Overlap};
use super::layout::Layout;
use super::metrics::Tally;
use super::noise::Lot;
use super::parameters::Parameters;
use super::progressive::Stage;
use super::recipe::Recipe;
use super::room::Buffers;
use super::state::{State, StateCounter};
use super::storage::{AllReduce, Host, Storage};
use super::transformer::{Batch, Extent, judge, learn, needs, needs_to_judge};
use super::update::Constants;
use super::{Initialisation, TrainError, initialise, on};
use crate::model::weights::transformer_tensors;
use crate::optim::LossScale;
use crate::parallel::Ranks;

/// Images to learn from.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// The class of each.
    pub labels: Vec<u32>,
    /// L tokens of each, one image's after the other.
    pub tokens: Vec<u32>,
    /// Teacher-forcing input: [`Engine::teacher_input`](crate::engine::Engine::teacher_input).
    pub input: Vec<f32>,
}

/// A transformer in training.
pub struct VarTrainer<S: Storage = Host> {
    /// Its sizes.
    pub config: VarConfig,
    /// How it is trained.
    pub recipe: Recipe,
    /// Weights, gradients, optimizer state.
    pub parameters: Parameters<S>,
    /// Loss scale in half precision.
    pub loss_scale: Option<LossScale>,
    /// Whether the backward pass recomputes activations of blocks: the same numbers.
    pub recomputes: bool,
    /// Compute weights, where they are not the weights themselves.
    computed: Option<S::Buffer>,
    all_reduce: S::AllReduce,
    buffers: Buffers<S>,
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
    pub stage: Stage,
    /// Losses and hits over all ranks, if they were asked for.
    pub tally: Option<Tally>,
}

/// The weights of a transformer before its first step.
pub fn initial(
    config: &VarConfig,
    seed: u64,
    initialisation: Initialisation,
) -> (Layout, Vec<f32>) {
    let layout = Layout::new(transformer_tensors(*config));
    let mut weights = vec![0.0; layout.floats()];
    initialise::transformer(&mut weights, &layout, config, initialisation, seed);
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
        recipe: Recipe,
        layout: Layout,
        weights: Vec<f32>,
    ) -> Result<Self, TrainError> {
        let constants = Constants { clip: recipe.clip, ..Constants::TRANSFORMER };
        let half = recipe.precision == super::Precision::F16;
        let computed = recipe.precision.rounds().then(|| S::zeros(d, layout.floats()));
        Ok(Self {
            parameters: Parameters::new(d, layout, weights, constants, recipe.average)?,
            loss_scale: half.then(LossScale::new),
            recomputes: false,
            computed: computed.transpose()?,
            all_reduce: S::AllReduce::default(),
            buffers: Buffers::default(),
            config,
            recipe,
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
        ranks: &dyn Ranks,
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
        let extent = Extent {
            images,
            scales: self.config.ladder.scales(),
            factors: self.recipe.noise.depth != 0.0,
            recomputes: self.recomputes,
        };
        4 * needs(d, self.config, extent).floats() as u64
    }

    /// Learns from this rank's share of a batch, given in parts; with the other ranks, all of which
    /// are at the same iteration. Weights stay as they are if a gradient is not finite.
    ///
    /// # Errors
    /// If there is too little memory or another rank cannot be reached.
    ///
    /// # Panics
    /// If there are more images than the recipe's share of this rank, or none.
    pub fn step(
        &mut self,
        d: &S::Device<'_>,
        ranks: &dyn Ranks,
        iteration: u64,
        parts: &[Lesson],
        report: bool,
    ) -> Result<VarStep, TrainError> {
        assert!(!parts.is_empty(), "a step learns from something");
        let stage = self.recipe.stage(iteration, &self.config.ladder);
        let batch = self.recipe.batch as usize;
        let share = batch / ranks.size();
        let factor = self.loss_scale.map_or(1.0, |scale| scale.factor);
        let mut weights = stage.weights(&self.config.ladder);
        weights.iter_mut().for_each(|weight| *weight *= factor / batch as f32);
        if let Some(computed) = &mut self.computed {
            let Parameters { layout, weights, .. } = &self.parameters;
            S::round(d, self.recipe.precision, layout, weights, computed)?;
        }
        self.parameters.zero_gradients(d)?;
        let mut tally = report.then(|| Tally::new(self.config.ladder, self.config.codes));
        let mut done = 0;
        // While the last part's gradients are computed, those that are complete are added up.
        let begins = self.all_reduce.overlaps();
        for (number, part) in parts.iter().enumerate() {
            assert!(done + part.labels.len() <= share, "more images than this rank's share");
            let first = ranks.rank() * share + done;
            let lot = Lot { seed: self.recipe.seed, iteration, first };
            let sums = begins && number + 1 == parts.len();
            self.learn_part(d, part, stage, lot, &weights, tally.as_mut(), sums)?;
            done += part.labels.len();
        }
        if begins {
            self.all_reduce.end(ranks)?;
        } else {
            self.all_reduce.sum(d, ranks, &mut self.parameters.gradients)?;
        }
        if let Some(tally) = &mut tally {
            tally.sum(ranks)?;
        }
        let rate = self.recipe.schedule.learning_rate(iteration);
        let decay = self.recipe.schedule.weight_decay(iteration);
        let norm = self.update(d, factor, rate, decay)?;
        Ok(VarStep { norm, rate, decay, stage, tally })
    }

    /// Adds the gradients of one part; `sums`: and begins to add them up over ranks.
    fn learn_part(
        &mut self,
        d: &S::Device<'_>,
        part: &Lesson,
        stage: Stage,
        lot: Lot,
        weights: &[f32],
        tally: Option<&mut Tally>,
        sums: bool,
    ) -> Result<(), TrainError> {
        let Recipe { noise, smoothing, .. } = self.recipe;
        let images = part.labels.len();
        let mut labels = part.labels.clone();
        noise.drop_classes(&mut labels, self.config.classes as u32, lot);
        let factors = noise.factors(self.config.depth, images, lot);
        let targets = self.first_scales(&part.tokens, stage.scales);
        let batch = Batch {
            labels: &labels,
            targets: &targets,
            input: &part.input,
            factors: factors.as_deref(),
            scales: stage.scales,
            smoothing,
            recomputes: self.recomputes,
        };
        let mut room = self.buffers.room(d, needs(d, self.config, batch.extent()))?;
        let Parameters { layout, weights: moved, gradients, .. } = &mut self.parameters;
        let (config, layout) = (self.config, &*layout);
        let computed = self.computed.as_ref().unwrap_or(moved).deref();
        let (report, all_reduce) = (tally.is_some(), &mut self.all_reduce);
        let mut begin = |slice: &mut S::Slice| all_reduce.begin(d, slice);
        let overlap = sums.then_some(Overlap { floats: BUCKET, begin: &mut begin });
        let losses = on(d, || {
            learn(
                d, config, layout, computed, gradients, &mut room, batch, weights, report, overlap,
            )
        })?;
        if let Some(tally) = tally {
            tally.add(&losses, &targets, stage.scales);
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
    pub fn state(&mut self) -> State<'_, S> {
        let mut state = self.parameters.state(Some("var."), "train.", "updates");
        let scale = self.loss_scale.as_mut().map(StateCounter::LossScale);
        state.counters.extend(scale.map(|scale| ("loss_scale", scale)));
        state
    }

    /// Adds to `tally` how well the tokens of `lesson` are predicted, with nothing left out.
    ///
    /// # Errors
    /// If there is too little memory.
    pub fn judge(
        &mut self,
        d: &S::Device<'_>,
        lesson: &Lesson,
        tally: &mut Tally,
    ) -> Result<(), TrainError> {
        let (weights, layout) = (self.parameters.best(), &self.parameters.layout);
        let memory = &mut self.buffers.values;
        judge_lesson::<S>(d, self.config, layout, weights, memory, lesson, tally)
    }

    /// Of each image's tokens those of the first scales.
    fn first_scales(&self, tokens: &[u32], scales: usize) -> Vec<u32> {
        let (all, length) = (self.config.ladder.length(), self.config.ladder.range(scales - 1).end);
        tokens.chunks_exact(all).flat_map(|image| &image[..length]).copied().collect()
    }
}

/// Adds to `tally` how well a transformer with these weights predicts the tokens of `lesson`.
///
/// # Errors
/// If there is too little memory.
///
/// # Panics
/// If the weights are not as `layout` says.
pub fn judge_lesson<S: Storage>(
    d: &S::Device<'_>,
    config: VarConfig,
    layout: &Layout,
    weights: &S::Slice,
    memory: &mut S::Workspace,
    lesson: &Lesson,
    tally: &mut Tally,
) -> Result<(), TrainError> {
    let scales = config.ladder.scales();
    let batch = Batch {
        labels: &lesson.labels,
        targets: &lesson.tokens,
        input: &lesson.input,
        factors: None,
        scales,
        smoothing: 0.0,
        recomputes: false,
    };
    let values = S::workspace(d, memory, needs_to_judge(d, config, lesson.labels.len(), scales))?;
    let losses = on(d, || judge(d, config, layout, weights, values, batch))?;
    tally.add(&losses, &lesson.tokens, scales);
    Ok(())
}
