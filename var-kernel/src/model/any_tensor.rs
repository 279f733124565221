//! Weights of a dry run.

use core::convert::Infallible;
use core::fmt;

use super::weights::Source;
use crate::dry::{Dry, DryMatrix, Lengths};
use crate::ops::Backend;

/// A source that has every tensor in the shape asked for, without values.
#[derive(Clone, Copy, Debug)]
pub struct AnyTensor;

static LENGTHS: Lengths = [(); usize::MAX];

impl<'a, B: Backend> Source<'a, Dry<'_, B>> for AnyTensor {
    type Error = Infallible;

    fn matrix(&mut self, _: fmt::Arguments<'_>, shape: &[usize]) -> Result<DryMatrix, Infallible> {
        Ok(DryMatrix(shape.iter().product()))
    }

    fn vector(&mut self, _: fmt::Arguments<'_>, shape: &[usize]) -> Result<&'a [()], Infallible> {
        Ok(&LENGTHS[..shape.iter().product()])
    }
}
