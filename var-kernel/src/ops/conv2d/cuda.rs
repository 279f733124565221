//! conv2d on a GPU: a product with rows gathered from the picture (implicit GEMM).

use super::{Conv2d, Dims, Grid};
use crate::cuda::command::Launch;
use crate::cuda::text::{Kernel, PRODUCT, Text};
use crate::cuda::{Card, Cuda, CudaError, Element, Matrix, Remote};
use crate::memory::Floats;

pub(crate) static TEXT: Text = Text::new("conv2d", include_str!("kernel.cu")).with(&[PRODUCT]);

/// Bytes that one access moves at most.
pub(crate) const ACCESS: u64 = 16;

/// Channels the tensor cores' tiles can be cut from.
pub(crate) const SHORT_CHANNELS: usize = 8;

/// How the output is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) kernel: &'static str,
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
    /// Bytes of shared memory.
    pub(crate) shared: usize,
}

const SINGLE_LARGE: Tile = Tile { kernel: "conv2d_128x64", pixels: 128, channels: 64, shared: 0 };
const SINGLE_SMALL: Tile = Tile { kernel: "conv2d_32x32", pixels: 32, channels: 32, shared: 0 };
const SHORT_WIDE: Tile = Tile {
    kernel: "conv2d_short_128x160",
    pixels: 128,
    channels: 160,
    shared: (128 + 160) * 128 * 3,
};
const SHORT_SMALL: Tile =
    Tile { kernel: "conv2d_short_64x64", pixels: 64, channels: 64, shared: (64 + 64) * 128 * 4 };
const SHORT_NARROW: Tile =
    Tile { kernel: "conv2d_short_128x32", pixels: 128, channels: 32, shared: (128 + 32) * 128 * 4 };

impl Tile {
    /// How many there are in `pixels` × `channels` sums.
    pub(crate) fn count(self, pixels: usize, channels: usize) -> usize {
        pixels.div_ceil(self.pixels) * channels.div_ceil(self.channels)
    }

    /// Whether there are enough to keep a GPU busy, and they fit its shared memory.
    pub(crate) fn fills(self, pixels: usize, channels: usize, card: &Card) -> bool {
        let enough = self.count(pixels, channels) >= card.multiprocessors as usize;
        enough && self.shared <= card.shared as usize
    }

    /// The best for `d` on a card.
    fn of(d: Dims, short: bool, card: &Card) -> Self {
        let fills = |tile: Self| tile.fills(d.out_len() / d.outer, d.outer, card);
        match (short, d.outer) {
            (false, ..=32) => SINGLE_SMALL,
            (false, _) if fills(SINGLE_LARGE) => SINGLE_LARGE,
            (false, _) => SINGLE_SMALL,
            (true, ..=32) => SHORT_NARROW,
            (true, _) if fills(SHORT_WIDE) => SHORT_WIDE,
            (true, _) => SHORT_SMALL,
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
        weight: Matrix<'_>,
        bias: &Remote,
        residual: Option<&Remote>,
        _scratch: &mut Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(out.len(), x.len(), weight.len(), bias.len(), residual.map(Floats::len));
        if out.is_empty() {
            return Ok(());
        }
        self.fresh_scratch();
        let short = weight.element != Element::F32 && d.inner.is_multiple_of(SHORT_CHANNELS);
        let element = if short { weight.element } else { Element::F32 };
        let from = weight.numbers.address();
        let weights = self.operand_as(from, weight.len(), weight.element, element)?;
        let x = self.operand(x, x.len(), element)?;
        let residual = match residual {
            None => 0,
            Some(residual) => self.single(residual, out.len())?,
        };
        let tile = Tile::of(d, short, self.card());
        let aligned =
            d.inner.is_multiple_of(4) && x.is_multiple_of(ACCESS) && weights.is_multiple_of(ACCESS);
        let blocks = tile.count(out.len() / d.outer, d.outer);
        let launch = Launch::new(Kernel::new(&TEXT, tile.kernel), [blocks, 1, 1], 256);
        let launch = launch.sharing(tile.shared).run(out).address(x).address(weights).run(bias);
        let launch = sizes(launch.address(residual), d).size(aligned.into());
        self.launch(launch, [(out, Element::F32)])
    }
}

/// Adds rows, height, width, inner, outer, side, grid, out height, out width.
fn sizes(launch: Launch, d: Dims) -> Launch {
    let (height, width) = d.out_grid();
    let grid = match d.grid {
        Grid::Same => 0,
        Grid::Halved => 1,
        Grid::Doubled => 2,
    };
    let launch = launch.size(d.out_len() / d.outer).size(d.height).size(d.width).size(d.inner);
    launch.size(d.outer).size(d.kernel).size(grid).size(height).size(width)
}

#[cfg(test)]
impl Cuda {
    /// As [`Conv2d::conv2d`], plainly and in `f32`.
    pub(crate) fn conv2d_naive(
        &self,
        out: &mut Remote,
        x: &Remote,
        weight: Matrix<'_>,
        bias: &Remote,
        residual: Option<&Remote>,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(out.len(), x.len(), weight.len(), bias.len(), residual.map(Floats::len));
        self.fresh_scratch();
        let from = weight.numbers.address();
        let weights = self.operand_as(from, weight.len(), weight.element, Element::F32)?;
        let x = self.single(x, x.len())?;
        let launch = Launch::for_each(Kernel::new(&TEXT, "conv2d_naive"), out.len());
        let launch = launch.run(out).address(x).address(weights).run(bias).run_or_null(residual);
        self.launch(sizes(launch, d).size(0), [(out, Element::F32)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_the_channels_and_the_card() {
        let card = |shared| Card {
            name: "a card".into(),
            capability: (9, 0),
            multiprocessors: 132,
            shared,
        };
        let of = |side, outer, short| {
            let (inner, kernel, grid) = (160, 3, Grid::Same);
            let d = Dims { batch: 1, height: side, width: side, inner, outer, kernel, grid };
            Tile::of(d, short, &card(227 << 10)).kernel
        };
        assert_eq!(of(256, 160, true), "conv2d_short_128x160");
        assert_eq!(of(16, 640, true), "conv2d_short_64x64");
        assert_eq!(of(256, 3, true), "conv2d_short_128x32");
        assert_eq!(of(256, 160, false), "conv2d_128x64");
        assert_eq!(of(16, 32, false), "conv2d_32x32");

        // Consumer GPUs have less shared memory; the remaining tiles fit it.
        let d = Dims {
            batch: 1,
            height: 256,
            width: 256,
            inner: 160,
            outer: 160,
            kernel: 3,
            grid: Grid::Same,
        };
        assert_eq!(Tile::of(d, true, &card(99 << 10)), SHORT_SMALL);
        for tile in [SINGLE_LARGE, SINGLE_SMALL, SHORT_SMALL, SHORT_NARROW] {
            assert!(tile.shared <= 99 << 10);
        }
    }
}
