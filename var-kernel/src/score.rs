//! How likely an image's tokens are under a class: one pass over all scales.

use crate::arena::Arena;
use crate::model::Model;
use crate::model::transformer::Conditions;
use crate::ops::Backend;

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
    assert_eq!(tokens.len(), ladder.length(), "tokens is not L");

    let mut arena = arena.scope();
    let conditions = Conditions::new(b, transformer, &[label], false, &mut arena)?;
    let input = arena.take((ladder.length() - ladder.cells(0)) * config.latent);
    model.vqvae.quantizer.teacher_input(b, input, tokens, &mut arena)?;
    transformer.teacher_forced(b, logits, input, &conditions, ladder.scales(), &mut arena)
}

/// The negative log-likelihood of each of an image's tokens, in nats, without guidance or filter.
///
/// `out`, `tokens`: L. `arena`: as large as [`Cost::of_score`] says.
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
/// # let mut memory = vec![0.0; Cost::of_score(&cpu, var, vae, &tokens, &mut storage).floats];
/// # let Ok(model) = Model::bind(&mut Constant, var, vae, &mut storage);
/// let mut nats = [0.0; 21];
/// let Ok(()) = nll(&cpu, &model, &mut nats, &tokens, 3, &mut Arena::new(&mut memory[..]));
/// // Of 64 codes, all equally likely.
/// assert!(nats.iter().all(|nats| (nats - 64_f32.ln()).abs() < 1e-3));
/// # }
/// ```
///
/// [`Cost::of_score`]: crate::Cost::of_score
///
/// # Errors
/// Only the device's own; never on the CPU.
///
/// # Panics
/// As [`teacher_forced`].
pub fn nll<B: Backend>(
    b: &B,
    model: &Model<'_, '_, B>,
    out: &mut [f32],
    tokens: &[u32],
    label: u32,
    arena: &mut Arena<'_, B::Slice>,
) -> Result<(), B::Error> {
    let nll = nll_in(b, model, tokens, label, &mut arena.scope())?;
    b.download(out, nll)
}

/// The same in a run of `arena`.
pub(crate) fn nll_in<'a, B: Backend>(
    b: &B,
    model: &Model<'_, '_, B>,
    tokens: &[u32],
    label: u32,
    arena: &mut Arena<'a, B::Slice>,
) -> Result<&'a B::Slice, B::Error> {
    let logits = arena.take(tokens.len() * model.transformer.config.codes);
    teacher_forced(b, model, logits, tokens, label, arena)?;
    let nll = arena.take(tokens.len());
    b.cross_entropy(nll, logits, tokens, 0.0)?;
    Ok(nll)
}
