//! Element types and borrowed tensors of a checkpoint.

use bytemuck::AnyBitPattern;
use half::{bf16, f16};

/// Element type of a stored tensor; all are little-endian in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE double precision.
    F64,
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 8 bits.
    U8,
    /// One byte; zero is false, anything else true.
    Bool,
}

/// A tensor of a checkpoint: row-major, contiguous, aligned for its element type.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, outermost first; empty for a scalar.
    pub shape: &'a [usize],
    /// The elements, `product(shape) * dtype.size()` bytes.
    pub bytes: &'a [u8],
}

impl Dtype {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether the elements are floating-point numbers.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16)
    }

    /// The name that safetensors headers use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        }
    }
}

impl core::fmt::Display for Dtype {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl<'a> Tensor<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Whether a dimension is zero.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements if they are [`Dtype::F32`].
    pub fn as_f32(&self) -> Option<&'a [f32]> {
        self.elements(Dtype::F32)
    }

    /// The elements if they are [`Dtype::F16`].
    pub fn as_f16(&self) -> Option<&'a [f16]> {
        self.elements(Dtype::F16)
    }

    /// The elements if they are [`Dtype::Bf16`].
    pub fn as_bf16(&self) -> Option<&'a [bf16]> {
        self.elements(Dtype::Bf16)
    }

    /// The elements if they are [`Dtype::I8`].
    pub fn as_i8(&self) -> Option<&'a [i8]> {
        self.elements(Dtype::I8)
    }

    /// The elements if they are [`Dtype::I32`].
    pub fn as_i32(&self) -> Option<&'a [i32]> {
        self.elements(Dtype::I32)
    }

    /// The elements if they are [`Dtype::I64`].
    pub fn as_i64(&self) -> Option<&'a [i64]> {
        self.elements(Dtype::I64)
    }

    /// The elements in single precision, rounded to nearest even where they need it.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::F64 => self.map(|x: f64| x as f32),
            Dtype::F32 => self.map(|x: f32| x),
            Dtype::F16 => self.map(f16::to_f32),
            Dtype::Bf16 => self.map(bf16::to_f32),
            Dtype::I64 => self.map(|x: i64| x as f32),
            Dtype::I32 => self.map(|x: i32| x as f32),
            Dtype::I16 => self.map(|x: i16| f32::from(x)),
            Dtype::I8 => self.map(|x: i8| f32::from(x)),
            Dtype::U8 => self.map(|x: u8| f32::from(x)),
            Dtype::Bool => self.map(|x: u8| f32::from(u8::from(x != 0))),
        }
    }

    /// The elements as integers; `None` if they are floating-point numbers.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        Some(match self.dtype {
            Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::Bf16 => return None,
            Dtype::I64 => self.map(|x: i64| x),
            Dtype::I32 => self.map(|x: i32| i64::from(x)),
            Dtype::I16 => self.map(|x: i16| i64::from(x)),
            Dtype::I8 => self.map(|x: i8| i64::from(x)),
            Dtype::U8 => self.map(|x: u8| i64::from(x)),
            Dtype::Bool => self.map(|x: u8| i64::from(x != 0)),
        })
    }

    fn elements<T: AnyBitPattern>(&self, dtype: Dtype) -> Option<&'a [T]> {
        (self.dtype == dtype).then(|| cast(self.bytes))
    }

    fn map<T: AnyBitPattern, U>(&self, convert: impl Fn(T) -> U) -> Vec<U> {
        cast::<T>(self.bytes).iter().map(|&x| convert(x)).collect()
    }
}

/// # Panics
///
/// If `bytes` is not aligned for `T` or not a whole number of elements. A tensor that came from a
/// [`Checkpoint`](crate::checkpoint::Checkpoint) is both.
fn cast<T: AnyBitPattern>(bytes: &[u8]) -> &[T] {
    // An empty slice has no address worth aligning.
    if bytes.is_empty() { &[] } else { bytemuck::cast_slice(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_equal_scalar_casts() {
        let words = [0x3ff8_0000_0000_0001_u64, 0xc000_0000_0000_0000];
        let tensor =
            |dtype: Dtype, shape| Tensor { dtype, shape, bytes: bytemuck::bytes_of(&words) };
        assert_eq!(tensor(Dtype::F64, &[2]).to_f32(), [1.5, -2.0]);
        assert_eq!(tensor(Dtype::F32, &[4]).as_f32().unwrap()[3], -2.0);
        assert_eq!(tensor(Dtype::F16, &[8]).to_f32()[7], -2.0);
        assert_eq!(tensor(Dtype::Bf16, &[8]).to_f32()[3], 1.9375);
        assert_eq!(tensor(Dtype::I16, &[8]).to_i64().unwrap()[7], -0x4000);
        assert_eq!(tensor(Dtype::I8, &[16]).to_i64().unwrap()[15], -0x40);
        assert_eq!(tensor(Dtype::U8, &[16]).to_f32()[15], 192.0);
        assert_eq!(tensor(Dtype::Bool, &[16]).to_i64().unwrap()[6..9], [1, 1, 0]);
        assert_eq!(tensor(Dtype::F32, &[4]).to_i64(), None);
        assert_eq!(tensor(Dtype::F32, &[4]).as_i32(), None);
    }
}
