//! Faults of a model file.

use core::fmt::{self, Write};

use crate::model::ConfigError;

/// A model file that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ModelFileError {
    /// The bytes are no safetensors file, or end too early.
    Malformed,
    /// The metadata holds no configuration of a transformer and a VQVAE: `var convert` writes one.
    NoConfig,
    /// The configuration contradicts itself.
    Config(ConfigError),
    /// A tensor is missing.
    Missing(Name),
    /// A tensor has another shape than the configuration gives it, or a format that is not read.
    Shape(Name),
    /// A tensor does not begin at a multiple of its values' size.
    Misaligned(Name),
}

/// A tensor's name, cut off at 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; 64],
    length: usize,
}

impl Name {
    pub(super) fn of(name: fmt::Arguments<'_>) -> Self {
        let mut out = Self { bytes: [0; 64], length: 0 };
        let _ = out.write_fmt(name);
        out
    }
}

impl Write for Name {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for byte in part.bytes() {
            *self.bytes.get_mut(self.length).ok_or(fmt::Error)? = byte;
            self.length += 1;
        }
        Ok(())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.bytes[..self.length]).unwrap_or("?"))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ModelFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("no safetensors file, or cut short"),
            Self::NoConfig => f.write_str("no configuration of a whole model in the metadata"),
            Self::Config(error) => write!(f, "configuration: {error}"),
            Self::Missing(name) => write!(f, "tensor {name} is missing"),
            Self::Shape(name) => write!(f, "tensor {name} has another shape or format"),
            Self::Misaligned(name) => write!(f, "tensor {name} is not aligned in memory"),
        }
    }
}

impl core::error::Error for ModelFileError {}
