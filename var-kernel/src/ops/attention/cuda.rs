//! attention on a GPU: tiles of queries over tiles of keys, heads of 64 on tensor cores.

use std::vec::Vec;

use super::{Attention, Dims, Mask};
use crate::cuda::command::Launch;
use crate::cuda::kernel_source::{Kernel, KernelSource};
use crate::cuda::{Cuda, CudaError, Dtype, Remote};
use crate::memory::Floats;

pub(crate) static SOURCE: KernelSource = KernelSource::new("attention", include_str!("kernel.cu"));

const THREADS: u32 = 128;

/// Queries of a block, heads of any width.
const QUERIES: usize = 8;

/// Queries of a block, heads of 64 on tensor cores.
const QUERIES_64: usize = 64;

/// Bytes that one access of the tensor cores' kernel moves.
const ACCESS: u64 = 16;

impl Attention for Cuda {
    fn kv_len(&self, values: usize) -> usize {
        self.inner().words(values)
    }

    /// `q`, `k`, `v` and `out` are in the format of activations inside a block, as `split_qkv` leaves
    /// them; `k` and `v` may be [`kv_len`](crate::ops::Attention::kv_len) long.
    fn attention(
        &self,
        out: &mut Remote,
        q: &Remote,
        k: &Remote,
        v: &Remote,
        scale: f32,
        mask: Mask<'_>,
        d: Dims,
    ) -> Result<(), CudaError> {
        self.check_attention(out, q, [k, v], mask, d);
        if out.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let inner = self.inner();
        let numbers = d.batch * d.capacity * d.heads * d.head_width;
        let q = self.operand(q, out.len(), inner)?;
        let (k, v) = (self.operand(k, numbers, inner)?, self.operand(v, numbers, inner)?);
        let half = inner != Dtype::F32;
        let aligned = [q, k, v, out.address()].iter().all(|run| run.is_multiple_of(ACCESS));
        let (name, queries, shared) = match d.head_width {
            64 if half && aligned => ("attention_64_half", QUERIES_64, 0),
            width => {
                let name = match (width, half) {
                    (..=128, false) => "attention_128",
                    (..=128, true) => "attention_128_half",
                    (..=640, false) => "attention_640",
                    (..=640, true) => "attention_640_half",
                    (_, false) => "attention_1024",
                    (_, true) => "attention_1024_half",
                };
                (name, QUERIES, QUERIES * width * size_of::<f32>())
            }
        };
        let blocks = d.queries.div_ceil(queries) * d.batch * d.heads;
        let launch = Launch::new(Kernel::new(&SOURCE, name), [blocks, 1, 1], THREADS);
        let launch = launch.sharing(shared).slice(out).address(q).address(k).address(v);
        let launch = self.add_attention(launch, scale, mask, d)?;
        self.launch(launch, [(out, inner)])
    }
}

impl Cuda {
    #[track_caller]
    fn check_attention(
        &self,
        out: &Remote,
        q: &Remote,
        kept: [&Remote; 2],
        mask: Mask<'_>,
        d: Dims,
    ) {
        let numbers = d.batch * d.capacity * d.heads * d.head_width;
        let [k, v] = kept.map(|run| self.kv_values(run.len(), numbers));
        d.check(out.len(), q.len(), k, v, mask);
    }

    /// Adds scale, mask and sizes to a kernel's arguments.
    fn add_attention(
        &self,
        launch: Launch,
        scale: f32,
        mask: Mask<'_>,
        d: Dims,
    ) -> Result<Launch, CudaError> {
        let (ends, scales) = match mask {
            Mask::None => (0, 0),
            Mask::UpToScale(ends) => {
                let words: Vec<u32> = ends.iter().map(|end| *end as u32).collect();
                (self.send(&words)?, words.len())
            }
        };
        let launch = launch.float(scale).address(ends).size(scales).size(d.heads);
        Ok(launch.size(d.head_width).size(d.queries).size(d.keys).size(d.capacity))
    }
}

#[cfg(test)]
impl Cuda {
    /// As [`Attention::attention`], plainly and in `f32`.
    pub(crate) fn attention_naive(
        &self,
        out: &mut Remote,
        q: &Remote,
        k: &Remote,
        v: &Remote,
        scale: f32,
        mask: Mask<'_>,
        d: Dims,
    ) -> Result<(), CudaError> {
        self.check_attention(out, q, [k, v], mask, d);
        self.fresh_scratch();
        let (q, k, v) = (
            self.operand_f32(q, q.len())?,
            self.operand_f32(k, k.len())?,
            self.operand_f32(v, v.len())?,
        );
        let launch = Launch::for_each(Kernel::new(&SOURCE, "attention_naive"), out.len());
        let launch = launch.slice(out).address(q).address(k).address(v);
        let launch = self.add_attention(launch, scale, mask, d)?.length(out.len());
        self.launch(launch, [(out, Dtype::F32)])
    }
}
