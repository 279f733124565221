//! A transformer that goes on from another's weights (`--init-from`).

use var_kernel::model::VarConfig;

use super::Layout;
use crate::model::Part;

/// Tensors that a model for other classes has in another shape.
const OF_CLASSES: &str = "class_emb.weight";

/// Copies the weights of `part`, a transformer of `other`, to `weights`, which `layout` describes.
/// Only the number of classes may differ: the class embedding then stays as it is. Returns whether
/// it does.
///
/// # Errors
/// The first size that differs: its name, the run's value and the file's.
pub fn take_over(
    weights: &mut [f32],
    layout: &Layout,
    config: &VarConfig,
    part: &Part,
    other: &VarConfig,
) -> Result<bool, (&'static str, String, String)> {
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
    for ((name, wants), (_, has)) in sizes(config).into_iter().zip(sizes(other)) {
        if wants != has {
            return Err((name, wants, has));
        }
    }
    let other_classes = config.classes != other.classes;
    for tensor in layout.tensors() {
        if !(other_classes && tensor.name == OF_CLASSES) {
            layout.copy_from(part, tensor, &mut weights[tensor.range.clone()]);
        }
    }
    Ok(other_classes)
}
