//! Images ↔ tokens: the VQVAE's encoder and decoder with the quantizer between them.

use crate::arena::Arena;
use crate::image::Shown;
use crate::memory::Floats;
use crate::model::Vqvae;
use crate::ops::Backend;

/// Images → tokens; returns the images' latents, a run of `arena`.
///
/// `images`: `images × side × side × 3` samples. `tokens`: `images · L`, scale by scale, within a scale
/// image by image. `arena`: as large as [`Cost::of_encode`](crate::workspace::Cost::of_encode) says.
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
/// let floats = Cost::of_encode(&cpu, vae, &mut tokens, &mut storage).floats
///     .max(Cost::of_decode(&cpu, vae, &tokens, &mut storage).floats);
/// let mut memory = vec![0.0; floats];
///
/// let Ok(vqvae) = Vqvae::bind(&mut Constant, vae, &mut storage);
/// let mut image = [128; 16 * 16 * 3];
/// let Ok(_) = encode(&cpu, &vqvae, &mut tokens, &image, &mut Arena::new(&mut memory[..]));
/// let Ok(()) = decode(&cpu, &vqvae, &mut image, &tokens, &mut Arena::new(&mut memory[..]), None);
/// # }
/// ```
///
/// # Errors
/// Only the device's own; never on the CPU.
///
/// # Panics
/// If a slice is of another length than the VQVAE says, or the arena is too small.
pub fn encode<'a, B: Backend>(
    b: &B,
    vqvae: &Vqvae<'_, '_, B>,
    tokens: &mut [u32],
    images: &[u8],
    arena: &mut Arena<'a, B::Slice>,
) -> Result<&'a B::Slice, B::Error> {
    let uploaded = arena.take(images.len());
    b.upload_images(uploaded, images)?;
    encode_uploaded(b, vqvae, tokens, uploaded, arena)
}

/// The same of `images` that are on the device already, as values in [−1, 1].
///
/// # Errors
/// As [`encode`].
///
/// # Panics
/// As [`encode`].
pub fn encode_uploaded<'a, B: Backend>(
    b: &B,
    vqvae: &Vqvae<'_, '_, B>,
    tokens: &mut [u32],
    images: &B::Slice,
    arena: &mut Arena<'a, B::Slice>,
) -> Result<&'a B::Slice, B::Error> {
    let count = tokens.len() / vqvae.config.ladder.length();
    assert_eq!(images.len(), vqvae.images_len(count), "images is not images × side × side × 3");
    let latents = arena.take(vqvae.quantizer.latent_len(count));
    b.capture(&mut || vqvae.encode(b, latents, images, arena))?;
    vqvae.quantizer.encode(b, tokens, latents, arena)?;
    Ok(latents)
}

/// Called with a scale and the images as they look after it.
pub type OnImages<'e, P> = &'e mut dyn FnMut(usize, &[P]);

/// Tokens → images; with `each`, also as they look after every scale.
///
/// `tokens`: `images · L`, scale by scale, within a scale image by image. `images`: `images × side ×
/// side × 3`, values in [−1, 1], not clamped, or samples; `each` is called with a scale and the images
/// so far, after the last scale too. `arena`: as large as
/// [`Cost::of_decode`](crate::workspace::Cost::of_decode) says.
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
/// # let tokens = [5; 21];
/// # let mut memory = vec![0.0; Cost::of_decode(&cpu, vae, &tokens, &mut storage).floats];
/// # let Ok(vqvae) = Vqvae::bind(&mut Constant, vae, &mut storage);
/// let (mut image, mut scales) = ([0_u8; 16 * 16 * 3], 0);
/// let arena = &mut Arena::new(&mut memory[..]);
/// let each = &mut |scale, image_so_far: &[u8]| scales += 1;
/// let Ok(()) = decode(&cpu, &vqvae, &mut image, &tokens, arena, Some(each));
/// assert_eq!(scales, vae.ladder.scales());
/// # }
/// ```
///
/// # Errors
/// Only the device's own; never on the CPU.
///
/// # Panics
/// If a slice is of another length than the VQVAE says, a token has no code, or the arena is too small.
pub fn decode<B: Backend, P: Shown>(
    b: &B,
    vqvae: &Vqvae<'_, '_, B>,
    images: &mut [P],
    tokens: &[u32],
    arena: &mut Arena<'_, B::Slice>,
    mut each: Option<OnImages<'_, P>>,
) -> Result<(), B::Error> {
    let ladder = vqvae.config.ladder;
    let (count, last) = (tokens.len() / ladder.length(), ladder.scales() - 1);
    let mut arena = arena.scope();
    let latents = arena.take(vqvae.quantizer.latent_len(count));
    let decoded = arena.take(vqvae.images_len(count));
    vqvae.quantizer.decode(b, latents, tokens, &mut arena, |scale, latents, arena| {
        if let (Some(each), false) = (&mut each, scale == last) {
            vqvae.decode(b, decoded, latents, arena)?;
            P::download(b, images, decoded)?;
            each(scale, images);
        }
        Ok(())
    })?;
    vqvae.decode(b, decoded, latents, &mut arena)?;
    P::download(b, images, decoded)?;
    if let Some(each) = each {
        each(last, images);
    }
    Ok(())
}
