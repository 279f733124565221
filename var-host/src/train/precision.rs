//! Half-precision training on a processor that computes in `f32`: rounded weights.

use half::{bf16, f16};
use var_kernel::cpu::Cpu;
#[cfg(feature = "cuda")]
use var_kernel::cuda;

use super::layout::ParameterLayout;

/// Precision of the blocks' matrices (`--fp16`).
///
/// The CPU always computes in `f32`. With 16 bits it computes with matrices rounded to 16 bits, so
/// that a run shows their cost in accuracy; activations and gradients stay in
/// `f32`. Embeddings, LayerNorm, softmax, head and loss are never rounded (MODEL.md, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// `f32`, `--fp16 0`.
    F32,
    /// `f16` with a loss scale, `--fp16 1`.
    F16,
    /// `bf16`, `--fp16 2`.
    Bf16,
}

/// Floats in one task.
const RUN: usize = 1 << 14;

impl Precision {
    /// All of them, by their numbers.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// Whether the network computes with other numbers than the optimizer moves.
    pub fn rounds(self) -> bool {
        self != Self::F32
    }

    /// Precision of products on a GPU.
    #[cfg(feature = "cuda")]
    pub fn on_gpu(self) -> cuda::Precision {
        match self {
            Self::F32 => cuda::Precision::F32,
            Self::F16 => cuda::Precision::F16,
            Self::Bf16 => cuda::Precision::Bf16,
        }
    }

    /// Writes the compute weights to `computed`: `weights` with the blocks' matrices rounded to the
    /// nearest value of this precision, halves to even.
    ///
    /// # Panics
    /// If a slice is not as long as the layout.
    pub fn round(
        self,
        cpu: &Cpu<'_>,
        layout: &ParameterLayout,
        weights: &[f32],
        computed: &mut [f32],
    ) {
        let lengths = [weights.len(), computed.len()];
        assert_eq!(lengths, [layout.floats(); 2], "weights are not as long as their layout");
        for tensor in layout.tensors() {
            let range = tensor.range.clone();
            let (from, to) = (&weights[range.clone()], &mut computed[range]);
            let rounded = tensor.is_rounded();
            match self {
                Self::F16 if rounded => each(cpu, to, from, |x| f16::from_f32(x).to_f32()),
                Self::Bf16 if rounded => each(cpu, to, from, |x| bf16::from_f32(x).to_f32()),
                _ => to.copy_from_slice(from),
            }
        }
    }
}

fn each(cpu: &Cpu<'_>, to: &mut [f32], from: &[f32], round: impl Fn(f32) -> f32 + Sync) {
    cpu.for_each_run(to, RUN, |number, to, _| {
        for (to, from) in to.iter_mut().zip(&from[number * RUN..]) {
            *to = round(*from);
        }
    });
}
