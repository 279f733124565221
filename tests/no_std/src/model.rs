//! A small model without a file: its sizes, and weights by a formula.

use core::convert::Infallible;
use core::fmt;

use var_kernel::cpu::{Cpu, Matrix};
use var_kernel::model::config::{ChannelMultipliers, Refinement};
use var_kernel::model::weights::Source;
use var_kernel::model::{Ladder, VarConfig, VqvaeConfig};
use var_kernel::ops::nearest_code::Distance;

/// Numbers, of which the first `used` are given out.
pub(crate) struct Weights<'a> {
    numbers: &'a [f32],
    used: usize,
}

impl<'a> Weights<'a> {
    /// Fills `memory` with numbers in −0.1 .. 0.1.
    pub(crate) fn new(memory: &'a mut [f32]) -> Self {
        let mut state = 1_u32;
        for number in memory.iter_mut() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *number = (state >> 8) as f32 / 8_388_608.0 * 0.1 - 0.1;
        }
        Self { numbers: memory, used: 0 }
    }

    /// Gives out from the start again: the same names, the same numbers.
    pub(crate) fn reset(&mut self) {
        self.used = 0;
    }

    fn next(&mut self, shape: &[usize]) -> &'a [f32] {
        let start = self.used;
        self.used += shape.iter().product::<usize>();
        &self.numbers[start..self.used]
    }
}

impl<'a> Source<'a, Cpu<'_>> for Weights<'a> {
    type Error = Infallible;

    fn matrix(&mut self, _: fmt::Arguments<'_>, shape: &[usize]) -> Result<Matrix<'a>, Infallible> {
        Ok(Matrix::F32(self.next(shape)))
    }

    fn vector(&mut self, _: fmt::Arguments<'_>, shape: &[usize]) -> Result<&'a [f32], Infallible> {
        Ok(self.next(shape))
    }
}

/// Sizes of the transformer and of the VQVAE.
pub(crate) fn configs() -> (VarConfig, VqvaeConfig) {
    let (Ok(ladder), Ok(multipliers)) =
        (Ladder::new(&[1, 2, 4]), ChannelMultipliers::new(&[1, 1, 2]))
    else {
        unreachable!("both are well formed");
    };
    let var = VarConfig {
        depth: 2,
        width: 64,
        heads: 2,
        hidden: 256,
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
        multipliers,
        encoder_blocks: 1,
        decoder_blocks: 2,
        ladder,
        refinement: Refinement::Partial(4),
        refinement_ratio: 0.5,
        distance: Distance::Euclidean,
    };
    (var, vae)
}
