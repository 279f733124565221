//! Gradients of the split on a GPU: one warp a head of a row.

use var_kernel::cuda::{Cuda, CudaError, Dtype, Remote};
use var_kernel::memory::Floats;
use var_kernel::ops::split_qkv::{Dims, Normalization};
use var_kernel::parts::{Kernel, Launch};

use super::SplitQkvBackward;
use crate::grad::kernel_sources::kernel_source;

kernel_source!("split_qkv", "kernel.cu");

const DQKV: Kernel = Kernel::new(&SOURCE, "split_qkv_dqkv");
const SUMS_OF_HEADS: Kernel = Kernel::new(&SOURCE, "sums_of_heads");
const SUMS_OF_HEADS_HALF: Kernel = Kernel::new(&SOURCE, "sums_of_heads_half");
const DSCALE: Kernel = Kernel::new(&SOURCE, "split_qkv_dscale");

const THREADS: u32 = 256;

/// Heads of a block: one a warp.
const HEADS: usize = 8;

/// Rows that are worth a block of their own.
const ROWS: usize = 128;

/// Blocks that share a head's rows at most.
const PARTS: usize = 128;

impl SplitQkvBackward for Cuda {
    fn split_qkv_backward(
        &self,
        dqkv: &mut Remote,
        gradients: [&Remote; 3],
        qkv: &Remote,
        query_bias: Option<&Remote>,
        normalization: Normalization<'_, Remote>,
        d: Dims,
    ) -> Result<(), CudaError> {
        let (rows, width) = (d.batch * d.rows, d.width());
        assert!(
            d.start == 0 && d.capacity == d.rows,
            "split_qkv's gradient: rows were there before"
        );
        assert_eq!([dqkv.len(), qkv.len()], [3 * rows * width; 2], "not batch × rows × 3 × width");
        for gradient in gradients {
            assert_eq!(gradient.len(), rows * width, "a gradient is not batch × rows × width");
        }
        assert!(query_bias.is_none_or(|bias| bias.len() == width), "the bias is not as wide");
        let scale = match normalization {
            Normalization::None => None,
            Normalization::UnitLength { scale } => Some(scale),
        };
        assert!(scale.is_none_or(|scale| scale.len() == d.heads), "the scale is not one a head");
        if dqkv.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let qkv = self.operand_f32(qkv, qkv.len())?;
        let all_heads = rows * d.heads;
        let launch = Launch::new(DQKV, [all_heads.div_ceil(HEADS), 1, 1], THREADS).slice(dqkv);
        let launch = gradients.iter().fold(launch, |launch, gradient| launch.slice(gradient));
        let launch = launch.address(qkv).slice_or_null(query_bias).slice_or_null(scale);
        let launch = launch.size(d.heads).size(d.head_width).length(all_heads);
        self.launch(launch, [(dqkv, Dtype::F32)])
    }

    fn split_qkv_backward_scale(
        &self,
        dscale: &mut Remote,
        dq: &Remote,
        q: &Remote,
        scale: &Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        let (rows, width) = (d.batch * d.rows, d.width());
        assert_eq!([dscale.len(), scale.len()], [d.heads; 2], "split_qkv's gradient: not heads");
        assert_eq!([dq.len(), q.len()], [rows * width; 2], "not batch × rows × width");
        if dq.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let kernel = match self.dtype_of(q) {
            Dtype::F32 => SUMS_OF_HEADS,
            _ => SUMS_OF_HEADS_HALF,
        };
        let count = rows.div_ceil(ROWS).min(PARTS);
        let parts = self.scratch(count * d.heads)?;
        let launch = Launch::new(kernel, [d.heads, count, 1], THREADS).address(parts).slice(dq);
        self.launch_to_scratch(launch.slice(q).size(rows).size(d.heads).size(d.head_width))?;
        let launch = Launch::for_each(DSCALE, d.heads).slice(dscale).address(parts).slice(scale);
        self.launch(launch.size(count).size(d.heads), [(dscale, Dtype::F32)])
    }
}
