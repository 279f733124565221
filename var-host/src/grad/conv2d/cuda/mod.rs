//! Gradients of a convolution on a card, on tensor cores where the precision is short.

mod input;
mod narrow;
mod weight;

use var_kernel::cuda::{Card, Cuda, CudaError, Matrix, Remote};
use var_kernel::memory::Floats;
use var_kernel::ops::conv2d::Dims;

use super::{Conv2dBackward, check};

/// Bytes that one access moves at most.
const ACCESS: u64 = 16;

/// Channels the tensor cores' tiles can be cut from.
const SHORT_CHANNELS: usize = 8;

/// How a product is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    kernel: &'static str,
    rows: usize,
    columns: usize,
    /// Bytes of shared memory.
    shared: usize,
}

impl Tile {
    /// How many there are in `rows` × `columns` sums.
    fn count(self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.rows) * columns.div_ceil(self.columns)
    }

    /// Whether there are enough to keep a GPU busy, and they fit its shared memory.
    fn fills(self, rows: usize, columns: usize, card: &Card) -> bool {
        let enough = self.count(rows, columns) >= card.multiprocessors as usize;
        enough && self.shared <= card.shared as usize
    }
}

/// Weights lie on a card, and so does their gradient, as `outer × kernel × kernel × inner`.
impl Conv2dBackward for Cuda {
    fn conv2d_backward_scratch(&self, _: Dims) -> usize {
        0
    }

    fn conv2d_backward_x(
        &self,
        dx: &mut Remote,
        dout: &Remote,
        weight: Matrix<'_>,
        _scratch: &mut Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        check(d, dx.len(), dout.len(), weight.len());
        if dx.is_empty() || dout.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        input::add(self, dx, dout, weight, d)
    }

    fn conv2d_backward_weight(
        &self,
        dweight: &mut Remote,
        dout: &Remote,
        x: &Remote,
        _scratch: &mut Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        check(d, x.len(), dout.len(), dweight.len());
        if x.is_empty() || dout.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        weight::add(self, dweight, dout, x, d)
    }
}
