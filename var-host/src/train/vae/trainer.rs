//! One step of a VQVAE's training.

use var_kernel::cpu::Cpu;
use var_kernel::memory::{Device, Floats};
use var_kernel::model::VqvaeConfig;

use super::critic::{self, Critic};
use super::keeper::{Codebook, Keeper};
use super::losses::Losses;
use super::microbatch::{self, Judges, Network};
use super::recipe::{CodebookRule, Recipe};
use crate::grad::Sums;
use crate::model::weights::vqvae_tensors;
use crate::optim::Update;
use crate::parallel::Ranks;
use crate::train::codebook::Residuals;
use crate::train::layout::Layout;
use crate::train::parameters::Parameters;
use crate::train::perceptual::Perceptual;
use crate::train::room::Buffers;
use crate::train::state::{State, StateTensor};
use crate::train::storage::{AllReduce, Host, Storage};
use crate::train::update::Constants;
use crate::train::{TrainError, discriminator, initialise, on, quantizer, vqvae};

/// A VQVAE in training.
pub struct VqvaeTrainer<S: Storage = Host> {
    /// Its sizes.
    pub config: VqvaeConfig,
    /// How it is trained.
    pub recipe: Recipe,
    /// Weights, gradients, optimizer state.
    pub parameters: Parameters<S>,
    /// The codebook's state.
    pub keeper: Keeper,
    /// The discriminator, if there is one.
    pub critic: Option<Critic<S>>,
    /// LPIPS and its weights, if it is part of the loss.
    pub perceptual: Option<(Perceptual, S::Buffer)>,
    pub(super) all_reduce: S::AllReduce,
    /// Of the network itself, and of those that judge its pictures.
    pub(super) rooms: [Buffers<S>; 2],
    /// Originals, gradients of the discriminator's loss, and latents' gradients, on the device.
    pub(super) aside: [S::Workspace; 4],
    /// Gradients of the decoder's last convolution: of the judgement, and of the other losses.
    pub(super) last: Option<[S::Buffer; 2]>,
}

/// Results of a step.
#[derive(Clone, Debug)]
pub struct VqvaeStep {
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

impl<S: Storage> VqvaeTrainer<S> {
    /// A VQVAE before its first step; LPIPS and a discriminator are part of the loss if they are
    /// given.
    ///
    /// # Errors
    /// If the device has not the memory.
    pub fn new(
        d: &S::Device<'_>,
        config: VqvaeConfig,
        recipe: Recipe,
        perceptual: Option<Perceptual>,
        critic: Option<Critic<S>>,
    ) -> Result<Self, TrainError> {
        let layout = Layout::new(vqvae_tensors(config));
        let mut weights = vec![0.0; layout.floats()];
        initialise::convolutional(&mut weights, &layout, recipe.gain, recipe.seed);
        let constants = Constants { clip: recipe.clip, ..CONSTANTS };
        let perceptual = perceptual.map(|perceptual| {
            let weights = S::from_host(d, &perceptual.layout, perceptual.weights.clone())?;
            Ok::<_, TrainError>((perceptual, weights))
        });
        let floats = layout.tensor(LAST).expect("a VQVAE's layout").range.len();
        let last = critic
            .is_some()
            .then(|| Ok::<_, TrainError>([S::zeros(d, floats)?, S::zeros(d, floats)?]));
        Ok(Self {
            keeper: Keeper::new(&config, &recipe, &layout, &weights),
            parameters: Parameters::new(d, layout, weights, constants, recipe.average)?,
            all_reduce: S::AllReduce::default(),
            rooms: Default::default(),
            aside: Default::default(),
            last: last.transpose()?,
            critic,
            perceptual: perceptual.transpose()?,
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

    /// Floats of a picture.
    pub fn picture_len(&self) -> usize {
        3 * self.config.side() * self.config.side()
    }

    /// Bytes of everything together, for images `images` at a time.
    pub fn memory(&self, d: &S::Device<'_>, images: usize) -> u64 {
        self.parameters.bytes() + self.working_memory(d, images)
    }

    /// Bytes of working memory that learning from `images` images at a time takes.
    pub fn working_memory(&self, d: &S::Device<'_>, images: usize) -> u64 {
        let maps = critic::maps(images, self.config.side());
        let judging = self.perceptual.iter().map(|(perceptual, _)| perceptual.needs(d, maps));
        let of_critic = |critic: &Critic<S>| discriminator::needs(d, critic.config, maps);
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
        d: &S::Device<'_>,
        cpu: &Cpu<'_>,
        ranks: &dyn Ranks,
        iteration: u64,
        parts: &[Vec<f32>],
    ) -> Result<VqvaeStep, TrainError> {
        assert!(!parts.is_empty(), "a step learns from something");
        self.parameters.zero_gradients(d)?;
        let adversarial = self.recipe.adversarial(iteration);
        if let Some(critic) = &mut self.critic {
            critic.parameters.zero_gradients(d)?;
        }
        for last in self.last.iter_mut().flatten() {
            on(d, || d.fill(last, 0.0))?;
        }
        let mut residuals = Residuals::new(self.config.ladder.scales());
        let mut sums = Losses::default();
        // While the last part's gradients are computed, those that are complete are added up.
        let begins = self.all_reduce.overlaps();
        for (number, part) in parts.iter().enumerate() {
            let overlaps = begins && number + 1 == parts.len();
            let (of_part, features) = self.microbatch(d, cpu, part, adversarial, overlaps)?;
            sums.add(&of_part);
            residuals.append(&features);
        }
        if begins {
            self.all_reduce.end(ranks)?;
        } else {
            self.all_reduce.sum(d, ranks, &mut self.parameters.gradients)?;
        }
        sums.sum(ranks)?;
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
            self.all_reduce.sum(d, ranks, &mut critic.parameters.gradients)?;
            let mut norms = [0.0; 2];
            for (gradient, norm) in last.iter_mut().zip(&mut norms) {
                self.all_reduce.sum(d, ranks, gradient)?;
                *norm = on(d, || d.sum_of_squares(gradient))?.sqrt();
            }
            critic.note_ratio(norms[0], norms[1]);
            // The discriminator's own, smaller decay is a tenth of the VQVAE's.
            critic.parameters.step(d, 1.0, rate, 0.1 * decay)?;
        }
        let losses = sums.over(self.recipe.batch);
        Ok(VqvaeStep { norm, rate, decay, losses })
    }

    /// Adds the gradients of one microbatch; returns its losses times its images, and its residuals.
    /// `overlaps`: whether the all-reduce begins during the backward pass.
    fn microbatch(
        &mut self,
        d: &S::Device<'_>,
        cpu: &Cpu<'_>,
        originals: &[f32],
        adversarial: f32,
        overlaps: bool,
    ) -> Result<(Losses, Residuals), TrainError> {
        let Self { config, recipe, parameters, keeper, critic, perceptual, last, .. } = self;
        let judges = Judges {
            perceptual: perceptual.as_ref(),
            critic: critic.as_mut().zip(last.as_mut()).filter(|_| adversarial > 0.0),
        };
        let network = Network { config: *config, recipe, parameters, keeper };
        let all_reduce = overlaps.then_some(&mut self.all_reduce);
        let memory = (&mut self.rooms, &mut self.aside);
        microbatch::learn(d, cpu, network, judges, adversarial, originals, memory, all_reduce)
    }

    /// The codebook, its gradient and its averages.
    fn codebook(&self, d: &S::Device<'_>) -> Result<Codebook, TrainError> {
        let read = |numbers: &S::Buffer| {
            let mut there = vec![0.0; self.keeper.range.len()];
            let run = numbers.range(self.keeper.range.clone());
            on(d, || d.download(&mut there, run))?;
            Ok::<_, TrainError>(there)
        };
        let Parameters { weights, average, optimizer, .. } = &self.parameters;
        Ok(Codebook {
            codes: read(weights)?,
            mean: average.as_ref().map(read).transpose()?,
            m: read(&optimizer.m)?,
            v: read(&optimizer.v)?,
        })
    }

    /// Writes them back.
    fn set_codebook(&mut self, d: &S::Device<'_>, book: &Codebook) -> Result<(), TrainError> {
        let range = &self.keeper.range;
        let write = |numbers: &mut S::Buffer, from: &[f32]| {
            on(d, || d.upload(numbers.range_mut(range.clone()), from))
        };
        let Parameters { weights, average, optimizer, .. } = &mut self.parameters;
        write(weights, &book.codes)?;
        if let (Some(average), Some(mean)) = (average, &book.mean) {
            write(average, mean)?;
        }
        write(&mut optimizer.m, &book.m)?;
        write(&mut optimizer.v, &book.v)
    }

    /// Moves the weights; returns the gradient's norm.
    fn update(&mut self, d: &S::Device<'_>, rate: f64, decay: f64) -> Result<f64, TrainError> {
        let range = self.keeper.range.clone();
        // Codes that are averages of their features are not the optimizer's.
        let averaged = matches!(self.recipe.codebook, CodebookRule::Average(_));
        let mut codes = vec![0.0; if averaged { range.len() } else { 0 }];
        if averaged {
            let Parameters { gradients, weights, .. } = &mut self.parameters;
            on(d, || {
                d.fill(gradients.range_mut(range.clone()), 0.0)?;
                d.download(&mut codes, weights.range(range.clone()))
            })?;
        }
        let norm = self.parameters.step(d, 1.0, rate, decay)?;
        if averaged {
            on(d, || d.upload(self.parameters.weights.range_mut(range), &codes))?;
        }
        if norm.is_finite() {
            self.parameters.update_average(d)?;
        }
        Ok(norm)
    }

    /// The state that a checkpoint holds.
    pub fn state(&mut self) -> State<'_, S> {
        let mut state = self.parameters.state(Some("vae."), "train.", "updates");
        self.keeper.state(&mut state);
        if let Some(critic) = &mut self.critic {
            state.append(critic.parameters.state(None, "train.disc.", "critic_updates"));
            let (ratio, shape) = (&mut critic.ratio[..], vec![1]);
            state.tensors.push(StateTensor::host("train.disc.ratio", ratio, shape));
        }
        state
    }

    /// Reconstructions of pictures by the best weights.
    ///
    /// # Errors
    /// If there is too little memory.
    pub fn reconstruct(
        &mut self,
        d: &S::Device<'_>,
        originals: &[f32],
    ) -> Result<Reconstructed, TrainError> {
        let images = originals.len() / self.picture_len();
        let needs = vqvae::needs(d, self.config, images);
        let mut room = self.rooms[0].room(d, needs)?;
        let (weights, layout) = (self.parameters.best(), &self.parameters.layout);
        let mut pictures = vec![0.0; originals.len()];
        let step = on(d, || {
            let step = vqvae::Step::forward(d, self.config, layout, weights, &mut room, originals)?;
            d.download(&mut pictures, step.pictures(&mut room).0)?;
            Ok(step)
        })?;
        pictures.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
        let hits = quantizer::count(&self.config, &step.tokens);
        Ok(Reconstructed { pictures, hits })
    }
}
