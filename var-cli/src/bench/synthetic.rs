//! Models of the published sizes with made-up weights, for machines without a checkpoint.
//!
//! A weight is a hash of its tensor's name and its index, uniform around 0, as wide as keeps
//! activations the size a trained model's have. Model `d16` has the weights of the golden numbers.

use core::f64::consts::LN_2;
use core::num::NonZero;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;
use std::thread;

use anyhow::Result;
use var_host::checkpoint::quantize::{self, BLOCK, SCALE_SUFFIX, WeightDtype};
use var_host::checkpoint::{Dtype, Record, save};
use var_host::model::convert::of_tensor;
use var_host::model::listing::Wanted;
use var_host::model::weights::{transformer_tensors, vqvae_tensors};
use var_host::model::{Hints, Weights};
use var_kernel::model::config::{ChannelMultipliers, Refinement};
use var_kernel::model::{Ladder, VarConfig, VqvaeConfig};
use var_kernel::ops::nearest_code::Distance;

use crate::args::values::DtypeName;
use crate::args::{Model, Session};
use crate::interrupt;

/// Sizes of a published model.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    transformer: VarConfig,
    vqvae: VqvaeConfig,
}

/// A file that is removed with this value.
pub(super) struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // A file that cannot be removed is left to the system: it lies in the temporary folder.
        let _ = fs::remove_file(&self.0);
    }
}

impl Sizes {
    /// The sizes of depth `depth`: width 64 · depth, heads of 64, 1000 classes, 4096 codes of width
    /// 32, images sixteen times the ladder's finest side.
    pub(super) fn new(depth: usize, ladder: Option<Ladder>) -> Result<Self> {
        let published = Ladder::named("256").expect("a published ladder");
        let ladder = ladder.unwrap_or(published);
        let (width, codes, latent) = (64 * depth, 4096, 32);
        let transformer = VarConfig {
            depth,
            width,
            heads: depth,
            hidden: 4 * width,
            classes: 1000,
            codes,
            latent,
            ladder,
            unit_length: true,
            // The one published model of this depth shares its AdaLN projection.
            shared_modulation: depth == 36,
        };
        let vqvae = VqvaeConfig {
            codes,
            latent,
            channels: 160,
            multipliers: ChannelMultipliers::new(&[1, 1, 2, 2, 4])?,
            encoder_blocks: 2,
            decoder_blocks: 3,
            ladder,
            refinement: Refinement::Partial(4),
            refinement_ratio: 0.5,
            distance: Distance::Euclidean,
        };
        transformer.check()?;
        vqvae.check()?;
        Ok(Self { transformer, vqvae })
    }

    fn name(&self) -> String {
        format!("d{}", self.transformer.depth)
    }
}

/// Writes a model file of these sizes among the system's temporary files.
pub(super) fn write(sizes: Sizes, dtype: DtypeName, session: &Session) -> Result<Temporary> {
    let path = env::temp_dir().join(format!("var-bench-{}.safetensors", process::id()));
    interrupt::remove_when_interrupted(path.clone());
    let halves =
        [("var", transformer_tensors(sizes.transformer)), ("vae", vqvae_tensors(sizes.vqvae))];
    let mut records = Vec::new();
    for (half, tensors) in halves {
        for wanted in tensors {
            let name = format!("{half}.{}", wanted.name);
            records.extend(stored(&sizes.name(), name, &wanted, of_tensor(&wanted, dtype.into())));
        }
    }
    // Not a result: those may be JSON.
    if !session.quiet {
        eprintln!("{}: making up weights", path.display());
    }
    save(&path, records, &BTreeMap::new(), true)?;
    Ok(Temporary(path))
}

/// Opens a file of [`write()`].
pub(super) fn open(file: &Temporary, sizes: Sizes, dtype: DtypeName) -> Result<Model> {
    let hints = Hints { ladder: Some(sizes.transformer.ladder), ..Hints::default() };
    let weights = Weights::open(&file.0, &hints)?;
    let name = format!("made-up {} of {dtype:?}", sizes.name()).to_lowercase();
    Ok(Model { weights, name })
}

/// The records of one tensor, which make their numbers when their turn comes.
fn stored(
    model: &str,
    name: String,
    wanted: &Wanted,
    precision: WeightDtype,
) -> Vec<Record<'static>> {
    let shape = wanted.shape.clone();
    let key = format!("{model}.{name}");
    let numbers = {
        let shape = shape.clone();
        move || weights(&key, &shape)
    };
    let record = |name, dtype, shape, bytes| Record { name, dtype, shape, bytes };
    let columns = shape.last().copied().unwrap_or(0);
    let in_blocks = columns > 0 && columns.is_multiple_of(BLOCK);
    match precision {
        WeightDtype::F32 => {
            let bytes = move || Ok(little_endian(&numbers(), f32::to_le_bytes));
            vec![record(name, Dtype::F32, shape, Box::new(bytes))]
        }
        WeightDtype::Bf16 => {
            let label = name.clone();
            let bytes = move || {
                Ok(little_endian(&quantize::to_bf16(&label, &numbers())?, |x| x.to_le_bytes()))
            };
            vec![record(name, Dtype::Bf16, shape, Box::new(bytes))]
        }
        WeightDtype::Q8 if in_blocks => {
            let scales = vec![shape.iter().product::<usize>() / columns, columns / BLOCK];
            let (label, other, again) = (name.clone(), name.clone(), numbers.clone());
            let integers = move || {
                Ok(little_endian(&quantize::to_q8(&label, &numbers())?.integers, i8::to_le_bytes))
            };
            let factors = move || {
                Ok(little_endian(&quantize::to_q8(&other, &again())?.scales, |x| x.to_le_bytes()))
            };
            let scales_name = format!("{name}{SCALE_SUFFIX}");
            vec![
                record(name, Dtype::I8, shape, Box::new(integers)),
                record(scales_name, Dtype::F16, scales, Box::new(factors)),
            ]
        }
        WeightDtype::F16 | WeightDtype::Q8 => {
            let label = name.clone();
            let bytes = move || {
                Ok(little_endian(&quantize::to_f16(&label, &numbers())?, |x| x.to_le_bytes()))
            };
            vec![record(name, Dtype::F16, shape, Box::new(bytes))]
        }
    }
}

fn little_endian<T: Copy, const N: usize>(
    numbers: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> Cow<'static, [u8]> {
    Cow::Owned(numbers.iter().flat_map(|number| bytes(*number)).collect())
}

/// The weights of tensor `name`.
fn weights(name: &str, shape: &[usize]) -> Vec<f32> {
    const TABLES: [&str; 6] =
        ["quantize.embedding", "class_emb", "lvl_embed", "pos_1LC", "pos_start", "ada_gss"];
    let (center, width) = if name.ends_with("scale_mul_1H11") {
        ((2.0 * LN_2) as f32, 0.5)
    } else if shape.len() == 1 {
        let is_gain = name.contains("norm") && name.ends_with("weight");
        (if is_gain { 1.0 } else { 0.0 }, 0.1)
    } else if TABLES.iter().any(|table| name.contains(table)) {
        (0.0, 1.0)
    } else {
        let fan: usize = shape[1..].iter().product();
        let width = (3.0 / fan as f64).sqrt();
        (0.0, if name.contains("ada_lin") { 0.5 * width } else { width } as f32)
    };
    let start = fnv1a(name.as_bytes());
    let number = |index: u64| {
        let hash = splitmix(start.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let uniform = (hash >> 40) as f32 / 16_777_216.0;
        (2.0 * uniform - 1.0) * width + center
    };
    let mut numbers = vec![0.0; shape.iter().product()];
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let each = numbers.len().div_ceil(threads).max(WORTH_A_THREAD);
    thread::scope(|scope| {
        for (part, numbers) in numbers.chunks_mut(each).enumerate() {
            scope.spawn(move || {
                for (i, x) in numbers.iter_mut().enumerate() {
                    *x = number((part * each + i) as u64);
                }
            });
        }
    });
    numbers
}

/// Numbers that are worth a thread of their own.
const WORTH_A_THREAD: usize = 1 << 18;

/// FNV-1a, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The output function of SplitMix64.
fn splitmix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_published_ones() {
        // Test vectors of the two algorithms' authors.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(splitmix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn weights_are_those_of_the_golden_numbers() {
        // A fan of 12 makes them uniform within ±1/2.
        let expected = [0.047_489_643, -0.317_827_1, -0.013_977_826, 0.127_052_66];
        assert_eq!(weights("demo", &[1, 12])[..4], expected);
    }

    #[test]
    fn weights_are_as_wide_as_their_kind() {
        let range = |name, shape: &[usize]| {
            let weights = weights(name, shape);
            let (least, most) =
                (weights.iter().copied().reduce(f32::min), weights.into_iter().reduce(f32::max));
            (least.unwrap(), most.unwrap())
        };
        let (least, most) = range("vae.encoder.norm_out.weight", &[1000]);
        assert!(least >= 0.9 && most <= 1.1 && most - least > 0.15);
        let (least, most) = range("var.blocks.0.ffn.fc1.weight", &[64, 300]);
        assert!(least >= -0.1 && most <= 0.1 && most - least > 0.19);
    }
}
