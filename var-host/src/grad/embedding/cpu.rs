//! The gradient of an embedding on the CPU.

use core::convert::Infallible;

use var_kernel::cpu::Cpu;

use super::EmbeddingBackward;

impl EmbeddingBackward for Cpu<'_> {
    fn embedding_backward(
        &self,
        dtable: &mut [f32],
        dout: &[f32],
        indices: &[u32],
        width: usize,
    ) -> Result<(), Infallible> {
        assert_eq!(
            dout.len(),
            indices.len() * width,
            "embedding_backward: dout is not indices × width"
        );
        for (dout, index) in dout.chunks_exact(width).zip(indices) {
            let row = &mut dtable[*index as usize * width..][..width];
            for (sum, dout) in row.iter_mut().zip(dout) {
                *sum += dout;
            }
        }
        Ok(())
    }
}
