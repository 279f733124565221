//! Other models of VAR's family, told by names that only their tensors have.

use super::ModelError;
use crate::checkpoint::Checkpoint;

/// A model and segments of names that only its tensors have.
struct Relative {
    name: &'static str,
    signs: &'static [&'static str],
    differs: &'static str,
}

/// Models that have tensors of VAR's names and compute otherwise.
const TRANSFORMERS: [Relative; 11] = [
    Relative {
        name: "MVAR",
        signs: &["mvar_wo_ddp"],
        differs: "each scale attends only to itself, the last to neighbourhoods",
    },
    Relative {
        name: "HMAR",
        signs: &["base_blocks", "ns_blocks", "mask_blocks", "mask_embed"],
        differs: "each scale attends only to itself, and scales are refined by masks",
    },
    Relative {
        name: "CAR",
        signs: &["car_blocks", "car_control_convs", "car_var_conv", "car_skip_linear"],
        differs: "it is guided by a control image",
    },
    Relative {
        name: "ControlVAR",
        signs: &["type_1L", "cond_embed", "special_embed"],
        differs: "it draws images and control maps together",
    },
    Relative { name: "VAR-CLIP", signs: &["cond_proj"], differs: "it is conditioned on text" },
    Relative {
        name: "Switti",
        signs: &["text_pooler", "crop_proj"],
        differs: "it is conditioned on text",
    },
    Relative {
        name: "Infinity",
        signs: &["text_proj_for_sos", "text_proj_for_ca", "cfg_uncond"],
        differs: "it is conditioned on text and predicts bits",
    },
    Relative {
        name: "HART",
        signs: &["context_embed", "diffloss"],
        differs: "it is conditioned on text and adds residuals by diffusion",
    },
    Relative {
        name: "LlamaGen",
        signs: &["tok_embeddings", "cls_embedding"],
        differs: "it predicts token after token",
    },
    Relative {
        name: "Stable Diffusion",
        signs: &["diffusion_model", "down_blocks", "transformer_blocks"],
        differs: "it is a diffusion model",
    },
    Relative {
        name: "FLUX",
        signs: &["double_blocks", "single_blocks"],
        differs: "it is a diffusion model",
    },
];

/// Tokenizers that are not VAR's.
const TOKENIZERS: [Relative; 3] = [
    Relative {
        name: "LlamaGen's or FlexVAR's tokenizer",
        signs: &["conv_blocks", "codebook_used"],
        differs: "it has one scale and other layers",
    },
    Relative { name: "Infinity's tokenizer", signs: &["lfq"], differs: "it has a code of bits" },
    Relative {
        name: "Stable Diffusion's autoencoder",
        signs: &["first_stage_model"],
        differs: "it has no codebook",
    },
];

/// Refuses a file with tensors under `prefix` of a relative's transformer, `half` 0, or tokenizer,
/// `half` 1.
///
/// # Errors
/// [`ModelError::Relative`] with the tensor that shows it.
pub(super) fn refuse(
    checkpoint: &Checkpoint,
    file: &str,
    prefix: &str,
    half: usize,
) -> Result<(), ModelError> {
    let relatives: &[Relative] = if half == 0 { &TRANSFORMERS } else { &TOKENIZERS };
    let flexible = |shape: &[usize]| shape.len() == 4;
    for tensor in checkpoint.tensors().filter(|tensor| tensor.name.starts_with(prefix)) {
        let mut segments = tensor.name.split('.');
        let found = segments.find_map(|segment| {
            relatives.iter().find(|relative| relative.signs.contains(&segment))
        });
        let (model, differs) = match found {
            Some(relative) => (relative.name, relative.differs),
            None if half == 0 && tensor.name.ends_with("pos_1LC") && flexible(tensor.shape) => {
                ("FlexVAR", "its positions are interpolated")
            }
            None => continue,
        };
        let (file, tensor) = (file.to_owned(), tensor.name.to_owned());
        return Err(ModelError::Relative { file, tensor, model, differs });
    }
    Ok(())
}
