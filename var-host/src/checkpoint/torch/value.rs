//! The values a pickle may build.

use crate::checkpoint::torch::element::ElementType;
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
    TorchStorage(usize),
    Tensor(usize),
    /// A tensor that cannot be read, and its kind.
    Unreadable(&'static str),
    /// Something harmless that is no tensor and holds none: bytes, sets, numpy arrays, settings.
    Skipped,
}

/// The memory a storage is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct TorchStorage<'a> {
    pub(super) element: ElementType,
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
    pub(super) element: ElementType,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// Everything that a pickle has built.
#[derive(Debug, Default)]
pub(super) struct Heap<'a> {
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    sequences: Vec<Vec<Value<'a>>>,
    storages: Vec<TorchStorage<'a>>,
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

    pub(super) fn new_storage(&mut self, storage: TorchStorage<'a>) -> Result<Value<'a>, HeapFull> {
        self.charge(1)?;
        self.storages.push(storage);
        Ok(Value::TorchStorage(self.storages.len() - 1))
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

    pub(super) fn storage(&self, index: usize) -> &TorchStorage<'a> {
        &self.storages[index]
    }

    pub(super) fn storages(&self) -> &[TorchStorage<'a>] {
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
