//! The classes and functions a checkpoint may refer to, and what building with them gives.

use crate::checkpoint::Dtype;
use crate::checkpoint::torch::value::{Heap, HeapFull, Storage, Value, View};

/// Most dimensions of a tensor; models have four.
const RANK_LIMIT: usize = 8;

/// A class or a function on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    Size,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
    /// Makes a value that is no tensor and holds none; the value is passed over.
    Skipped,
}

/// Why a value cannot be built.
#[derive(Debug)]
pub(super) enum Refusal {
    Wants(&'static str),
    Full(HeapFull),
}

impl From<HeapFull> for Refusal {
    fn from(full: HeapFull) -> Self {
        Self::Full(full)
    }
}

impl Global {
    /// The entry of the list for `module.name`, if there is one.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch", "Size") => Self::Size,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "DoubleStorage") => Self::Storage(Dtype::F64),
            ("torch", "FloatStorage") => Self::Storage(Dtype::F32),
            ("torch", "HalfStorage") => Self::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Dtype::Bf16),
            ("torch", "LongStorage") => Self::Storage(Dtype::I64),
            ("torch", "IntStorage") => Self::Storage(Dtype::I32),
            ("torch", "ShortStorage") => Self::Storage(Dtype::I16),
            ("torch", "CharStorage") => Self::Storage(Dtype::I8),
            ("torch", "ByteStorage") => Self::Storage(Dtype::U8),
            ("torch", "BoolStorage") => Self::Storage(Dtype::Bool),
            // What a trainer's settings and statistics may hold beside plain values.
            ("torch", "device" | "float64" | "float32" | "float16" | "bfloat16") => Self::Skipped,
            ("builtins" | "__builtin__", "set" | "frozenset" | "bytearray") => Self::Skipped,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::Skipped,
            ("numpy", "dtype") => Self::Skipped,
            ("_codecs", "encode") => Self::Skipped,
            _ => return None,
        })
    }

    /// What calling this with the arguments in `sequence` would give.
    pub(super) fn build<'a>(
        self,
        sequence: usize,
        heap: &mut Heap<'a>,
    ) -> Result<Value<'a>, Refusal> {
        let first = heap.sequence(sequence).first().copied();
        match (self, first) {
            (Self::Skipped, _) => Ok(Value::Skipped),
            (Self::OrderedDict, None) => Ok(heap.new_dict()?),
            (Self::OrderedDict, Some(Value::Sequence(pairs))) => ordered_dict(pairs, heap),
            (Self::Size, Some(Value::Sequence(dimensions))) => Ok(Value::Sequence(dimensions)),
            (Self::RebuildTensor, Some(Value::Storage(storage))) => tensor(storage, sequence, heap),
            (Self::RebuildParameter, Some(Value::Tensor(tensor))) => Ok(Value::Tensor(tensor)),
            (Self::OrderedDict, _) => Err(Refusal::Wants("a list of pairs for an OrderedDict")),
            (Self::Size, _) => Err(Refusal::Wants("a tuple for a torch.Size")),
            (Self::RebuildTensor, _) => Err(Refusal::Wants("a storage for a tensor")),
            (Self::RebuildParameter, _) => Err(Refusal::Wants("a tensor for a parameter")),
            (Self::Storage(_), _) => Err(Refusal::Wants("a storage to be referred to, not made")),
        }
    }
}

/// The storage that a persistent identifier names: `('storage', type, key, location, count)`,
/// in legacy files followed by `None` or `(key of the view, first element, count)`.
pub(super) fn persistent_storage<'a>(
    identifier: Value<'a>,
    heap: &mut Heap<'a>,
) -> Result<Value<'a>, Refusal> {
    const WANTS: Refusal = Refusal::Wants("a persistent identifier of a storage");
    let Value::Sequence(identifier) = identifier else { return Err(WANTS) };
    let (dtype, key, whole, part) = match *heap.sequence(identifier) {
        [
            Value::Text("storage"),
            Value::Global(Global::Storage(dtype)),
            Value::Text(key),
            _,
            Value::Int(whole),
            ref part @ ..,
        ] => (dtype, key, whole, part.first().copied()),
        _ => return Err(WANTS),
    };
    let whole = usize::try_from(whole).map_err(|_| WANTS)?;
    let (start, count) = match part {
        None | Some(Value::None) => (0, whole),
        Some(Value::Sequence(part)) => match *heap.sequence(part) {
            [_, Value::Int(start), Value::Int(count)] => {
                let start = usize::try_from(start).map_err(|_| WANTS)?;
                let count = usize::try_from(count).map_err(|_| WANTS)?;
                let end = start.checked_add(count).ok_or(WANTS)?;
                if end > whole {
                    return Err(Refusal::Wants("a view inside its storage"));
                }
                (start, count)
            }
            _ => return Err(WANTS),
        },
        Some(_) => return Err(WANTS),
    };
    Ok(heap.new_storage(Storage { dtype, key, start, count, whole })?)
}

fn ordered_dict<'a>(pairs: usize, heap: &mut Heap<'a>) -> Result<Value<'a>, Refusal> {
    const WANTS: Refusal = Refusal::Wants("a list of pairs for an OrderedDict");
    let made = heap.new_dict()?;
    let Value::Dict(dict) = made else { return Err(WANTS) };
    for i in 0..heap.sequence(pairs).len() {
        let Value::Sequence(pair) = heap.sequence(pairs)[i] else { return Err(WANTS) };
        let [key, value] = *heap.sequence(pair) else { return Err(WANTS) };
        heap.insert(dict, key, value)?;
    }
    Ok(made)
}

/// `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks, …)`.
fn tensor<'a>(storage: usize, arguments: usize, heap: &mut Heap<'a>) -> Result<Value<'a>, Refusal> {
    const WANTS: Refusal =
        Refusal::Wants("offset, shape and strides of a tensor, not negative, at most 8 of each");
    let [_, Value::Int(offset), Value::Sequence(shape), Value::Sequence(strides), ..] =
        *heap.sequence(arguments)
    else {
        return Err(WANTS);
    };
    let lengths = |sequence: usize| {
        let values = heap.sequence(sequence);
        if values.len() > RANK_LIMIT {
            return Err(WANTS);
        }
        let lengths = values.iter().map(|value| match *value {
            Value::Int(length) => usize::try_from(length).map_err(|_| WANTS),
            _ => Err(WANTS),
        });
        lengths.collect::<Result<Vec<_>, _>>()
    };
    let view = View {
        storage,
        offset: usize::try_from(offset).map_err(|_| WANTS)?,
        shape: lengths(shape)?,
        strides: lengths(strides)?,
    };
    if view.shape.len() != view.strides.len() {
        return Err(Refusal::Wants("as many strides as dimensions"));
    }
    Ok(heap.new_tensor(view)?)
}
