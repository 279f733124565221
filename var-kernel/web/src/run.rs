//! A run of sampling, one scale a call.
#![allow(unsafe_code)]

use var_host::engine::{Buffer, EngineError, Workload};
use var_kernel::ops::sample_tokens::NO_TOKEN;
use var_kernel::sample::temperature;
use var_kernel::{Arena, Cpu, Filter, Request, Steps, UniformSource, image};

use crate::fault;
use crate::held::Held;
use crate::model::OpenModel;

/// The most images of one run.
const LARGEST_BATCH: usize = 4096;

/// Settings of a run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Seed of the random numbers.
    pub seed: u64,
    /// Index of the first image; the next ones count on.
    pub first_index: u32,
    /// Classifier-free guidance at the last scale; 0 = none.
    pub cfg: f32,
    /// Divides the logits after guidance.
    pub temperature: f32,
    /// Keep the so many most likely tokens; 0 = all.
    pub top_k: usize,
    /// Keep the most likely tokens that reach this probability; 0 = all.
    pub top_p: f32,
    /// Mix codes by Gumbel softmax instead of taking the drawn one.
    pub more_smooth: bool,
}

/// A run between two scales.
///
/// `steps` borrows all below it, and as the first field it is dropped first.
pub struct Run {
    steps: Steps<'static, 'static, 'static, Cpu<'static>>,
    model: &'static OpenModel,
    images: usize,
    tokens: Vec<u32>,
    _arena: Held<Arena<'static, [f32]>>,
    _request: Held<Request<'static>>,
    _labels: Held<Vec<u32>>,
    _indices: Held<Vec<u32>>,
    memory: Held<Buffer>,
}

impl Run {
    /// Begins a run that draws an image of each label; `memory`: an earlier run's, to use again.
    ///
    /// # Errors
    /// If a setting is out of range, a label has no class, the model lacks a half, or there is too little
    /// memory.
    pub fn begin(
        model: &'static OpenModel,
        labels: Vec<u32>,
        settings: Settings,
        memory: Buffer,
    ) -> Result<Self, String> {
        let bound = model.whole().map_err(fault::text)?;
        check(&labels, &settings, bound.model.transformer.config.null_class())?;
        let Settings { seed, first_index, cfg, temperature, top_k, top_p, more_smooth } = settings;
        let images = labels.len();
        let indices = (first_index..).take(images).collect();
        let (mut labels, mut indices) = (Held::new(labels), Held::<Vec<u32>>::new(indices));
        // SAFETY: the request, and all steps, are dropped before their lists: `steps` is the first field of
        // a run, and here locals are dropped last first.
        let (label_list, index_list) = unsafe { (labels.lend(), indices.lend()) };
        let mut request = Held::new(Request {
            labels: label_list,
            indices: index_list,
            cfg,
            temperature,
            filter: Filter { top_k, top_p },
            more_smooth,
            source: UniformSource::Seed(seed),
            keep: None,
        });
        // SAFETY: as above, of the request.
        let request_lent = &*unsafe { request.lend() };
        let work = Workload::Sample { request: request_lent };
        let floats = model.with_engine(|engine| engine.work(work)).map_err(fault::text)?.floats;
        let mut memory = Held::new(memory);
        // SAFETY: as above, of the memory.
        let floats = unsafe { memory.lend() }.at_least(floats).map_err(fault::text)?;
        let mut arena = Held::new(Arena::new(floats));
        // SAFETY: as above, of the arena.
        let arena_lent = unsafe { arena.lend() };
        let Ok(steps) = Steps::new(&bound.cpu, &bound.model, request_lent, arena_lent);
        Ok(Self {
            steps,
            model,
            images,
            tokens: Vec::new(),
            _arena: arena,
            _request: request,
            _labels: labels,
            _indices: indices,
            memory,
        })
    }

    /// Draws the next scale and returns its number; none after the last.
    ///
    /// # Errors
    /// If a logit is not finite.
    pub fn step(&mut self) -> Result<Option<usize>, String> {
        let Ok(progress) = self.steps.step();
        let Some(progress) = progress else { return Ok(None) };
        let scale = progress.scale;
        self.tokens.clear();
        self.tokens.extend_from_slice(progress.tokens);
        if self.tokens.contains(&NO_TOKEN) {
            return Err(self.not_finite("a logit"));
        }
        Ok(Some(scale))
    }

    /// Tokens of the scale drawn last, image by image.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Image `number` as it would look if the run ended here.
    ///
    /// # Errors
    /// If there is no such image, no scale is drawn yet, or a value is not finite.
    pub fn image(&mut self, number: usize) -> Result<Vec<u8>, String> {
        if number >= self.images {
            return Err(format!("image {number}: the run has {}", self.images));
        }
        let Some(mut progress) = self.steps.progress() else {
            return Err("no scale is drawn yet".to_owned());
        };
        let bound = self.model.whole().map_err(fault::text)?;
        let mut values = vec![0.0; bound.model.vqvae.images_len(1)];
        let Ok(()) = progress.picture(&mut values, number);
        if !values.iter().all(|value: &f32| value.is_finite()) {
            return Err(self.not_finite("an image"));
        }
        let mut rgb = vec![0; values.len()];
        image::to_bytes(&mut rgb, &values);
        Ok(rgb)
    }

    /// Ends the run; its memory is for the next.
    pub fn end(self) -> Buffer {
        let Self { steps, mut memory, _arena, _request, .. } = self;
        drop((steps, _arena, _request));
        // SAFETY: all that borrowed the memory has just been dropped.
        core::mem::take(unsafe { memory.lend() })
    }

    fn not_finite(&self, result: &'static str) -> String {
        fault::text(self.model.with_engine(|engine| engine.not_finite(result)))
    }
}

/// Refuses settings that the kernel takes for a fault of the program.
fn check(labels: &[u32], settings: &Settings, null: u32) -> Result<(), String> {
    let Settings { first_index, cfg, temperature, top_p, .. } = *settings;
    if labels.is_empty() || labels.len() > LARGEST_BATCH {
        return Err(format!("{} images, 1 to {LARGEST_BATCH} wanted", labels.len()));
    }
    if u32::try_from(labels.len() - 1).ok().and_then(|last| first_index.checked_add(last)).is_none()
    {
        return Err(format!("first index {first_index}: too large for {} images", labels.len()));
    }
    if !cfg.is_finite() {
        return Err(format!("cfg is {cfg}, a finite number wanted"));
    }
    if !temperature::RANGE.contains(&temperature) {
        let (least, most) = temperature::RANGE.into_inner();
        return Err(format!("temperature is {temperature}, {least} to {most} wanted"));
    }
    if !(0.0..=1.0).contains(&top_p) {
        return Err(format!("top_p is {top_p}, 0 to 1 wanted"));
    }
    if let Some(label) = labels.iter().find(|label| **label > null) {
        return Err(fault::text(EngineError::Label { has: *label, classes: null }));
    }
    let nulls = labels.iter().filter(|label| **label == null).count();
    if nulls > 0 && nulls < labels.len() {
        let images = labels.len();
        return Err(format!("{nulls} of {images} images have no class: all or none of a run may"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use core::ops::ControlFlow;

    use var_host::{Model, SampleOptions};

    use super::*;

    const SETTINGS: Settings = Settings {
        seed: 9,
        first_index: 4,
        cfg: 2.0,
        temperature: 0.8,
        top_k: 900,
        top_p: 0.96,
        more_smooth: false,
    };

    const SMALL: &str = "../../fixtures/fashion_reference.safetensors";

    fn model() -> &'static OpenModel {
        let bytes = std::fs::read(SMALL).unwrap();
        Box::leak(Box::new(OpenModel::new(bytes.leak(), "the model").unwrap()))
    }

    #[test]
    fn steps_have_tokens_and_images_of_the_library() {
        let mut run = Run::begin(model(), vec![3, 8], SETTINGS, Buffer::default()).unwrap();
        assert_eq!(run.image(0).unwrap_err(), "no scale is drawn yet");
        let options = SampleOptions {
            seed: 9,
            first_index: 4,
            cfg: 2.0,
            temperature: 0.8,
            ..Default::default()
        };
        let mut library = Model::open(SMALL).unwrap();
        let images = library.sample_with(&[3, 8], &options, |step| {
            assert_eq!(run.step().unwrap(), Some(step.scale));
            let tokens: Vec<u32> = (0..2).flat_map(|number| step.tokens(number).unwrap()).collect();
            assert_eq!(run.tokens(), tokens);
            for number in 0..2 {
                let image = step.picture(number).unwrap();
                assert_eq!(run.image(number).unwrap(), image.rgb());
            }
            ControlFlow::Continue(())
        });
        assert_eq!(images.unwrap().len(), 2);
        assert_eq!(run.step().unwrap(), None);
        assert_eq!(run.image(2).unwrap_err(), "image 2: the run has 2");
    }

    #[test]
    fn memory_of_a_run_serves_the_next() {
        let (model, mut memory, mut seen) = (model(), Buffer::default(), Vec::new());
        for scales in [4, 1, 4] {
            let mut run = Run::begin(model, vec![3], SETTINGS, memory).unwrap();
            for _ in 0..scales {
                run.step().unwrap();
            }
            seen.push(run.image(0).unwrap());
            memory = run.end();
        }
        assert_eq!(seen[0], seen[2]);
        assert_ne!(seen[0], seen[1]);
    }

    #[test]
    fn texts_of_panics_are_kept() {
        crate::fault::note_panics();
        let _ = std::panic::catch_unwind(|| panic!("7 is not 8"));
        let text = crate::fault::last();
        drop(std::panic::take_hook());
        assert!(
            text.starts_with("a fault of the library: ") && text.ends_with("7 is not 8"),
            "{text}"
        );
    }
}
