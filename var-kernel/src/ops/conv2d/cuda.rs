//! conv2d on a GPU: a product with rows gathered from the image (implicit GEMM).

use super::{Conv2d, ConvEpilogue, Dims, Grid};
use crate::cuda::command::Launch;
use crate::cuda::kernel_source::{Kernel, KernelSource, PRODUCT};
use crate::cuda::{Cuda, CudaError, CudaMatrix, Dtype, GpuProperties, Remote};
use crate::memory::Floats;

pub(crate) static SOURCE: KernelSource =
    KernelSource::new("conv2d", include_str!("kernel.cu")).with(&[PRODUCT]);

/// Bytes that one access moves at most.
const ACCESS: u64 = 16;

/// Channels the tensor cores' tiles can be cut from.
const HALF_CHANNELS: usize = 8;

/// How the output is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ConvTile {
    kernel: &'static str,
    pixels: usize,
    channels: usize,
    /// Bytes of shared memory.
    shared: usize,
}

const F32_LARGE: ConvTile =
    ConvTile { kernel: "conv2d_128x64", pixels: 128, channels: 64, shared: 0 };
const F32_SMALL: ConvTile =
    ConvTile { kernel: "conv2d_32x32", pixels: 32, channels: 32, shared: 0 };
const HALF_WIDE: ConvTile = ConvTile {
    kernel: "conv2d_half_128x160",
    pixels: 128,
    channels: 160,
    shared: (128 + 160) * 128 * 3,
};
const HALF_WIDE_RELU: ConvTile = ConvTile {
    kernel: "conv2d_half_128x96",
    pixels: 128,
    channels: 96,
    shared: (128 + 96) * 128 * 3,
};
const HALF_SMALL: ConvTile =
    ConvTile { kernel: "conv2d_half_64x64", pixels: 64, channels: 64, shared: (64 + 64) * 128 * 4 };
const HALF_NARROW: ConvTile = ConvTile {
    kernel: "conv2d_half_128x32",
    pixels: 128,
    channels: 32,
    shared: (128 + 32) * 128 * 4,
};

impl ConvTile {
    /// How many there are in `pixels` × `channels` sums.
    fn count(self, pixels: usize, channels: usize) -> usize {
        pixels.div_ceil(self.pixels) * channels.div_ceil(self.channels)
    }

    /// Whether there are enough to keep a GPU busy, and they fit its shared memory.
    fn fills(self, pixels: usize, channels: usize, gpu: &GpuProperties) -> bool {
        let enough = self.count(pixels, channels) >= gpu.multiprocessors as usize;
        enough && self.shared <= gpu.shared as usize
    }

    /// The best for `d` on a GPU. The VQVAE's channels are multiples of 160; convolutions with ReLU are those of
    /// Inception, with multiples of 64 and 96.
    fn of(d: Dims, half: bool, relu: bool, gpu: &GpuProperties) -> Self {
        let fills = |tile: Self| tile.fills(d.out_cells(), d.outer, gpu);
        match (half, d.outer) {
            (false, 33..) if fills(F32_LARGE) => F32_LARGE,
            (false, _) => F32_SMALL,
            (true, ..=32) => HALF_NARROW,
            (true, _) if !relu && fills(HALF_WIDE) => HALF_WIDE,
            // Of 64 channels, a wide tile would waste a third.
            (true, 65..) if relu && fills(HALF_WIDE_RELU) => HALF_WIDE_RELU,
            (true, _) => HALF_SMALL,
        }
    }
}

impl Conv2d for Cuda {
    fn conv2d_scratch(&self, _: Dims) -> usize {
        0
    }

    fn conv2d(
        &self,
        out: &mut Remote,
        x: &Remote,
        weight: CudaMatrix<'_>,
        bias: &Remote,
        epilogue: ConvEpilogue<'_, Remote>,
        _scratch: &mut Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(out.len(), x.len(), weight.len(), bias.len(), epilogue);
        let (cells, relu) = (d.out_cells(), matches!(epilogue, ConvEpilogue::Relu));
        if cells * d.outer == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let half = weight.dtype != Dtype::F32 && d.inner.is_multiple_of(HALF_CHANNELS);
        let dtype = if half { weight.dtype } else { Dtype::F32 };
        let from = weight.numbers.address();
        let weights = self.operand_as(from, weight.len(), weight.dtype, dtype)?;
        let x = self.operand(x, x.len(), dtype)?;
        let residual = match epilogue.residual() {
            None => 0,
            Some(residual) => self.operand_f32(residual, residual.len())?,
        };
        let tile = ConvTile::of(d, half, relu, self.properties());
        let aligned =
            d.inner.is_multiple_of(4) && x.is_multiple_of(ACCESS) && weights.is_multiple_of(ACCESS);
        let blocks = tile.count(cells, d.outer);
        let launch = Launch::new(Kernel::new(&SOURCE, tile.kernel), [blocks, 1, 1], 256);
        let launch = launch.sharing(tile.shared).slice(out).address(x).address(weights).slice(bias);
        let launch = sizes(launch.address(residual), relu, d).size(aligned.into());
        self.launch(launch, [(out, Dtype::F32)])
    }
}

/// Adds whether it is ReLU, rows, height, width, inner, outer, taps, side, stride, border, whether it is doubled,
/// out height, out width, and which channels of out.
fn sizes(launch: Launch, relu: bool, d: Dims) -> Launch {
    let ([height, width], (stride, border)) = (d.out_grid(), d.stride_and_border());
    let launch = launch.size(relu.into()).size(d.out_cells());
    let launch = launch.size(d.height).size(d.width).size(d.inner).size(d.outer);
    let launch = launch.size(d.taps()).size(d.kernel[1]).size(stride);
    let launch = launch.size(border[0]).size(border[1]).size((d.grid == Grid::Doubled).into());
    let launch = launch.size(height).size(width);
    launch.size(d.channels().first).size(d.channels().of)
}

#[cfg(test)]
impl Cuda {
    /// As [`Conv2d::conv2d`], plainly and in `f32`.
    pub(crate) fn conv2d_naive(
        &self,
        out: &mut Remote,
        x: &Remote,
        weight: CudaMatrix<'_>,
        bias: &Remote,
        epilogue: ConvEpilogue<'_, Remote>,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(out.len(), x.len(), weight.len(), bias.len(), epilogue);
        self.fresh_scratch();
        let from = weight.numbers.address();
        let weights = self.operand_as(from, weight.len(), weight.dtype, Dtype::F32)?;
        let x = self.operand_f32(x, x.len())?;
        let kernel = Kernel::new(&SOURCE, "conv2d_naive");
        let launch = Launch::for_each(kernel, d.out_cells() * d.outer).slice(out).address(x);
        let launch = launch.address(weights).slice(bias).slice_or_null(epilogue.residual());
        let relu = matches!(epilogue, ConvEpilogue::Relu);
        self.launch(sizes(launch, relu, d).size(0), [(out, Dtype::F32)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tile for `outer` channels of a square image on a GPU of `shared` bytes of shared memory.
    fn tile(
        batch: usize,
        side: usize,
        outer: usize,
        half: bool,
        relu: bool,
        shared: u32,
    ) -> ConvTile {
        let name = "a GPU".into();
        let gpu = GpuProperties { name, capability: (9, 0), multiprocessors: 132, shared };
        let (height, width, inner, kernel) = (side, side, 160, [3; 2]);
        let (grid, into) = (Grid::Same, None);
        let d = Dims { batch, height, width, inner, outer, kernel, grid, into };
        ConvTile::of(d, half, relu, &gpu)
    }

    const LARGE: u32 = 227 << 10;

    #[test]
    fn tiles_fit_the_channels() {
        let of = |side, outer, half| tile(1, side, outer, half, false, LARGE);
        assert_eq!(of(256, 160, true), HALF_WIDE);
        assert_eq!(of(16, 640, true), HALF_SMALL);
        assert_eq!(of(256, 3, true), HALF_NARROW);
        assert_eq!(of(256, 160, false), F32_LARGE);
        assert_eq!(of(16, 32, false), F32_SMALL);
        let of = |side, outer, half| tile(50, side, outer, half, true, LARGE);
        assert_eq!(of(149, 32, true), HALF_NARROW);
        assert_eq!(of(35, 96, true), HALF_WIDE_RELU);
        assert_eq!(of(35, 64, true), HALF_SMALL);
        assert_eq!(tile(1, 8, 320, true, true, LARGE), HALF_SMALL);
        assert_eq!(of(149, 32, false), F32_SMALL);
        assert_eq!(of(35, 96, false), F32_LARGE);
    }

    /// Consumer GPUs have less shared memory; the remaining tiles fit it.
    #[test]
    fn tiles_fit_small_shared_memory() {
        let small = 99 << 10;
        assert_eq!(tile(1, 256, 160, true, false, small), HALF_SMALL);
        for (half, relu) in [(false, false), (false, true), (true, false), (true, true)] {
            for outer in [1, 32, 64, 160, 192, 2048] {
                let tile = tile(16, 256, outer, half, relu, small);
                assert!(tile.shared <= small as usize, "{tile:?}");
            }
        }
    }
}
