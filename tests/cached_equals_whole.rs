//! Scale by scale over a cache = one pass under a mask.

use var_kernel::arena::Arena;
use var_kernel::model::transformer::{Conditions, Pass};
use var_kernel::ops::attention::Mask;
use var_kernel::score;

use crate::support::{Golden, GoldenModel, assert_close, scale_major, working_memory};

#[test]
fn logits_over_a_cache_are_those_of_one_pass() {
    for file in ["tiny.safetensors", "tiny_shared_adaln.safetensors"] {
        let golden = Golden::open(file);
        let tokens = golden.integers("vae.tokens");
        let model = GoldenModel::of(&golden);
        let (ladder, codes, width) = (model.var.ladder, model.var.codes, model.var.width);
        let labels = [1, 2];
        model.with(|cpu, model| {
            let transformer = &model.transformer;
            let mut memory = working_memory(64);
            let mut arena = Arena::new(&mut memory[..]);
            let mut whole = Vec::new();
            for (image, label) in labels.iter().enumerate() {
                let mut logits = vec![f32::NAN; ladder.length() * codes];
                let tokens = &tokens[image * ladder.length()..][..ladder.length()];
                let Ok(()) =
                    score::teacher_forced(cpu, model, &mut logits, tokens, *label, &mut arena);
                whole.extend(logits);
            }
            let whole = scale_major(&whole, codes, &ladder);

            let Ok(conditions) = Conditions::new(cpu, transformer, &labels, false, &mut arena);
            let cache = arena.take(transformer.cache_len(cpu, 2, ladder.length()));
            let latents = arena.take(model.vqvae.quantizer.latent_len(2));
            let input = arena.take(latents.len());
            let x = arena.take(2 * ladder.length() * width);
            let tokens = scale_major(&tokens, 1, &ladder);
            let mut stepped = Vec::new();
            let mut predict = |scale: usize, x: &mut [f32], arena: &mut Arena<'_, [f32]>| {
                let range = ladder.range(scale);
                let pass = Pass {
                    batch: 2,
                    rows: range.len(),
                    start: range.start,
                    capacity: ladder.length(),
                    mask: Mask::None,
                };
                let mut arena = arena.scope();
                let rows = x.len() / width;
                let Ok(x) = transformer.predict(cpu, x, cache, &conditions, pass, &mut arena);
                let mut logits = vec![f32::NAN; rows * codes];
                let each = range.len();
                let Ok(()) = transformer.head(cpu, &mut logits, x, &conditions, each, &mut arena);
                stepped.extend(logits);
            };
            let first = &mut x[..2 * ladder.cells(0) * width];
            let Ok(()) = transformer.embed_class(cpu, first, &conditions, &mut arena);
            predict(0, first, &mut arena);
            let quantizer = &model.vqvae.quantizer;
            let Ok(()) =
                quantizer.decode(cpu, latents, &tokens, &mut arena, |scale, latents, arena| {
                    let next = scale + 1;
                    if next < ladder.scales() {
                        let rows = 2 * ladder.cells(next);
                        let input = &mut input[..rows * model.vqvae.config.latent];
                        quantizer.next_input(cpu, input, latents, next)?;
                        let x = &mut x[..rows * width];
                        transformer.embed_tokens(cpu, x, input, next, arena)?;
                        predict(next, x, arena);
                    }
                    Ok(())
                });
            assert_close(file, &stepped, &whole, 1e-4);
        });
    }
}
