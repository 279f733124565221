//! One step of a VQVAE's training.

use var_kernel::cpu::Cpu;
use var_kernel::memory::{Device, Floats};
use var_kernel::model::VqvaeConfig;

use super::codebook_state::{Codebook, CodebookState};
use super::discriminator_state::{self, DiscriminatorState};
use super::hyperparameters::{CodebookUpdate, VqvaeHyperparameters};
use super::losses::VqvaeLosses;
use super::microbatch::{self, LossNetworks, VqvaeNetwork};
use crate::grad::Sums;
use crate::model::weights::vqvae_tensors;
use crate::optim::Update;
use crate::parallel::ProcessGroup;
use crate::train::codebook::Residuals;
use crate::train::layout::ParameterLayout;
use crate::train::optimizer::OptimizerConfig;
use crate::train::parameters::TrainParameters;
use crate::train::perceptual::Perceptual;
use crate::train::state::{StateTensor, TrainState};
use crate::train::storage::{AllReduce, Host, Storage};
use crate::train::workspace::{Buffers, SizeCache};
use crate::train::{TrainError, discriminator, initialize, on, quantizer, vqvae};

/// A VQVAE in training.
pub struct VqvaeTrainer<S: Storage = Host> {
    /// Its sizes.
    pub config: VqvaeConfig,
    /// How it is trained.
    pub hyperparameters: VqvaeHyperparameters,
    /// Weights, gradients, optimizer state.
    pub parameters: TrainParameters<S>,
    /// The codebook's state.
    pub codebook_state: CodebookState,
    /// The discriminator, if there is one.
    pub discriminator_state: Option<DiscriminatorState<S>>,
    /// LPIPS and its weights, if it is part of the loss.
    pub perceptual: Option<(Perceptual, S::Buffer)>,
    pub(super) all_reduce: S::AllReduce,
    /// Of the network itself, and of those that judge its images.
    pub(super) buffers: [Buffers<S>; 2],
    /// By images: of the network, of LPIPS and of the discriminator.
    pub(super) sizes: [SizeCache<usize>; 3],
    /// Originals, gradients of the discriminator's loss, and latents' gradients, on the device.
    pub(super) aside: [S::Workspace; 4],
    /// Gradients of the decoder's last convolution: of the judgment, and of the other losses.
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
    pub losses: VqvaeLosses,
}

/// Reconstructed images.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconstructed {
    /// Clamped to [−1, 1].
    pub pictures: Vec<f32>,
    /// How often each code was chosen: `scales × codes`.
    pub hits: Vec<u32>,
}

/// Adam's constants for a VQVAE and its discriminator (MODEL.md, section 8).
pub const OPTIMIZER_CONFIG: OptimizerConfig =
    OptimizerConfig { beta_1: 0.5, beta_2: 0.9, eps: 1e-8, clip: 10.0 };

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
        hyperparameters: VqvaeHyperparameters,
        perceptual: Option<Perceptual>,
        discriminator_state: Option<DiscriminatorState<S>>,
    ) -> Result<Self, TrainError> {
        let layout = ParameterLayout::new(vqvae_tensors(config));
        let mut weights = vec![0.0; layout.floats()];
        initialize::convolutional(
            &mut weights,
            &layout,
            hyperparameters.gain,
            hyperparameters.seed,
        );
        let constants = OptimizerConfig { clip: hyperparameters.clip, ..OPTIMIZER_CONFIG };
        let perceptual = perceptual.map(|perceptual| {
            let weights = S::from_host(d, &perceptual.layout, perceptual.weights.clone())?;
            Ok::<_, TrainError>((perceptual, weights))
        });
        let floats = layout.tensor(LAST).expect("a VQVAE's layout").range.len();
        let last = discriminator_state
            .is_some()
            .then(|| Ok::<_, TrainError>([S::zeros(d, floats)?, S::zeros(d, floats)?]));
        Ok(Self {
            codebook_state: CodebookState::new(&config, &hyperparameters, &layout, &weights),
            parameters: TrainParameters::new(
                d,
                layout,
                weights,
                constants,
                hyperparameters.average,
            )?,
            all_reduce: S::AllReduce::default(),
            buffers: Default::default(),
            sizes: Default::default(),
            aside: Default::default(),
            last: last.transpose()?,
            discriminator_state,
            perceptual: perceptual.transpose()?,
            config,
            hyperparameters,
        })
    }

    /// Begins with these weights in place of random ones: flat, as the layout says.
    ///
    /// # Errors
    /// If the device has not the memory.
    pub fn set_weights(&mut self, d: &S::Device<'_>, weights: Vec<f32>) -> Result<(), TrainError> {
        let Self { config, hyperparameters, parameters, .. } = self;
        let layout = &parameters.layout;
        self.codebook_state = CodebookState::new(config, hyperparameters, layout, &weights);
        if let Some(average) = &mut parameters.average {
            *average = S::from_host(d, layout, weights.clone())?;
        }
        parameters.weights = S::from_host(d, layout, weights)?;
        Ok(())
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

    /// Floats of an image.
    pub fn image_len(&self) -> usize {
        3 * self.config.side() * self.config.side()
    }

    /// Bytes of everything together, for images `images` at a time.
    pub fn memory(&self, d: &S::Device<'_>, images: usize) -> u64 {
        self.parameters.bytes() + self.working_memory(d, images)
    }

    /// Bytes of working memory that learning from `images` images at a time takes.
    pub fn working_memory(&self, d: &S::Device<'_>, images: usize) -> u64 {
        let maps = discriminator_state::maps(images, self.config.side());
        let judging =
            self.perceptual.iter().map(|(perceptual, _)| perceptual.workspace_size(d, maps));
        let of_discriminator = |discriminator_state: &DiscriminatorState<S>| {
            discriminator::workspace_size(d, discriminator_state.config, maps)
        };
        let judging = judging.chain(self.discriminator_state.iter().map(of_discriminator));
        let judging = judging.map(|workspace_size| workspace_size.floats()).max().unwrap_or(0);
        4 * (vqvae::workspace_size(d, self.config, images).floats() + judging) as u64
    }

    /// Learns from this rank's share of a batch, given in parts; with the other ranks, all of which
    /// are at the same iteration. Weights stay as they are if a gradient is not finite.
    ///
    /// `cpu` updates the codebook, on the host. `parts`: microbatches of images in [−1, 1], all of the
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
        ranks: &dyn ProcessGroup,
        iteration: u64,
        parts: &[Vec<f32>],
    ) -> Result<VqvaeStep, TrainError> {
        assert!(!parts.is_empty(), "a step learns from something");
        self.parameters.zero_gradients(d)?;
        let adversarial = self.hyperparameters.adversarial(iteration);
        if let Some(discriminator_state) = &mut self.discriminator_state {
            discriminator_state.parameters.zero_gradients(d)?;
        }
        for last in self.last.iter_mut().flatten() {
            on(d, || d.fill(last, 0.0))?;
        }
        let mut residuals = Residuals::new(self.config.ladder.scales());
        let mut sums = VqvaeLosses::default();
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
        let rate = self.hyperparameters.schedule.learning_rate(iteration);
        let decay = self.hyperparameters.schedule.weight_decay(iteration);
        let norm = self.update(d, rate, decay)?;
        if norm.is_finite() {
            let mut book = self.codebook(d)?;
            self.codebook_state.step(ranks, &residuals, &mut book, iteration)?;
            self.set_codebook(d, &book)?;
        }
        if adversarial > 0.0
            && let (Some(discriminator_state), Some(last)) =
                (&mut self.discriminator_state, &mut self.last)
        {
            self.all_reduce.sum(d, ranks, &mut discriminator_state.parameters.gradients)?;
            let mut norms = [0.0; 2];
            for (gradient, norm) in last.iter_mut().zip(&mut norms) {
                self.all_reduce.sum(d, ranks, gradient)?;
                *norm = on(d, || d.sum_of_squares(gradient))?.sqrt();
            }
            discriminator_state.note_ratio(norms[0], norms[1]);
            // The discriminator's own, smaller decay is a tenth of the VQVAE's.
            discriminator_state.parameters.step(d, 1.0, rate, 0.1 * decay)?;
        }
        let losses = sums.over(self.hyperparameters.batch);
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
    ) -> Result<(VqvaeLosses, Residuals), TrainError> {
        let Self {
            config,
            hyperparameters,
            parameters,
            codebook_state,
            discriminator_state,
            perceptual,
            last,
            ..
        } = self;
        let judges = LossNetworks {
            perceptual: perceptual.as_ref(),
            discriminator_state: discriminator_state
                .as_mut()
                .zip(last.as_mut())
                .filter(|_| adversarial > 0.0),
        };
        let network = VqvaeNetwork { config: *config, hyperparameters, parameters, codebook_state };
        let all_reduce = overlaps.then_some(&mut self.all_reduce);
        let memory = (&mut self.buffers, &mut self.aside, &mut self.sizes);
        microbatch::forward_backward(
            d,
            cpu,
            network,
            judges,
            adversarial,
            originals,
            memory,
            all_reduce,
        )
    }

    /// The codebook, its gradient and its averages.
    fn codebook(&self, d: &S::Device<'_>) -> Result<Codebook, TrainError> {
        let read = |numbers: &S::Buffer| {
            let mut there = vec![0.0; self.codebook_state.range.len()];
            let run = numbers.range(self.codebook_state.range.clone());
            on(d, || d.download(&mut there, run))?;
            Ok::<_, TrainError>(there)
        };
        let TrainParameters { weights, average, optimizer, .. } = &self.parameters;
        Ok(Codebook {
            codes: read(weights)?,
            mean: average.as_ref().map(read).transpose()?,
            m: read(&optimizer.m)?,
            v: read(&optimizer.v)?,
        })
    }

    /// Writes them back.
    fn set_codebook(&mut self, d: &S::Device<'_>, book: &Codebook) -> Result<(), TrainError> {
        let range = &self.codebook_state.range;
        let write = |numbers: &mut S::Buffer, from: &[f32]| {
            on(d, || d.upload(numbers.range_mut(range.clone()), from))
        };
        let TrainParameters { weights, average, optimizer, .. } = &mut self.parameters;
        write(weights, &book.codes)?;
        if let (Some(average), Some(mean)) = (average, &book.mean) {
            write(average, mean)?;
        }
        write(&mut optimizer.m, &book.m)?;
        write(&mut optimizer.v, &book.v)
    }

    /// Moves the weights; returns the gradient's norm.
    fn update(&mut self, d: &S::Device<'_>, rate: f64, decay: f64) -> Result<f64, TrainError> {
        let range = self.codebook_state.range.clone();
        // Codes that are averages of their features are not the optimizer's.
        let averaged = matches!(self.hyperparameters.codebook, CodebookUpdate::EmaCodebook(_));
        let mut codes = vec![0.0; if averaged { range.len() } else { 0 }];
        if averaged {
            let TrainParameters { gradients, weights, .. } = &mut self.parameters;
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
    pub fn state(&mut self) -> TrainState<'_, S> {
        let mut state = self.parameters.state(Some("vae."), "train.", "updates");
        self.codebook_state.state(&mut state);
        if let Some(discriminator_state) = &mut self.discriminator_state {
            state.append(discriminator_state.parameters.state(
                None,
                "train.disc.",
                "critic_updates",
            ));
            let (ratio, shape) = (&mut discriminator_state.ratio[..], vec![1]);
            state.tensors.push(StateTensor::host("train.disc.ratio", ratio, shape));
        }
        state
    }

    /// Reconstructions of images by the best weights.
    ///
    /// # Errors
    /// If there is too little memory.
    pub fn reconstruct(
        &mut self,
        d: &S::Device<'_>,
        originals: &[f32],
    ) -> Result<Reconstructed, TrainError> {
        let images = originals.len() / self.image_len();
        let size = |images: &usize| vqvae::workspace_size(d, self.config, *images);
        let mut workspace = self.buffers[0].workspace(d, self.sizes[0].get(images, size))?;
        let (weights, layout) = (self.parameters.best(), &self.parameters.layout);
        let mut pictures = vec![0.0; originals.len()];
        let step = on(d, || {
            let step = vqvae::ForwardPass::forward(
                d,
                self.config,
                layout,
                weights,
                &mut workspace,
                originals,
            )?;
            d.download(&mut pictures, step.pictures(&mut workspace).0)?;
            Ok(step)
        })?;
        pictures.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
        let hits = quantizer::count(&self.config, &step.tokens);
        Ok(Reconstructed { pictures, hits })
    }
}
