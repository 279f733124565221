//! Golden files, weights by formula, tolerances.

use core::convert::Infallible;
use core::fmt;
use std::collections::HashMap;

use safetensors::SafeTensors;
use serde_json::Value;
use var_host::model::listing::Wanted;
use var_host::model::weights::{transformer_tensors, vqvae_tensors};
use var_host::pool::Threads;
use var_kernel::cpu::{Cpu, Isa, Matrix, SCRATCH_FLOATS};
use var_kernel::model::config::{ChannelMultipliers, Refinement};
use var_kernel::model::weights::Source;
use var_kernel::model::{Ladder, Model, VarConfig, Vqvae, VqvaeConfig};
use var_kernel::ops::nearest_code::Distance;
use var_kernel::storage::Storage;

pub(crate) use crate::fixture::fixture;

/// A golden file.
pub(crate) struct Golden {
    bytes: Vec<u8>,
    /// The JSON in its metadata.
    pub(crate) about: Value,
}

impl Golden {
    pub(crate) fn open(name: &str) -> Self {
        let bytes = std::fs::read(fixture(name)).expect("the fixture is there");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("the fixture is safetensors");
        let about = header.metadata().as_ref().and_then(|metadata| metadata.get("about"));
        let about = about.map_or(Value::Null, |text| serde_json::from_str(text).expect("JSON"));
        Self { bytes, about }
    }

    /// Shape and floats of a tensor.
    pub(crate) fn floats(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let (shape, bytes) = self.raw(name);
        (shape, bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
    }

    /// The floats of a tensor of `N × C × H × W`, channels moved last.
    pub(crate) fn channels_last(&self, name: &str) -> Vec<f32> {
        let (shape, values) = self.floats(name);
        let [.., channels, height, width] = shape[..] else { panic!("{name} has planes") };
        to_channels_last(&values, channels, height * width)
    }

    /// The integers of a tensor.
    pub(crate) fn integers(&self, name: &str) -> Vec<u32> {
        let (_, bytes) = self.raw(name);
        bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    /// Shape and bytes of a tensor.
    pub(crate) fn raw(&self, name: &str) -> (Vec<usize>, Vec<u8>) {
        let file = SafeTensors::deserialize(&self.bytes).expect("the fixture is safetensors");
        let tensor = file.tensor(name).unwrap_or_else(|_| panic!("{name} is in the fixture"));
        (tensor.shape().to_vec(), tensor.data().to_vec())
    }

    /// Names of the tensors that begin with `prefix`.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let file = SafeTensors::deserialize(&self.bytes).expect("the fixture is safetensors");
        let mut names: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        names
    }
}

/// Planes side by side → channels side by side, for each of many images.
pub(crate) fn to_channels_last(values: &[f32], channels: usize, cells: usize) -> Vec<f32> {
    let pictures = values.chunks_exact(channels * cells);
    pictures
        .flat_map(|picture| {
            (0..cells).flat_map(move |cell| (0..channels).map(move |c| picture[c * cells + cell]))
        })
        .collect()
}

/// Fails unless `|got − want| ≤ tolerance` everywhere; returns the largest difference.
#[track_caller]
pub(crate) fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) -> f32 {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{what}: off by {worst:e}, tolerance {tolerance:e}");
    assert!(got.iter().all(|x| x.is_finite()), "{what}: not finite");
    worst
}

/// Fails unless `‖got − want‖ ≤ relative · ‖want‖` or every difference is at most `absolute`.
#[track_caller]
pub(crate) fn assert_near(what: &str, got: &[f32], want: &[f32], relative: f64, absolute: f32) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    assert!(got.iter().all(|x| x.is_finite()), "{what}: not finite");
    let norm =
        |of: &mut dyn Iterator<Item = f32>| of.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let apart = norm(&mut got.iter().zip(want).map(|(a, b)| a - b));
    let share = apart / norm(&mut want.iter().copied()).max(f64::MIN_POSITIVE);
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(
        share <= relative || worst <= absolute,
        "{what}: off by {share:e} of its norm, tolerance {relative:e}; by {worst:e} at most, \
         tolerance {absolute:e}"
    );
}

/// Numbers in 0 .. 1 by the fixtures' formula: the same name, the same numbers.
pub(crate) fn u01(name: &str, length: usize) -> Vec<f32> {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mix = |x: u64| {
        let z = x.wrapping_add(STEP);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let at = |i: u64| (mix(hash.wrapping_add(i.wrapping_mul(STEP))) >> 40) as f32 / 16_777_216.0;
    (0..length as u64).map(at).collect()
}

/// Numbers in −scale .. scale by the fixtures' formula.
pub(crate) fn sym(name: &str, scale: f32, length: usize) -> Vec<f32> {
    u01(name, length).into_iter().map(|u| (2.0 * u - 1.0) * scale).collect()
}

/// A weight by the fixtures' formula.
fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    const TABLES: [&str; 6] =
        ["quantize.embedding", "class_emb", "lvl_embed", "pos_1LC", "pos_start", "ada_gss"];
    let length = shape.iter().product();
    let plus = |base: f32, scale| sym(name, scale, length).into_iter().map(|x| x + base).collect();
    if name.ends_with("scale_mul_1H11") {
        return plus(4.0_f64.ln() as f32, 0.5);
    }
    if shape.len() == 1 {
        let is_norm = name.contains("norm") && name.ends_with("weight");
        return plus(if is_norm { 1.0 } else { 0.0 }, 0.1);
    }
    if TABLES.iter().any(|table| name.contains(table)) {
        return sym(name, 1.0, length);
    }
    let fan: usize = shape[1..].iter().product();
    let scale = (3.0 / fan as f64).sqrt() * if name.contains("ada_lin") { 0.5 } else { 1.0 };
    sym(name, scale as f32, length)
}

/// Weights by formula, under their names without prefix.
pub(crate) struct Generated(HashMap<String, Vec<f32>>);

impl Generated {
    /// `prefix` as in `tiny.var.`.
    pub(crate) fn new(prefix: &str, wanted: &[Wanted]) -> Self {
        let of = |w: &Wanted| (w.name.clone(), weight(&format!("{prefix}{}", w.name), &w.shape));
        Self(wanted.iter().map(of).collect())
    }

    /// The weights of one tensor.
    #[cfg(feature = "cuda")]
    pub(crate) fn values(&self, name: &str) -> &[f32] {
        &self.0[name]
    }
}

impl<'a> Source<'a, Cpu<'_>> for &'a Generated {
    type Error = Infallible;

    fn matrix(&mut self, name: fmt::Arguments<'_>, _: &[usize]) -> Result<Matrix<'a>, Infallible> {
        Ok(Matrix::F32(&self.0[&name.to_string()]))
    }

    fn vector(&mut self, name: fmt::Arguments<'_>, _: &[usize]) -> Result<&'a [f32], Infallible> {
        Ok(&self.0[&name.to_string()])
    }
}

/// A golden file's model, by formula.
pub(crate) struct GoldenModel {
    pub(crate) var: VarConfig,
    pub(crate) vae: VqvaeConfig,
    var_weights: Generated,
    vae_weights: Generated,
}

impl GoldenModel {
    /// The model a golden file's metadata describes.
    pub(crate) fn of(golden: &Golden) -> Self {
        let about = &golden.about;
        let prefix = about["weights_prefix"].as_str().expect("a prefix");
        let vae = vqvae_config(&about["vae"]);
        let size = |key: &str| about["var"][key].as_u64().expect("a size") as usize;
        let flag = |key: &str| about["var"][key].as_bool().expect("a flag");
        let var = VarConfig {
            depth: size("depth"),
            width: size("embed_dim"),
            heads: size("num_heads"),
            hidden: 4 * size("embed_dim"),
            classes: size("num_classes"),
            codes: vae.codes,
            latent: vae.latent,
            ladder: vae.ladder,
            unit_length: flag("attn_l2_norm"),
            shared_modulation: flag("shared_aln"),
        };
        let var_weights = Generated::new(&format!("{prefix}var."), &transformer_tensors(var));
        let vae_weights = Generated::new(&format!("{prefix}vae."), &vqvae_tensors(vae));
        Self { var, vae, var_weights, vae_weights }
    }

    /// All weights of the transformer.
    #[cfg(feature = "cuda")]
    pub(crate) fn var_weights(&self) -> &Generated {
        &self.var_weights
    }

    /// All weights of the VQVAE.
    #[cfg(feature = "cuda")]
    pub(crate) fn vae_weights(&self) -> &Generated {
        &self.vae_weights
    }

    /// A weight of the transformer.
    pub(crate) fn var_weight(&self, name: &str) -> &[f32] {
        &self.var_weights.0[name]
    }

    /// A weight of the VQVAE.
    pub(crate) fn vae_weight(&self, name: &str) -> &[f32] {
        &self.vae_weights.0[name]
    }

    /// Runs `work` on the model, with the best instruction set and all cores.
    pub(crate) fn with<R>(
        &self,
        work: impl for<'c> FnOnce(&Cpu<'c>, &Model<'_, '_, Cpu<'c>>) -> R,
    ) -> R {
        with_cpu(2, Isa::best(), |cpu| self.on(cpu, |model| work(cpu, model)))
    }

    /// Runs `work` on the model, on a CPU at hand.
    pub(crate) fn on<'c, R>(
        &self,
        _: &Cpu<'c>,
        work: impl FnOnce(&Model<'_, '_, Cpu<'c>>) -> R,
    ) -> R {
        let (mut var, mut vae) = (&self.var_weights, &self.vae_weights);
        let parts = ((&mut var, self.var), (&mut vae, self.vae));
        let Ok(model) = Model::bind_parts(parts.0, parts.1, &mut Storage::heap());
        work(&model)
    }
}

/// Runs `work` on a VQVAE by formula.
pub(crate) fn with_vqvae<R>(
    prefix: &str,
    config: VqvaeConfig,
    work: impl for<'c> FnOnce(&Cpu<'c>, &Vqvae<'_, '_, Cpu<'c>>) -> R,
) -> R {
    let weights = Generated::new(prefix, &vqvae_tensors(config));
    with_cpu(2, Isa::best(), |cpu| {
        let mut weights = &weights;
        let Ok(vqvae) = Vqvae::bind(&mut weights, config, &mut Storage::heap());
        work(cpu, &vqvae)
    })
}

/// Runs `work` on `threads` threads of one instruction set.
pub(crate) fn with_cpu<R>(threads: usize, isa: Isa, work: impl for<'c> FnOnce(&Cpu<'c>) -> R) -> R {
    let threads = Threads::new(threads, SCRATCH_FLOATS).expect("threads can be started");
    work(&Cpu::new(isa, &threads))
}

/// The VQVAE a golden file's metadata describes.
pub(crate) fn vqvae_config(about: &Value) -> VqvaeConfig {
    let size = |key: &str| about[key].as_u64().expect("a size") as usize;
    let sides: Vec<usize> = about["v_patch_nums"]
        .as_array()
        .expect("a ladder")
        .iter()
        .map(|side| side.as_u64().expect("a side") as usize)
        .collect();
    VqvaeConfig {
        codes: size("vocab_size"),
        latent: size("z_channels"),
        channels: size("ch"),
        multipliers: ChannelMultipliers::new(&[1, 1, 2, 2, 4]).expect("the published levels"),
        encoder_blocks: 2,
        decoder_blocks: 3,
        ladder: Ladder::new(&sides).expect("a ladder"),
        refinement: match size("share_quant_resi") {
            0 => Refinement::PerScale,
            1 => Refinement::Shared,
            count => Refinement::Partial(count),
        },
        refinement_ratio: 0.5,
        distance: match about["using_znorm"].as_bool() {
            Some(true) => Distance::Angle,
            _ => Distance::Euclidean,
        },
    }
}

/// The kernel's order of tokens, scale by scale and within a scale image by image.
pub(crate) fn scale_major<T: Copy>(images: &[T], width: usize, ladder: &Ladder) -> Vec<T> {
    let count = images.len() / (ladder.length() * width);
    let mut out = Vec::with_capacity(images.len());
    for scale in 0..ladder.scales() {
        let range = ladder.range(scale);
        for image in 0..count {
            let start = image * ladder.length();
            out.extend_from_slice(
                &images[(start + range.start) * width..(start + range.end) * width],
            );
        }
    }
    out
}

/// Working memory for small models.
pub(crate) fn working_memory(megabytes: usize) -> Vec<f32> {
    vec![f32::NAN; megabytes << 18]
}
