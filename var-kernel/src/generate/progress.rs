//! State after a scale, and the image so far.

use core::ops::Range;

use crate::arena::Arena;
use crate::image::Shown;
use crate::memory::Floats;
use crate::model::Model;
use crate::ops::Backend;

/// State after a scale, as the callback receives it.
pub struct Progress<'p, 'l, 'w, B: Backend> {
    /// The scale just drawn.
    pub scale: usize,
    /// How many scales there are.
    pub scales: usize,
    /// Its tokens: `images × cells(scale)`.
    pub tokens: &'p B::Tokens,
    pub(super) backend: &'p B,
    pub(super) model: &'p Model<'l, 'w, B>,
    pub(super) latents: &'p B::Slice,
    pub(super) arena: Arena<'p, B::Slice>,
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

/// Decodes the latents of as many images as `out` has room for, from `first` on, to the host.
pub(super) fn download_images<B: Backend, P: Shown>(
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
