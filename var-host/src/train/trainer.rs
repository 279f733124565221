//! One step of training: forward, loss, backward, sum over ranks, update.

use var_kernel::cpu::Cpu;
use var_kernel::model::VarConfig;

use super::metrics::Tally;
use super::noise::Lot;
use super::parameters::Layout;
use super::progressive::Stage;
use super::recipe::Recipe;
use super::transformer::{Batch, Room, judge, learn, needs, needs_to_judge};
use super::update::{Constants, Optimizer};
use super::{Initialisation, TrainError, initialise};
use crate::engine::Buffer;
use crate::model::weights::transformer_tensors;
use crate::optim::{LossScale, Update};
use crate::parallel::Ranks;

/// Images to learn from.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// The class of each.
    pub labels: Vec<u32>,
    /// L tokens of each, one image's after the other.
    pub tokens: Vec<u32>,
    /// What the quantizer makes of them: [`Engine::teacher_input`](crate::engine::Engine::teacher_input).
    pub input: Vec<f32>,
}

/// A transformer in training.
pub struct Trainer {
    /// Its sizes.
    pub config: VarConfig,
    /// Where its tensors lie in flat memory.
    pub layout: Layout,
    /// How it is trained.
    pub recipe: Recipe,
    /// The weights that the optimizer moves.
    pub weights: Vec<f32>,
    /// Their average, if one is kept.
    pub average: Option<Vec<f32>>,
    /// The optimizer's state.
    pub optimizer: Optimizer,
    /// What the loss is multiplied by, in half precision.
    pub loss_scale: Option<LossScale>,
    computed: Vec<f32>,
    gradients: Vec<f32>,
    values: Buffer,
    value_gradients: Buffer,
    scratch: Buffer,
}

/// What a step did.
#[derive(Clone, Debug)]
pub struct Step {
    /// The gradient's norm before clipping; not finite if the weights were left as they were.
    pub norm: f64,
    /// The learning rate.
    pub rate: f64,
    /// The weight decay.
    pub decay: f64,
    /// What was learnt.
    pub stage: Stage,
    /// Losses and hits over all ranks, if they were asked for.
    pub tally: Option<Tally>,
}

impl Trainer {
    /// A transformer with weights of `initialisation`.
    pub fn new(config: VarConfig, recipe: Recipe, initialisation: Initialisation) -> Self {
        let layout = Layout::new(transformer_tensors(config));
        let mut weights = vec![0.0; layout.floats()];
        initialise::transformer(&mut weights, &layout, &config, initialisation, recipe.seed);
        Self::with_weights(config, recipe, layout, weights)
    }

    /// A transformer that goes on from `weights`.
    ///
    /// # Panics
    /// If there are not as many as `layout` says.
    pub fn with_weights(
        config: VarConfig,
        recipe: Recipe,
        layout: Layout,
        weights: Vec<f32>,
    ) -> Self {
        assert_eq!(weights.len(), layout.floats(), "weights are not as long as their layout");
        let constants = Constants { clip: recipe.clip, ..Constants::TRANSFORMER };
        let half = recipe.precision == super::Precision::F16;
        let rounded = if recipe.precision.rounds() { layout.floats() } else { 0 };
        Self {
            optimizer: Optimizer::new(&layout, constants),
            average: (recipe.average > 0.0).then(|| weights.clone()),
            loss_scale: half.then(LossScale::new),
            computed: vec![0.0; rounded],
            gradients: vec![0.0; layout.floats()],
            values: Buffer::default(),
            value_gradients: Buffer::default(),
            scratch: Buffer::default(),
            config,
            layout,
            recipe,
            weights,
        }
    }

    /// The weights to use and to judge by: their average if one is kept.
    pub fn best_weights(&self) -> &[f32] {
        self.average.as_ref().unwrap_or(&self.weights)
    }

    /// Bytes that training takes for the weights and for images `images` at a time.
    pub fn memory(&self, cpu: &Cpu<'_>, images: usize) -> u64 {
        let needs = needs(cpu, self.config, images, self.config.ladder.scales());
        let of_weights =
            self.weights.len() * (4 + usize::from(self.average.is_some())) + self.computed.len();
        4 * (2 * needs.values + needs.scratch + of_weights) as u64
    }

    /// Learns from this rank's share of a batch, given in parts; with the other ranks, all of which
    /// are at the same iteration. Weights stay as they are if a gradient is not finite.
    ///
    /// # Errors
    /// If there is too little memory or another rank cannot be reached.
    ///
    /// # Panics
    /// If there are more images than the recipe's share of this rank.
    pub fn step(
        &mut self,
        cpu: &Cpu<'_>,
        ranks: &dyn Ranks,
        iteration: u64,
        parts: &[Lesson],
        report: bool,
    ) -> Result<Step, TrainError> {
        let stage = self.recipe.stage(iteration, &self.config.ladder);
        let batch = self.recipe.batch as usize;
        let share = batch / ranks.size();
        let factor = self.loss_scale.map_or(1.0, |scale| scale.factor);
        let mut weights = stage.weights(&self.config.ladder);
        weights.iter_mut().for_each(|weight| *weight *= factor / batch as f32);
        if self.recipe.precision.rounds() {
            self.recipe.precision.round(cpu, &self.layout, &self.weights, &mut self.computed);
        }
        let Ok(()) = crate::grad::Sums::fill(cpu, &mut self.gradients[..], 0.0);
        let mut tally = report.then(|| Tally::new(self.config.ladder, self.config.codes));
        let mut done = 0;
        for part in parts {
            assert!(done + part.labels.len() <= share, "more images than this rank's share");
            let first = ranks.rank() * share + done;
            let lot = Lot { seed: self.recipe.seed, iteration, first };
            self.learn_part(cpu, part, stage, lot, &weights, tally.as_mut())?;
            done += part.labels.len();
        }
        ranks.sum(&mut self.gradients)?;
        if let Some(tally) = &mut tally {
            tally.sum(ranks)?;
        }
        let rate = self.recipe.schedule.learning_rate(iteration);
        let decay = self.recipe.schedule.weight_decay(iteration);
        let norm = self.update(cpu, factor, rate, decay);
        Ok(Step { norm, rate, decay, stage, tally })
    }

    /// Adds the gradients of one part.
    fn learn_part(
        &mut self,
        cpu: &Cpu<'_>,
        part: &Lesson,
        stage: Stage,
        lot: Lot,
        weights: &[f32],
        tally: Option<&mut Tally>,
    ) -> Result<(), TrainError> {
        let Recipe { noise, smoothing, precision, .. } = self.recipe;
        let images = part.labels.len();
        let mut labels = part.labels.clone();
        noise.drop_classes(&mut labels, self.config.classes as u32, lot);
        let factors = noise.factors(self.config.depth, images, lot);
        let targets = self.first_scales(&part.tokens, stage.scales);
        let needs = needs(cpu, self.config, images, stage.scales);
        let mut room = Room {
            values: self.values.at_least(needs.values)?,
            gradients: self.value_gradients.at_least(needs.values)?,
            scratch: self.scratch.at_least(needs.scratch)?,
        };
        let batch = Batch {
            labels: &labels,
            targets: &targets,
            input: &part.input,
            factors: factors.as_deref(),
            scales: stage.scales,
            smoothing,
        };
        let computed = if precision.rounds() { &self.computed } else { &self.weights };
        let (config, layout) = (self.config, &self.layout);
        let gradients = &mut self.gradients;
        let report = tally.is_some();
        let Ok(losses) =
            learn(cpu, config, layout, computed, gradients, &mut room, batch, weights, report);
        if let Some(tally) = tally {
            tally.add(&losses, &targets, stage.scales);
        }
        Ok(())
    }

    /// Moves the weights; returns the gradient's norm.
    fn update(&mut self, cpu: &Cpu<'_>, factor: f32, rate: f64, decay: f64) -> f64 {
        let (layout, weights) = (&self.layout, &mut self.weights);
        let updated =
            self.optimizer.update(cpu, layout, weights, &self.gradients, factor, rate, decay);
        let finite = updated.norm.is_finite();
        if let Some(scale) = &mut self.loss_scale {
            scale.update(finite);
        }
        if let (true, Some(average)) = (finite, &mut self.average) {
            let decay = self.recipe.average_decay(self.optimizer.steps);
            let Ok(()) = cpu.average(average, &self.weights, decay as f32);
        }
        updated.norm
    }

    /// Adds to `tally` how well the tokens of `lesson` are predicted, with nothing left out.
    ///
    /// # Errors
    /// If there is too little memory.
    pub fn judge(
        &mut self,
        cpu: &Cpu<'_>,
        lesson: &Lesson,
        tally: &mut Tally,
    ) -> Result<(), TrainError> {
        let weights = self.average.as_ref().unwrap_or(&self.weights);
        judge_lesson(cpu, self.config, &self.layout, weights, &mut self.values, lesson, tally)
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
pub fn judge_lesson(
    cpu: &Cpu<'_>,
    config: VarConfig,
    layout: &Layout,
    weights: &[f32],
    memory: &mut Buffer,
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
    };
    let values = memory.at_least(needs_to_judge(cpu, config, lesson.labels.len(), scales))?;
    let Ok(losses) = judge(cpu, config, layout, weights, values, batch);
    tally.add(&losses, &lesson.tokens, scales);
    Ok(())
}
