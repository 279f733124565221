//! A small model with some tensors dropped, renamed, reshaped or retyped: taken or refused in words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use var_host::checkpoint::Checkpoint;
use var_host::model::weights::{transformer_tensors, vqvae_tensors};
use var_host::model::{Hints, Weights};
use var_kernel::model::config::{ChannelMultipliers, Refinement};
use var_kernel::model::{Ladder, VarConfig, VqvaeConfig};
use var_kernel::ops::nearest_code::Distance;

/// Numbers of the largest tensor that is written.
const LARGEST: usize = 1 << 14;

fuzz_target!(|bytes: &[u8]| {
    let mut tensors = model();
    for change in bytes.chunks_exact(5) {
        let index = usize::from(u16::from_le_bytes([change[0], change[1]])) % tensors.len();
        let value = usize::from(u16::from_le_bytes([change[3], change[4]]));
        let (name, dtype, shape) = &mut tensors[index];
        match change[2] % 6 {
            0 if index > 0 => drop(tensors.swap_remove(index)),
            1 => *name = name.replace('0', &value.to_string()),
            2 if !shape.is_empty() => {
                let dimension = usize::from(change[2]) / 6 % shape.len();
                shape[dimension] = value;
            }
            3 => shape.push(value % 4),
            4 => drop(shape.pop()),
            _ => *dtype = [Dtype::F32, Dtype::BF16, Dtype::I8, Dtype::I64, Dtype::F64][value % 5],
        }
    }
    tensors.sort();
    tensors.dedup_by(|a, b| a.0 == b.0);
    let size = |shape: &[usize]| shape.iter().try_fold(1_usize, |size, d| size.checked_mul(*d));
    tensors.retain(|(_, _, shape)| size(shape).is_some_and(|size| size <= LARGEST));
    let mut levels = bytes.to_vec();
    levels.resize(8 * LARGEST, 0);
    let zeros = [0; 8 * LARGEST];
    let views = tensors.iter().map(|(name, dtype, shape)| {
        let data = if name.ends_with("lvl_1L") { &levels[..] } else { &zeros };
        let length = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        (name, TensorView::new(*dtype, shape.clone(), &data[..length]).expect("as many bytes"))
    });
    let file = safetensors::serialize(views, None).expect("tensors can be written");
    let checkpoint = Checkpoint::from_bytes(&file).expect("what was written can be read");
    let hints = Hints { ladder: Ladder::new(&[1, 2]).ok(), ..Hints::default() };
    let _ = Weights::of(checkpoint, "file".to_owned(), &hints).map_err(|error| error.to_string());
});

/// Name, type and shape of each tensor of a small model.
fn model() -> Vec<(String, Dtype, Vec<usize>)> {
    let ladder = Ladder::new(&[1, 2]).expect("a ladder");
    let var = VarConfig {
        depth: 1,
        width: 4,
        heads: 2,
        hidden: 4,
        classes: 2,
        codes: 3,
        latent: 2,
        ladder,
        unit_length: true,
        shared_modulation: false,
    };
    let vae = VqvaeConfig {
        codes: 3,
        latent: 2,
        channels: 32,
        multipliers: ChannelMultipliers::new(&[1]).expect("a level"),
        encoder_blocks: 1,
        decoder_blocks: 1,
        ladder,
        refinement: Refinement::Partial(2),
        refinement_ratio: 0.5,
        distance: Distance::Euclidean,
    };
    let var = transformer_tensors(var).into_iter().map(|w| (format!("var.{}", w.name), w.shape));
    let vae = vqvae_tensors(vae).into_iter().map(|w| (format!("vae.{}", w.name), w.shape));
    let levels = ("var.lvl_1L".to_owned(), vec![1, ladder.length()]);
    let all = var.chain(vae).chain([levels]);
    all.map(|(name, shape)| (name, Dtype::F16, shape)).collect()
}
