//! Weight initialization (MODEL.md, section 7).

use serde::Serialize;
use var_kernel::model::VarConfig;
use var_kernel::sample::random::Philox;

use super::layout::ParameterLayout;

/// The stream of random numbers; data and sampling use others.
const STREAM: u32 = 0xffff_fff0;

/// How the weights are drawn; serialized under the names of the options.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Initialization {
    /// Standard deviation of linear and embedding weights (`--ini`); below 0 for `√(1 / 3C)`.
    #[serde(rename = "ini")]
    pub deviation: f64,
    /// Factor of the head's weights (`--hd`).
    #[serde(rename = "hd")]
    pub head: f32,
    /// Factor of the modulations' projections but for the gates (`--aln`).
    #[serde(rename = "aln")]
    pub modulation: f32,
    /// Factor of the gates' part of them (`--alng`).
    #[serde(rename = "alng")]
    pub gates: f32,
}

impl Default for Initialization {
    fn default() -> Self {
        Self { deviation: -1.0, head: 0.02, modulation: 0.5, gates: 1e-5 }
    }
}

/// Fills `weights`, laid out by `layout`, from `seed`. Each tensor's numbers depend on its name, its
/// length and the seed alone.
///
/// # Panics
/// If `weights` is not as long as the layout.
pub fn transformer(
    weights: &mut [f32],
    layout: &ParameterLayout,
    config: &VarConfig,
    with: Initialization,
    seed: u64,
) {
    assert_eq!(weights.len(), layout.floats(), "weights are not as long as their layout");
    let (width, depth) = (config.width, config.depth);
    let wide =
        if with.deviation < 0.0 { (1.0 / (3.0 * width as f64)).sqrt() } else { with.deviation };
    for tensor in layout.tensors() {
        let values = &mut weights[tensor.range.clone()];
        let name = tensor.name.as_str();
        if name.ends_with("bias") {
            values.fill(0.0);
        } else if name.contains("scale_mul") {
            values.fill(4.0_f64.ln() as f32);
        } else {
            let mut draws = NormalStream::new(seed, name);
            if name.contains("ada_gss") {
                let deviation = (1.0 / width as f64).sqrt();
                values.iter_mut().for_each(|x| *x = (deviation * draws.next()) as f32);
            } else {
                // PyTorch cuts at ±2 in absolute terms, which is beyond every draw it makes here.
                values.iter_mut().for_each(|x| *x = (wide * draws.within(2.0 / wide)) as f32);
            }
        }
        let mut scale = |values: core::ops::Range<usize>, factor: f32| {
            weights[tensor.range.start + values.start..tensor.range.start + values.end]
                .iter_mut()
                .for_each(|x| *x *= factor);
        };
        let all = 0..tensor.range.len();
        if name == "head.weight" {
            scale(all, with.head);
        } else if name == "head_nm.ada_lin.1.weight" {
            scale(all, with.modulation);
        } else if name.ends_with("attn.proj.weight") || name.ends_with("ffn.fc2.weight") {
            scale(all, (1.0 / (2.0 * depth as f64).sqrt()) as f32);
        } else if name.contains("blocks.") && name.ends_with("ada_lin.1.weight") {
            let gates = 2 * width * width;
            scale(0..gates, with.gates);
            scale(gates..all.end, with.modulation);
        } else if name.contains("ada_gss") {
            scale(0..2 * width, with.gates);
            scale(2 * width..all.end, with.modulation);
        }
    }
}

/// Fills `weights` of a VQVAE or discriminator, laid out by `layout`, from `seed`, in the same way.
///
/// Convolutions are normal with deviation `gain · √(2 / (fan in + fan out))` (Glorot and Bengio,
/// "Understanding the difficulty of training deep feedforward neural networks", 2010), factors of
/// normalizations 1, biases 0, a codebook's numbers even in ±1 / (36 √latent).
///
/// # Panics
/// If `weights` is not as long as the layout.
pub fn convolutional(weights: &mut [f32], layout: &ParameterLayout, gain: f64, seed: u64) {
    assert_eq!(weights.len(), layout.floats(), "weights are not as long as their layout");
    for tensor in layout.tensors() {
        let values = &mut weights[tensor.range.clone()];
        let mut draws = NormalStream::new(seed, &tensor.name);
        match tensor.shape[..] {
            [outer, inner, height, width] => {
                let fans = (outer + inner) * height * width;
                let deviation = gain * (2.0 / fans as f64).sqrt();
                values.iter_mut().for_each(|x| *x = (deviation * draws.next()) as f32);
            }
            [_, latent] => {
                let reach = 1.0 / (36.0 * (latent as f64).sqrt());
                let even = |(i, x): (usize, &mut f32)| *x = (reach * draws.even(i)) as f32;
                values.iter_mut().enumerate().for_each(even);
            }
            _ => values.fill(if tensor.name.ends_with("bias") { 0.0 } else { 1.0 }),
        }
    }
}

/// Normal numbers of a tensor, by Box and Muller's method.
struct NormalStream {
    random: Philox,
    tensor: u32,
    count: u32,
    second: Option<f64>,
}

impl NormalStream {
    fn new(seed: u64, name: &str) -> Self {
        // FNV-1a: two tensors of a model share their numbers only if their names collide.
        let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let tensor = name.bytes().fold(0x811c_9dc5, mix);
        Self { random: Philox::new(seed), tensor, count: 0, second: None }
    }

    fn next(&mut self) -> f64 {
        if let Some(second) = self.second.take() {
            return second;
        }
        let [a, b, c, d] = self.random.words([self.count, self.tensor, 0, STREAM]);
        self.count += 1;
        let radius = (-2.0 * (1.0 - unit(a, b)).ln()).sqrt();
        let (sine, cosine) = (2.0 * core::f64::consts::PI * unit(c, d)).sin_cos();
        self.second = Some(radius * sine);
        radius * cosine
    }

    /// Number `i` of those even in −1 .. 1.
    fn even(&self, i: usize) -> f64 {
        let [high, low, ..] = self.random.words([i as u32, self.tensor, 1, STREAM]);
        2.0 * unit(high, low) - 1.0
    }

    /// The next number no farther from 0 than `most`.
    fn within(&mut self, most: f64) -> f64 {
        loop {
            let x = self.next();
            if x.abs() <= most {
                return x;
            }
        }
    }
}

/// The upper 53 bits of two words as a number in 0 .. 1.
fn unit(high: u32, low: u32) -> f64 {
    ((u64::from(high) << 32 | u64::from(low)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests;
