//! How likely a picture's tokens are under a class: one pass over all scales.

use crate::arena::Arena;
use crate::memory::Floats;
use crate::model::Model;
use crate::model::transformer::{Conditions, Pass};
use crate::ops::Backend;
use crate::ops::attention::Mask;

/// The logits of every cell of all scales, given the tokens of the scales before.
///
/// `logits`: `L × codes`. `tokens`: the L tokens of one image. `label`: its class, or the null class.
///
/// # Errors
/// Only the device's own; never on the CPU.
///
/// # Panics
/// If a slice is of another length, the label is above the null class, or the arena is too small.
pub fn teacher_forced<B: Backend>(
    b: &B,
    model: &Model<'_, '_, B>,
    logits: &mut B::Slice,
    tokens: &[u32],
    label: u32,
    arena: &mut Arena<'_, B::Slice>,
) -> Result<(), B::Error> {
    let transformer = &model.transformer;
    let (config, ladder) = (&transformer.config, &transformer.config.ladder);
    let (width, length) = (config.width, ladder.length());
    assert_eq!(tokens.len(), length, "tokens is not L");

    let mut arena = arena.scope();
    let conditions = Conditions::new(b, transformer, &[label], false, &mut arena)?;
    let x = arena.take(length * width);
    let cache = arena.take(transformer.cache_len(1, length));
    let first = x.range_mut(0..ladder.cells(0) * width);
    transformer.embed_class(b, first, &conditions, &mut arena)?;
    {
        let quantizer = &model.vqvae.quantizer;
        let mut arena = arena.scope();
        let latents = arena.take(quantizer.latent_len(1));
        let input = arena.take(quantizer.latent_len(1));
        quantizer.decode(b, latents, tokens, &mut arena, |scale, latents, arena| {
            let next = scale + 1;
            if next == ladder.scales() {
                return Ok(());
            }
            let range = ladder.range(next);
            let input = input.range_mut(0..range.len() * config.latent);
            quantizer.next_input(b, input, latents, next)?;
            let rows = x.range_mut(range.start * width..range.end * width);
            transformer.embed_tokens(b, rows, input, next, arena)
        })?;
    }
    let ends = ladder.ends();
    let pass = Pass {
        batch: 1,
        rows: length,
        start: 0,
        capacity: length,
        mask: Mask::UpToScale(&ends[..ladder.scales()]),
    };
    transformer.predict(b, x, cache, &conditions, pass, &mut arena)?;
    transformer.head(b, logits, x, &conditions, length, &mut arena)
}

/// The negative log-likelihood of each of an image's tokens, in nats, without guidance or filter.
///
/// `out`, `tokens`: L.
///
/// # Errors
/// Only the device's own; never on the CPU.
///
/// # Panics
/// As [`teacher_forced`].
pub fn surprise<B: Backend>(
    b: &B,
    model: &Model<'_, '_, B>,
    out: &mut [f32],
    tokens: &[u32],
    label: u32,
    arena: &mut Arena<'_, B::Slice>,
) -> Result<(), B::Error> {
    let mut arena = arena.scope();
    let logits = arena.take(tokens.len() * model.transformer.config.codes);
    teacher_forced(b, model, logits, tokens, label, &mut arena)?;
    let surprise = arena.take(tokens.len());
    b.cross_entropy(surprise, logits, tokens)?;
    b.download(out, surprise)
}
