//! The gradient of a convolution's weights: a product over the pixels, cut into parts that are added
//! in order (split-k).

use var_kernel::cuda::{Cuda, CudaError, Dtype, GpuProperties, Remote};
use var_kernel::memory::Floats;
use var_kernel::ops::conv2d::{Dims, Grid};
use var_kernel::parts::{Kernel, Launch};

use super::narrow::{Narrowed, narrowed};
use super::source::SOURCE;
use super::tile::{ACCESS, ConvTile, HALF_CHANNELS};

const SINGLE: ConvTile = ConvTile { kernel: "weight_64x64", rows: 64, columns: 64, shared: 0 };
const HALF_WIDE: ConvTile = ConvTile {
    kernel: "weight_half_160x128",
    rows: 160,
    columns: 128,
    shared: (160 + 8 + 128 + 8) * 2 * 32 * 4,
};
const HALF_SMALL: ConvTile = ConvTile {
    kernel: "weight_half_64x64",
    rows: 64,
    columns: 64,
    shared: (64 + 8 + 64 + 8) * 2 * 32 * 4,
};

/// Pixels that are worth a part of their own.
const PIXELS: usize = 256;

/// Pixels of a part are a multiple of this, the depth of a tile.
const TOGETHER: usize = 32;

/// Blocks for each multiprocessor.
const BLOCKS: usize = 2;

/// How the pixels are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PixelSplit {
    count: usize,
    /// Pixels of each but the last.
    each: usize,
}

impl PixelSplit {
    /// Enough for `tiles` tiles to keep a GPU busy.
    fn of(pixels: usize, tiles: usize, gpu: &GpuProperties) -> Self {
        let blocks = BLOCKS * gpu.multiprocessors as usize;
        let count = (blocks / tiles).clamp(1, pixels.div_ceil(PIXELS));
        let each = pixels.div_ceil(count).next_multiple_of(TOGETHER);
        Self { count: pixels.div_ceil(each), each }
    }
}

/// Adds the gradient; there are pixels.
pub(super) fn add(
    cuda: &Cuda,
    dweight: &mut Remote,
    dout: &Remote,
    x: &Remote,
    d: Dims,
) -> Result<(), CudaError> {
    let (dtype, x) = operand(cuda, x, d)?;
    let dout = narrowed(cuda, dout, dtype, 1)?;
    let (pixels, columns) = (d.out_len() / d.outer, d.taps() * d.inner);
    let tile = match dtype {
        Dtype::F32 => SINGLE,
        _ if d.outer <= 96 => HALF_SMALL,
        _ => HALF_WIDE,
    };
    let tiles = tile.count(d.outer, columns);
    let parts = PixelSplit::of(pixels, tiles, cuda.properties());
    let between = cuda.scratch(parts.count * dweight.len())?;
    let launch = Launch::new(Kernel::new(&SOURCE, tile.kernel), [tiles, parts.count, 1], 256);
    let launch = launch.sharing(tile.shared).address(between).address(dout.numbers).address(x);
    let launch = launch.size(pixels).size(parts.each);
    cuda.launch_to_scratch(sizes(launch, &dout, x, d))?;
    let length = dweight.len();
    let launch = Launch::for_each(Kernel::new(&SOURCE, "add_parts"), length).slice(dweight);
    let launch = launch.address(between).address(dout.back).size(parts.count).length(length);
    cuda.launch(launch, [(dweight, Dtype::F32)])
}

/// Format of the products, and the address of x in it.
fn operand(cuda: &Cuda, x: &Remote, d: Dims) -> Result<(Dtype, u64), CudaError> {
    let half = [d.inner, d.outer].iter().all(|channels| channels.is_multiple_of(HALF_CHANNELS));
    if half && cuda.inner() != Dtype::F32 {
        let numbers = cuda.operand(x, x.len(), cuda.inner())?;
        if numbers.is_multiple_of(ACCESS) {
            return Ok((cuda.inner(), numbers));
        }
    }
    Ok((Dtype::F32, cuda.operand_f32(x, x.len())?))
}

/// Adds height, width, inner, outer, side, grid, out height, out width, and whether the operands' rows
/// are whole accesses.
fn sizes(launch: Launch, dout: &Narrowed, x: u64, d: Dims) -> Launch {
    let [height, width] = d.out_grid();
    let grid = match d.grid {
        Grid::Same => 0,
        Grid::Halved => 1,
        Grid::Doubled => 2,
        Grid::Strided { .. } => unreachable!("refused by `check`"),
    };
    let aligned = |channels: usize, address: u64| {
        usize::from(channels.is_multiple_of(4) && address.is_multiple_of(ACCESS))
    };
    let launch = launch.size(d.height).size(d.width).size(d.inner).size(d.outer);
    let launch = launch.size(d.kernel[1]).size(grid).size(height).size(width);
    launch.size(aligned(d.outer, dout.numbers)).size(aligned(d.inner, x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_all_pixels() {
        let name = "a GPU".into();
        let gpu =
            GpuProperties { name, capability: (9, 0), multiprocessors: 132, shared: 227 << 10 };
        for pixels in [1, 31, 32, 33, 257, 4096, 65_537, 1 << 20] {
            for tiles in [1, 12, 180, 1000] {
                let PixelSplit { count, each } = PixelSplit::of(pixels, tiles, &gpu);
                assert!(each.is_multiple_of(TOGETHER));
                assert!((count - 1) * each < pixels && pixels <= count * each);
                assert!(count == 1 || count * tiles <= BLOCKS * 132, "{count} × {tiles}");
            }
        }
    }
}
