//! A model and the device it computes on.

use std::path::Path;

use var_kernel::cpu::Workers;
use var_kernel::model::{VarConfig, VqvaeConfig};

use crate::checkpoint::Checkpoint;
use crate::engine::{Engine, Interrupt, Runtime};
use crate::images::{self, ImageFault, Parameters, RgbImage};
use crate::model::{self, ClassLookup, ClassNameError, Hints, ModelError, Weights};

use super::{Device, Error, parameters};

/// Name of the built-in model among an image's parameters.
const BUILT_IN: &str = "built-in";

/// A model in use: weights, threads, working memory.
///
/// ```no_run
/// use var_host::{Model, RgbImage};
///
/// let mut model = Model::from_checkpoints("var_d16.pth", "vae_ch160v4096z32.pth")?;
/// let photo = RgbImage::open("photo.jpg".as_ref())?;
/// let tokens = model.encode(&photo)?;
/// let nats = model.score(&photo, &[207, 208])?;
/// # Ok::<(), var_host::Error>(())
/// ```
pub struct Model {
    pub(super) weights: Weights,
    /// Names of its files without folders.
    name: String,
    device: Device,
    interrupt: Interrupt,
    /// Kept between calls; none before the first one.
    runtime: Option<Runtime>,
}

impl Model {
    /// The model file at `path`, as `var convert` writes it, or a checkpoint of `var train`.
    ///
    /// # Errors
    /// If it cannot be read or holds no model.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::new(Weights::open(path.as_ref(), &Hints::default())?))
    }

    /// Published checkpoints of a transformer and of a VQVAE, as they are.
    ///
    /// # Errors
    /// If a file cannot be read, holds another half, or the halves do not belong together.
    pub fn from_checkpoints(var: impl AsRef<Path>, vae: impl AsRef<Path>) -> Result<Self, Error> {
        let (var, vae) = (Some(var.as_ref()), Some(vae.as_ref()));
        Ok(Self::new(Weights::open_halves(var, vae, &Hints::default())?))
    }

    /// The built-in model: 64 × 64 images of emoji in 57 classes.
    ///
    /// ```
    /// use var_host::{Model, SampleOptions};
    ///
    /// let mut model = Model::built_in()?;
    /// let image = model.sample(&[8], &SampleOptions::default())?.remove(0);
    /// assert_eq!((image.picture.width(), image.tokens.len()), (64, 130));
    /// # Ok::<(), var_host::Error>(())
    /// ```
    ///
    /// # Errors
    /// If it is damaged.
    pub fn built_in() -> Result<Self, Error> {
        Ok(Self { name: BUILT_IN.to_owned(), ..Self::new(model::built_in()?) })
    }

    /// The model file `bytes`, embedded in the program.
    ///
    /// # Errors
    /// If it holds no model.
    pub fn from_static(bytes: &'static [u8]) -> Result<Self, Error> {
        Ok(Self::new(Weights::built_in(bytes)?))
    }

    /// A copy of the model file `bytes`.
    ///
    /// # Errors
    /// If it holds no model.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let checkpoint = Checkpoint::from_bytes(bytes).map_err(ModelError::Memory)?;
        let file = "the model in memory".to_owned();
        Ok(Self::new(Weights::of(checkpoint, file, &Hints::default())?))
    }

    /// The model of these weights on the default device.
    pub fn new(weights: Weights) -> Self {
        let var = weights.transformer.as_ref().map(|(part, _)| part.file());
        let vae = weights.vqvae.as_ref().map(|(part, _)| part.file());
        let mut files: Vec<&str> = [var, vae].into_iter().flatten().collect();
        files.dedup();
        let names = files.iter().map(|file| {
            Path::new(file)
                .file_name()
                .map_or_else(|| (*file).into(), |name| name.to_string_lossy())
        });
        let name = names.collect::<Vec<_>>().join(" + ");
        let interrupt = Interrupt::default();
        Self { weights, name, device: Device::default(), interrupt, runtime: None }
    }

    /// The same under the name `name`, which its images keep.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Computes on `device`.
    pub fn on(self, device: Device) -> Self {
        Self { device, runtime: None, ..self }
    }

    /// Starts the threads and copies the weights to the GPU, which the first call does otherwise.
    ///
    /// # Errors
    /// If the device cannot be used.
    pub fn prepare(&mut self) -> Result<(), Error> {
        self.with_engine(|_| Ok(()))
    }

    /// Lets `interrupt` end the calls from now on: [`EngineError::Interrupted`](crate::engine::EngineError).
    pub fn set_interrupt(&mut self, interrupt: Interrupt) {
        self.interrupt = interrupt;
    }

    /// Computes on threads of the caller's, on the CPU: the same bytes whatever their number.
    pub fn with_workers(self, workers: Box<dyn Workers + Send + Sync>) -> Self {
        let (_, isa) = self.device.processor();
        let engine = Engine::with_workers(&self.weights, workers, isa);
        Self { runtime: Some(engine.into_runtime()), ..self }
    }

    /// The weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The weights by themselves.
    pub fn into_weights(self) -> Weights {
        self.weights
    }

    /// Names of the classes; empty where the file has none.
    pub fn class_names(&self) -> &[String] {
        &self.weights.class_names
    }

    /// Names of its files without folders, `built-in` for the built-in model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The label of the class with this name; models of 1000 classes without names have ImageNet's. See
    /// [`ClassLookup::label`].
    ///
    /// # Errors
    /// If none or several have it.
    pub fn label(&self, name: &str) -> Result<u32, ClassNameError> {
        let count = self.transformer_config().map_or(0, |config| config.classes);
        ClassLookup::new(count, ClassLookup::of_model(count, self.class_names())).label(name)
    }

    /// Tokens of an image: resized and center-cropped to the model's side, encoded, quantized.
    ///
    /// # Errors
    /// If the model has no VQVAE, or there is too little memory.
    pub fn encode(&mut self, picture: &RgbImage) -> Result<Vec<u32>, Error> {
        let square = self.square(picture)?;
        self.with_engine(|engine| Ok(engine.encode(&square)?))
    }

    /// The image of L tokens.
    ///
    /// # Errors
    /// If the model has no VQVAE, the tokens are not its own, or there is too little memory.
    pub fn decode(&mut self, tokens: &[u32]) -> Result<RgbImage, Error> {
        self.with_engine(|engine| Ok(engine.decode(tokens, None)?))
    }

    /// The same, calling `each` after every scale with its number and the image so far.
    ///
    /// # Errors
    /// As [`Model::decode`].
    pub fn decode_with(
        &mut self,
        tokens: &[u32],
        mut each: impl FnMut(usize, RgbImage),
    ) -> Result<RgbImage, Error> {
        self.with_engine(|engine| Ok(engine.decode(tokens, Some(&mut each))?))
    }

    /// Latents of L tokens, the sum of all scales that the decoder reads: `finest × finest × latent`.
    ///
    /// # Errors
    /// As [`Model::decode`].
    pub fn latents(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        self.with_engine(|engine| Ok(engine.latents(tokens)?))
    }

    /// An image encoded and decoded again.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn reconstruct(&mut self, picture: &RgbImage) -> Result<RgbImage, Error> {
        let tokens = self.encode(picture)?;
        self.decode(&tokens)
    }

    /// Log-likelihood of an image under each class of `labels`, in nats.
    ///
    /// # Errors
    /// If the model lacks a half, a label has no class, or there is too little memory.
    pub fn score(&mut self, picture: &RgbImage, labels: &[u32]) -> Result<Vec<f64>, Error> {
        let tokens = self.encode(picture)?;
        let mut nats = Vec::with_capacity(labels.len());
        for label in labels {
            let losses = self.nll(&tokens, *label)?;
            nats.push(-losses.iter().map(|loss| f64::from(*loss)).sum::<f64>());
        }
        Ok(nats)
    }

    /// Negative log-likelihood of each of an image's L tokens under a class, in nats.
    ///
    /// # Errors
    /// As [`Model::logits`].
    pub fn nll(&mut self, tokens: &[u32], label: u32) -> Result<Vec<f32>, Error> {
        self.with_engine(|engine| Ok(engine.nll(tokens, label)?))
    }

    /// Teacher-forced logits of an image's L tokens: `L × codes`.
    ///
    /// # Errors
    /// If the model lacks a half, the label has no class, the tokens are not the model's, or there is
    /// too little memory.
    pub fn logits(&mut self, tokens: &[u32], label: u32) -> Result<Vec<f32>, Error> {
        self.with_engine(|engine| Ok(engine.logits(tokens, label)?))
    }

    /// Parameters of all images that `command` makes.
    pub(super) fn parameters(&self, command: &str) -> Parameters {
        parameters::of_model(command, &self.name, &self.weights)
    }

    /// Sizes of the transformer, if there is one.
    pub fn transformer_config(&self) -> Option<&VarConfig> {
        self.weights.transformer.as_ref().map(|(_, config)| config)
    }

    /// Sizes of the VQVAE, if there is one.
    pub fn vqvae_config(&self) -> Option<&VqvaeConfig> {
        self.weights.vqvae.as_ref().map(|(_, config)| config)
    }

    /// The image at the model's side: resized as torchvision does, center-cropped.
    pub(super) fn square(&mut self, picture: &RgbImage) -> Result<RgbImage, Error> {
        let side = self.with_engine(|engine| Ok(engine.vqvae()?.side()))?;
        if (picture.width(), picture.height()) == (side, side) {
            return Ok(picture.clone());
        }
        let (width, height) = (picture.width(), picture.height());
        let shape = |_: ImageFault| Error::Shape { width, height, side };
        images::square(picture, side).map_err(shape)
    }

    /// Runs `work` with an engine on the device.
    pub(super) fn with_engine<R>(
        &mut self,
        work: impl FnOnce(&mut Engine<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let engine = match self.runtime.take() {
            Some(runtime) => Engine::resume(&self.weights, runtime),
            None => self.device.engine(&self.weights)?,
        };
        let mut engine = engine.interrupted_by(self.interrupt.clone());
        let result = work(&mut engine);
        self.runtime = Some(engine.into_runtime());
        result
    }
}
