//! The whole flow: class → tokens, scale by scale → latent → image.

use core::ops::{ControlFlow, Range};

use crate::arena::Arena;
use crate::image::Shown;
use crate::memory::Floats;
use crate::model::transformer::{Conditions, Pass};
use crate::model::{Ladder, Model};
use crate::ops::Backend;
use crate::ops::attention::Mask;
use crate::ops::quantizer_step::Codes;
use crate::ops::sample_tokens::{self, Mixture, SampleSettings};
use crate::sample::{Filter, UniformSource, guidance};

/// A sampling request; [`Request::new`] has the defaults.
///
/// ```
/// use var_kernel::{Filter, Request};
///
/// let all_codes = Filter { top_k: 0, top_p: 0.0 };
/// let request = Request { cfg: 4.0, filter: all_codes, ..Request::new(&[207, 980], &[0, 1], 1) };
/// assert_eq!(request.labels.len(), request.indices.len());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// One for each image; the null class stands for none. With guidance, all or none may be null.
    pub labels: &'a [u32],
    /// Each image's own index: its random numbers depend on that, not on the batch.
    pub indices: &'a [u32],
    /// Classifier-free guidance at the last scale; 0 = none.
    pub cfg: f32,
    /// Which tokens may be drawn.
    pub filter: Filter,
    /// Mix codes by Gumbel softmax instead of taking the drawn one.
    pub more_smooth: bool,
    /// Where random numbers come from.
    pub source: UniformSource<'a>,
    /// Tokens that are not drawn but given.
    pub keep: Option<ForcedTokens<'a>>,
}

impl<'a> Request<'a> {
    /// Images of these classes with the paper's evaluation settings: cfg 1.5, top-k 900, top-p 0.96.
    pub fn new(labels: &'a [u32], indices: &'a [u32], seed: u64) -> Self {
        Self {
            labels,
            indices,
            cfg: 1.5,
            filter: Filter { top_k: 900, top_p: 0.96 },
            more_smooth: false,
            source: UniformSource::Seed(seed),
            keep: None,
        }
    }
}

/// Tokens to keep: those of an image being edited ([`crate::edit`]), or of the first scales of an
/// earlier run.
///
/// ```
/// use var_kernel::{ForcedTokens, Ladder, Request};
///
/// let ladder = Ladder::new(&[1, 2, 4])?;
/// let tokens = [5; 21];
/// let cells: [bool; 21] = core::array::from_fn(|cell| cell < ladder.range(2).start);
/// let keep = Some(ForcedTokens { tokens: &tokens, cells: &cells });
/// let request = Request { keep, ..Request::new(&[207], &[0], 1) };
/// # let _ = request;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ForcedTokens<'a> {
    /// `images · L`, scale by scale, within a scale image by image.
    pub tokens: &'a [u32],
    /// L: which cells are kept.
    pub cells: &'a [bool],
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All scales were drawn.
    Done,
    /// The callback stopped it after this scale.
    StoppedAfter(usize),
}

/// State after a scale, as the callback receives it.
pub struct Progress<'p, 'l, 'w, B: Backend> {
    /// The scale just drawn.
    pub scale: usize,
    /// How many scales there are.
    pub scales: usize,
    /// Its tokens: `images × cells(scale)`.
    pub tokens: &'p B::Tokens,
    backend: &'p B,
    model: &'p Model<'l, 'w, B>,
    latents: &'p B::Slice,
    arena: Arena<'p, B::Slice>,
}

impl<B: Backend> Progress<'_, '_, '_, B> {
    /// Returns when the scale is drawn: a device may only have been asked to.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn wait(&self) -> Result<(), B::Error> {
        self.backend.wait()
    }

    /// The image of image `image` as it would look if the run ended here, and of those after it: as many
    /// as `out` of side × side × 3 each has room for, values in [−1, 1] or samples.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn picture<P: Shown>(&mut self, out: &mut [P], image: usize) -> Result<(), B::Error> {
        picture(self.backend, self.model, out, self.latents, image, &mut self.arena)
    }
}

/// Generates tokens and, if asked, images.
///
/// `tokens`: `images · L`, scale by scale, within a scale image by image. `pictures`: `images × side
/// × side × 3`, numbers in [−1, 1], not clamped, or samples; empty for none. `arena`: as large as
/// [`workspace_len`](crate::workspace_len) says. `each` is called after every scale.
///
/// ```
/// # use core::mem::MaybeUninit;
/// # use core::ops::ControlFlow;
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
/// let mut tokens = [0; 21];
/// let floats = workspace_len(&cpu, var, vae, &request, &mut tokens, &mut storage);
/// let mut memory = vec![0.0; floats];
///
/// let Ok(model) = Model::bind(&mut Constant, var, vae, &mut storage);
/// let (mut image, arena) = ([0_u8; 16 * 16 * 3], &mut Arena::new(&mut memory[..]));
/// let Ok(outcome) = generate(&cpu, &model, &request, &mut tokens, &mut image, arena, &mut |step| {
///     if step.scale == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
/// });
/// assert_eq!(outcome, Outcome::StoppedAfter(1));
/// # }
/// ```
///
/// # Errors
/// Only the device's own; never on the CPU.
///
/// # Panics
/// If a slice is of another length than the request says, a label is above the null class, labels
/// with and without a class are mixed under guidance, or the arena is too small.
pub fn generate<B: Backend, P: Shown>(
    b: &B,
    model: &Model<'_, '_, B>,
    request: &Request<'_>,
    tokens: &mut [u32],
    pictures: &mut [P],
    arena: &mut Arena<'_, B::Slice>,
    each: &mut dyn FnMut(&mut Progress<'_, '_, '_, B>) -> ControlFlow<()>,
) -> Result<Outcome, B::Error> {
    let ladder = model.transformer.config.ladder;
    let images = request.labels.len();
    assert_eq!(request.indices.len(), images, "one index for each label");
    assert_eq!(tokens.len(), images * ladder.length(), "tokens is not images · L");
    assert_eq!(model.vqvae.config.ladder, ladder, "transformer and VQVAE have one ladder");

    let mut arena = arena.scope();
    let latents = arena.take(model.vqvae.quantizer.latent_len(images));
    let drawn = B::tokens_in(arena.take(tokens.len()));
    let outcome = draw_scales(b, model, request, drawn, latents, &mut arena, each)?;
    b.download_tokens(tokens, drawn)?;
    if outcome == Outcome::Done && !pictures.is_empty() {
        let length = model.vqvae.images_len(1);
        assert_eq!(pictures.len(), images * length, "images is not images × side × side × 3");
        let together = b.images_together().min(images);
        for (number, out) in pictures.chunks_mut(together * length).enumerate() {
            picture(b, model, out, latents, number * together, &mut arena)?;
        }
    }
    Ok(outcome)
}

/// Draws all scales, until `each` breaks it off.
fn draw_scales<B: Backend>(
    b: &B,
    model: &Model<'_, '_, B>,
    request: &Request<'_>,
    tokens: &mut B::Tokens,
    latents: &mut B::Slice,
    arena: &mut Arena<'_, B::Slice>,
    each: &mut dyn FnMut(&mut Progress<'_, '_, '_, B>) -> ControlFlow<()>,
) -> Result<Outcome, B::Error> {
    let (ladder, images) = (model.transformer.config.ladder, request.labels.len());
    let mut run = Generation::new(b, model, request, arena)?;
    for scale in 0..ladder.scales() {
        let range = ladder.range(scale);
        let here = tokens.range_mut(images * range.start..images * range.end);
        b.capture(&mut || run.draw_scale(here, latents, scale))?;
        let arena = run.arena.scope();
        let (scales, tokens, latents) = (ladder.scales(), &*here, &*latents);
        let mut progress = Progress { scale, scales, tokens, backend: b, model, latents, arena };
        if each(&mut progress).is_break() {
            return Ok(Outcome::StoppedAfter(scale));
        }
    }
    Ok(Outcome::Done)
}

/// Decodes the latents of as many images as `out` has room for, from `first` on, to the host.
fn picture<B: Backend, P: Shown>(
    b: &B,
    model: &Model<'_, '_, B>,
    out: &mut [P],
    latents: &B::Slice,
    first: usize,
    arena: &mut Arena<'_, B::Slice>,
) -> Result<(), B::Error> {
    let count = out.len() / model.vqvae.images_len(1);
    let mut arena = arena.scope();
    let decoded = decode(b, model, latents, first..first + count, &mut arena)?;
    P::download(b, out, decoded)
}

/// Decodes the latents of `images` to images on the device, in `arena`.
fn decode<'a, B: Backend>(
    b: &B,
    model: &Model<'_, '_, B>,
    latents: &B::Slice,
    images: Range<usize>,
    arena: &mut Arena<'a, B::Slice>,
) -> Result<&'a B::Slice, B::Error> {
    let length = model.vqvae.quantizer.latent_len(1);
    let decoded = arena.take(model.vqvae.images_len(images.len()));
    let latents = latents.range(images.start * length..images.end * length);
    b.capture(&mut || model.vqvae.decode(b, decoded, latents, arena))?;
    Ok(decoded)
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
        arena: &'r mut Arena<'_, B::Slice>,
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

        let mut arena = arena.scope();
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
    let Request { filter, indices, .. } = *request;
    SampleSettings { guidance, filter, source, scale, indices }
}
