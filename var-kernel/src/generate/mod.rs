//! The whole flow: class → tokens, scale by scale → latent → image.

use core::ops::{ControlFlow, Range};

use crate::arena::Arena;
use crate::image::Shown;
use crate::memory::Floats;
use crate::model::Model;
use crate::ops::Backend;
use crate::sample::{Filter, UniformSource};

mod steps;

pub use steps::Steps;

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
        download_images(self.backend, self.model, out, self.latents, image, &mut self.arena)
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
    let mut steps = Steps::new(b, model, request, arena)?;
    assert_eq!(tokens.len(), steps.tokens_len(), "tokens is not images · L");
    while let Some(mut progress) = steps.step()? {
        let scale = progress.scale;
        if each(&mut progress).is_break() {
            steps.finish::<P>(tokens, &mut [])?;
            return Ok(Outcome::StoppedAfter(scale));
        }
    }
    steps.finish(tokens, pictures)?;
    Ok(Outcome::Done)
}

/// Decodes the latents of as many images as `out` has room for, from `first` on, to the host.
fn download_images<B: Backend, P: Shown>(
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
