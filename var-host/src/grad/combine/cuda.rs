//! Gradients of operations of one pass, on a card.

use var_kernel::cuda::{Cuda, CudaError, Element, Kernel, Launch, Remote};
use var_kernel::memory::Floats;
use var_kernel::ops::PerRow;
use var_kernel::ops::combine::PlaceDims;

use super::table::sum_into_table;
use super::{CombineBackward, Part};
use crate::grad::texts::COMBINE;

const GELU: Kernel = Kernel::new(&COMBINE, "gelu_dx");
const SILU: Kernel = Kernel::new(&COMBINE, "silu_dx");
const GATED_X: Kernel = Kernel::new(&COMBINE, "gated_dx");
const GATED_GATE: Kernel = Kernel::new(&COMBINE, "gated_dgate");
const SCALE_ROWS: Kernel = Kernel::new(&COMBINE, "scale_rows_dx");
const PLACE_ROWS: Kernel = Kernel::new(&COMBINE, "place_rows_dx");
const EMBEDDING: Kernel = Kernel::new(&COMBINE, "embedding_dtable");

impl CombineBackward for Cuda {
    fn gelu_backward(&self, dx: &mut Remote, dy: &Remote, x: &Remote) -> Result<(), CudaError> {
        activation_backward(self, GELU, dx, dy, x)
    }

    fn silu_backward(&self, dx: &mut Remote, dy: &Remote, x: &Remote) -> Result<(), CudaError> {
        activation_backward(self, SILU, dx, dy, x)
    }

    fn gated_backward_x(
        &self,
        dx: &mut Remote,
        dy: &Remote,
        gate: PerRow<'_, Remote>,
        width: usize,
    ) -> Result<(), CudaError> {
        assert_eq!(dx.len(), dy.len(), "gated_backward_x: lengths differ");
        gate.check(dx.len() / width, width);
        if dx.is_empty() {
            return Ok(());
        }
        let launch = over_rows(GATED_X, dx.len() / width, width).run(dx).run(dy);
        self.launch(gate.add_to(launch).size(width), [(dx, Element::F32)])
    }

    fn gated_backward_gate(
        &self,
        dtable: &mut Remote,
        dy: &Remote,
        x: &Remote,
        part: Part,
        width: usize,
    ) -> Result<(), CudaError> {
        assert_eq!(dy.len(), x.len(), "gated_backward_gate: lengths differ");
        let all = dy.len() / width;
        part.check(dtable.len(), all, width);
        if all == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let x = self.single(x, x.len())?;
        sum_into_table(self, GATED_GATE, dtable, part, all, width, |launch| {
            launch.run(dy).address(x)
        })
    }

    fn scale_rows_backward(
        &self,
        dx: &mut Remote,
        dy: &Remote,
        factors: &Remote,
    ) -> Result<(), CudaError> {
        assert_eq!(dx.len(), dy.len(), "scale_rows_backward: lengths differ");
        let width = dx.len() / factors.len();
        assert_eq!(width * factors.len(), dx.len(), "scale_rows_backward: not whole rows");
        if dx.is_empty() {
            return Ok(());
        }
        let launch = over_rows(SCALE_ROWS, factors.len(), width).run(dx).run(dy).run(factors);
        self.launch(launch.size(width), [(dx, Element::F32)])
    }

    fn place_rows_backward(
        &self,
        dx: &mut Remote,
        dout: &Remote,
        d: PlaceDims,
    ) -> Result<(), CudaError> {
        let PlaceDims { rows, width, stride, start } = d;
        assert_eq!(dx.len(), rows * width, "place_rows_backward: dx is not rows × width");
        assert_eq!(dout.len(), rows * stride, "place_rows_backward: dout is not rows × stride");
        assert!(start + width <= stride, "place_rows_backward: the part reaches over the row");
        if dx.is_empty() {
            return Ok(());
        }
        let launch = over_rows(PLACE_ROWS, rows, width).run(dx).run(dout);
        self.launch(launch.size(stride).size(start).size(width), [(dx, Element::F32)])
    }

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
        let launch = over_rows(EMBEDDING, indices.len(), width).run(dtable).run(dout);
        let launch = launch.address(of).address(starts).address(order).size(width);
        self.launch(launch, [(dtable, Element::F32)])
    }
}

/// `dx[i] += dy[i] · slope(x[i])`
fn activation_backward(
    cuda: &Cuda,
    kernel: Kernel,
    dx: &mut Remote,
    dy: &Remote,
    x: &Remote,
) -> Result<(), CudaError> {
    let length = dx.len();
    assert_eq!([dy.len(), x.len()], [length; 2], "activation's gradient: lengths differ");
    if length == 0 {
        return Ok(());
    }
    cuda.fresh_scratch();
    let x = cuda.single(x, length)?;
    let launch = Launch::for_each(kernel, length).run(dx).run(dy).address(x).length(length);
    cuda.launch(launch, [(dx, Element::F32)])
}

/// One thread a number of each row, in blocks of one row.
fn over_rows(kernel: Kernel, rows: usize, width: usize) -> Launch {
    const MOST_THREADS: usize = 256;
    const WARP: usize = 32;
    let threads = width.next_multiple_of(WARP).min(MOST_THREADS);
    Launch::new(kernel, [rows * width.div_ceil(threads), 1, 1], threads as u32)
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
