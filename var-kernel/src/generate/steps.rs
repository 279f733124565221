//! The scales of a run, drawn one at a time at the caller's pace.

use crate::arena::Arena;
use crate::image::Shown;
use crate::memory::Floats;
use crate::model::transformer::{Conditions, Pass};
use crate::model::{Ladder, Model};
use crate::ops::Backend;
use crate::ops::attention::Mask;
use crate::ops::quantizer_step::Codes;
use crate::ops::sample_tokens::{self, Mixture, SampleSettings};
use crate::sample::{UniformSource, guidance};

use super::progress::{Progress, download_images};
use super::request::Request;

/// A run of [`generate`](crate::generate::generate()) that the caller advances: one scale a call.
///
/// For event loops, and languages without callbacks: between two steps the caller may do anything else, show
/// the images so far, or drop the run. Every step has the bytes that [`generate`](crate::generate::generate())
/// has after that scale.
///
/// ```
/// # use core::mem::MaybeUninit;
/// # use var_kernel::*;
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/small_model/mod.rs"));
/// # fn main() {
/// # let mut scratch = vec![0.0; SCRATCH_FLOATS];
/// # let workers = Inline::new(&mut scratch);
/// # let cpu = Cpu::new(Isa::best(), &workers);
/// # let (var, vae) = configs();
/// # let mut layers = [MaybeUninit::uninit(); 1 << 14];
/// # let mut storage = Storage::new(&mut layers);
/// let request = Request::new(&[3], &[0], 1);
/// let (mut tokens, mut image) = ([0; 21], [0_u8; 16 * 16 * 3]);
/// let floats = workspace_len(&cpu, var, vae, &request, &mut tokens, &mut storage);
/// let mut memory = vec![0.0; floats];
/// let Ok(model) = Model::bind(&mut Constant, var, vae, &mut storage);
///
/// let mut arena = Arena::new(&mut memory[..]);
/// let Ok(mut steps) = Steps::new(&cpu, &model, &request, &mut arena);
/// while let Ok(Some(mut progress)) = steps.step() {
///     let Ok(()) = progress.picture(&mut image, 0);
///     println!("scale {} of {}", progress.scale + 1, progress.scales);
/// }
/// let Ok(()) = steps.finish(&mut tokens, &mut image);
/// # }
/// ```
pub struct Steps<'r, 'l, 'w, B: Backend> {
    run: Generation<'r, 'l, 'w, B>,
    /// `images · L`; those of scales not drawn are not yet written.
    tokens: &'r mut B::Tokens,
    latents: &'r mut B::Slice,
    /// The scale to draw next.
    scale: usize,
}

impl<'r, 'l, 'w, B: Backend> Steps<'r, 'l, 'w, B> {
    /// Begins a run; `arena`: as large as [`workspace_len`](crate::workspace_len) says.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    ///
    /// # Panics
    /// If there are not as many indices as labels, a label is above the null class, labels with and
    /// without a class are mixed under guidance, or the arena is too small.
    pub fn new(
        b: &'r B,
        model: &'r Model<'l, 'w, B>,
        request: &'r Request<'r>,
        arena: &'r mut Arena<'_, B::Slice>,
    ) -> Result<Self, B::Error> {
        let ladder = model.transformer.config.ladder;
        let images = request.labels.len();
        assert_eq!(request.indices.len(), images, "one index for each label");
        assert_eq!(model.vqvae.config.ladder, ladder, "transformer and VQVAE have one ladder");
        let mut arena = arena.scope();
        let latents = arena.take(model.vqvae.quantizer.latent_len(images));
        let tokens = B::tokens_in(arena.take(images * ladder.length()));
        let run = Generation::new(b, model, request, arena)?;
        Ok(Self { run, tokens, latents, scale: 0 })
    }

    /// Tokens of the run: images · L.
    pub fn tokens_len(&self) -> usize {
        self.run.request.labels.len() * self.run.model.transformer.config.ladder.length()
    }

    /// Scales drawn so far.
    pub fn scales_drawn(&self) -> usize {
        self.scale
    }

    /// Draws the next scale; none after the last.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    #[allow(clippy::type_complexity)]
    pub fn step(&mut self) -> Result<Option<Progress<'_, 'l, 'w, B>>, B::Error> {
        let Self { run, tokens, latents, scale } = self;
        let (b, ladder) = (run.b, run.model.transformer.config.ladder);
        let drawn = *scale;
        if drawn == ladder.scales() {
            return Ok(None);
        }
        let (images, range) = (run.request.labels.len(), ladder.range(drawn));
        let here = tokens.range_mut(images * range.start..images * range.end);
        b.capture(&mut || run.draw_scale(here, latents, drawn))?;
        *scale += 1;
        Ok(self.progress())
    }

    /// State after the scale drawn last; none before the first.
    pub fn progress(&mut self) -> Option<Progress<'_, 'l, 'w, B>> {
        let Self { run, tokens, latents, scale } = self;
        let (scale, ladder) = (scale.checked_sub(1)?, run.model.transformer.config.ladder);
        let (images, range) = (run.request.labels.len(), ladder.range(scale));
        let tokens = tokens.range(images * range.start..images * range.end);
        let (scales, backend, model, arena) =
            (ladder.scales(), run.b, run.model, run.arena.scope());
        Some(Progress { scale, scales, tokens, backend, model, latents, arena })
    }

    /// Ends the run: its tokens, and its images unless `pictures` is empty.
    ///
    /// `tokens`: `images · L`, scale by scale, within a scale image by image; of scales not drawn, any
    /// number. `pictures`: `images × side × side × 3`, numbers in [−1, 1], not clamped, or samples.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    ///
    /// # Panics
    /// If a slice is of another length, or images are asked for before all scales are drawn.
    pub fn finish<P: Shown>(self, tokens: &mut [u32], pictures: &mut [P]) -> Result<(), B::Error> {
        let Self { run, tokens: drawn, latents, scale } = self;
        let Generation { b, model, request, mut arena, .. } = run;
        b.download_tokens(tokens, drawn)?;
        if pictures.is_empty() {
            return Ok(());
        }
        let scales = model.transformer.config.ladder.scales();
        assert_eq!(scale, scales, "images of a run are asked for after its last scale");
        let (images, length) = (request.labels.len(), model.vqvae.images_len(1));
        assert_eq!(pictures.len(), images * length, "images is not images × side × side × 3");
        let together = b.images_together().min(images);
        for (number, out) in pictures.chunks_mut(together * length).enumerate() {
            download_images(b, model, out, latents, number * together, &mut arena)?;
        }
        Ok(())
    }
}

/// Sampling state carried from one scale to the next.
struct Generation<'r, 'l, 'w, B: Backend> {
    b: &'r B,
    model: &'r Model<'l, 'w, B>,
    request: &'r Request<'r>,
    /// Whether a second row of each image goes through the model without its class.
    guided: bool,
    conditions: Conditions<'r, B>,
    cache: &'r mut B::Slice,
    /// `images × cells × latent` of the largest map: codes drawn, then the next scale's input.
    map: &'r mut B::Slice,
    arena: Arena<'r, B::Slice>,
}

impl<'r, 'l, 'w, B: Backend> Generation<'r, 'l, 'w, B> {
    fn new(
        b: &'r B,
        model: &'r Model<'l, 'w, B>,
        request: &'r Request<'r>,
        mut arena: Arena<'r, B::Slice>,
    ) -> Result<Self, B::Error> {
        let config = &model.transformer.config;
        let (images, null) = (request.labels.len(), config.null_class());
        let nulls = request.labels.iter().filter(|label| **label == null).count();
        assert!(
            request.cfg == 0.0 || nulls == 0 || nulls == images,
            "guidance: {nulls} of {images} labels are null; all or none may be"
        );
        let guided = request.cfg != 0.0 && nulls == 0;
        let sequences = if guided { 2 * images } else { images };

        let cache = arena.take(model.transformer.cache_len(b, sequences, config.ladder.length()));
        let map = arena.take(model.vqvae.quantizer.latent_len(images));
        let (transformer, labels) = (&model.transformer, request.labels);
        let mut conditions = None;
        b.capture(&mut || {
            conditions = Some(Conditions::new(b, transformer, labels, guided, &mut arena)?);
            Ok(())
        })?;
        let conditions = conditions.expect("a section does its work");
        Ok(Self { b, model, request, guided, conditions, cache, map, arena })
    }

    /// One scale: embed, predict, draw, and add the drawn codes to the latents.
    fn draw_scale(
        &mut self,
        tokens: &mut B::Tokens,
        latents: &mut B::Slice,
        scale: usize,
    ) -> Result<(), B::Error> {
        let (b, transformer) = (self.b, &self.model.transformer);
        let (config, ladder) = (&transformer.config, &transformer.config.ladder);
        let (images, cells, range) =
            (self.request.labels.len(), ladder.cells(scale), ladder.range(scale));
        let quantizer = &self.model.vqvae.quantizer;
        let sequences = if self.guided { 2 * images } else { images };
        let mut arena = self.arena.scope();

        let x = arena.take(sequences * cells * config.width);
        let half = images * cells * config.width;
        if scale == 0 {
            transformer.embed_class(b, x, &self.conditions, &mut arena)?;
        } else {
            let input = self.map.range_mut(0..images * cells * config.latent);
            quantizer.next_input(b, input, latents, scale)?;
            let (with_class, without) = x.split_at_mut(half);
            transformer.embed_tokens(b, with_class, input, scale, &mut arena)?;
            if self.guided {
                b.copy(without, with_class)?;
            }
        }
        let pass = Pass {
            batch: sequences,
            rows: cells,
            start: range.start,
            capacity: ladder.length(),
            mask: Mask::None,
        };
        let x = transformer.predict(b, x, self.cache, &self.conditions, pass, &mut arena)?;

        let map = self.map.range_mut(0..images * cells * config.latent);
        let kept = self.request.keep.map(|keep| (keep, &keep.cells[range.clone()]));
        if !kept.is_some_and(|(_, cells)| cells.iter().all(|keep| *keep)) {
            let guidance = guidance::strength(self.request.cfg, scale, ladder.scales());
            let guided = self.guided && guidance != 0.0;
            let rows = if guided { x.len() } else { half };
            let logits = arena.take(rows / config.width * config.codes);
            transformer.head(b, logits, x.range(0..rows), &self.conditions, cells, &mut arena)?;
            let (with_class, without) = logits.split_at_mut(images * cells * config.codes);
            let settings = settings(self.request, ladder, guidance, scale);
            let mixture = self.request.more_smooth.then_some(Mixture {
                out: &mut *map,
                codebook: quantizer.codebook,
                ratio: guidance::ratio(scale, ladder.scales()),
            });
            let d = sample_tokens::Dims { images, positions: cells, codes: config.codes };
            b.sample_tokens(
                tokens,
                mixture,
                with_class,
                guided.then_some(&*without),
                &settings,
                d,
            )?;
        }
        if !self.request.more_smooth {
            if let Some((keep, kept)) = kept {
                b.force_tokens(
                    tokens,
                    &keep.tokens[images * range.start..images * range.end],
                    kept,
                )?;
            }
            let codes = Codes::Tokens { codebook: quantizer.codebook, tokens };
            return quantizer.add_scale(b, latents, codes, scale, &mut arena);
        }
        if let Some((keep, kept)) = kept {
            let given = &keep.tokens[images * range.start..images * range.end];
            b.force_tokens(tokens, given, kept)?;
            for (cell, given) in given.iter().enumerate().filter(|(cell, _)| kept[cell % cells]) {
                let code = map.range_mut(cell * config.latent..(cell + 1) * config.latent);
                b.embedding(code, quantizer.codebook, &[*given], config.latent)?;
            }
        }
        quantizer.add_scale(b, latents, Codes::Map(map), scale, &mut arena)
    }
}

/// How tokens are drawn at `scale`.
fn settings<'a>(
    request: &Request<'a>,
    ladder: &Ladder,
    guidance: f32,
    scale: usize,
) -> SampleSettings<'a> {
    let source = match request.source {
        UniformSource::Given(numbers) => {
            let (images, range) = (request.labels.len(), ladder.range(scale));
            UniformSource::Given(&numbers[images * range.start..images * range.end])
        }
        other => other,
    };
    let Request { temperature, filter, indices, .. } = *request;
    SampleSettings { guidance, temperature, filter, source, scale, indices }
}
