//! One step of a VQVAE's training.

use var_kernel::cpu::Cpu;
use var_kernel::model::VqvaeConfig;
use var_kernel::model::weights::Maps;
use var_kernel::ops::resize;

use super::critic::Critic;
use super::keeper::Keeper;
use super::pixels::{self, Differences};
use super::recipe::{CodebookRule, Recipe};
use crate::engine::{Buffer, EngineError};
use crate::grad::{ResizeBackward, Sums};
use crate::model::weights::vqvae_tensors;
use crate::optim::Update;
use crate::parallel::Ranks;
use crate::train::codebook::Residuals;
use crate::train::discriminator::{self, Aim};
use crate::train::parameters::Layout;
use crate::train::perceptual::Perceptual;
use crate::train::room::{Needs, Room};
use crate::train::update::{Constants, Optimizer};
use crate::train::{TrainError, initialise, quantizer, vqvae};

/// A VQVAE in training.
pub struct Trainer {
    /// Its sizes.
    pub config: VqvaeConfig,
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
    /// The codebook's state.
    pub keeper: Keeper,
    /// The discriminator, if there is one.
    pub critic: Option<Critic>,
    /// LPIPS, if it is part of the loss.
    pub perceptual: Option<Perceptual>,
    gradients: Vec<f32>,
    rooms: [Buffers; 2],
}

/// Memory of a forward pass and its way back.
#[derive(Default)]
struct Buffers {
    values: Buffer,
    gradients: Buffer,
    scratch: Buffer,
}

impl Buffers {
    fn room(&mut self, needs: Needs) -> Result<Room<'_, [f32]>, EngineError> {
        Ok(Room {
            values: self.values.at_least(needs.values)?,
            gradients: self.gradients.at_least(needs.values)?,
            scratch: self.scratch.at_least(needs.scratch)?,
        })
    }
}

/// Parts of the loss, each a mean over the images of all ranks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// Of pictures.
    pub pixels: Differences,
    /// LPIPS; 0 where it is no part.
    pub perceptual: f64,
    /// The quantizer's.
    pub quantizer: f64,
    /// The reconstructions' before the discriminator.
    pub adversarial: f64,
    /// The discriminator's own.
    pub discriminator: f64,
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
    /// The parts of the loss.
    pub losses: Losses,
}

/// What became of some pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconstructed {
    /// Clamped to [−1, 1].
    pub pictures: Vec<f32>,
    /// How often each code was chosen: `scales × codes`.
    pub hits: Vec<u32>,
}

/// Adam's constants for a VQVAE and its discriminator (model.md, section 8).
pub const CONSTANTS: Constants = Constants { beta_1: 0.5, beta_2: 0.9, eps: 1e-8, clip: 10.0 };

impl Trainer {
    /// A VQVAE before its first step; LPIPS and a discriminator are part of the loss if they are
    /// given.
    pub fn new(
        config: VqvaeConfig,
        recipe: Recipe,
        perceptual: Option<Perceptual>,
        critic: Option<Critic>,
    ) -> Self {
        let layout = Layout::new(vqvae_tensors(config));
        let mut weights = vec![0.0; layout.floats()];
        initialise::convolutional(&mut weights, &layout, recipe.gain, recipe.seed);
        let constants = Constants { clip: recipe.clip, ..CONSTANTS };
        Self {
            keeper: Keeper::new(&config, &recipe, &layout, &weights),
            optimizer: Optimizer::new(&layout, constants),
            average: (recipe.average > 0.0).then(|| weights.clone()),
            gradients: vec![0.0; layout.floats()],
            rooms: Default::default(),
            critic,
            perceptual,
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

    /// Floats of a picture.
    pub fn picture_len(&self) -> usize {
        3 * self.config.side() * self.config.side()
    }

    /// Bytes that training takes, for images `images` at a time.
    pub fn memory(&self, cpu: &Cpu<'_>, images: usize) -> u64 {
        let of = |needs: Needs| 2 * needs.values + needs.scratch;
        let maps = Critic::maps(images, self.config.side());
        let judging = self.perceptual.iter().map(|perceptual| of(perceptual.needs(cpu, maps)));
        let of_critic = |critic: &Critic| of(discriminator::needs(cpu, critic.config, maps));
        let judging = judging.chain(self.critic.iter().map(of_critic)).max().unwrap_or(0);
        let weights = self.weights.len() * (4 + usize::from(self.average.is_some()));
        let own = of(vqvae::needs(cpu, self.config, images));
        4 * (own + judging + weights) as u64
    }

    /// Learns from this rank's share of a batch, given in parts; with the other ranks, all of which
    /// are at the same iteration. Weights stay as they are if a gradient is not finite.
    ///
    /// `parts`: pictures in [−1, 1], each part the same number of them.
    ///
    /// # Errors
    /// If there is too little memory or another rank cannot be reached.
    pub fn step(
        &mut self,
        cpu: &Cpu<'_>,
        ranks: &dyn Ranks,
        iteration: u64,
        parts: &[Vec<f32>],
    ) -> Result<Step, TrainError> {
        let Ok(()) = cpu.fill(&mut self.gradients[..], 0.0);
        let adversarial = self.recipe.adversarial(iteration);
        if let Some(critic) = &mut self.critic {
            let Ok(()) = cpu.fill(&mut critic.gradients[..], 0.0);
        }
        let last = self.layout.tensor("decoder.conv_out.weight").expect("a VQVAE's layout");
        let mut last = [vec![0.0; last.range.len()], vec![0.0; last.range.len()]];
        let mut residuals = Residuals::new(self.config.ladder.scales());
        let mut sums = [0.0; 6];
        for part in parts {
            self.learn_part(cpu, part, adversarial, &mut residuals, &mut sums, &mut last)?;
        }
        ranks.sum(&mut self.gradients)?;
        ranks.sum_f64(&mut sums)?;
        let rate = self.recipe.schedule.learning_rate(iteration);
        let decay = self.recipe.schedule.weight_decay(iteration);
        let norm = self.update(cpu, rate, decay);
        if norm.is_finite() {
            let mean = self.average.as_deref_mut();
            let moments = [&mut self.optimizer.m[..], &mut self.optimizer.v[..]];
            let weights = &mut self.weights;
            self.keeper.step(ranks, &residuals, weights, mean, moments, iteration)?;
        }
        if adversarial > 0.0
            && let Some(critic) = &mut self.critic
        {
            ranks.sum(&mut critic.gradients)?;
            for gradient in &mut last {
                ranks.sum(gradient)?;
            }
            let [others, judgement] = last
                .map(|gradient| gradient.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt());
            critic.note_ratio(others, judgement);
            let Critic { layout, weights, optimizer, gradients, .. } = critic;
            // The discriminator's own, smaller decay is a tenth of the VQVAE's.
            optimizer.update(cpu, layout, weights, gradients, 1.0, rate, 0.1 * decay);
        }
        let images = f64::from(self.recipe.batch);
        let [absolute, squared, perceptual, quantizer, adversarial, discriminator] =
            sums.map(|sum| sum / images);
        let pixels = Differences { absolute, squared };
        let losses = Losses { pixels, perceptual, quantizer, adversarial, discriminator };
        Ok(Step { norm, rate, decay, losses })
    }

    /// Adds the gradients of one part, its losses times its images, and its features.
    fn learn_part(
        &mut self,
        cpu: &Cpu<'_>,
        originals: &[f32],
        adversarial: f32,
        residuals: &mut Residuals,
        sums: &mut [f64; 6],
        last: &mut [Vec<f32>; 2],
    ) -> Result<(), TrainError> {
        let (config, layout, weights) = (self.config, &self.layout, &self.weights);
        let images = originals.len() / (3 * config.side() * config.side());
        let (count, share) = (images as f64, images as f32 / self.recipe.batch as f32);
        let [own, judging] = &mut self.rooms;
        let mut room = own.room(vqvae::needs(cpu, config, images))?;
        let Ok(step) = vqvae::Step::forward(cpu, config, layout, weights, &mut room, originals);
        let Ok(of_part) = Residuals::of(cpu, &config, &step, room.values);
        let factors = self.recipe.weights;
        let maps = Critic::maps(images, config.side());

        let pictures = &step.pictures(&mut room).0.to_vec()[..];
        let gradient = &mut vec![0.0; pictures.len()][..];
        let differences = Differences::of(pictures, originals);
        let all = originals.len() / images * self.recipe.batch as usize;
        let of_pixels = [factors.absolute, factors.squared];
        pixels::backward(gradient, pictures, originals, of_pixels, all);
        sums[0] += count * differences.absolute;
        sums[1] += count * differences.squared;
        if let Some(perceptual) = &self.perceptual {
            let mut room = judging.room(perceptual.needs(cpu, maps))?;
            let factor = factors.perceptual / self.recipe.batch as f32;
            let both = [pictures, originals];
            let network = &perceptual.weights[..];
            let Ok(distances) =
                perceptual.learn(cpu, network, &mut room, both, maps, gradient, factor);
            sums[2] += distances.into_iter().map(f64::from).sum::<f64>();
        }
        sums[3] += count * step.quantizer_loss();
        if adversarial > 0.0
            && let Some(critic) = &mut self.critic
        {
            let judged = judge(cpu, critic, maps, share, judging, [pictures, originals])?;
            let of_pictures = [&*gradient, &judged.gradient[..]];
            for (into, dout) in last.iter_mut().zip(of_pictures) {
                let (values, scratch) = (&*room.values, &mut *room.scratch);
                let Ok(()) = step.last_weight_gradient(cpu, values, dout, into, scratch);
            }
            sums[4] += count * judged.adversarial;
            sums[5] += count * judged.discriminator;
            let factor = adversarial * critic.ratio[0];
            let Ok(()) = cpu.add_scaled(gradient, &judged.gradient, factor);
        }
        let Ok(()) = cpu.add_scaled(step.pictures(&mut room).1, gradient, 1.0);

        if self.keeper.spread.is_on() {
            let codebook = &weights[self.keeper.range.clone()];
            let of_scales = self.keeper.spread.gradients(cpu, &of_part, codebook, share);
            let into = step.latents.of_mut(room.gradients);
            for (scale, of_scale) in of_scales.iter().enumerate() {
                let (from, to) = (config.ladder.finest(), config.ladder.sides()[scale]);
                let d = resize::Dims { batch: images, from, to, channels: config.latent };
                let Ok(()) = cpu.area_backward(into, of_scale, d);
            }
        }
        residuals.append(&of_part);
        let weight = factors.quantizer * share;
        let Ok(()) = step.backward(cpu, weights, &mut self.gradients, &mut room, weight);
        Ok(())
    }

    /// Moves the weights; returns the gradient's norm.
    fn update(&mut self, cpu: &Cpu<'_>, rate: f64, decay: f64) -> f64 {
        let codebook = self.keeper.range.clone();
        let averaged = matches!(self.recipe.codebook, CodebookRule::Average(_));
        if averaged {
            self.gradients[codebook.clone()].fill(0.0);
        }
        let before = averaged.then(|| self.weights[codebook.clone()].to_vec());
        let (layout, weights) = (&self.layout, &mut self.weights);
        let updated =
            self.optimizer.update(cpu, layout, weights, &self.gradients, 1.0, rate, decay);
        if let Some(before) = before {
            self.weights[codebook].copy_from_slice(&before);
        }
        if let (true, Some(average)) = (updated.norm.is_finite(), &mut self.average) {
            let decay = self.recipe.average_decay(self.optimizer.steps);
            let Ok(()) = cpu.average(average, &self.weights, decay as f32);
        }
        updated.norm
    }

    /// What the best weights make of pictures.
    ///
    /// # Errors
    /// If there is too little memory.
    pub fn reconstruct(
        &mut self,
        cpu: &Cpu<'_>,
        originals: &[f32],
    ) -> Result<Reconstructed, TrainError> {
        let images = originals.len() / self.picture_len();
        let needs = vqvae::needs(cpu, self.config, images);
        let mut room = self.rooms[0].room(needs)?;
        let weights = self.average.as_ref().unwrap_or(&self.weights);
        let Ok(step) =
            vqvae::Step::forward(cpu, self.config, &self.layout, weights, &mut room, originals);
        let clamped = step.pictures(&mut room).0.iter().map(|x| x.clamp(-1.0, 1.0)).collect();
        let hits = quantizer::count(&self.config, &step.tokens);
        Ok(Reconstructed { pictures: clamped, hits })
    }
}

/// What the discriminator said to a part.
struct Judged {
    gradient: Vec<f32>,
    adversarial: f64,
    discriminator: f64,
}

/// Has the discriminator judge reconstructions, and learn from both kinds of pictures.
fn judge(
    cpu: &Cpu<'_>,
    critic: &mut Critic,
    maps: Maps,
    share: f32,
    buffers: &mut Buffers,
    [pictures, originals]: [&[f32]; 2],
) -> Result<Judged, TrainError> {
    let Critic { config, layout, weights, gradients, .. } = critic;
    let mut room = buffers.room(discriminator::needs(cpu, *config, maps))?;
    let mut gradient = vec![0.0; pictures.len()];
    let Ok(adversarial) = discriminator::mislead(
        cpu,
        *config,
        layout,
        &weights[..],
        &mut gradient[..],
        &mut room,
        (pictures, maps),
    );
    gradient.iter_mut().for_each(|x| *x *= share);
    let mut of_part = vec![0.0; gradients.len()];
    let mut discriminator = 0.0;
    for (pictures, aim) in [(originals, Aim::Real), (pictures, Aim::Made)] {
        let Ok(loss) = discriminator::learn(
            cpu,
            *config,
            layout,
            &weights[..],
            &mut of_part[..],
            &mut room,
            (pictures, maps),
            aim,
        );
        discriminator += loss;
    }
    let Ok(()) = cpu.add_scaled(gradients, &of_part, share);
    Ok(Judged { gradient, adversarial, discriminator })
}
