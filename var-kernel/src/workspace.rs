//! Memory and arithmetic that a request needs: the request itself, run dry.

use core::cell::Cell;
use core::ops::ControlFlow;

use crate::arena::Arena;
use crate::codec;
use crate::dry::{Dry, Lengths};
use crate::generate::{Progress, Request, generate};
use crate::model::{AnyTensor, Model, Quantizer, VarConfig, Vqvae, VqvaeConfig};
use crate::ops::Backend;
use crate::score;
use crate::storage::Storage;

/// Floats of the [`Arena`] with which [`generate`] serves `request`, images after every scale
/// included.
///
/// `tokens`: as [`generate`] takes them, zeros afterward. `storage`: at least
/// [`Model::storage_len`] bytes, free again afterward.
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
/// let (labels, indices) = ([3, 7], [0, 1]);
/// let request = Request::new(&labels, &indices, 1);
/// let mut tokens = [0; 2 * 21];
/// let both = workspace_len(&cpu, var, vae, &request, &mut tokens, &mut storage);
///
/// let request = Request::new(&labels[..1], &indices[..1], 1);
/// let one = workspace_len(&cpu, var, vae, &request, &mut tokens[..21], &mut storage);
/// assert!(one < both);
/// # }
/// ```
///
/// # Panics
/// As [`generate`], or if `storage` is too small.
pub fn workspace_len<B: Backend>(
    b: &B,
    var: VarConfig,
    vae: VqvaeConfig,
    request: &Request<'_>,
    tokens: &mut [u32],
    storage: &mut Storage<'_>,
) -> usize {
    Cost::of_generate(b, var, vae, request, tokens, storage, &mut |_, _| ()).floats
}

/// Memory and arithmetic of one of the kernel's entries.
///
/// Each function takes `tokens` as its entry does, for as many images: zeros afterward if the entry
/// writes them. `storage`: at least as many bytes as the model's `storage_len`, free again afterward.
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
/// let mut tokens = [0; 21];
/// let encode = Cost::of_encode(&cpu, vae, &mut tokens, &mut storage);
/// let decode = Cost::of_decode(&cpu, vae, &tokens, &mut storage);
/// let score = Cost::of_score(&cpu, var, vae, &tokens, &mut storage);
/// let all = [encode, decode, score].map(|cost| cost.floats).into_iter().max();
/// # let _ = all;
/// println!("{all:?} floats serve all three; to encode is {} FLOP", 2 * encode.multiply_adds);
///
/// // With less scratch memory than recommended, the same bytes.
/// let mut little = vec![0.0; decode.scratch];
/// assert!(little.len() < SCRATCH_FLOATS / 8);
/// let workers = Inline::new(&mut little);
/// let cpu = Cpu::new(Isa::best(), &workers);
/// # let _ = cpu;
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Floats of the [`Arena`].
    pub floats: usize,
    /// Floats of scratch memory that each thread of a CPU wants at least; best it has
    /// [`SCRATCH_FLOATS`](crate::SCRATCH_FLOATS).
    pub scratch: usize,
    /// Multiply-adds of all products, by their formulas: half the FLOP count.
    pub multiply_adds: u64,
}

impl Cost {
    /// Of [`generate`], images after every scale included in the memory, and in the arithmetic those at
    /// the end alone; `each` is told a scale and its multiply-adds, images excluded.
    ///
    /// # Panics
    /// As [`generate`], or if `storage` is too small.
    pub fn of_generate<B: Backend>(
        b: &B,
        var: VarConfig,
        vae: VqvaeConfig,
        request: &Request<'_>,
        tokens: &mut [u32],
        storage: &mut Storage<'_>,
        each: &mut dyn FnMut(usize, u64),
    ) -> Self {
        let Ok(model) = Model::bind(&mut AnyTensor, var, vae, &mut storage.scope());
        let images = request.labels.len();
        // As many as are decoded together at the end; a callback may ask for one of them. Those at the
        // end take less of the arena than those on the way.
        let together = b.images_together().min(images);
        let (mut scales, mut decoded, mut counted) = (0, 0, 0);
        let cost = Self::of(b, |dry, arena| {
            let on_scale = &mut |progress: &mut Progress<'_, '_, '_, _>| {
                let drawn = dry.multiply_adds();
                each(progress.scale, drawn - counted);
                scales += drawn - counted;
                let images = &mut [(); usize::MAX][..model.vqvae.images_len(together)];
                let Ok(()) = progress.picture(images, 0);
                counted = dry.multiply_adds();
                decoded = counted - drawn;
                ControlFlow::Continue(())
            };
            let Ok(_) = generate(dry, &model, request, tokens, &mut [(); 0], arena, on_scale);
        });
        let decoded = images as u64 * decoded / together.max(1) as u64;
        Self { multiply_adds: scales + decoded, ..cost }
    }

    /// Of [`codec::encode`].
    ///
    /// # Panics
    /// If `storage` is too small.
    pub fn of_encode<B: Backend>(
        b: &B,
        vae: VqvaeConfig,
        tokens: &mut [u32],
        storage: &mut Storage<'_>,
    ) -> Self {
        let Ok(vqvae) = Vqvae::bind(&mut AnyTensor, vae, &mut storage.scope());
        Self::of(b, |dry, arena| {
            let images = arena.take(vqvae.images_len(tokens.len() / vae.ladder.length()));
            let Ok(_) = codec::encode_uploaded(dry, &vqvae, tokens, images, arena);
        })
    }

    /// Of [`codec::decode`], images after every scale included in the memory, and in the arithmetic the
    /// last alone.
    ///
    /// # Panics
    /// If a token has no code, or `storage` is too small.
    pub fn of_decode<B: Backend>(
        b: &B,
        vae: VqvaeConfig,
        tokens: &[u32],
        storage: &mut Storage<'_>,
    ) -> Self {
        let Ok(vqvae) = Vqvae::bind(&mut AnyTensor, vae, &mut storage.scope());
        let images = vqvae.images_len(tokens.len() / vae.ladder.length());
        let cost = |each: Option<codec::OnImages<'_, ()>>| {
            Self::of(b, |dry, arena| {
                let images = &mut [(); usize::MAX][..images];
                let Ok(()) = codec::decode(dry, &vqvae, images, tokens, arena, each);
            })
        };
        Self { floats: cost(Some(&mut |_, _| ())).floats, ..cost(None) }
    }

    /// Of the quantizer's [`teacher_input`](crate::model::Quantizer::teacher_input), with it in the arena.
    ///
    /// # Panics
    /// If a token has no code, or `storage` is too small.
    pub fn of_teacher_input<B: Backend>(
        b: &B,
        vae: VqvaeConfig,
        tokens: &[u32],
        storage: &mut Storage<'_>,
    ) -> Self {
        let Ok(quantizer) = Quantizer::bind(&mut AnyTensor, vae, &mut storage.scope());
        Self::of(b, |dry, arena| {
            let images = tokens.len() / vae.ladder.length();
            let input = arena.take(quantizer.teacher_input_len(images));
            let Ok(()) = quantizer.teacher_input(dry, input, tokens, arena);
        })
    }

    /// Of [`score::nll`]; of [`score::teacher_forced`] too, with the logits in the arena.
    ///
    /// # Panics
    /// As [`score::nll`], or if `storage` is too small.
    pub fn of_score<B: Backend>(
        b: &B,
        var: VarConfig,
        vae: VqvaeConfig,
        tokens: &[u32],
        storage: &mut Storage<'_>,
    ) -> Self {
        let Ok(model) = Model::bind(&mut AnyTensor, var, vae, &mut storage.scope());
        Self::of(b, |dry, arena| {
            let Ok(_) = score::nll_in(dry, &model, tokens, 0, arena);
        })
    }

    /// Of `run` on a dry `b`.
    fn of<'b, B: Backend>(b: &'b B, run: impl FnOnce(&Dry<'b, B>, &mut Arena<'_, [()]>)) -> Self {
        let (mut lengths, peak): (Lengths, _) = ([(); usize::MAX], Cell::new(0));
        let dry = Dry::new(b);
        run(&dry, &mut Arena::measured(&mut lengths[..], &peak));
        let (floats, scratch) = (peak.get(), dry.scratch_len());
        Self { floats, scratch, multiply_adds: dry.multiply_adds() }
    }
}
