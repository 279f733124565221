//! Writing a model file: both halves, one precision, the configuration in the metadata.

use core::cell::Cell;
use core::mem;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use super::identity::SOURCES;
use super::listing::Wanted;
use super::part::PREFIXES;
use super::settings::{self, Settings, VaeSettings, VarSettings};
use super::weights::{transformer_tensors, vqvae_tensors};
use super::{ModelError, ModelPart, Weights};
use crate::checkpoint::quantize::{self, SCALE_SUFFIX, WeightDtype};
use crate::checkpoint::{Dtype, Record, save};

/// Writes `weights` to a model file at `path`, matrices in `precision`.
///
/// Vectors (biases, norms, per-head scales) and the codebook stay in `f32`: together they are less
/// than a hundredth of a model, and distances to codes decide between near equals. `written` is
/// called after every tensor with the bytes done and the bytes in all.
///
/// # Errors
/// If a weight does not fit the precision, or the file exists and `overwrite` is false, or it cannot
/// be written. Nothing is left behind then.
pub fn convert(
    weights: &Weights,
    path: &Path,
    precision: WeightDtype,
    class_names: Vec<String>,
    overwrite: bool,
    written: &dyn Fn(u64, u64),
) -> Result<(), ModelError> {
    let mut records = self::records(weights, precision);
    let settings = Settings { class_names, ..self::settings(weights) };
    let all: u64 = records.iter().map(|record| record.size() as u64).sum();
    let done = Cell::new(0);
    for record in &mut records {
        let (done, bytes) =
            (&done, mem::replace(&mut record.bytes, Box::new(|| Ok(Cow::default()))));
        record.bytes = Box::new(move || {
            let bytes = bytes()?;
            done.set(done.get() + bytes.len() as u64);
            written(done.get(), all);
            Ok(bytes)
        });
    }
    let text = serde_json::to_string(&settings).expect("a configuration is plain numbers");
    let mut metadata = BTreeMap::from([(settings::KEY.to_owned(), text)]);
    metadata.extend(sources(weights));
    Ok(save(path, records, &metadata, overwrite)?)
}

/// Source digests of the halves of a file converted from `weights`, for its metadata.
pub fn sources(weights: &Weights) -> impl Iterator<Item = (String, String)> + use<> {
    let named = SOURCES.into_iter().zip(weights.identities());
    named.filter_map(|(key, known)| Some((key.to_owned(), known?.source.to_string())))
}

/// The configuration of a model file of `weights`.
pub fn settings(weights: &Weights) -> Settings {
    let Weights { transformer, vqvae, ladder_assumed, cut, .. } = weights;
    let of_vqvae =
        |config| VaeSettings { ladder_assumed: *ladder_assumed, ..VaeSettings::from(config) };
    Settings {
        var: transformer.as_ref().map(|(_, config)| VarSettings::from(config)),
        vae: vqvae.as_ref().map(|(_, config)| of_vqvae(config)),
        class_names: weights.class_names.clone(),
        cut: *cut,
    }
}

/// Records of a model file of `weights`, matrices in `precision`.
pub fn records(weights: &Weights, precision: WeightDtype) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    if let Some((part, config)) = &weights.transformer {
        records.extend(part.converted(PREFIXES[0], transformer_tensors(*config), precision));
    }
    if let Some((part, config)) = &weights.vqvae {
        records.extend(part.converted(PREFIXES[1], vqvae_tensors(*config), precision));
    }
    records
}

/// Whether a tensor's rows are looked up: stored as matrices are, read in `f32`.
pub(super) fn is_table(name: &str) -> bool {
    matches!(name, "class_emb.weight" | "pos_1LC")
}

/// The precision of a tensor in a file with matrices in `precision`.
pub fn of_tensor(wanted: &Wanted, precision: WeightDtype) -> WeightDtype {
    let is_table = is_table(&wanted.name);
    match precision {
        _ if !wanted.matrix && !is_table => WeightDtype::F32,
        // Tables are looked up, not multiplied: nothing there widens blocks of eight bits.
        WeightDtype::Q8 if is_table => WeightDtype::F16,
        other => other,
    }
}

impl ModelPart {
    /// Records of the `wanted` tensors under `prefix`.
    fn converted<'a>(
        &'a self,
        prefix: &str,
        wanted: Vec<Wanted>,
        precision: WeightDtype,
    ) -> Vec<Record<'a>> {
        let mut records = Vec::new();
        for wanted in wanted {
            let name = format!("{prefix}{}", wanted.name);
            let Some(tensor) = self.tensor(&wanted.name) else { continue };
            records.extend(quantize::records(&name, tensor, of_tensor(&wanted, precision)));
            // A tensor that has its eight bits already is stored as it is, and so are its scales.
            if tensor.dtype == Dtype::I8
                && let Some(scales) = self.tensor(&format!("{}{SCALE_SUFFIX}", wanted.name))
            {
                let name = format!("{name}{SCALE_SUFFIX}");
                records.push(Record::borrowed(name, scales.dtype, scales.shape, scales.bytes));
            }
        }
        records
    }
}
