//! The bytes of a file → a model ready to sample; its description as JSON.

use core::cell::RefCell;

use serde::Serialize;
use var_host::RgbImage;
use var_host::checkpoint::{Checkpoint, CheckpointError};
use var_host::engine::{Engine, EngineError};
use var_host::model::{Hints, ModelError, Weights};
use var_host::pool::Threads;
use var_kernel::{Cpu, Isa, Ladder, Model, SCRATCH_FLOATS, Storage, VqvaeConfig, Workers};

use crate::fault;

/// A model in use. It lives as long as the instance of the module: the bytes of its file are lent for ever,
/// so that weights are used where they lie.
pub struct OpenModel {
    weights: &'static Weights,
    /// None if the file lacks a half.
    whole: Option<&'static Bound>,
    engine: RefCell<Engine<'static>>,
}

/// Transformer and VQVAE with the processor they compute on.
pub struct Bound {
    /// The processor.
    pub cpu: Cpu<'static>,
    /// Both halves.
    pub model: Model<'static, 'static, Cpu<'static>>,
}

/// Sizes, names of classes where the file has them, the instruction set: `ModelInfo` of `var.d.ts`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Description<'a> {
    side: Option<usize>,
    ladder: &'a [usize],
    codes: Option<usize>,
    depth: Option<usize>,
    width: Option<usize>,
    classes: Option<usize>,
    class_names: &'a [String],
    instruction_set: &'a str,
    notes: &'a [String],
}

/// The one thread of a worker, for two that take turns.
struct Shared(&'static Threads);

impl Workers for Shared {
    fn count(&self) -> usize {
        self.0.count()
    }

    fn broadcast(&self, threads: usize, job: &(dyn Fn(&mut [f32]) + Sync)) {
        self.0.broadcast(threads, job);
    }
}

impl OpenModel {
    /// Opens the model file `bytes`, called `name` in messages.
    ///
    /// # Errors
    /// The loader's text if it is no model, or damaged.
    pub fn new(bytes: &'static [u8], name: &str) -> Result<Self, String> {
        let weights = weights(bytes, name).map_err(fault::text)?;
        let weights: &'static Weights = Box::leak(Box::new(weights));
        let threads = Threads::new(1, SCRATCH_FLOATS).map_err(fault::text)?;
        let threads: &'static Threads = Box::leak(Box::new(threads));
        let isa = Isa::best();
        let engine = Engine::with_workers(weights, Box::new(Shared(threads)), isa);
        let whole = match (&weights.transformer, &weights.vqvae) {
            (Some((var, var_config)), Some((vae, vae_config))) => {
                let (mut var, mut vae) = (var, vae);
                let parts = ((&mut var, *var_config), (&mut vae, *vae_config));
                let Ok(model) = Model::bind_parts(parts.0, parts.1, &mut Storage::heap());
                let bound = Bound { cpu: Cpu::new(isa, threads), model };
                Some(&*Box::leak(Box::new(bound)))
            }
            _ => None,
        };
        Ok(Self { weights, whole, engine: RefCell::new(engine) })
    }

    /// Transformer and VQVAE.
    ///
    /// # Errors
    /// If the file lacks a half.
    pub fn whole(&self) -> Result<&'static Bound, EngineError> {
        self.whole.ok_or(match &self.weights.transformer {
            Some(_) => EngineError::NoVqvae,
            None => EngineError::NoTransformer,
        })
    }

    /// Calls `work` with the engine.
    pub fn with_engine<R>(&self, work: impl FnOnce(&mut Engine<'static>) -> R) -> R {
        work(&mut self.engine.borrow_mut())
    }

    /// Its description as JSON.
    pub fn describe(&self) -> String {
        let var = self.weights.transformer.as_ref().map(|(_, config)| config);
        let vae = self.weights.vqvae.as_ref().map(|(_, config)| config);
        let ladder = var.map(|config| config.ladder).or(vae.map(|config| config.ladder));
        let description = Description {
            side: vae.map(VqvaeConfig::side),
            ladder: ladder.as_ref().map_or(&[], Ladder::sides),
            codes: vae.map(|config| config.codes),
            depth: var.map(|config| config.depth),
            width: var.map(|config| config.width),
            classes: var.map(|config| config.classes),
            class_names: &self.weights.class_names,
            instruction_set: Isa::best().name(),
            notes: &self.weights.notes,
        };
        serde_json::to_string(&description).expect("numbers and texts")
    }

    /// Tokens of an image of the model's side.
    ///
    /// # Errors
    /// The engine's text if `rgb` is of another length, or the model has no VQVAE.
    pub fn encode(&self, rgb: &[u8]) -> Result<Vec<u32>, String> {
        self.with_engine(|engine| {
            let side = engine.vqvae().map_err(fault::text)?.side();
            if rgb.len() != side * side * 3 {
                let wants = side * side * 3;
                return Err(format!(
                    "image: {} bytes, {wants} wanted: {side} × {side} × 3",
                    rgb.len()
                ));
            }
            let image = RgbImage::new(side, side, rgb.to_vec());
            engine.encode(&image).map_err(fault::text)
        })
    }

    /// The image of an image's tokens.
    ///
    /// # Errors
    /// The engine's text if they are not the model's, or it has no VQVAE.
    pub fn decode(&self, tokens: &[u32]) -> Result<Vec<u8>, String> {
        let decoded = self.with_engine(|engine| engine.decode(tokens, None));
        decoded.map(RgbImage::into_rgb).map_err(fault::text)
    }
}

/// The weights in a file.
fn weights(bytes: &'static [u8], name: &str) -> Result<Weights, ModelError> {
    let checkpoint = Checkpoint::from_static(bytes)
        .map_err(|source| CheckpointError::Format { path: name.into(), source })?;
    Weights::of(checkpoint, name.to_owned(), &Hints::default())
}
