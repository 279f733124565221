//! Gradients as short numbers.

use var_kernel::cuda::{Cuda, CudaError, Element, Kernel, Launch, Remote};
use var_kernel::memory::Floats;

use super::source::TEXT;

const LARGEST: Kernel = Kernel::new(&TEXT, "largest");
const NARROW_SCALED: Kernel = Kernel::new(&TEXT, "narrow_scaled");

/// Blocks that look for the largest number: each leaves one, and the next kernel has a thread for each.
const PARTS: usize = 256;

/// Numbers a block sees at least.
const EACH: usize = 1 << 12;

/// A gradient's place, and the factor of sums over it.
pub(super) struct Narrowed {
    /// The numbers.
    pub(super) numbers: u64,
    /// As many factors, all the same, as were asked for; 0 if they are 1.
    pub(super) back: u64,
}

/// `dout` as `element`. Half precision, which ends near 6e−8, holds it times the power of two that its
/// largest number has room for.
pub(super) fn narrowed(
    cuda: &Cuda,
    dout: &Remote,
    element: Element,
    columns: usize,
) -> Result<Narrowed, CudaError> {
    let length = dout.len();
    if element != Element::F16 || cuda.element_of(dout) == Element::F16 {
        return Ok(Narrowed { numbers: cuda.operand(dout, length, element)?, back: 0 });
    }
    let count = length.div_ceil(EACH).min(PARTS);
    let parts = cuda.scratch(count)?;
    let launch = Launch::new(LARGEST, [count, 1, 1], 256).address(parts).run(dout);
    cuda.launch_between(launch.length(length))?;
    let (numbers, back) = (cuda.scratch(element.words(length))?, cuda.scratch(columns)?);
    let launch = Launch::for_each(NARROW_SCALED, length).address(numbers).address(back).run(dout);
    cuda.launch_between(launch.address(parts).size(count).size(columns).length(length))?;
    Ok(Narrowed { numbers, back })
}
