//! The header of a safetensors file: tensors by name.

use core::fmt::{self, Write};

use bytemuck::AnyBitPattern;
use half::{bf16, f16};

use super::error::{ModelFileError, Name};
use super::json::Json;
use crate::cpu::Matrix;
use crate::cpu::matrix::Q8_BLOCK;

/// Suffix of the name of a q8 tensor's scales.
const SCALE: &str = ".scale";
/// Most dimensions of a tensor.
pub(super) const MAX_DIMS: usize = 16;

/// Header and data of a safetensors file.
#[derive(Clone, Copy)]
pub(super) struct Tensors<'a> {
    header: &'a [u8],
    data: &'a [u8],
}

/// One tensor's entry in the header.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) dtype: &'a [u8],
    pub(super) shape: [usize; MAX_DIMS],
    pub(super) dims: usize,
    data: &'a [u8],
}

impl<'a> Tensors<'a> {
    /// Reads the header of the file `bytes`; `None` if it is malformed.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (header, data) = rest.split_at_checked(length)?;
        let tensors = Self { header, data };
        Json::new(header).object(&mut |key, value| match key {
            b"__metadata__" => value.skip(),
            _ => tensors.read(value).map(drop),
        })?;
        Some(tensors)
    }

    /// The value of `key` in the metadata.
    pub(super) fn metadata(&self, key: &[u8]) -> Option<&'a [u8]> {
        let mut found = None;
        Json::new(self.header).object(&mut |name, value| match name {
            b"__metadata__" => value.object(&mut |name, value| {
                let text = value.string()?;
                found = if name == key { Some(text) } else { found };
                Some(())
            }),
            _ => value.skip(),
        })?;
        found
    }

    /// The tensor `name`.
    pub(super) fn entry(&self, name: fmt::Arguments<'_>) -> Option<Entry<'a>> {
        let mut found = None;
        Json::new(self.header).object(&mut |key, value| {
            if found.is_none() && equals(key, name) {
                found = Some(self.read(value)?);
                return Some(());
            }
            value.skip()
        })?;
        found
    }

    /// The tensor `name` in its stored format.
    pub(super) fn matrix(
        &self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<Matrix<'a>, ModelFileError> {
        let entry = self.entry(name).ok_or_else(|| ModelFileError::Missing(Name::of(name)))?;
        let weights = shape.iter().product();
        match entry.dtype {
            _ if entry.shape[..entry.dims] != *shape => Err(ModelFileError::Shape(Name::of(name))),
            b"F32" => entry.values(name, weights).map(Matrix::F32),
            b"F16" => entry.values::<f16>(name, weights).map(Matrix::F16),
            b"BF16" => entry.values::<bf16>(name, weights).map(Matrix::Bf16),
            b"I8" if weights.is_multiple_of(Q8_BLOCK) => {
                let values = entry.values(name, weights)?;
                let missing = || ModelFileError::Missing(Name::of(format_args!("{name}{SCALE}")));
                let scales = self.entry(format_args!("{name}{SCALE}")).ok_or_else(missing)?;
                Ok(Matrix::Q8 { values, scales: scales.values(name, weights / Q8_BLOCK)? })
            }
            _ => Err(ModelFileError::Shape(Name::of(name))),
        }
    }

    fn read(&self, value: &mut Json<'a>) -> Option<Entry<'a>> {
        let (mut dtype, mut range) = (&[][..], [0; 2]);
        let (mut shape, mut dims) = ([0; MAX_DIMS], 0);
        value.object(&mut |key, value| {
            match key {
                b"dtype" => dtype = value.string()?,
                b"shape" => dims = value.integers(&mut shape)?,
                b"data_offsets" => drop(value.integers(&mut range).filter(|count| *count == 2)?),
                _ => value.skip()?,
            }
            Some(())
        })?;
        Some(Entry { dtype, shape, dims, data: self.data.get(range[0]..range[1])? })
    }
}

impl<'a> Entry<'a> {
    /// The tensor's `count` values.
    pub(super) fn values<T: AnyBitPattern>(
        &self,
        name: fmt::Arguments<'_>,
        count: usize,
    ) -> Result<&'a [T], ModelFileError> {
        if self.data.len() != count * size_of::<T>() {
            return Err(ModelFileError::Shape(Name::of(name)));
        }
        bytemuck::try_cast_slice(self.data).map_err(|_| ModelFileError::Misaligned(Name::of(name)))
    }
}

/// Whether `name` is written as the bytes `key`.
fn equals(key: &[u8], name: fmt::Arguments<'_>) -> bool {
    struct Rest<'k>(&'k [u8]);
    impl Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(part.as_bytes()).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(key);
    rest.write_fmt(name).is_ok() && rest.0.is_empty()
}

impl fmt::Debug for Tensors<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensors({} + {} bytes)", self.header.len(), self.data.len())
    }
}
