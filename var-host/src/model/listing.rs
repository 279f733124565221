//! Which tensors a model wants: the kernel's own binding, run without weights.

use core::convert::Infallible;
use core::fmt;

use var_kernel::dry::{Dry, DryMatrix, Lengths};
use var_kernel::model::weights::Source;
use var_kernel::ops::Backend;

/// One tensor of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, without the prefix of its part.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether it may stay in its stored format; otherwise it is wanted as `f32`.
    pub matrix: bool,
}

/// A source without weights that records the tensors it is asked for.
#[derive(Debug, Default)]
pub struct Listing {
    /// The tensors asked for, in order.
    pub wanted: Vec<Wanted>,
}

static LENGTHS: Lengths = [(); usize::MAX];

impl Listing {
    fn note(&mut self, name: fmt::Arguments<'_>, shape: &[usize], matrix: bool) -> usize {
        self.wanted.push(Wanted { name: name.to_string(), shape: shape.to_vec(), matrix });
        shape.iter().product()
    }
}

impl<'a, B: Backend> Source<'a, Dry<'_, B>> for Listing {
    type Error = Infallible;

    fn matrix(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<DryMatrix, Infallible> {
        Ok(DryMatrix(self.note(name, shape, true)))
    }

    fn vector(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<&'a [()], Infallible> {
        Ok(&LENGTHS[..self.note(name, shape, false)])
    }
}
