//! A network that begins with the weights of another (`--init-from`).

use std::path::Path;

use var_kernel::model::{VarConfig, VqvaeConfig};

use super::ParameterLayout;
use crate::data::{ClassNames, DataError};
use crate::model::ModelPart;

/// The tensor with a row for each class, and one for none.
const OF_CLASSES: &str = "class_emb.weight";

/// Rows of the class embedding that come from another model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassEmbeddingRows {
    /// For each class and for none the row in the other model; a class without one stays as it is.
    pub rows: Vec<Option<usize>>,
    /// How they were found.
    pub matched: ClassMatch,
}

/// How classes of two models were matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassMatch {
    /// By their names.
    Names,
    /// By their numbers: the names of one are not known, and they are as many.
    Positions,
    /// Not at all: the names of one are not known, and they are not as many.
    Nothing,
}

impl ClassEmbeddingRows {
    /// Matches `classes` classes called `names` with the `other` ones of the model at `path`, called
    /// `other_names`; no names where they are not known.
    ///
    /// # Errors
    /// [`DataError::AmbiguousClass`] if several classes of the other model have the name of one.
    pub fn new(
        (classes, names): (usize, &[String]),
        (other, other_names): (usize, &[String]),
        path: &Path,
    ) -> Result<Self, DataError> {
        if names.is_empty() || other_names.is_empty() {
            let (rows, matched) = match classes == other {
                true => ((0..=classes).map(Some).collect(), ClassMatch::Positions),
                false => (vec![None; classes + 1], ClassMatch::Nothing),
            };
            return Ok(Self { rows, matched });
        }
        let known = ClassNames::new(other_names);
        let mut rows = vec![None; classes + 1];
        for (row, name) in rows.iter_mut().zip(&names[..names.len().min(classes)]) {
            *row = known.number(path, name)?;
        }
        rows[classes] = Some(other);
        Ok(Self { rows, matched: ClassMatch::Names })
    }

    /// The classes without a row in the other model.
    pub fn new_classes(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().enumerate().filter(|(_, row)| row.is_none()).map(|(class, _)| class)
    }
}

/// A size that two networks must share, and do not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{size}: the run wants {wants}, the file has {has}")]
pub struct SizeMismatch {
    /// Its name.
    pub size: &'static str,
    /// The run's value.
    pub wants: String,
    /// The file's.
    pub has: String,
}

/// Copies the weights of `part`, a transformer of `other`, to `weights`, which `layout` describes; of
/// the class embedding the `rows`.
///
/// # Errors
/// The first size other than the number of classes that differs.
///
/// # Panics
/// If `rows` are not one for each class of `config` and one for none.
pub fn init_from(
    weights: &mut [f32],
    layout: &ParameterLayout,
    config: &VarConfig,
    part: &ModelPart,
    other: &VarConfig,
    rows: &ClassEmbeddingRows,
) -> Result<(), SizeMismatch> {
    assert_eq!(rows.rows.len(), config.classes + 1, "a row for each class, and one for none");
    let sizes = |config: &VarConfig| {
        [
            ("depth", config.depth.to_string()),
            ("width", config.width.to_string()),
            ("heads", config.heads.to_string()),
            ("hidden width", config.hidden.to_string()),
            ("codes", config.codes.to_string()),
            ("width of a code", config.latent.to_string()),
            ("ladder", config.ladder.to_string()),
            ("queries and keys of unit length", config.unit_length.to_string()),
            ("shared AdaLN", config.shared_modulation.to_string()),
        ]
    };
    compare(sizes(config), sizes(other))?;
    let width = config.width;
    for tensor in layout.tensors() {
        let to = &mut weights[tensor.range.clone()];
        if tensor.name != OF_CLASSES {
            layout.copy_from(part, tensor, to);
            continue;
        }
        let mut embedding = vec![0.0; (other.classes + 1) * width];
        layout.copy_from(part, tensor, &mut embedding);
        for (to, row) in to.chunks_exact_mut(width).zip(&rows.rows) {
            if let Some(row) = row {
                to.copy_from_slice(&embedding[row * width..][..width]);
            }
        }
    }
    Ok(())
}

/// Whether a VQVAE of `config` can begin with the weights of one of `other`.
///
/// # Errors
/// The first size that differs.
pub fn check_vqvae_sizes(config: &VqvaeConfig, other: &VqvaeConfig) -> Result<(), SizeMismatch> {
    let sizes = |config: &VqvaeConfig| {
        [
            ("codes", config.codes.to_string()),
            ("width of a code", config.latent.to_string()),
            ("channels", config.channels.to_string()),
            ("channel multipliers", format!("{:?}", config.multipliers.as_slice())),
            ("blocks of the encoder", config.encoder_blocks.to_string()),
            ("blocks of the decoder", config.decoder_blocks.to_string()),
            ("ladder", config.ladder.to_string()),
            ("refinements", format!("{:?}", config.refinement)),
            ("share of a refinement's convolution", config.refinement_ratio.to_string()),
            ("distance", format!("{:?}", config.distance)),
        ]
    };
    compare(sizes(config), sizes(other))
}

/// The first of these sizes that differs.
fn compare<const N: usize>(
    run: [(&'static str, String); N],
    file: [(&'static str, String); N],
) -> Result<(), SizeMismatch> {
    for ((size, wants), (_, has)) in run.into_iter().zip(file) {
        if wants != has {
            return Err(SizeMismatch { size, wants, has });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(names: &[&str], classes: usize, other: &[&str]) -> Result<ClassEmbeddingRows, String> {
        let owned =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (names, other) = (owned(names), owned(other));
        let found = ClassEmbeddingRows::new((classes, &names), (3, &other), Path::new("file"));
        found.map_err(|fault| fault.to_string())
    }

    #[test]
    fn class_rows_are_matched_by_name_where_both_have_names() {
        let other = ["ant", "bee", "cat"];
        let found = rows(&["cat", "ant", "dog"], 4, &other).unwrap();
        assert_eq!(found.matched, ClassMatch::Names);
        assert_eq!(found.rows, [Some(2), Some(0), None, None, Some(3)]);
        assert_eq!(found.new_classes().collect::<Vec<_>>(), [2, 3]);
        let twice = rows(&["ant"], 1, &["ant", "bee", "ant"]).unwrap_err();
        assert_eq!(twice, "file: the classes 0, 2 are all called \"ant\"");
    }

    #[test]
    fn class_rows_without_names_go_by_position_where_they_are_as_many() {
        for (names, other) in [(&["ant"; 3][..], &[][..]), (&[], &["ant", "bee", "cat"])] {
            let found = rows(names, 3, other).unwrap();
            assert_eq!(found.matched, ClassMatch::Positions);
            assert_eq!(found.rows, [0, 1, 2, 3].map(Some));
            let found = rows(names, 2, other).unwrap();
            assert_eq!((found.matched, found.rows), (ClassMatch::Nothing, vec![None; 3]));
        }
    }
}
