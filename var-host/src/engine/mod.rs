//! A model at work: threads, an arena of the right size, and the kernel's flows with pictures going
//! in and coming out.

mod error;
mod memory;
mod tasks;
mod work;

use core::ops::ControlFlow;

use var_kernel::arena::Arena;
use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS, Workers};
use var_kernel::generate::{Keep, Outcome, Request};
use var_kernel::model::{VarConfig, VqvaeConfig};
use var_kernel::sample::{Filter, Source};

use self::tasks::{OnModel, OnVqvae};
#[cfg(feature = "cuda")]
use crate::card;
use crate::model::Weights;
use crate::model::assemble::{self, TransformerLayers, VqvaeLayers};
use crate::pictures::Picture;
use crate::pool::Threads;

pub use error::EngineError;
pub use memory::Buffer;
pub use work::{Takes, Work};

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Seed of the random numbers.
    pub seed: u64,
    /// Classifier-free guidance at the last scale; 0 = none.
    pub cfg: f32,
    /// Keep the so many most likely tokens; 0 = all.
    pub top_k: usize,
    /// Keep the most likely tokens that reach this probability; 0 = all.
    pub top_p: f32,
    /// Mix codes by Gumbel softmax instead of taking the drawn one.
    pub more_smooth: bool,
}

/// One image to sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its index in the request: with the seed, this alone decides its random numbers.
    pub index: u32,
    /// Its class; the null class for none.
    pub label: u32,
}

/// Tokens of all images of a batch that are given, not drawn.
#[derive(Clone, Debug)]
pub struct Given {
    /// For each image its L tokens.
    pub tokens: Vec<Vec<u32>>,
    /// L: which cells are kept, in every image.
    pub cells: Vec<bool>,
}

/// One sampled image.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What was asked for.
    pub job: Job,
    /// Its L tokens, scale by scale.
    pub tokens: Vec<u32>,
    /// The picture.
    pub picture: Picture,
}

/// What a callback sees after each scale.
pub struct ScaleDone<'a> {
    /// The images that are drawn together; of a batch with and without classes, one kind.
    pub jobs: &'a [Job],
    /// The scale just drawn.
    pub scale: usize,
    /// How many scales there are.
    pub scales: usize,
    /// Returns when the scale is drawn: a card may only have been asked to.
    pub wait: &'a mut dyn FnMut(),
    /// Makes the picture of the job of this number as it would look if the run ended here.
    pub picture: &'a mut dyn FnMut(usize) -> Picture,
}

/// Weights, threads and memory.
pub struct Engine<'w> {
    weights: &'w Weights,
    threads: Threads,
    isa: Isa,
    memory: Buffer,
    #[cfg(feature = "cuda")]
    card: Option<card::Loaded>,
}

impl<'w> Engine<'w> {
    /// Computes with `weights` on `threads` threads with the instruction set `isa`.
    ///
    /// # Errors
    /// If the threads cannot be started.
    ///
    /// # Panics
    /// If `threads` is 0.
    pub fn new(weights: &'w Weights, threads: usize, isa: Isa) -> Result<Self, EngineError> {
        let threads = Threads::new(threads, SCRATCH_FLOATS)?;
        Ok(Self {
            weights,
            threads,
            isa,
            memory: Buffer::default(),
            #[cfg(feature = "cuda")]
            card: None,
        })
    }

    /// The same, computing on a card; threads and instruction set serve what stays on the processor.
    ///
    /// # Errors
    /// If the card cannot be used, or the weights do not fit it.
    #[cfg(feature = "cuda")]
    pub fn on_card(self, cuda: var_kernel::cuda::Cuda) -> Result<Self, EngineError> {
        let card = card::Loaded::on(cuda, self.weights)?;
        Ok(Self { card: Some(card), ..self })
    }

    /// Samples a batch with every kernel of the card timed; nothing without a card.
    ///
    /// # Errors
    /// As [`Engine::sample`].
    #[cfg(feature = "cuda")]
    pub fn profile(
        &mut self,
        jobs: &[Job],
        sampling: Sampling,
    ) -> Result<Vec<var_kernel::cuda::peak::KernelTime>, EngineError> {
        let Some(card) = &self.card else { return Ok(Vec::new()) };
        card.cuda().begin_profile()?;
        let go_on = &mut |_: ScaleDone<'_>| ControlFlow::Continue(());
        let outcome = self.sample(jobs, sampling, None, go_on);
        let times = self.card.as_ref().map(|card| card.cuda().end_profile());
        outcome?;
        Ok(times.transpose()?.unwrap_or_default())
    }

    /// The card it computes on, if it does.
    #[cfg(feature = "cuda")]
    pub fn card(&self) -> Option<&card::Loaded> {
        self.card.as_ref()
    }

    /// The processor as it is used here: this instruction set, these threads.
    pub fn cpu(&self) -> Cpu<'_> {
        Cpu::new(self.isa, &self.threads)
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// How many threads compute.
    pub fn threads(&self) -> usize {
        self.threads.count()
    }

    /// The transformer's configuration.
    ///
    /// # Errors
    /// If the model has no transformer.
    pub fn transformer(&self) -> Result<&'w VarConfig, EngineError> {
        let half = self.weights.transformer.as_ref();
        half.map(|(_, config)| config).ok_or(EngineError::NoTransformer)
    }

    /// The VQVAE's configuration.
    ///
    /// # Errors
    /// If the model has no VQVAE.
    pub fn vqvae(&self) -> Result<&'w VqvaeConfig, EngineError> {
        let half = self.weights.vqvae.as_ref();
        half.map(|(_, config)| config).ok_or(EngineError::NoVqvae)
    }

    /// Samples one batch; none if `each`, called after every scale, breaks it off.
    ///
    /// Labels with and without a class may be mixed: the kernel sees them apart.
    ///
    /// # Errors
    /// If the model lacks a half, a label has no class, or there is too little memory.
    pub fn sample(
        &mut self,
        jobs: &[Job],
        sampling: Sampling,
        given: Option<&Given>,
        each: &mut dyn FnMut(ScaleDone<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Vec<Sample>>, EngineError> {
        let null = self.transformer()?.null_class();
        if let Some(job) = jobs.iter().find(|job| job.label > null) {
            return Err(EngineError::Label { has: job.label, classes: null });
        }
        let mut samples = Vec::new();
        for of_null in [false, true] {
            let chosen = |job: &Job| (job.label == null) == of_null;
            let group: Vec<Job> = jobs.iter().copied().filter(chosen).collect();
            if group.is_empty() {
                continue;
            }
            let given = given.map(|given| Given {
                tokens: (jobs.iter().zip(&given.tokens))
                    .filter(|(job, _)| chosen(job))
                    .map(|(_, tokens)| tokens.clone())
                    .collect(),
                cells: given.cells.clone(),
            });
            match self.sample_alike(&group, sampling, given.as_ref(), each)? {
                Some(group) => samples.extend(group),
                None => return Ok(None),
            }
        }
        samples.sort_by_key(|sample: &Sample| {
            jobs.iter().position(|job| *job == sample.job).unwrap_or(usize::MAX)
        });
        Ok(Some(samples))
    }

    /// Samples a batch in which all labels or none are null.
    fn sample_alike(
        &mut self,
        jobs: &[Job],
        sampling: Sampling,
        given: Option<&Given>,
        each: &mut dyn FnMut(ScaleDone<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Vec<Sample>>, EngineError> {
        let (ladder, vqvae) = (self.transformer()?.ladder, *self.vqvae()?);
        let labels: Vec<u32> = jobs.iter().map(|job| job.label).collect();
        let indices: Vec<u32> = jobs.iter().map(|job| job.index).collect();
        let kept = given.map(|given| scale_major(&given.tokens, &ladder));
        let Sampling { seed, cfg, top_k, top_p, more_smooth } = sampling;
        let request = Request {
            labels: &labels,
            indices: &indices,
            cfg,
            filter: Filter { top_k, top_p },
            more_smooth,
            source: Source::Seed(seed),
            keep: given
                .zip(kept.as_ref())
                .map(|(given, tokens)| Keep { tokens, cells: &given.cells }),
        };
        let side = vqvae.side();
        let picture_len = side * side * var_kernel::model::vqvae::COLOURS;
        let mut tokens = vec![0; jobs.len() * ladder.length()];
        let mut pictures = vec![0.0; jobs.len() * picture_len];

        let floats = self.work(Work::Sample { request: &request })?.floats;
        let (to_tokens, to_pictures) = (&mut tokens[..], &mut pictures[..]);
        let task = tasks::Sampling {
            jobs,
            request: &request,
            tokens: to_tokens,
            pictures: to_pictures,
            each,
        };
        let outcome = self.on_model(floats, task)?;
        if outcome != Outcome::Done {
            return Ok(None);
        }
        let tokens = image_major(&tokens, jobs.len(), &ladder);
        let pictures = pictures.chunks_exact(picture_len);
        let samples = jobs.iter().zip(tokens).zip(pictures).map(|((job, tokens), values)| Sample {
            job: *job,
            tokens,
            picture: Picture::from_values(side, side, values),
        });
        Ok(Some(samples.collect()))
    }

    /// A picture's tokens.
    ///
    /// # Errors
    /// If the model has no VQVAE, the picture is not of its side, or there is too little memory.
    pub fn encode(&mut self, picture: &Picture) -> Result<Vec<u32>, EngineError> {
        let mut tokens = self.encode_batch(core::slice::from_ref(picture))?;
        Ok(tokens.pop().expect("one picture has one row of tokens"))
    }

    /// The tokens of each of several pictures, which go through the model together.
    ///
    /// # Errors
    /// If the model has no VQVAE, a picture is not of its side, or there is too little memory.
    pub fn encode_batch(&mut self, pictures: &[Picture]) -> Result<Vec<Vec<u32>>, EngineError> {
        let config = *self.vqvae()?;
        let side = config.side();
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let mut values = vec![0.0; pictures.len() * side * side * 3];
        for (picture, values) in pictures.iter().zip(values.chunks_exact_mut(side * side * 3)) {
            if (picture.width(), picture.height()) != (side, side) {
                let (width, height) = (picture.width(), picture.height());
                return Err(EngineError::PictureSize { wants: side, width, height });
            }
            picture.to_values(values);
        }
        let mut tokens = vec![0; pictures.len() * config.ladder.length()];
        let floats = self.work(Work::Encode { pictures: pictures.len() })?.floats;
        let task =
            tasks::Encoding { pictures: pictures.len(), values: &values, tokens: &mut tokens };
        self.on_vqvae(floats, task)?;
        Ok(image_major(&tokens, pictures.len(), &config.ladder))
    }

    /// What the transformer is given to learn from the tokens of several images, L each: what the
    /// quantizer makes of the scales before each but the first, `images × cells(scale) × latent`, one
    /// scale after the other.
    ///
    /// # Errors
    /// If the model has no VQVAE, the tokens are not its own or not whole images, or there is too
    /// little memory.
    pub fn teacher_input(&mut self, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        let config = *self.vqvae()?;
        let (ladder, length) = (config.ladder, config.ladder.length());
        for image in tokens.chunks(length) {
            self.check_tokens(image, &config)?;
        }
        let images = tokens.len() / length;
        if images == 0 {
            return Ok(Vec::new());
        }
        let rows: Vec<Vec<u32>> = tokens.chunks_exact(length).map(<[u32]>::to_vec).collect();
        let tokens = scale_major(&rows, &ladder);
        let mut input = vec![0.0; images * (length - ladder.cells(0)) * config.latent];
        let floats = self.work(Work::Teach { images })?.floats;
        self.on_vqvae(floats, tasks::Teaching { input: &mut input, tokens: &tokens })?;
        Ok(input)
    }

    /// The picture of L tokens; with `each`, also as it looks after every scale.
    ///
    /// # Errors
    /// If the model has no VQVAE, the tokens are not its own, or there is too little memory.
    pub fn decode(
        &mut self,
        tokens: &[u32],
        each: Option<&mut dyn FnMut(usize, Picture)>,
    ) -> Result<Picture, EngineError> {
        let config = *self.vqvae()?;
        self.check_tokens(tokens, &config)?;
        let floats = self.work(Work::Decode)?.floats;
        self.on_vqvae(floats, tasks::Decoding { tokens, each })
    }

    /// The negative log-likelihood of each of a picture's L tokens under a class, in nats.
    ///
    /// # Errors
    /// If the model lacks a half, the label has no class, the tokens are not the model's, or there
    /// is too little memory.
    pub fn surprise(&mut self, tokens: &[u32], label: u32) -> Result<Vec<f32>, EngineError> {
        let classes = self.transformer()?.null_class();
        if label > classes {
            return Err(EngineError::Label { has: label, classes });
        }
        self.check_tokens(tokens, self.vqvae()?)?;
        let floats = self.work(Work::Surprise)?.floats;
        let mut out = vec![0.0; tokens.len()];
        self.on_model(floats, tasks::Surprise { out: &mut out, tokens, label })?;
        Ok(out)
    }

    fn check_tokens(&self, tokens: &[u32], config: &VqvaeConfig) -> Result<(), EngineError> {
        let wants = config.ladder.length();
        if tokens.len() != wants {
            return Err(EngineError::TokenCount { wants, has: tokens.len() });
        }
        match tokens.iter().find(|token| **token as usize >= config.codes) {
            Some(token) => Err(EngineError::Token { has: *token, codes: config.codes }),
            None => Ok(()),
        }
    }

    /// Runs `task` on the whole model with an arena of `floats`.
    fn on_model<T: OnModel>(&mut self, floats: usize, task: T) -> Result<T::Output, EngineError> {
        let (var, var_config) =
            self.weights.transformer.as_ref().ok_or(EngineError::NoTransformer)?;
        let (vae, vae_config) = self.weights.vqvae.as_ref().ok_or(EngineError::NoVqvae)?;
        #[cfg(feature = "cuda")]
        if let Some(card) = &mut self.card {
            let (cuda, weights, memory) = card.parts(floats)?;
            let mut var = weights.transformer.as_ref().ok_or(EngineError::NoTransformer)?;
            let mut vae = weights.vqvae.as_ref().ok_or(EngineError::NoVqvae)?;
            let Ok(transformer) = TransformerLayers::bind(&mut var, *var_config);
            let Ok(vqvae) = VqvaeLayers::bind(&mut vae, *vae_config);
            let Ok(model) = assemble::model((&transformer, &mut var), (&vqvae, &mut vae));
            return Ok(task.run(cuda, &model, &mut Arena::new(memory))?);
        }
        let (mut var, mut vae) = (var, vae);
        let cpu = Cpu::new(self.isa, &self.threads);
        let Ok(transformer) = TransformerLayers::bind(&mut var, *var_config);
        let Ok(vqvae) = VqvaeLayers::bind(&mut vae, *vae_config);
        let Ok(model) = assemble::model((&transformer, &mut var), (&vqvae, &mut vae));
        let Ok(output) = task.run(&cpu, &model, &mut Arena::new(self.memory.at_least(floats)?));
        Ok(output)
    }

    /// Runs `task` on the VQVAE with an arena of `floats`.
    fn on_vqvae<T: OnVqvae>(&mut self, floats: usize, task: T) -> Result<T::Output, EngineError> {
        let (vae, config) = self.weights.vqvae.as_ref().ok_or(EngineError::NoVqvae)?;
        #[cfg(feature = "cuda")]
        if let Some(card) = &mut self.card {
            let (cuda, weights, memory) = card.parts(floats)?;
            let mut vae = weights.vqvae.as_ref().ok_or(EngineError::NoVqvae)?;
            let Ok(layers) = VqvaeLayers::bind(&mut vae, *config);
            let Ok(vqvae) = layers.assemble(&mut vae);
            return Ok(task.run(cuda, &vqvae, &mut Arena::new(memory))?);
        }
        let mut vae = vae;
        let cpu = Cpu::new(self.isa, &self.threads);
        let Ok(layers) = VqvaeLayers::bind(&mut vae, *config);
        let Ok(vqvae) = layers.assemble(&mut vae);
        let Ok(output) = task.run(&cpu, &vqvae, &mut Arena::new(self.memory.at_least(floats)?));
        Ok(output)
    }
}

/// The kernel's order, scale by scale and within a scale image by image, from whole images.
fn scale_major(images: &[Vec<u32>], ladder: &var_kernel::model::Ladder) -> Vec<u32> {
    let scales = (0..ladder.scales()).map(|scale| ladder.range(scale));
    scales
        .flat_map(|range| images.iter().flat_map(move |image| image[range.clone()].to_vec()))
        .collect()
}

/// Whole images from the kernel's order.
fn image_major(tokens: &[u32], images: usize, ladder: &var_kernel::model::Ladder) -> Vec<Vec<u32>> {
    let of = |image: usize| {
        let scales = (0..ladder.scales()).map(|scale| ladder.range(scale));
        scales.flat_map(move |range| {
            let start = images * range.start + image * range.len();
            tokens[start..start + range.len()].to_vec()
        })
    };
    (0..images).map(|image| of(image).collect()).collect()
}
