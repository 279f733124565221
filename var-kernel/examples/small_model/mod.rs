// A model of 16 × 16 images without a file: every weight is 0.01. The documentation's examples draw with it.

use core::convert::Infallible;
use core::fmt;

use var_kernel::model::config::{ChannelMultipliers, Refinement};
use var_kernel::ops::nearest_code::Distance;
use var_kernel::{Cpu, Ladder, Matrix, Source, VarConfig, VqvaeConfig};

static WEIGHTS: [f32; 1 << 15] = [0.01; 1 << 15];

/// A source with the same value in every tensor.
struct Constant;

impl<'w> Source<'w, Cpu<'_>> for Constant {
    type Error = Infallible;

    fn matrix(&mut self, _: fmt::Arguments<'_>, shape: &[usize]) -> Result<Matrix<'w>, Infallible> {
        Ok(Matrix::F32(&WEIGHTS[..shape.iter().product()]))
    }

    fn vector(&mut self, _: fmt::Arguments<'_>, shape: &[usize]) -> Result<&'w [f32], Infallible> {
        Ok(&WEIGHTS[..shape.iter().product()])
    }
}

/// Sizes of its transformer and of its VQVAE.
fn configs() -> (VarConfig, VqvaeConfig) {
    let ladder = Ladder::new(&[1, 2, 4]).expect("sides that ascend");
    let var = VarConfig {
        depth: 2,
        width: 32,
        heads: 2,
        hidden: 128,
        classes: 10,
        codes: 64,
        latent: 8,
        ladder,
        unit_length: true,
        shared_modulation: false,
    };
    let vae = VqvaeConfig {
        codes: 64,
        latent: 8,
        channels: 32,
        multipliers: ChannelMultipliers::new(&[1, 1, 1]).expect("three levels"),
        encoder_blocks: 1,
        decoder_blocks: 1,
        ladder,
        refinement: Refinement::Shared,
        refinement_ratio: 0.5,
        distance: Distance::Euclidean,
    };
    (var, vae)
}
