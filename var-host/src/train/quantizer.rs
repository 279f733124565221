//! The quantizer's training forward (MODEL.md, section 2): tokens without a gradient, their sum with
//! one, and the usage of each code.

use var_kernel::arena::Arena;
use var_kernel::memory::Floats;
use var_kernel::model::config::VqvaeConfig;
use var_kernel::model::quantizer::Quantizer;
use var_kernel::ops::{Backend, Elementwise, NearestCode, Resize, nearest_code, resize};
use var_kernel::transfer::TokenTransfer;

use crate::grad::{Detach, GradientPlan, Span, Sums};

/// Weight of the loss that moves the latents toward the codes, against the one that moves the codes
/// toward the latents: β.
pub const COMMITMENT: f32 = 0.25;

/// Quantized latents, in an arena that keeps.
pub struct Quantized<'m, S: ?Sized> {
    /// `images · L`, as [`Quantizer::encode`] gives them.
    pub tokens: Vec<u32>,
    /// Residual quantized by each scale: `images × cells(scale) × latent`.
    pub features: Vec<&'m S>,
    /// The latents as they are after each scale.
    pub sums: Vec<&'m S>,
    /// The last of the sums; its gradient passes straight through to the latents.
    pub out: &'m S,
}

/// Chooses tokens for `latents`, scale by scale, and adds up their contributions.
///
/// Gradients of the sums reach the codebook and the refinements; none passes through a choice.
///
/// `latents`: `images × side × side × latent`.
///
/// # Errors
/// Only the device's own.
///
/// # Panics
/// If the arena is too small.
pub fn forward<'m, B: Detach>(
    b: &B,
    quantizer: &Quantizer<'_, '_, B>,
    config: VqvaeConfig,
    latents: &B::Slice,
    arena: &mut Arena<'m, B::Slice>,
) -> Result<Quantized<'m, B::Slice>, B::Error> {
    let VqvaeConfig { ladder, latent, codes, distance, .. } = config;
    let (plain, length, finest) = (b.detached(), latents.len(), ladder.finest());
    let images = length / quantizer.latent_len(1);
    let mut tokens = vec![0; images * ladder.length()];
    let (mut features, mut sums) = (Vec::new(), Vec::<&B::Slice>::new());
    let (mut rest, mut left) = (arena.take(length), arena.take(length));
    plain.copy(rest, latents)?;
    let mut later = &mut tokens[..];
    for scale in 0..ladder.scales() {
        let rows = images * ladder.cells(scale);
        let here;
        (here, later) = later.split_at_mut(rows);
        let feature = arena.take(rows * latent);
        if scale + 1 == ladder.scales() {
            plain.copy(feature, rest)?;
        } else {
            let (from, to) = (finest, ladder.sides()[scale]);
            plain.area(
                feature,
                rest,
                resize::Dims { batch: images, from, to, channels: latent },
            )?;
        }
        let size = nearest_code::Dims { rows, codes, width: latent };
        let found = <B::Plain as TokenTransfer>::tokens_in(arena.take(rows));
        plain.nearest_code(found, feature, quantizer.codebook, distance, size)?;
        plain.download_tokens(here, found)?;
        let map = arena.take(rows * latent);
        b.embedding(map, quantizer.codebook, here, latent)?;
        let contribution = arena.take(length);
        quantizer.contribution(b, contribution, map, scale, arena)?;
        plain.blend(left, (rest, 1.0), (contribution, -1.0))?;
        core::mem::swap(&mut rest, &mut left);
        let sum = match sums.last() {
            None => &*contribution,
            Some(before) => {
                let sum = arena.take(length);
                b.blend(sum, (before, 1.0), (contribution, 1.0))?;
                sum
            }
        };
        features.push(&*feature);
        sums.push(sum);
    }
    let out = arena.take(length);
    b.straight_through(out, sums.last().expect("a ladder has a scale"), latents)?;
    Ok(Quantized { tokens, features, sums, out })
}

/// Mean squared difference of each of `sums` from `latents`.
///
/// # Errors
/// Only the device's own.
pub fn mean_squares<B: Backend>(
    b: &B,
    sums: &[&B::Slice],
    latents: &B::Slice,
) -> Result<Vec<f64>, B::Error> {
    let mut target = vec![0.0; latents.len()];
    b.download(&mut target, latents)?;
    let mut values = vec![0.0; latents.len()];
    let of_sum = |sum: &&B::Slice| {
        b.download(&mut values, sum)?;
        let squares = values.iter().zip(&target).map(|(a, b)| f64::from(a - b).powi(2));
        Ok(squares.sum::<f64>() / target.len() as f64)
    };
    sums.iter().map(of_sum).collect()
}

/// The quantizer's loss: the mean over scales of `β·mse(sum, latents) + mse(sum, latents)`, the first
/// with a gradient for the latents (commitment), the second for the sums.
///
/// `errors`: [`mean_squares`].
pub fn loss(errors: &[f64]) -> f64 {
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    (1.0 + f64::from(COMMITMENT)) * mean
}

/// Adds `factor` times the gradients of [`loss`] to those of `sums` and `latents`.
///
/// `values` and `gradients`: all values and, where `plan` says, their gradients.
///
/// # Errors
/// Only the device's own.
pub fn loss_backward<B: Sums>(
    b: &B,
    gradients: &mut B::Slice,
    plan: &GradientPlan,
    values: &B::Slice,
    sums: &[Span],
    latents: Span,
    factor: f32,
) -> Result<(), B::Error> {
    let each = 2.0 * factor / (sums.len() * latents.length) as f32;
    for sum in sums {
        for (of, sign) in [(*sum, 1.0), (latents, -COMMITMENT)] {
            let into = plan.of(of).of_mut(gradients);
            b.add_scaled(into, sum.of(values), sign * each)?;
            b.add_scaled(into, latents.of(values), -sign * each)?;
        }
    }
    Ok(())
}

/// How often each code occurs at each scale: `scales × codes`.
///
/// `tokens`: scale by scale, as a training step gives them.
///
/// # Panics
/// If a token is past the codebook's end or `tokens` is not whole ladders.
pub fn count(config: &VqvaeConfig, tokens: &[u32]) -> Vec<u32> {
    let VqvaeConfig { ladder, codes, .. } = config;
    assert_eq!(tokens.len() % ladder.length(), 0, "tokens are not whole ladders");
    let images = tokens.len() / ladder.length();
    let mut hits = vec![0; ladder.scales() * codes];
    let mut tokens = tokens;
    for (scale, hits) in hits.chunks_exact_mut(*codes).enumerate() {
        let (here, later) = tokens.split_at(images * ladder.cells(scale));
        here.iter().for_each(|token| hits[*token as usize] += 1);
        tokens = later;
    }
    hits
}
