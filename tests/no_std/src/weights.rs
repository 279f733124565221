//! Weights without a file: small numbers by a formula, in memory that is handed out in order.

use core::convert::Infallible;
use core::fmt;

use var_kernel::cpu::{Cpu, Matrix};
use var_kernel::dry::{self, Dry, DryMatrix};
use var_kernel::model::weights::Source;

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

    fn matrix(
        &mut self,
        _: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<Matrix<'a>, Infallible> {
        Ok(Matrix::F32(self.next(shape)))
    }

    fn vector(&mut self, _: fmt::Arguments<'_>, shape: &[usize]) -> Result<&'a [f32], Infallible> {
        Ok(self.next(shape))
    }
}

/// Only how many numbers there are.
pub(crate) struct Lengths;

static LENGTHS: dry::Lengths = [(); usize::MAX];

impl<'a> Source<'a, Dry<'_, Cpu<'_>>> for Lengths {
    type Error = Infallible;

    fn matrix(
        &mut self,
        _: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<DryMatrix, Infallible> {
        Ok(DryMatrix(shape.iter().product()))
    }

    fn vector(&mut self, _: fmt::Arguments<'_>, shape: &[usize]) -> Result<&'a [()], Infallible> {
        Ok(&LENGTHS[..shape.iter().product()])
    }
}
