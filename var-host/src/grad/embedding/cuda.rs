//! The gradient of an embedding on a GPU.

use var_kernel::cuda::{Cuda, CudaError, Dtype, Remote};
use var_kernel::memory::Floats;
use var_kernel::parts::Kernel;

use super::EmbeddingBackward;
use crate::grad::elementwise::cuda::over_rows;
use crate::grad::kernel_sources::kernel_source;

kernel_source!("embedding", "kernel.cu");

const EMBEDDING: Kernel = Kernel::new(&SOURCE, "embedding_dtable");

impl EmbeddingBackward for Cuda {
    fn embedding_backward(
        &self,
        dtable: &mut Remote,
        dout: &Remote,
        indices: &[u32],
        width: usize,
    ) -> Result<(), CudaError> {
        assert_eq!(
            dout.len(),
            indices.len() * width,
            "embedding_backward: dout is not indices × width"
        );
        let most = indices.iter().max().map_or(0, |last| (*last as usize + 1) * width);
        assert!(most <= dtable.len(), "embedding_backward: an index is past the table's end");
        if dout.is_empty() {
            return Ok(());
        }
        let LookedUp { indices: of, starts, order } = LookedUp::new(indices);
        let (of, starts, order) = (self.send(&of)?, self.send(&starts)?, self.send(&order)?);
        let launch = over_rows(EMBEDDING, indices.len(), width).slice(dtable).slice(dout);
        let launch = launch.address(of).address(starts).address(order).size(width);
        self.launch(launch, [(dtable, Dtype::F32)])
    }
}

/// Which rows looked up each row of a table, as long for all indices of one number.
struct LookedUp {
    /// Rows of the table, ascending; then zeros.
    indices: Vec<u32>,
    /// Where in `order` those of each begin; then where the last ones end.
    starts: Vec<u32>,
    /// The rows.
    order: Vec<u32>,
}

impl LookedUp {
    fn new(indices: &[u32]) -> Self {
        let count = indices.len();
        let mut order: Vec<u32> = (0..count as u32).collect();
        order.sort_by_key(|row| indices[*row as usize]);
        let (mut of, mut starts) = (Vec::new(), Vec::new());
        for (place, row) in order.iter().enumerate() {
            let index = indices[*row as usize];
            if of.last() != Some(&index) {
                of.push(index);
                starts.push(place as u32);
            }
        }
        of.resize(count, 0);
        starts.resize(count + 1, count as u32);
        Self { indices: of, starts, order }
    }
}
