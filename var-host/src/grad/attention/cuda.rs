//! Gradients of attention on a GPU: tiles of queries over tiles of keys and the other way round, heads
//! of 64 on tensor cores.

use var_kernel::cuda::{Cuda, CudaError, Dtype, Remote};
use var_kernel::memory::Floats;
use var_kernel::ops::attention::{Dims, Mask};
use var_kernel::parts::{Kernel, Launch};

use super::AttentionBackward;
use crate::grad::kernel_sources::kernel_source;

/// Which keys a query sees, and the tiles of attention on tensor cores.
const MASK: &str = include_str!("mask.cuh");
const HEADS_OF_64: &str = include_str!("heads_of_64.cuh");

kernel_source!("attention", "kernel.cu", MASK, HEADS_OF_64);

/// How heads are cut into blocks.
struct Tiles {
    /// Of `log_sum` and `delta`, of dq, of dk and dv.
    kernels: [Kernel; 3],
    /// Queries and keys of a tile.
    side: usize,
    threads: u32,
    /// The format of the operands.
    dtype: Dtype,
}

impl Tiles {
    fn any() -> Self {
        let kernels = ["attention_sums", "attention_dq", "attention_dk_dv"];
        let kernels = kernels.map(|name| Kernel::new(&SOURCE, name));
        Self { kernels, side: 32, threads: 256, dtype: Dtype::F32 }
    }

    fn of_64(dtype: Dtype) -> Self {
        let kernels = ["attention_64_sums", "attention_64_dq", "attention_64_dk_dv"];
        let kernels = kernels.map(|name| Kernel::new(&SOURCE, name));
        Self { kernels, side: 64, threads: 128, dtype }
    }
}

/// Bytes that one access of the tensor cores' kernels moves.
const ACCESS: u64 = 16;

impl AttentionBackward for Cuda {
    /// Two floats a query of each head.
    fn attention_backward_scratch(&self, d: Dims) -> usize {
        2 * d.batch * d.heads * d.queries
    }

    /// On tensor cores gradients are rounded to the precision's format on the way: the loss must be
    /// scaled so that they do not vanish.
    fn attention_backward(
        &self,
        [dq, dk, dv]: [&mut Remote; 3],
        dout: &Remote,
        q: &Remote,
        k: &Remote,
        v: &Remote,
        scale: f32,
        mask: Mask<'_>,
        scratch: &mut Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        let width = d.heads * d.head_width;
        let (queries, keys) = (d.batch * d.queries * width, d.batch * d.keys * width);
        assert_eq!(d.capacity, d.keys, "attention's gradient: the capacity is not the keys");
        assert_eq!([dq.len(), dout.len(), q.len()], [queries; 3], "not batch × queries × width");
        assert_eq!([dk.len(), dv.len(), k.len(), v.len()], [keys; 4], "not batch × keys × width");
        let of_queries = d.batch * d.heads * d.queries;
        assert!(scratch.len() >= 2 * of_queries, "attention's gradient: scratch memory too short");
        if queries == 0 || keys == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let aligned = [&*dq, dk, dv, dout, q, k, v];
        let aligned = aligned.iter().all(|run| run.address().is_multiple_of(ACCESS));
        let tiles = match self.inner() {
            dtype if dtype != Dtype::F32 && d.head_width == 64 && aligned => Tiles::of_64(dtype),
            _ => Tiles::any(),
        };
        let (q, dout) =
            (self.operand(q, queries, tiles.dtype)?, self.operand(dout, queries, tiles.dtype)?);
        let (k, v) = (self.operand(k, keys, tiles.dtype)?, self.operand(v, keys, tiles.dtype)?);
        let (ends, scales) = match mask {
            Mask::None => (0, 0),
            Mask::UpToScale(ends) => {
                assert_eq!(d.queries, d.keys, "a mask wants as many queries as keys");
                assert_eq!(ends.last(), Some(&d.keys), "the mask's last end is not keys");
                let words: Vec<u32> = ends.iter().map(|end| *end as u32).collect();
                (self.send(&words)?, words.len())
            }
        };
        let log_sums = scratch.range(0..of_queries);
        let deltas = scratch.range(of_queries..2 * of_queries);
        // Arguments of every kernel: outputs, sums of queries, operands.
        let launch = |kernel: usize, rows: usize, outs: &[&Remote]| {
            let blocks = rows.div_ceil(tiles.side) * d.batch * d.heads;
            let launch = Launch::new(tiles.kernels[kernel], [blocks, 1, 1], tiles.threads);
            let launch = outs.iter().fold(launch, |launch, out| launch.slice(out));
            let launch = launch.slice(log_sums).slice(deltas).address(dout).address(q).address(k);
            let launch = launch.address(v).float(scale).address(ends).size(scales).size(d.heads);
            let launch = match tiles.dtype {
                Dtype::F32 => launch.size(d.head_width),
                _ => launch,
            };
            launch.size(d.queries).size(d.keys)
        };
        let written = [(log_sums, Dtype::F32), (deltas, Dtype::F32)];
        self.launch(launch(0, d.queries, &[]), written)?;
        self.launch(launch(1, d.queries, &[dq]), [(dq, Dtype::F32)])?;
        self.launch(launch(2, d.keys, &[dk, dv]), [(dk, Dtype::F32), (dv, Dtype::F32)])
    }
}
