//! The formats numbers have on a GPU, and which of them products are computed in.

use core::fmt;

use half::{bf16, f16};

/// A format of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    Bf16,
}

/// Precision of products of activations and weights; sums, statistics, the residual stream and logits are
/// `f32` with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Single precision everywhere: as accurate as the CPU.
    F32,
    /// `f32` everywhere, but factors of linear layers and convolutions are rounded to TF32 (ten bits of
    /// mantissa) on the way to tensor cores.
    Tf32,
    /// Half precision on tensor cores.
    F16,
    /// `bf16` on tensor cores: the range of a single, fewer digits.
    Bf16,
}

impl Precision {
    /// The format of weights and of activations inside a block.
    pub fn dtype(self) -> Dtype {
        match self {
            Self::F32 | Self::Tf32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::Bf16,
        }
    }

    /// `f32`, `tf32`, `f16` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// The precision called `name`.
    ///
    /// ```
    /// use var_kernel::cuda::Precision;
    ///
    /// assert_eq!(Precision::named("tf32"), Some(Precision::Tf32));
    /// assert_eq!(Precision::named("f8"), None);
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        [Self::F32, Self::Tf32, Self::F16, Self::Bf16].into_iter().find(|own| own.name() == name)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Dtype {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// 32-bit words that hold `numbers` numbers.
    pub fn words(self, numbers: usize) -> usize {
        match self {
            Self::F32 => numbers,
            Self::F16 | Self::Bf16 => numbers.div_ceil(2),
        }
    }

    /// The bits of `x`, rounded to this format.
    pub(super) fn write(self, x: f32, to: &mut std::vec::Vec<u8>) {
        match self {
            Self::F32 => to.extend_from_slice(&x.to_le_bytes()),
            Self::F16 => to.extend_from_slice(&f16::from_f32(x).to_le_bytes()),
            Self::Bf16 => to.extend_from_slice(&bf16::from_f32(x).to_le_bytes()),
        }
    }
}
