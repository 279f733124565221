//! A model file in memory: configuration and weights, without a copy and without an allocator.

mod config;
mod error;
mod json;
mod tensors;

use core::fmt;

use self::config::configs;
use self::tensors::Tensors;
use super::weights::Source;
use super::{AnyTensor, Model, VarConfig, VqvaeConfig};
use crate::cpu::{Cpu, Matrix};
use crate::dry::{Dry, DryMatrix};
use crate::storage::Storage;

pub use error::{ModelFileError, Name};

/// A model file (safetensors, as `var convert` writes it), borrowed from its bytes.
///
/// The file's tensors are used where they lie, so the bytes must begin at a multiple of 4, as mapped
/// files and [`include_bytes!`] of an aligned type do.
///
/// ```
/// use var_kernel::{ModelFile, ModelFileError};
///
/// assert_eq!(ModelFile::new(b"no model").unwrap_err(), ModelFileError::Malformed);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ModelFile<'a> {
    /// The transformer's sizes.
    pub var: VarConfig,
    /// The VQVAE's sizes.
    pub vae: VqvaeConfig,
    tensors: Tensors<'a>,
}

impl<'a> ModelFile<'a> {
    /// Reads the header of the model file `bytes`.
    ///
    /// # Errors
    /// If `bytes` is no safetensors file or has no sound configuration of a whole model. Tensors are
    /// looked at when a model is bound.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ModelFileError> {
        let tensors = Tensors::new(bytes).ok_or(ModelFileError::Malformed)?;
        let text = tensors.metadata(b"config").ok_or(ModelFileError::NoConfig)?;
        let (var, vae) = configs(text, &tensors).ok_or(ModelFileError::NoConfig)?;
        var.check().and_then(|()| vae.check()).map_err(ModelFileError::Config)?;
        Ok(Self { var, vae, tensors })
    }

    /// Floats of memory for the tensors that the model uses as `f32` and the file keeps in fewer bits.
    ///
    /// `storage`: at least [`Model::storage_len`] bytes, free again afterward.
    ///
    /// # Errors
    /// For the first tensor that is missing, of another shape or in an unknown format.
    pub fn widened_len(&self, storage: &mut Storage<'_>) -> Result<usize, ModelFileError> {
        let mut count = WidenedCount { tensors: self.tensors, floats: 0 };
        let (mut storage, var, vae) = (storage.scope(), self.var, self.vae);
        Model::<Dry<'_, Cpu<'_>>>::bind(&mut count, var, vae, &mut storage)?;
        Ok(count.floats)
    }

    /// Binds the model, its tensors where they lie in the file or in `widened`.
    ///
    /// `widened`: [`ModelFile::widened_len`] floats. `storage`: [`Model::storage_len`] bytes.
    ///
    /// # Errors
    /// For the first tensor that is missing, of another shape, in an unknown format or misaligned.
    ///
    /// # Panics
    /// If `widened` or `storage` is too short.
    pub fn bind<'l, 'w, 'c>(
        &self,
        widened: &'w mut [f32],
        storage: &mut Storage<'l>,
    ) -> Result<Model<'l, 'w, Cpu<'c>>, ModelFileError>
    where
        'a: 'w,
    {
        let mut weights = Weights { tensors: self.tensors, widened };
        Model::bind(&mut weights, self.var, self.vae, storage)
    }
}

/// The weights of a file, widened to `f32` where the model wants that.
struct Weights<'w> {
    tensors: Tensors<'w>,
    /// Memory for further tensors.
    widened: &'w mut [f32],
}

impl<'w> Source<'w, Cpu<'_>> for Weights<'w> {
    type Error = ModelFileError;

    fn matrix(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<Matrix<'w>, ModelFileError> {
        self.tensors.matrix(name, shape)
    }

    fn vector(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<&'w [f32], ModelFileError> {
        let matrix = self.tensors.matrix(name, shape)?;
        if let Matrix::F32(values) = matrix {
            return Ok(values);
        }
        let (out, rest) = core::mem::take(&mut self.widened).split_at_mut(matrix.len());
        self.widened = rest;
        for (index, value) in out.iter_mut().enumerate() {
            *value = matrix.at(index);
        }
        Ok(out)
    }
}

/// A source of a dry run that adds up the tensors to widen.
struct WidenedCount<'a> {
    tensors: Tensors<'a>,
    floats: usize,
}

impl<'w, 'b> Source<'w, Dry<'b, Cpu<'b>>> for WidenedCount<'_> {
    type Error = ModelFileError;

    fn matrix(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<DryMatrix, ModelFileError> {
        self.tensors.matrix(name, shape).map(|matrix| DryMatrix(matrix.len()))
    }

    fn vector(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<&'w [()], ModelFileError> {
        let matrix = self.tensors.matrix(name, shape)?;
        self.floats += if let Matrix::F32(_) = matrix { 0 } else { matrix.len() };
        let Ok(lengths) = Source::<Dry<'b, Cpu<'b>>>::vector(&mut AnyTensor, name, shape);
        Ok(lengths)
    }
}
