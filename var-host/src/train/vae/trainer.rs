//! One step of a VQVAE's training.

use core::ops::DerefMut;

use var_kernel::cpu::Cpu;
use var_kernel::memory::{Device, Floats};
use var_kernel::model::VqvaeConfig;

use super::critic::{self, Critic};
use super::keeper::{Codebook, Keeper};
use super::part::Learnt;
use super::pixels::Differences;
use super::recipe::{CodebookRule, Recipe};
use crate::grad::Sums;
use crate::model::weights::vqvae_tensors;
use crate::optim::Update;
use crate::parallel::Ranks;
use crate::train::home::{Home, OnProcessor};
use crate::train::parameters::Layout;
use crate::train::perceptual::Perceptual;
use crate::train::room::Buffers;
use crate::train::update::{Constants, Optimizer};
use crate::train::{TrainError, discriminator, initialise, quantizer, vqvae};

/// A VQVAE in training.
pub struct Trainer<H: Home = OnProcessor> {
    /// Its sizes.
    pub config: VqvaeConfig,
    /// Where its tensors lie in flat memory.
    pub layout: Layout,
    /// How it is trained.
    pub recipe: Recipe,
    /// The weights that the optimizer moves.
    pub weights: H::Numbers,
    /// Their average, if one is kept.
    pub average: Option<H::Numbers>,
    /// The optimizer's state.
    pub optimizer: Optimizer<H>,
    /// The codebook's state.
    pub keeper: Keeper,
    /// The discriminator, if there is one.
    pub critic: Option<Critic<H>>,
    /// LPIPS and its weights, if it is part of the loss.
    pub perceptual: Option<(Perceptual, H::Numbers)>,
    pub(super) group: H::Group,
    pub(super) gradients: H::Numbers,
    /// Of the network itself, and of those that judge its pictures.
    pub(super) rooms: [Buffers<H>; 2],
    /// Originals, gradients of the discriminator's loss, and latents' gradients, on the device.
    pub(super) aside: [H::Working; 4],
    /// Gradients of the decoder's last convolution: of the judgement, and of the other losses.
    pub(super) last: Option<[H::Numbers; 2]>,
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

/// Results of a step.
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

/// Reconstructed pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconstructed {
    /// Clamped to [−1, 1].
    pub pictures: Vec<f32>,
    /// How often each code was chosen: `scales × codes`.
    pub hits: Vec<u32>,
}

/// Adam's constants for a VQVAE and its discriminator (MODEL.md, section 8).
pub const CONSTANTS: Constants = Constants { beta_1: 0.5, beta_2: 0.9, eps: 1e-8, clip: 10.0 };

/// The decoder's last convolution: its gradients give the adaptive weight.
const LAST: &str = "decoder.conv_out.weight";

impl<H: Home> Trainer<H> {
    /// A VQVAE before its first step; LPIPS and a discriminator are part of the loss if they are
    /// given.
    ///
    /// # Errors
    /// If the device has not the memory.
    pub fn new(
        d: &H::Device<'_>,
        config: VqvaeConfig,
        recipe: Recipe,
        perceptual: Option<Perceptual>,
        critic: Option<Critic<H>>,
    ) -> Result<Self, TrainError> {
        let layout = Layout::new(vqvae_tensors(config));
        let mut weights = vec![0.0; layout.floats()];
        initialise::convolutional(&mut weights, &layout, recipe.gain, recipe.seed);
        let constants = Constants { clip: recipe.clip, ..CONSTANTS };
        let average = (recipe.average > 0.0).then(|| H::keep(d, &layout, weights.clone()));
        let perceptual = perceptual.map(|perceptual| {
            let weights = H::keep(d, &perceptual.layout, perceptual.weights.clone())?;
            Ok::<_, TrainError>((perceptual, weights))
        });
        let floats = layout.tensor(LAST).expect("a VQVAE's layout").range.len();
        let last = critic
            .is_some()
            .then(|| Ok::<_, TrainError>([H::zeros(d, floats)?, H::zeros(d, floats)?]));
        Ok(Self {
            keeper: Keeper::new(&config, &recipe, &layout, &weights),
            optimizer: Optimizer::new(d, &layout, constants)?,
            average: average.transpose()?,
            group: H::Group::default(),
            gradients: H::zeros(d, layout.floats())?,
            rooms: Default::default(),
            aside: Default::default(),
            last: last.transpose()?,
            critic,
            perceptual: perceptual.transpose()?,
            config,
            recipe,
            weights: H::keep(d, &layout, weights)?,
            layout,
        })
    }

    /// Lets the devices of all ranks find each other, before the first step; returns a warning if they
    /// could but do not.
    ///
    /// # Errors
    /// If another rank cannot be reached.
    pub fn join(
        &mut self,
        d: &H::Device<'_>,
        ranks: &dyn Ranks,
    ) -> Result<Option<&'static str>, TrainError> {
        self.group = H::group(d, ranks)?;
        Ok(H::over_host(&self.group, ranks))
    }

    /// Floats of a picture.
    pub fn picture_len(&self) -> usize {
        3 * self.config.side() * self.config.side()
    }

    /// Bytes of everything together, for images `images` at a time.
    pub fn memory(&self, d: &H::Device<'_>, images: usize) -> u64 {
        let mirrors = 4 + usize::from(self.average.is_some());
        4 * (mirrors * self.layout.floats()) as u64 + self.working_memory(d, images)
    }

    /// Bytes of working memory that learning from `images` images at a time takes.
    pub fn working_memory(&self, d: &H::Device<'_>, images: usize) -> u64 {
        let maps = critic::maps(images, self.config.side());
        let judging = self.perceptual.iter().map(|(perceptual, _)| perceptual.needs(d, maps));
        let of_critic = |critic: &Critic<H>| discriminator::needs(d, critic.config, maps);
        let judging = judging.chain(self.critic.iter().map(of_critic));
        let judging = judging.map(|needs| needs.floats()).max().unwrap_or(0);
        4 * (vqvae::needs(d, self.config, images).floats() + judging) as u64
    }

    /// Learns from this rank's share of a batch, given in parts; with the other ranks, all of which
    /// are at the same iteration. Weights stay as they are if a gradient is not finite.
    ///
    /// `cpu` updates the codebook, on the host. `parts`: microbatches of pictures in [−1, 1], all of the
    /// same size.
    ///
    /// # Errors
    /// If there is too little memory or another rank cannot be reached.
    ///
    /// # Panics
    /// If there are no parts.
    pub fn step(
        &mut self,
        d: &H::Device<'_>,
        cpu: &Cpu<'_>,
        ranks: &dyn Ranks,
        iteration: u64,
        parts: &[Vec<f32>],
    ) -> Result<Step, TrainError> {
        assert!(!parts.is_empty(), "a step learns from something");
        d.fill(&mut self.gradients, 0.0).map_err(Into::into)?;
        let adversarial = self.recipe.adversarial(iteration);
        if let Some(critic) = &mut self.critic {
            d.fill(&mut critic.gradients, 0.0).map_err(Into::into)?;
        }
        for last in self.last.iter_mut().flatten() {
            d.fill(last, 0.0).map_err(Into::into)?;
        }
        let mut learnt = Learnt::new(self.config.ladder.scales());
        // While the last part's gradients are computed, those that are complete are added up.
        let begins = H::begins_sums(&self.group);
        for (number, part) in parts.iter().enumerate() {
            let sums = begins && number + 1 == parts.len();
            self.learn_part(d, cpu, part, adversarial, &mut learnt, sums)?;
        }
        let Learnt { residuals, mut sums } = learnt;
        if begins {
            H::end_sums(&mut self.group, ranks)?;
        } else {
            H::sum(d, &mut self.group, ranks, &mut self.gradients)?;
        }
        ranks.sum_f64(&mut sums)?;
        let rate = self.recipe.schedule.learning_rate(iteration);
        let decay = self.recipe.schedule.weight_decay(iteration);
        let norm = self.update(d, rate, decay)?;
        if norm.is_finite() {
            let mut book = self.codebook(d)?;
            self.keeper.step(ranks, &residuals, &mut book, iteration)?;
            self.set_codebook(d, &book)?;
        }
        if adversarial > 0.0
            && let (Some(critic), Some(last)) = (&mut self.critic, &mut self.last)
        {
            H::sum(d, &mut self.group, ranks, &mut critic.gradients)?;
            let mut norms = [0.0; 2];
            for (gradient, norm) in last.iter_mut().zip(&mut norms) {
                H::sum(d, &mut self.group, ranks, gradient)?;
                *norm = d.sum_of_squares(gradient).map_err(Into::into)?.sqrt();
            }
            critic.note_ratio(norms[0], norms[1]);
            let Critic { layout, weights, optimizer, gradients, .. } = critic;
            // The discriminator's own, smaller decay is a tenth of the VQVAE's.
            optimizer.update(d, layout, weights, gradients, 1.0, rate, 0.1 * decay)?;
        }
        let images = f64::from(self.recipe.batch);
        let [absolute, squared, perceptual, quantizer, adversarial, discriminator] =
            sums.map(|sum| sum / images);
        let pixels = Differences { absolute, squared };
        let losses = Losses { pixels, perceptual, quantizer, adversarial, discriminator };
        Ok(Step { norm, rate, decay, losses })
    }

    /// The codebook, its gradient and its averages.
    fn codebook(&self, d: &H::Device<'_>) -> Result<Codebook, TrainError> {
        let read = |numbers: &H::Numbers| {
            let mut there = vec![0.0; self.keeper.range.len()];
            let run = numbers.range(self.keeper.range.clone());
            d.download(&mut there, run).map_err(Into::into)?;
            Ok::<_, TrainError>(there)
        };
        Ok(Codebook {
            codes: read(&self.weights)?,
            mean: self.average.as_ref().map(read).transpose()?,
            moments: [read(&self.optimizer.m)?, read(&self.optimizer.v)?],
        })
    }

    /// Writes them back.
    fn set_codebook(&mut self, d: &H::Device<'_>, book: &Codebook) -> Result<(), TrainError> {
        let Codebook { codes, mean, moments: [m, v] } = book;
        let range = &self.keeper.range;
        let write = |numbers: &mut H::Numbers, from: &[f32]| {
            d.upload(numbers.range_mut(range.clone()), from).map_err(Into::into)
        };
        write(&mut self.weights, codes)?;
        if let (Some(average), Some(mean)) = (&mut self.average, mean) {
            write(average, mean)?;
        }
        write(&mut self.optimizer.m, m)?;
        write(&mut self.optimizer.v, v)
    }

    /// Moves the weights; returns the gradient's norm.
    fn update(&mut self, d: &H::Device<'_>, rate: f64, decay: f64) -> Result<f64, TrainError> {
        let range = self.keeper.range.clone();
        let mut before = Vec::new();
        if matches!(self.recipe.codebook, CodebookRule::Average(_)) {
            before.resize(range.len(), 0.0);
            let gradient = self.gradients.range_mut(range.clone());
            d.fill(gradient, 0.0).map_err(Into::into)?;
            d.download(&mut before, self.weights.range(range.clone())).map_err(Into::into)?;
        }
        let (layout, weights) = (&self.layout, self.weights.deref_mut());
        let updated =
            self.optimizer.update(d, layout, weights, &self.gradients, 1.0, rate, decay)?;
        if !before.is_empty() {
            d.upload(weights.range_mut(range), &before).map_err(Into::into)?;
        }
        if let (true, Some(average)) = (updated.norm.is_finite(), &mut self.average) {
            let decay = self.recipe.average_decay(self.optimizer.steps);
            d.average(average, &self.weights, decay as f32).map_err(Into::into)?;
        }
        Ok(updated.norm)
    }

    /// Reconstructions of pictures by the best weights.
    ///
    /// # Errors
    /// If there is too little memory.
    pub fn reconstruct(
        &mut self,
        d: &H::Device<'_>,
        originals: &[f32],
    ) -> Result<Reconstructed, TrainError> {
        let images = originals.len() / self.picture_len();
        let needs = vqvae::needs(d, self.config, images);
        let mut room = self.rooms[0].room(d, needs)?;
        let weights = self.average.as_ref().unwrap_or(&self.weights);
        let (config, layout) = (self.config, &self.layout);
        let step = vqvae::Step::forward(d, config, layout, weights, &mut room, originals)
            .map_err(Into::into)?;
        let mut pictures = vec![0.0; originals.len()];
        d.download(&mut pictures, step.pictures(&mut room).0).map_err(Into::into)?;
        pictures.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
        let hits = quantizer::count(&self.config, &step.tokens);
        Ok(Reconstructed { pictures, hits })
    }
}
