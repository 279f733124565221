//! The published `.pth` to a file of ours: the same tensors, mapped where they are read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use super::Inception;
use super::weights::tensors;
use crate::checkpoint::{self, Checkpoint, Dtype, Record};
use crate::model::ModelError;

/// Checks the checkpoint at `from` and writes its tensors, in single precision, to a safetensors file.
///
/// # Errors
/// Those of [`Inception::open`], or if the file cannot be written.
pub fn convert(from: &Path, to: &Path, overwrite: bool) -> Result<(), ModelError> {
    let checkpoint = Checkpoint::open(from)?;
    Inception::of(&checkpoint, &from.display().to_string())?;
    let records = tensors().into_iter().filter_map(|(name, shape)| {
        let tensor = checkpoint.tensor(&name)?;
        let bytes = Box::new(move || {
            let values = tensor.to_f32();
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            Ok(Cow::Owned(bytes))
        });
        Some(Record { name, dtype: Dtype::F32, shape, bytes })
    });
    let about = [("format", "var inception-v3-2015-12-05")];
    let metadata: BTreeMap<_, _> =
        about.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
    Ok(checkpoint::save(to, records, &metadata, overwrite)?)
}
