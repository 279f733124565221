//! Element types of storages.

use crate::checkpoint::Dtype;
use crate::checkpoint::float8::Float8;

/// The type of stored elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementType {
    Known(Dtype),
    Float8(Float8),
    /// A type without a use here: its name and bytes.
    Other(&'static str, usize),
    /// Bytes, whose type the tensor says.
    Untyped,
}

impl ElementType {
    /// Bytes of one element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Known(dtype) => dtype.size(),
            Self::Float8(_) | Self::Untyped => 1,
            Self::Other(_, size) => size,
        }
    }

    /// The type that `torch` calls `name`.
    pub(super) fn named(name: &str) -> Option<Self> {
        if let Some(float8) = Float8::named(name) {
            return Some(Self::Float8(float8));
        }
        Some(match name {
            "float64" => Self::Known(Dtype::F64),
            "float32" => Self::Known(Dtype::F32),
            "float16" => Self::Known(Dtype::F16),
            "bfloat16" => Self::Known(Dtype::Bf16),
            "int64" => Self::Known(Dtype::I64),
            "int32" => Self::Known(Dtype::I32),
            "int16" => Self::Known(Dtype::I16),
            "int8" => Self::Known(Dtype::I8),
            "uint8" => Self::Known(Dtype::U8),
            "bool" => Self::Known(Dtype::Bool),
            "uint16" => Self::Other("uint16", 2),
            "uint32" => Self::Other("uint32", 4),
            "uint64" => Self::Other("uint64", 8),
            "complex32" => Self::Other("complex32", 4),
            "complex64" => Self::Other("complex64", 8),
            "complex128" => Self::Other("complex128", 16),
            "float8_e4m3fnuz" => Self::Other("float8_e4m3fnuz", 1),
            "float8_e5m2fnuz" => Self::Other("float8_e5m2fnuz", 1),
            "float8_e8m0fnu" => Self::Other("float8_e8m0fnu", 1),
            "float4_e2m1fn_x2" => Self::Other("float4_e2m1fn_x2", 1),
            "qint8" => Self::Other("qint8", 1),
            "quint8" => Self::Other("quint8", 1),
            "qint32" => Self::Other("qint32", 4),
            _ => return None,
        })
    }

    /// The type of the storages of the class `name` of `torch`.
    pub(super) fn of_storage(name: &str) -> Option<Self> {
        Self::named(match name {
            "DoubleStorage" => "float64",
            "FloatStorage" => "float32",
            "HalfStorage" => "float16",
            "BFloat16Storage" => "bfloat16",
            "LongStorage" => "int64",
            "IntStorage" => "int32",
            "ShortStorage" => "int16",
            "CharStorage" => "int8",
            "ByteStorage" => "uint8",
            "BoolStorage" => "bool",
            "ComplexFloatStorage" => "complex64",
            "ComplexDoubleStorage" => "complex128",
            "QInt8Storage" => "qint8",
            "QUInt8Storage" => "quint8",
            "QInt32Storage" => "qint32",
            "UntypedStorage" => return Some(Self::Untyped),
            _ => return None,
        })
    }
}
