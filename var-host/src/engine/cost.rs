//! How much memory and arithmetic a piece of work takes: the work itself, run dry.

use core::cell::Cell;
use core::ops::ControlFlow;

use var_kernel::arena::Arena;
use var_kernel::dry::{Dry, Lengths};
use var_kernel::generate::{self, Request};
use var_kernel::ops::Backend;
use var_kernel::score;

use super::{Engine, EngineError};
use crate::model::assemble::{self, TransformerLayers, VqvaeLayers};
use crate::model::listing::Listing;

/// A piece of work.
#[derive(Clone, Copy, Debug)]
pub enum Workload<'a> {
    /// Sampling a batch, images included.
    Sample {
        /// The batch.
        request: &'a Request<'a>,
    },
    /// Images → tokens.
    Encode {
        /// How many go through the model together.
        pictures: usize,
    },
    /// Tokens → image.
    Decode,
    /// The likelihood of one image's tokens.
    Nll,
    /// Tokens → teacher-forcing input of the transformer.
    TeacherInput {
        /// How many images go through the quantizer together.
        images: usize,
    },
}

/// Cost of a piece of work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Floats of working memory.
    pub floats: usize,
    /// Multiply-adds of all products, by their formulas.
    pub multiply_adds: u64,
    /// Of these, when sampling, those of each scale, images excluded.
    pub scales: Vec<u64>,
}

impl Engine<'_> {
    /// Cost of `work`.
    ///
    /// # Errors
    /// If the model lacks a half that the work wants.
    pub fn work(&self, work: Workload<'_>) -> Result<Cost, EngineError> {
        #[cfg(feature = "cuda")]
        if let Some(card) = self.card() {
            return self.cost_on(card.cuda(), work);
        }
        self.cost_on(&self.cpu(), work)
    }

    fn cost_on<B: Backend>(&self, backend: &B, work: Workload<'_>) -> Result<Cost, EngineError> {
        let dry = Dry::new(backend);
        let (mut lengths, peak): (Lengths, _) = ([(); usize::MAX], Cell::new(0));
        let mut arena = Arena::measured(&mut lengths[..], &peak);
        let mut listing = Listing::default();
        let Ok(layers) = VqvaeLayers::bind(&mut listing, *self.vqvae()?);
        let Ok(vqvae) = layers.assemble(&mut listing);
        let config = self.vqvae()?;
        let mut tokens = vec![0; config.ladder.length()];
        match work {
            Workload::Encode { pictures } => {
                tokens.resize(pictures * config.ladder.length(), 0);
                let values = arena.take(vqvae.images_len(pictures));
                let latent = arena.take(vqvae.quantizer.latent_len(pictures));
                let Ok(()) = vqvae.encode(&dry, latent, values, &mut arena);
                let Ok(()) = vqvae.quantizer.encode(&dry, &mut tokens, latent, &mut arena);
            }
            Workload::TeacherInput { images } => {
                tokens.resize(images * config.ladder.length(), 0);
                let cells = config.ladder.length() - config.ladder.cells(0);
                let out = arena.take(images * cells * config.latent);
                let Ok(()) = vqvae.quantizer.teacher_input(&dry, out, &tokens, &mut arena);
            }
            Workload::Decode => {
                let latent = arena.take(vqvae.quantizer.latent_len(1));
                let values = arena.take(vqvae.images_len(1));
                let (quantizer, last) = (&vqvae.quantizer, config.ladder.scales() - 1);
                // Every scale's image takes the same memory; only the last one must be made.
                let Ok(()) =
                    quantizer.decode(&dry, latent, &tokens, &mut arena, |scale, latent, arena| {
                        if scale == last {
                            vqvae.decode(&dry, values, latent, arena)
                        } else {
                            Ok(())
                        }
                    });
            }
            Workload::Nll | Workload::Sample { .. } => {
                let Ok(blocks) = TransformerLayers::bind(&mut listing, *self.transformer()?);
                let mut other = Listing::default();
                let sources = ((&blocks, &mut listing), (&layers, &mut other));
                let Ok(model) = assemble::model(sources.0, sources.1);
                if let Workload::Sample { request } = work {
                    let images = request.labels.len();
                    let mut tokens = vec![0; images * config.ladder.length()];
                    // As many as are decoded together at the end.
                    let together = backend.images_together().min(images).max(1);
                    let mut samples = vec![0_u8; vqvae.images_len(together)];
                    let (mut scales, mut pictures, mut counted) = (Vec::new(), 0, 0);
                    let mut each = |progress: &mut generate::Progress<'_, '_, '_, _>| {
                        let before = dry.multiply_adds();
                        scales.push(before - counted);
                        // A callback may ask for the image so far: the arena must have room.
                        let Ok(()) = progress.picture(&mut samples, 0);
                        counted = dry.multiply_adds();
                        pictures = images as u64 * (counted - before) / together as u64;
                        ControlFlow::Continue(())
                    };
                    // Without images at the end, which take less of the arena than those on the way.
                    let Ok(_) = generate::generate(
                        &dry,
                        &model,
                        request,
                        &mut tokens,
                        &mut [0_u8; 0],
                        &mut arena,
                        &mut each,
                    );
                    let multiply_adds = scales.iter().sum::<u64>() + pictures;
                    return Ok(Cost { floats: peak.get(), multiply_adds, scales });
                } else {
                    let mut out = vec![0.0; tokens.len()];
                    let Ok(()) = score::nll(&dry, &model, &mut out, &tokens, 0, &mut arena);
                }
            }
        }
        Ok(Cost { floats: peak.get(), multiply_adds: dry.multiply_adds(), scales: Vec::new() })
    }
}
