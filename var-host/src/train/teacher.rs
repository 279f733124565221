//! The transformer's input in training, made from tokens in the trainer's memory.

use var_kernel::arena::Arena;
use var_kernel::cpu::Cpu;
use var_kernel::dry::Dry;
use var_kernel::model::{Quantizer, VqvaeConfig};
use var_kernel::workspace::Cost;

use super::layout::ParameterLayout;
use super::storage::{Host, Storage};
use super::workspace::SizeCache;
use super::{TrainError, on};
use crate::engine::{check_tokens, scale_major};
use crate::model::ModelPart;
use crate::model::listing::Listing;

/// Teacher-forcing inputs of the microbatches of a step.
pub trait TeacherInputs<S: Storage> {
    /// That of microbatch `number`, whose images have these tokens, L each: scale by scale from the second
    /// on `images × cells(scale) × latent`.
    ///
    /// # Errors
    /// If the tokens are not the VQVAE's, or the device has not the memory.
    fn of(
        &mut self,
        d: &S::Device<'_>,
        number: usize,
        tokens: &[u32],
    ) -> Result<&S::Slice, TrainError>;
}

/// The quantizer of a run's VQVAE, which the run does not change, in the trainer's memory: codebook and φ.
///
/// The input it makes is finite: weights of a file are 1e9 at most, so that of K scales with c channels of
/// latents none is above K · 1.4² · (1e9 + 9 c · 1e18).
pub struct FrozenQuantizer<S: Storage = Host> {
    config: VqvaeConfig,
    layout: ParameterLayout,
    weights: S::Buffer,
    memory: S::Workspace,
    /// Floats by the number of images.
    sizes: SizeCache<usize, usize>,
}

impl<S: Storage> FrozenQuantizer<S> {
    /// The quantizer of the VQVAE `part`.
    ///
    /// # Errors
    /// If the device has not the memory.
    pub fn new(
        d: &S::Device<'_>,
        part: &ModelPart,
        config: VqvaeConfig,
    ) -> Result<Self, TrainError> {
        let mut listing = Listing::default();
        let storage = &mut var_kernel::storage::Storage::heap();
        let Ok(_) = Quantizer::<Dry<'_, Cpu<'_>>>::bind(&mut listing, config, storage);
        let layout = ParameterLayout::new(listing.wanted);
        let weights = S::from_host(d, &layout, layout.flatten(part))?;
        let (memory, sizes) = (S::Workspace::default(), SizeCache::default());
        Ok(Self { config, layout, weights, memory, sizes })
    }

    /// Bytes of weights, and of working memory for `images` images at a time.
    pub fn bytes(&self, d: &S::Device<'_>, images: usize) -> u64 {
        4 * (self.layout.floats() + floats(d, self.config, images)) as u64
    }
}

/// Floats of working memory for `images` images.
fn floats<B: var_kernel::ops::Backend>(b: &B, config: VqvaeConfig, images: usize) -> usize {
    let tokens = vec![0; images * config.ladder.length()];
    let storage = &mut var_kernel::storage::Storage::heap();
    Cost::of_teacher_input(b, config, &tokens, storage).floats
}

impl<S: Storage> TeacherInputs<S> for FrozenQuantizer<S> {
    fn of(&mut self, d: &S::Device<'_>, _: usize, tokens: &[u32]) -> Result<&S::Slice, TrainError> {
        let Self { config, layout, weights, memory, sizes } = self;
        let images: Vec<&[u32]> = tokens.chunks(config.ladder.length()).collect();
        images.iter().try_for_each(|image| check_tokens(image, config))?;
        let tokens = scale_major(&images, &config.ladder);
        let floats = sizes.get(images.len(), |images| floats(d, *config, *images));
        let mut arena = Arena::new(S::workspace(d, memory, floats)?);
        let mut source = layout.source(d, weights);
        let storage = &mut var_kernel::storage::Storage::heap();
        let quantizer = Quantizer::bind(&mut source, *config, storage);
        let quantizer = quantizer.expect("a layout of this quantizer");
        let input = arena.take(quantizer.teacher_input_len(images.len()));
        on(d, || quantizer.teacher_input(d, input, &tokens, &mut arena))?;
        Ok(input)
    }
}

#[cfg(test)]
mod tests {
    use var_kernel::cpu::{Isa, SCRATCH_FLOATS};

    use super::*;
    use crate::engine::EngineError;
    use crate::model::Weights;
    use crate::pool::Threads;

    fn with_quantizer(work: impl FnOnce(&Cpu<'_>, FrozenQuantizer)) {
        let threads = Threads::new(2, SCRATCH_FLOATS).unwrap();
        let cpu = Cpu::new(Isa::best(), &threads);
        let file = "../fixtures/fashion_reference.safetensors";
        let given = Weights::open(file.as_ref(), &Default::default()).unwrap();
        let (part, config) = given.vqvae.as_ref().unwrap();
        work(&cpu, FrozenQuantizer::new(&cpu, part, *config).unwrap());
    }

    #[test]
    fn inputs_of_the_largest_weights_are_finite() {
        with_quantizer(|cpu, mut quantizer| {
            quantizer.weights.fill(1e9);
            let tokens = vec![1; 2 * quantizer.config.ladder.length()];
            let input = quantizer.of(cpu, 0, &tokens).unwrap();
            assert!(input.iter().all(|x| x.is_finite() && x.abs() > 1e9));
        });
    }

    #[test]
    fn inputs_of_several_images_are_those_of_each() {
        with_quantizer(|cpu, mut quantizer| {
            let VqvaeConfig { ladder, latent, codes, .. } = quantizer.config;
            let tokens: Vec<u32> =
                (0..3 * ladder.length()).map(|at| (at * 37 % codes) as u32).collect();
            let all = quantizer.of(cpu, 0, &tokens).unwrap().to_vec();
            for (image, tokens) in tokens.chunks(ladder.length()).enumerate() {
                let alone = quantizer.of(cpu, 0, tokens).unwrap();
                for scale in 1..ladder.scales() {
                    let (start, floats) =
                        (ladder.range(scale).start - ladder.cells(0), ladder.cells(scale) * latent);
                    let there = 3 * start * latent + image * floats;
                    assert_eq!(all[there..][..floats], alone[start * latent..][..floats]);
                }
            }
        });
    }

    #[test]
    fn tokens_without_a_code_are_refused() {
        with_quantizer(|cpu, mut quantizer| {
            let codes = quantizer.config.codes;
            let mut tokens = vec![0; quantizer.config.ladder.length()];
            tokens[3] = codes as u32;
            let refused = quantizer.of(cpu, 0, &tokens).unwrap_err();
            assert!(matches!(refused, TrainError::Engine(EngineError::Token { .. })), "{refused}");
            let refused = quantizer.of(cpu, 0, &tokens[1..]).unwrap_err();
            assert!(
                matches!(refused, TrainError::Engine(EngineError::TokenCount { .. })),
                "{refused}"
            );
        });
    }
}
