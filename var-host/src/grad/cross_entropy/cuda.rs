//! Gradient of the cross-entropy on a GPU: one block a row.

use var_kernel::cuda::{Cuda, CudaError, Dtype, Remote};
use var_kernel::memory::Floats;
use var_kernel::parts::{Kernel, Launch, SOME};

use super::CrossEntropyBackward;
use crate::grad::kernel_sources::kernel_source;

kernel_source!("cross_entropy", "kernel.cu", SOME);

const DLOGITS: Kernel = Kernel::new(&SOURCE, "cross_entropy_dlogits");

const THREADS: u32 = 256;

/// Bytes of four numbers, which one access moves.
const FOUR: u64 = 16;

impl CrossEntropyBackward for Cuda {
    fn cross_entropy_backward(
        &self,
        dlogits: &mut Remote,
        dloss: &Remote,
        logits: &Remote,
        targets: &[u32],
        smoothing: f32,
    ) -> Result<(), CudaError> {
        let rows = targets.len();
        assert_eq!(dloss.len(), rows, "cross_entropy_backward: dloss is not one for each target");
        assert_eq!(dlogits.len(), logits.len(), "cross_entropy_backward: lengths differ");
        assert!(rows > 0 && logits.len().is_multiple_of(rows), "cross_entropy_backward: no rows");
        let codes = logits.len() / rows;
        let inside = targets.iter().all(|target| (*target as usize) < codes);
        assert!(inside, "cross_entropy_backward: a target is past a row's end");
        self.fresh_scratch();
        let logits = self.operand_f32(logits, logits.len())?;
        let by_four = codes.is_multiple_of(4)
            && [dlogits.address(), logits].iter().all(|address| address.is_multiple_of(FOUR));
        let targets = self.send(targets)?;
        let launch = Launch::new(DLOGITS, [rows, 1, 1], THREADS).slice(dlogits).slice(dloss);
        let launch = launch.address(logits).address(targets).float(smoothing).size(codes);
        self.launch(launch.size(by_four.into()), [(dlogits, Dtype::F32)])
    }
}
