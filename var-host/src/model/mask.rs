//! The attention mask that a checkpoint keeps, held against VAR's: the only sign in the files of
//! models that have VAR's names and shapes and attend otherwise.

use var_kernel::model::Ladder;

use super::{ModelError, ModelPart};
use crate::checkpoint::{Dtype, Tensor};

/// The buffer with the mask, added to the scores of attention.
pub(super) const MASK: &str = "attn_bias_for_masking";

/// Scores as low as this are as good as −∞: their share in the softmax is 0.
const AS_GOOD_AS_INFINITE: f32 = -1e3;

/// Whether a token sees another.
#[derive(Clone, Copy, Debug, PartialEq)]
enum MaskEntry {
    Seen,
    Hidden,
    /// Neither: a bias.
    Bias(f32),
}

/// Checks the mask of `part`, if it has one, against the block-causal mask of `ladder`: each token sees
/// all tokens of its own scale and of the scales before.
///
/// # Errors
/// [`ModelError::Mask`] with the first entry that differs; [`ModelError::Shape`] if it is of another size.
pub(super) fn check(part: &ModelPart, ladder: &Ladder) -> Result<(), ModelError> {
    let Some(tensor) = part.tensor(MASK) else { return Ok(()) };
    let length = ladder.length();
    let (file, name) = (part.file().to_owned(), part.full_name(MASK));
    let outer = tensor.shape.len().saturating_sub(2);
    if tensor.shape[outer..] != [length, length] || tensor.shape[..outer].iter().any(|n| *n != 1) {
        let (wants, has) = (vec![1, 1, length, length], tensor.shape.to_vec());
        return Err(ModelError::Shape { file, tensor: name, wants, has });
    }
    let scales: Vec<usize> =
        (0..ladder.scales()).flat_map(|scale| ladder.range(scale).map(move |_| scale)).collect();
    let entries = entries(tensor);
    let differs = (0..length * length).find(|index| {
        let (row, column) = (index / length, index % length);
        let wants = if scales[column] <= scales[row] { MaskEntry::Seen } else { MaskEntry::Hidden };
        entries(*index) != wants
    });
    let Some(index) = differs else { return Ok(()) };
    let of_scales = |sees: &dyn Fn(usize, usize) -> bool| {
        (0..length * length).all(|index| {
            let sees = sees(scales[index / length], scales[index % length]);
            entries(index) == if sees { MaskEntry::Seen } else { MaskEntry::Hidden }
        })
    };
    let kind = if of_scales(&|row, column| row == column) {
        ": each scale sees only itself, as in MVAR, M-VAR and Switti"
    } else if of_scales(&|_, _| true) {
        ": every token sees all"
    } else {
        ""
    };
    let (row, column) = (index / length, index % length);
    let found = match entries(index) {
        MaskEntry::Seen => "sees".to_owned(),
        MaskEntry::Hidden => "does not see".to_owned(),
        MaskEntry::Bias(bias) => format!("has a bias of {bias} for"),
    };
    Err(ModelError::Mask {
        file,
        tensor: name,
        found: format!(
            "token {row} of scale {} {found} token {column} of scale {}{kind}",
            scales[row], scales[column]
        ),
    })
}

/// Reads entry by entry. Booleans and integers say by the first entry, which every token has for
/// itself, how they spell "seen".
fn entries(tensor: Tensor<'_>) -> Box<dyn Fn(usize) -> MaskEntry + '_> {
    fn of_bias(bias: f32) -> MaskEntry {
        match bias {
            0.0 => MaskEntry::Seen,
            bias if bias <= AS_GOOD_AS_INFINITE => MaskEntry::Hidden,
            bias => MaskEntry::Bias(bias),
        }
    }
    fn of_integers<'t, T: Copy + PartialEq + Default>(
        values: &'t [T],
    ) -> Box<dyn Fn(usize) -> MaskEntry + 't> {
        let seen = values[0] != T::default();
        Box::new(move |index| match (values[index] != T::default()) == seen {
            true => MaskEntry::Seen,
            false => MaskEntry::Hidden,
        })
    }
    match tensor.dtype {
        Dtype::F64 | Dtype::I64 | Dtype::I32 | Dtype::I16 => {
            let values = tensor.to_f32();
            Box::new(move |index| of_bias(values[index]))
        }
        Dtype::F32 => {
            let values = tensor.as_f32().expect("of this type");
            Box::new(move |index| of_bias(values[index]))
        }
        Dtype::F16 => {
            let values = tensor.as_f16().expect("of this type");
            Box::new(move |index| of_bias(values[index].to_f32()))
        }
        Dtype::Bf16 => {
            let values = tensor.as_bf16().expect("of this type");
            Box::new(move |index| of_bias(values[index].to_f32()))
        }
        Dtype::I8 | Dtype::U8 | Dtype::Bool => of_integers(tensor.bytes),
    }
}
