//! Models written to memory, whole and damaged.

use std::collections::HashMap;

use half::f16;
use safetensors::tensor::TensorView;
use var_kernel::model::config::{ChannelMultipliers, Refinement};
use var_kernel::model::{Ladder, VarConfig, VqvaeConfig};
use var_kernel::ops::nearest_code::Distance;

use super::{Weights, transformer_tensors, vqvae_tensors};
use crate::checkpoint::Checkpoint;
use crate::model::settings::{self, Settings};
use crate::model::{Hints, ModelError};

mod contradictions;
mod masks;
mod parts;

/// A tensor in the making.
type Tensor = (safetensors::Dtype, Vec<usize>, Vec<u8>);

pub(in crate::model) fn configs() -> (VarConfig, VqvaeConfig) {
    let ladder = Ladder::new(&[1, 3]).unwrap();
    let var = VarConfig {
        depth: 2,
        width: 12,
        heads: 3,
        hidden: 20,
        classes: 4,
        codes: 7,
        latent: 5,
        ladder,
        unit_length: true,
        shared_modulation: false,
    };
    let vae = VqvaeConfig {
        codes: 7,
        latent: 5,
        channels: 32,
        multipliers: ChannelMultipliers::new(&[1, 2]).unwrap(),
        encoder_blocks: 1,
        decoder_blocks: 2,
        ladder,
        refinement: Refinement::Partial(3),
        refinement_ratio: 0.5,
        distance: Distance::Euclidean,
    };
    (var, vae)
}

/// All tensors of a model of these sizes, in half precision and all 0.
fn tensors(var: VarConfig, vae: VqvaeConfig) -> HashMap<String, Tensor> {
    let halves = [("var.", transformer_tensors(var)), ("vae.", vqvae_tensors(vae))];
    let mut tensors = HashMap::new();
    for (prefix, wanted) in halves {
        for wanted in wanted {
            let bytes = vec![0; 2 * wanted.shape.iter().product::<usize>()];
            let tensor = (safetensors::Dtype::F16, wanted.shape, bytes);
            tensors.insert(format!("{prefix}{}", wanted.name), tensor);
        }
    }
    let levels: Vec<u8> =
        (0..var.ladder.length()).flat_map(|i| i64::from(i > 0).to_le_bytes()).collect();
    let shape = vec![1, var.ladder.length()];
    tensors.insert("var.lvl_1L".to_owned(), (safetensors::Dtype::I64, shape, levels));
    tensors
}

fn open(tensors: &HashMap<String, Tensor>, hints: Hints) -> Result<Weights, ModelError> {
    open_with(tensors, None, hints)
}

/// Opens a file of these tensors with this configuration in its metadata.
fn open_with(
    tensors: &HashMap<String, Tensor>,
    settings: Option<&Settings>,
    hints: Hints,
) -> Result<Weights, ModelError> {
    let metadata = settings.map(|settings| {
        let text = serde_json::to_string(settings).expect("plain numbers");
        HashMap::from([(settings::KEY.to_owned(), text)])
    });
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).expect("bytes fit the shape"))
    });
    let file = safetensors::serialize(views, metadata).expect("tensors can be written");
    let checkpoint = Checkpoint::from_bytes(&file).expect("what was written can be read");
    Weights::of(checkpoint, "file".to_owned(), &hints)
}

/// Why it is refused, its source included.
#[track_caller]
fn message(opened: Result<Weights, ModelError>) -> String {
    match opened {
        Ok(_) => panic!("a damaged model was taken"),
        Err(error) => {
            let source = core::error::Error::source(&error);
            source.map_or(error.to_string(), |source| format!("{error}: {source}"))
        }
    }
}

/// The error of the model of [`configs`] after `damage`.
fn refusal(damage: impl FnOnce(&mut HashMap<String, Tensor>)) -> String {
    let (var, vae) = configs();
    let mut tensors = tensors(var, vae);
    damage(&mut tensors);
    message(open(&tensors, Hints::default()))
}

#[test]
fn configuration_is_read_off_names_and_shapes() {
    let (var, vae) = configs();
    let plain = VarConfig { unit_length: false, shared_modulation: true, ..var };
    let others = [
        (var, vae),
        (plain, VqvaeConfig { refinement: Refinement::Shared, ..vae }),
        (var, VqvaeConfig { refinement: Refinement::PerScale, encoder_blocks: 2, ..vae }),
    ];
    for (var, vae) in others {
        let hints = Hints { heads: Some(3), ..Hints::default() };
        let weights = open(&tensors(var, vae), hints).unwrap();
        assert_eq!(weights.transformer.unwrap().1, var);
        assert_eq!(weights.vqvae.unwrap().1, vae);
        assert!(!weights.heads_assumed);
    }
}

#[test]
fn ladder_that_is_not_in_the_file_is_asked_for() {
    let (var, vae) = configs();
    let mut tensors = tensors(var, vae);
    tensors.remove("var.lvl_1L");
    let error = open(&tensors, Hints::default()).err().unwrap();
    assert!(error.to_string().contains("no published one has 10 cells"), "{error}");
    let hints = Hints { ladder: Some(var.ladder), ..Hints::default() };
    assert_eq!(open(&tensors, hints).unwrap().transformer.unwrap().1.ladder, var.ladder);
    let wrong = Hints { ladder: Ladder::new(&[1, 2, 4]).ok(), ..Hints::default() };
    let error = open(&tensors, wrong).err().unwrap();
    assert!(error.to_string().contains("1_2_4 has 21 cells, the file's position table 10"));
}

#[test]
fn every_tensor_that_is_missing_is_named() {
    let (var, vae) = configs();
    for name in tensors(var, vae).keys().filter(|name| *name != "var.lvl_1L") {
        let refusal = refusal(|tensors| {
            tensors.remove(name);
        });
        // Without the tensors that mark a half there is no half; without those that are counted
        // there is one layer less, and others are left over.
        assert!(!refusal.is_empty(), "{name}");
    }
    let name = "vae.decoder.mid.attn_1.qkv.bias";
    let refusal = refusal(|tensors| drop(tensors.remove(name)));
    assert_eq!(refusal, format!("file: {name} is missing"));
}

#[test]
fn shapes_types_and_values_that_do_not_fit_are_named() {
    let name = "var.blocks.1.attn.proj.weight";
    let with = |tensor: Tensor| refusal(|tensors| drop(tensors.insert(name.to_owned(), tensor)));
    let (half, byte) = (safetensors::Dtype::F16, safetensors::Dtype::U8);
    assert_eq!(
        with((half, vec![12, 11], vec![0; 264])),
        format!("file: {name}: wants [12, 12], file has [12, 11]")
    );
    assert_eq!(
        with((byte, vec![12, 12], vec![0; 144])),
        format!("file: {name}: wants floating-point numbers, file has U8")
    );
    // Audit 4: what overflows is told from what is no number.
    let single = |values: [f32; 2]| {
        let (var, vae) = configs();
        let mut bytes = vec![0; 576];
        bytes[28..32].copy_from_slice(&values[0].to_le_bytes());
        bytes[40..44].copy_from_slice(&values[1].to_le_bytes());
        let mut tensors = tensors(var, vae);
        tensors.insert(name.to_owned(), (safetensors::Dtype::F32, vec![12, 12], bytes));
        open(&tensors, Hints::default())
    };
    assert!(single([1e9, -1e9]).is_ok());
    assert_eq!(
        message(single([-3e38, 2e9])),
        format!("file: {name}: element 7 is -3e38, more than 1e9: damaged, or it has diverged")
    );
    assert_eq!(message(single([2e9, f32::NAN])), format!("file: {name}: element 10 is NaN"));
    let mut bytes = vec![0; 288];
    bytes[14..16].copy_from_slice(&f16::NAN.to_le_bytes());
    assert_eq!(with((half, vec![12, 12], bytes)), format!("file: {name}: element 7 is NaN"));
}

#[test]
fn tensors_left_over_are_named() {
    let stranger = (safetensors::Dtype::F16, vec![2], vec![0; 4]);
    let refusal = refusal(|tensors| drop(tensors.insert("var.stranger".to_owned(), stranger)));
    assert_eq!(refusal, "file: var.stranger of shape [2] is not part of the model");
}

#[test]
fn halves_that_do_not_belong_together_are_refused() {
    let (var, vae) = configs();
    let tensors = tensors(var, VqvaeConfig { codes: 9, ..vae });
    let error = open(&tensors, Hints::default()).err().unwrap();
    assert_eq!(error.to_string(), "the transformer predicts codes of 7, the VQVAE has 9");
}
