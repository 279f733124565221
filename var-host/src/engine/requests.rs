//! The engine's pieces of work, written once for whatever computes them.

use core::cell::{Cell, RefCell};
use core::ops::ControlFlow;

use var_kernel::arena::Arena;
use var_kernel::codec;
use var_kernel::generate::{self, Outcome, Progress, Request};
use var_kernel::memory::Floats;
use var_kernel::model::vqvae::COLORS;
use var_kernel::model::{Model, Vqvae};
use var_kernel::ops::Backend;
use var_kernel::score;

use super::checked::{self, CheckedSample};
use super::spec::{ImageSpec, ScaleProgress};
use crate::images::RgbImage;

/// Work on a whole model.
pub(super) trait ModelRequest {
    /// Its result.
    type Output;

    /// Does it.
    fn run<B: Backend>(
        self,
        b: &B,
        model: &Model<'_, '_, B>,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<Self::Output, B::Error>;
}

/// Work on a VQVAE.
pub(super) trait VqvaeRequest {
    /// Its result.
    type Output;

    /// Does it.
    fn run<B: Backend>(
        self,
        b: &B,
        vqvae: &Vqvae<'_, '_, B>,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<Self::Output, B::Error>;
}

/// Classes → tokens and images.
pub(super) struct SampleRequest<'s, 'e> {
    pub(super) jobs: &'s [ImageSpec],
    pub(super) request: &'s Request<'s>,
    pub(super) tokens: &'s mut [u32],
    pub(super) pictures: &'s mut [CheckedSample],
    pub(super) each: &'s mut (dyn FnMut(ScaleProgress<'_>) -> ControlFlow<()> + 'e),
}

impl ModelRequest for SampleRequest<'_, '_> {
    /// None if an image on the way is not finite.
    type Output = Option<Outcome>;

    fn run<B: Backend>(
        self,
        b: &B,
        model: &Model<'_, '_, B>,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<Option<Outcome>, B::Error> {
        let Self { jobs, request, tokens, pictures, each } = self;
        let side = model.vqvae.config.side();
        let mut samples = vec![CheckedSample::default(); side * side * COLORS];
        let (failed, finite) = (RefCell::new(None), Cell::new(true));
        let mut on_scale = |progress: &mut Progress<'_, '_, '_, B>| {
            let (scale, scales) = (progress.scale, progress.scales);
            let note = |outcome: Result<(), B::Error>| {
                if let Err(error) = outcome {
                    failed.replace(Some(error));
                }
            };
            let progress = RefCell::new(progress);
            let mut wait = || note(progress.borrow().wait());
            let cells = model.vqvae.config.ladder.cells(scale);
            let mut all = Vec::new();
            let mut tokens = |image: usize| {
                if all.is_empty() {
                    all.resize(jobs.len() * cells, 0);
                    note(b.download_tokens(&mut all, progress.borrow().tokens));
                }
                let drawn = || all[image * cells..(image + 1) * cells].to_vec();
                failed.borrow().is_none().then(drawn)
            };
            let mut picture = |image| {
                note(progress.borrow_mut().picture(&mut samples, image));
                if failed.borrow().is_some() {
                    return None;
                }
                let picture = checked::picture(side, &samples);
                finite.set(finite.get() && picture.is_some());
                picture
            };
            let (wait, tokens, picture) = (&mut wait, &mut tokens, &mut picture);
            let flow = each(ScaleProgress { jobs, scale, scales, wait, tokens, picture });
            let goes_on = failed.borrow().is_none() && finite.get();
            if goes_on { flow } else { ControlFlow::Break(()) }
        };
        let outcome =
            generate::generate(b, model, request, tokens, pictures, arena, &mut on_scale)?;
        failed.into_inner().map_or(Ok(finite.get().then_some(outcome)), Err)
    }
}

/// Images → tokens.
pub(super) struct EncodeRequest<'s> {
    pub(super) samples: &'s [u8],
    pub(super) tokens: &'s mut [u32],
}

impl VqvaeRequest for EncodeRequest<'_> {
    /// Whether the latents are finite, of which the tokens are.
    type Output = bool;

    fn run<B: Backend>(
        self,
        b: &B,
        vqvae: &Vqvae<'_, '_, B>,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<bool, B::Error> {
        let latents = codec::encode(b, vqvae, self.tokens, self.samples, &mut arena.scope())?;
        let mut values = vec![0.0; latents.len()];
        b.download(&mut values, latents)?;
        Ok(values.iter().all(|value| value.is_finite()))
    }
}

/// Tokens → the latents that the decoder reads.
pub(super) struct LatentsRequest<'s> {
    pub(super) latents: &'s mut [f32],
    pub(super) tokens: &'s [u32],
}

impl VqvaeRequest for LatentsRequest<'_> {
    type Output = ();

    fn run<B: Backend>(
        self,
        b: &B,
        vqvae: &Vqvae<'_, '_, B>,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let mut arena = arena.scope();
        let latents = arena.take(self.latents.len());
        vqvae.quantizer.decode(b, latents, self.tokens, &mut arena, |_, _, _| Ok(()))?;
        b.download(self.latents, latents)
    }
}

/// Tokens → image.
pub(super) struct DecodeRequest<'s, 'e> {
    pub(super) tokens: &'s [u32],
    pub(super) each: Option<&'s mut (dyn FnMut(usize, RgbImage) + 'e)>,
}

impl VqvaeRequest for DecodeRequest<'_, '_> {
    /// None if the image, or one on the way, is not finite.
    type Output = Option<RgbImage>;

    fn run<B: Backend>(
        self,
        b: &B,
        vqvae: &Vqvae<'_, '_, B>,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<Option<RgbImage>, B::Error> {
        let side = vqvae.config.side();
        let mut samples = vec![CheckedSample::default(); vqvae.images_len(1)];
        let mut finite = true;
        let mut checked = self.each.map(|each| {
            |scale, samples: &[CheckedSample]| match checked::picture(side, samples) {
                Some(picture) if finite => each(scale, picture),
                _ => finite = false,
            }
        });
        let each = checked.as_mut().map(|each| each as &mut dyn FnMut(usize, &[CheckedSample]));
        codec::decode(b, vqvae, &mut samples, self.tokens, arena, each)?;
        Ok(checked::picture(side, &samples).filter(|_| finite))
    }
}

/// The likelihood of an image's tokens.
pub(super) struct NllRequest<'s> {
    pub(super) out: &'s mut [f32],
    pub(super) tokens: &'s [u32],
    pub(super) label: u32,
}

impl ModelRequest for NllRequest<'_> {
    type Output = ();

    fn run<B: Backend>(
        self,
        b: &B,
        model: &Model<'_, '_, B>,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        score::nll(b, model, self.out, self.tokens, self.label, arena)
    }
}

/// Logits of an image's tokens, teacher forced.
pub(super) struct LogitsRequest<'s> {
    pub(super) out: &'s mut [f32],
    pub(super) tokens: &'s [u32],
    pub(super) label: u32,
}

impl ModelRequest for LogitsRequest<'_> {
    type Output = ();

    fn run<B: Backend>(
        self,
        b: &B,
        model: &Model<'_, '_, B>,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let mut arena = arena.scope();
        let logits = arena.take(self.out.len());
        score::teacher_forced(b, model, logits, self.tokens, self.label, &mut arena)?;
        b.download(self.out, logits)
    }
}
