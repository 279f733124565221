//! Sizes of a model: `var_info` of the header.

use var_kernel::{VarConfig, VqvaeConfig};

use crate::options::Versioned;

/// Sizes of a model.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Pixels of an image: side × side.
    pub side: usize,
    /// Token maps of an image.
    pub scales: usize,
    /// Tokens of an image, all scales.
    pub tokens: usize,
    /// Values of a token.
    pub codes: usize,
    /// None without a transformer.
    pub classes: Option<usize>,
}

/// `var_info` of the header.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VarInfo {
    pub(crate) size: usize,
    pub(crate) side: u32,
    pub(crate) scales: u32,
    pub(crate) tokens: u32,
    pub(crate) codes: u32,
    pub(crate) classes: u32,
    pub(crate) named_classes: u32,
}

impl Sizes {
    /// Of a model with a VQVAE, and perhaps a transformer.
    pub fn of(vae: &VqvaeConfig, var: Option<&VarConfig>) -> Self {
        let (scales, tokens) = (vae.ladder.scales(), vae.ladder.length());
        let classes = var.map(|config| config.classes);
        Self { side: vae.side(), scales, tokens, codes: vae.codes, classes }
    }

    /// Bytes of an image.
    pub fn image_len(&self) -> usize {
        self.side * self.side * 3
    }

    /// The header's structure, but for its size.
    pub fn info(&self, named_classes: usize) -> VarInfo {
        VarInfo {
            side: self.side as u32,
            scales: self.scales as u32,
            tokens: self.tokens as u32,
            codes: self.codes as u32,
            classes: self.classes.unwrap_or(0) as u32,
            named_classes: named_classes as u32,
            ..VarInfo::defaults()
        }
    }
}
