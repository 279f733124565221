//! The values a pickle may build.

use crate::checkpoint::Dtype;
use crate::checkpoint::float8::Float8;
use crate::checkpoint::torch::global::Global;

/// A value; containers are indices into a [`Heap`], because a pickle may share them and may
/// even put one into itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// A class or a function of the list in [`global`](super::global).
    Global(Global),
    Dict(usize),
    /// A list or a tuple.
    Sequence(usize),
    Storage(usize),
    Tensor(usize),
    /// A tensor that cannot be read, and its kind.
    Unreadable(&'static str),
    /// Something harmless that is no tensor and holds none: bytes, sets, numpy arrays, settings.
    Skipped,
}

/// The type of stored elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Known(Dtype),
    Float8(Float8),
    /// A type without a use here: its name and bytes.
    Other(&'static str, usize),
    /// Bytes, whose type the tensor says.
    Untyped,
}

impl Element {
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

/// The memory a storage is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    pub(super) element: Element,
    pub(super) key: &'a str,
    /// First element; not zero only where a legacy file stores a part of a storage.
    pub(super) start: usize,
    /// Number of elements.
    pub(super) count: usize,
    /// Number of elements of the whole memory under `key`, of which this may be a part.
    pub(super) whole: usize,
}

/// A strided view of a storage, in elements.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) storage: usize,
    pub(super) element: Element,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// Everything that a pickle has built.
#[derive(Debug, Default)]
pub(super) struct Heap<'a> {
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    sequences: Vec<Vec<Value<'a>>>,
    storages: Vec<Storage<'a>>,
    views: Vec<View>,
    slots: usize,
}

/// More values than any checkpoint has, and less memory than anybody misses.
pub(super) const HEAP_LIMIT: usize = 1 << 21;

/// The heap is full: [`HEAP_LIMIT`].
#[derive(Debug)]
pub(super) struct HeapFull;

impl<'a> Heap<'a> {
    pub(super) fn new_dict(&mut self) -> Result<Value<'a>, HeapFull> {
        self.charge(1)?;
        self.dicts.push(Vec::new());
        Ok(Value::Dict(self.dicts.len() - 1))
    }

    pub(super) fn new_sequence(&mut self, values: &[Value<'a>]) -> Result<Value<'a>, HeapFull> {
        self.charge(1 + values.len())?;
        self.sequences.push(values.to_vec());
        Ok(Value::Sequence(self.sequences.len() - 1))
    }

    pub(super) fn new_storage(&mut self, storage: Storage<'a>) -> Result<Value<'a>, HeapFull> {
        self.charge(1)?;
        self.storages.push(storage);
        Ok(Value::Storage(self.storages.len() - 1))
    }

    pub(super) fn new_tensor(&mut self, view: View) -> Result<Value<'a>, HeapFull> {
        self.charge(1 + view.shape.len())?;
        self.views.push(view);
        Ok(Value::Tensor(self.views.len() - 1))
    }

    pub(super) fn insert(
        &mut self,
        dict: usize,
        key: Value<'a>,
        value: Value<'a>,
    ) -> Result<(), HeapFull> {
        self.charge(2)?;
        self.dicts[dict].push((key, value));
        Ok(())
    }

    pub(super) fn append(&mut self, sequence: usize, values: &[Value<'a>]) -> Result<(), HeapFull> {
        self.charge(values.len())?;
        self.sequences[sequence].extend_from_slice(values);
        Ok(())
    }

    pub(super) fn dict(&self, index: usize) -> &[(Value<'a>, Value<'a>)] {
        &self.dicts[index]
    }

    pub(super) fn sequence(&self, index: usize) -> &[Value<'a>] {
        &self.sequences[index]
    }

    pub(super) fn storage(&self, index: usize) -> &Storage<'a> {
        &self.storages[index]
    }

    pub(super) fn storages(&self) -> &[Storage<'a>] {
        &self.storages
    }

    pub(super) fn view(&self, index: usize) -> &View {
        &self.views[index]
    }

    fn charge(&mut self, slots: usize) -> Result<(), HeapFull> {
        self.slots += slots;
        if self.slots > HEAP_LIMIT { Err(HeapFull) } else { Ok(()) }
    }
}
