//! Names for the tensors of nested dictionaries.

use std::collections::BTreeMap;

use crate::checkpoint::FormatError;
use crate::checkpoint::torch::value::{Heap, Value};

/// Deepest nesting; a trainer's checkpoint has five levels.
const DEPTH_LIMIT: usize = 32;

/// Limit on the cost of all names together. A pickle of a few bytes can share one dictionary among
/// many, and those among many again; its names would then fill any memory.
const NAMES_LIMIT: usize = 64 << 20;

/// Cost of a name besides its bytes.
const NAME_COST: usize = 64;

/// Tensors (indices of views in the heap) and plain values, by full name.
#[derive(Debug, Default)]
pub(super) struct Flat {
    pub(super) tensors: BTreeMap<String, usize>,
    /// Tensors that cannot be read, and their kinds.
    pub(super) unreadable: BTreeMap<String, String>,
    pub(super) plain: BTreeMap<String, String>,
    cost: usize,
}

/// Names everything reachable from the dictionary `root`, joining keys by dots.
///
/// Lists and tuples are entered too, with their indices as keys.
pub(super) fn flatten(root: Value<'_>, heap: &Heap<'_>) -> Result<Flat, FormatError> {
    let Value::Dict(_) = root else { return Err(FormatError::NoDictionary) };
    let mut flat = Flat::default();
    flat.add(&mut String::new(), root, 0, heap)?;
    Ok(flat)
}

impl Flat {
    fn add(
        &mut self,
        name: &mut String,
        value: Value<'_>,
        depth: usize,
        heap: &Heap<'_>,
    ) -> Result<(), FormatError> {
        if depth > DEPTH_LIMIT {
            return Err(FormatError::Limit { what: "the nesting", limit: DEPTH_LIMIT });
        }
        self.cost += NAME_COST + name.len();
        if self.cost > NAMES_LIMIT {
            return Err(FormatError::Limit { what: "the length of all names", limit: NAMES_LIMIT });
        }
        match value {
            Value::Dict(dict) => {
                for &(key, value) in heap.dict(dict) {
                    // Keys that are no part of a name, such as tuples, are no weights' keys.
                    let Some(under) = self.push_key(name, key)? else { continue };
                    self.add(name, value, depth + 1, heap)?;
                    name.truncate(under);
                }
            }
            Value::Sequence(sequence) => {
                for (i, &value) in heap.sequence(sequence).iter().enumerate() {
                    let Some(under) = self.push_key(name, Value::Int(i as i64))? else { continue };
                    self.add(name, value, depth + 1, heap)?;
                    name.truncate(under);
                }
            }
            Value::Tensor(view) => {
                if self.tensors.insert(name.clone(), view).is_some() {
                    return Err(FormatError::DuplicateName { tensor: name.clone() });
                }
            }
            Value::Unreadable(kind) => {
                self.unreadable.insert(name.clone(), kind.to_owned());
            }
            Value::Text(text) => self.add_plain(name, text.to_owned()),
            Value::Bool(truth) => self.add_plain(name, truth.to_string()),
            Value::Int(number) => self.add_plain(name, number.to_string()),
            Value::Float(number) => self.add_plain(name, number.to_string()),
            Value::None | Value::Global(_) | Value::TorchStorage(_) | Value::Skipped => {}
        }
        Ok(())
    }

    fn add_plain(&mut self, name: &str, value: String) {
        self.cost += value.len();
        self.plain.insert(name.to_owned(), value);
    }

    /// Appends `.key` to `name` and returns how long it was; nothing if the key is no part of a name.
    fn push_key(&self, name: &mut String, key: Value<'_>) -> Result<Option<usize>, FormatError> {
        let under = name.len();
        let key: &str = match key {
            Value::Text(text) => text,
            Value::Int(number) => &number.to_string(),
            Value::Float(number) => &number.to_string(),
            Value::Bool(truth) => &truth.to_string(),
            Value::None => "None",
            _ => return Ok(None),
        };
        if self.cost + name.len() + key.len() > NAMES_LIMIT {
            return Err(FormatError::Limit { what: "the length of all names", limit: NAMES_LIMIT });
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(key);
        Ok(Some(under))
    }
}
