//! Gradients as half-precision numbers.

use var_kernel::cuda::{Cuda, CudaError, Dtype, Remote};
use var_kernel::memory::Floats;
use var_kernel::parts::{Kernel, Launch};

use super::source::SOURCE;

const LARGEST: Kernel = Kernel::new(&SOURCE, "largest");
const NARROW_SCALED: Kernel = Kernel::new(&SOURCE, "narrow_scaled");

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

/// `dout` as `dtype`. Half precision, which ends near 6e−8, holds it times the power of two that its
/// largest number has room for.
pub(super) fn narrowed(
    cuda: &Cuda,
    dout: &Remote,
    dtype: Dtype,
    columns: usize,
) -> Result<Narrowed, CudaError> {
    let length = dout.len();
    if dtype != Dtype::F16 || cuda.dtype_of(dout) == Dtype::F16 {
        return Ok(Narrowed { numbers: cuda.operand(dout, length, dtype)?, back: 0 });
    }
    let count = length.div_ceil(EACH).min(PARTS);
    let parts = cuda.scratch(count)?;
    let launch = Launch::new(LARGEST, [count, 1, 1], 256).address(parts).slice(dout);
    cuda.launch_to_scratch(launch.length(length))?;
    let (numbers, back) = (cuda.scratch(dtype.words(length))?, cuda.scratch(columns)?);
    let launch = Launch::for_each(NARROW_SCALED, length).address(numbers).address(back).slice(dout);
    cuda.launch_to_scratch(launch.address(parts).size(count).size(columns).length(length))?;
    Ok(Narrowed { numbers, back })
}
