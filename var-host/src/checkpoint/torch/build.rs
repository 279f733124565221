//! Values built by the classes and functions a checkpoint may refer to.

use crate::checkpoint::torch::element::ElementType;
use crate::checkpoint::torch::global::Global;
use crate::checkpoint::torch::value::{Heap, HeapFull, TorchStorage, Value, View};

/// Most dimensions of a tensor; models have four.
const RANK_LIMIT: usize = 8;

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
    /// The value of a call with the arguments in `sequence`.
    pub(super) fn build<'a>(
        self,
        sequence: usize,
        heap: &mut Heap<'a>,
    ) -> Result<Value<'a>, Refusal> {
        let first = heap.sequence(sequence).first().copied();
        match (self, first) {
            (Self::Skipped, _) => Ok(Value::Skipped),
            (Self::Unreadable(kind), _) => Ok(Value::Unreadable(kind)),
            (Self::Dict, Some(Value::Dict(dict))) => Ok(Value::Dict(dict)),
            (Self::Dict, Some(Value::Sequence(pairs))) => dict_of_pairs(pairs, heap),
            // What a defaultdict makes new values by.
            (Self::Dict, None | Some(Value::Global(_) | Value::None)) => Ok(heap.new_dict()?),
            (Self::List, Some(Value::Sequence(items))) => {
                let items = heap.sequence(items).to_vec();
                Ok(heap.new_sequence(&items)?)
            }
            (Self::List, _) => Ok(heap.new_sequence(&[])?),
            (Self::Size, Some(Value::Sequence(dimensions))) => Ok(Value::Sequence(dimensions)),
            (Self::RebuildTensor, Some(Value::TorchStorage(storage))) => {
                tensor(storage, heap.storage(storage).element, sequence, heap)
            }
            (Self::RebuildTypedTensor, Some(Value::TorchStorage(storage))) => {
                let [_, _, _, _, _, _, Value::Global(Global::ElementType(element)), ..] =
                    *heap.sequence(sequence)
                else {
                    return Err(Refusal::Wants("an element type for a tensor"));
                };
                tensor(storage, element, sequence, heap)
            }
            (Self::RebuildParameter, Some(tensor @ (Value::Tensor(_) | Value::Unreadable(_)))) => {
                Ok(tensor)
            }
            (Self::RebuildAsType, Some(Value::Global(global))) if global != self => {
                let [_, _, Value::Sequence(arguments), ..] = *heap.sequence(sequence) else {
                    return Err(Refusal::Wants("a type and arguments for a tensor"));
                };
                global.build(arguments, heap)
            }
            (Self::Dict, _) => Err(Refusal::Wants("a list of pairs for a dictionary")),
            (Self::Size, _) => Err(Refusal::Wants("a tuple for a torch.Size")),
            (Self::RebuildTensor | Self::RebuildTypedTensor, _) => {
                Err(Refusal::Wants("a storage for a tensor"))
            }
            (Self::RebuildParameter, _) => Err(Refusal::Wants("a tensor for a parameter")),
            (Self::RebuildAsType, _) => Err(Refusal::Wants("a function for a tensor")),
            (Self::ElementType(_), _) => {
                Err(Refusal::Wants("an element type, which is not called"))
            }
            (Self::TorchStorage(_), _) => {
                Err(Refusal::Wants("a storage to be referred to, not made"))
            }
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
    let (element, key, whole, part) = match *heap.sequence(identifier) {
        [
            Value::Text("storage"),
            Value::Global(Global::TorchStorage(element)),
            Value::Text(key),
            _,
            Value::Int(whole),
            ref part @ ..,
        ] => (element, key, whole, part.first().copied()),
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
    Ok(heap.new_storage(TorchStorage { element, key, start, count, whole })?)
}

fn dict_of_pairs<'a>(pairs: usize, heap: &mut Heap<'a>) -> Result<Value<'a>, Refusal> {
    const WANTS: Refusal = Refusal::Wants("a list of pairs for a dictionary");
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
fn tensor<'a>(
    storage: usize,
    element: ElementType,
    arguments: usize,
    heap: &mut Heap<'a>,
) -> Result<Value<'a>, Refusal> {
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
        element,
        offset: usize::try_from(offset).map_err(|_| WANTS)?,
        shape: lengths(shape)?,
        strides: lengths(strides)?,
    };
    if view.shape.len() != view.strides.len() {
        return Err(Refusal::Wants("as many strides as dimensions"));
    }
    Ok(heap.new_tensor(view)?)
}
