//! Queries, keys and values on a GPU: one warp a head of a row.

use super::{Dims, Normalization, SplitQkv};
use crate::cuda::command::Launch;
use crate::cuda::kernel_source::{Kernel, KernelSource};
use crate::cuda::{Cuda, CudaError, Dtype, Remote};
use crate::memory::Floats;
use crate::ops::Attention;

pub(crate) static SOURCE: KernelSource = KernelSource::new("split_qkv", include_str!("kernel.cu"));

const SINGLE: Kernel = Kernel::new(&SOURCE, "split_qkv");
const TO_HALF: Kernel = Kernel::new(&SOURCE, "split_qkv_to_half");
const SHORT: Kernel = Kernel::new(&SOURCE, "split_qkv_half");
#[cfg(test)]
const NAIVE: Kernel = Kernel::new(&SOURCE, "split_qkv_naive");

/// Heads of a block: one a warp.
const HEADS: usize = 8;

impl SplitQkv for Cuda {
    /// `q`, `k` and `v` are left in the format of activations inside a block; `k` and `v` may be
    /// [`Attention::kv_len`] long.
    fn split_qkv(
        &self,
        q: &mut Remote,
        k: &mut Remote,
        v: &mut Remote,
        qkv: &Remote,
        biases: Option<[&Remote; 2]>,
        normalization: Normalization<'_, Remote>,
        d: Dims,
    ) -> Result<(), CudaError> {
        self.check_split(q, [k, v], qkv, biases, normalization, d);
        if q.is_empty() {
            return Ok(());
        }
        let (kernel, dtype) = match (self.dtype_of(qkv), self.inner()) {
            (Dtype::F32, Dtype::F32) => (SINGLE, Dtype::F32),
            (Dtype::F32, half) => (TO_HALF, half),
            (_, half) => (SHORT, half),
        };
        let all_heads = d.batch * d.rows * d.heads;
        let launch = Launch::new(kernel, [all_heads.div_ceil(HEADS), 1, 1], 32 * HEADS as u32);
        let launch = arguments(launch, [q, k, v], qkv, biases, normalization, d).length(all_heads);
        // Of the cache only the new rows are written, but all of it is in this format.
        self.launch(launch, [(q, dtype), (k, dtype), (v, dtype)])
    }
}

impl Cuda {
    fn check_split(
        &self,
        q: &Remote,
        kept: [&Remote; 2],
        qkv: &Remote,
        biases: Option<[&Remote; 2]>,
        normalization: Normalization<'_, Remote>,
        d: Dims,
    ) {
        let scale = match normalization {
            Normalization::None => None,
            Normalization::UnitLength { scale } => Some(scale.len()),
        };
        let lengths = biases.map(|biases| biases.map(Floats::len));
        let numbers = d.batch * d.capacity * d.width();
        d.check(
            q.len(),
            kept.map(|run| self.kv_values(run.len(), numbers)),
            qkv.len(),
            lengths,
            scale,
        );
    }
}

fn arguments(
    launch: Launch,
    [q, k, v]: [&Remote; 3],
    qkv: &Remote,
    biases: Option<[&Remote; 2]>,
    normalization: Normalization<'_, Remote>,
    d: Dims,
) -> Launch {
    let scale = match normalization {
        Normalization::None => None,
        Normalization::UnitLength { scale } => Some(scale),
    };
    let launch = launch.slice(q).slice(k).slice(v).slice(qkv);
    let launch = launch.slice_or_null(biases.map(|[q, _]| q)).slice_or_null(biases.map(|[_, v]| v));
    let launch = launch.slice_or_null(scale).size(scale.is_some().into());
    launch.size(d.rows).size(d.heads).size(d.head_width).size(d.start).size(d.capacity)
}

#[cfg(test)]
impl Cuda {
    /// As [`SplitQkv::split_qkv`], plainly and in `f32`.
    pub(crate) fn split_qkv_naive(
        &self,
        q: &mut Remote,
        k: &mut Remote,
        v: &mut Remote,
        qkv: &Remote,
        biases: Option<[&Remote; 2]>,
        normalization: Normalization<'_, Remote>,
        d: Dims,
    ) -> Result<(), CudaError> {
        self.check_split(q, [k, v], qkv, biases, normalization, d);
        let launch = Launch::for_each(NAIVE, qkv.len());
        let launch = arguments(launch, [q, k, v], qkv, biases, normalization, d).length(qkv.len());
        self.launch(launch, [(q, Dtype::F32), (k, Dtype::F32), (v, Dtype::F32)])
    }
}
