//! rectangular_conv2d on a card: computed as [`crate::ops::conv2d`]'s are.

use super::{Activation, Dims, RectangularConv2d};
use crate::cuda::command::Launch;
use crate::cuda::text::{Kernel, PRODUCT, Text};
use crate::cuda::{Card, Cuda, CudaError, Element, Matrix, Remote};
use crate::memory::Floats;
use crate::ops::conv2d::cuda::{ACCESS, SHORT_CHANNELS, Tile};

pub(crate) static TEXT: Text =
    Text::new("rectangular_conv2d", include_str!("kernel.cu")).with(&[PRODUCT]);

const SINGLE_LARGE: Tile =
    Tile { kernel: "rectangular_conv2d_128x64", pixels: 128, channels: 64, shared: 0 };
const SINGLE_SMALL: Tile =
    Tile { kernel: "rectangular_conv2d_32x32", pixels: 32, channels: 32, shared: 0 };
const SHORT_WIDE: Tile = Tile {
    kernel: "rectangular_conv2d_short_128x96",
    pixels: 128,
    channels: 96,
    shared: (128 + 96) * 128 * 3,
};
const SHORT_SMALL: Tile = Tile {
    kernel: "rectangular_conv2d_short_64x64",
    pixels: 64,
    channels: 64,
    shared: (64 + 64) * 128 * 4,
};
const SHORT_NARROW: Tile = Tile {
    kernel: "rectangular_conv2d_short_128x32",
    pixels: 128,
    channels: 32,
    shared: (128 + 32) * 128 * 4,
};

/// The best tile for `pixels` × `outer` sums that fits the GPU's shared memory.
fn tile(pixels: usize, outer: usize, short: bool, card: &Card) -> Tile {
    let fills = |tile: Tile| tile.fills(pixels, outer, card);
    match (short, outer) {
        (false, 33..) if fills(SINGLE_LARGE) => SINGLE_LARGE,
        (false, _) => SINGLE_SMALL,
        (true, ..=32) => SHORT_NARROW,
        // Of 64 channels, a wide tile would waste a third.
        (true, 65..) if fills(SHORT_WIDE) => SHORT_WIDE,
        (true, _) => SHORT_SMALL,
    }
}

impl RectangularConv2d for Cuda {
    fn rectangular_conv2d_scratch(&self, _: Dims) -> usize {
        0
    }

    fn rectangular_conv2d(
        &self,
        out: &mut Remote,
        x: &Remote,
        weight: Matrix<'_>,
        bias: &Remote,
        activation: Activation,
        _scratch: &mut Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(out.len(), x.len(), weight.len(), bias.len());
        let pixels = pixels(d);
        if pixels * d.outer == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let short = weight.element != Element::F32 && d.inner.is_multiple_of(SHORT_CHANNELS);
        let element = if short { weight.element } else { Element::F32 };
        let from = weight.numbers.address();
        let weights = self.operand_as(from, weight.len(), weight.element, element)?;
        let x = self.operand(x, x.len(), element)?;
        let tile = tile(pixels, d.outer, short, self.card());
        let aligned =
            d.inner.is_multiple_of(4) && x.is_multiple_of(ACCESS) && weights.is_multiple_of(ACCESS);
        let blocks = tile.count(pixels, d.outer);
        let launch = Launch::new(Kernel::new(&TEXT, tile.kernel), [blocks, 1, 1], 256);
        let launch = launch.sharing(tile.shared).run(out).address(x).address(weights).run(bias);
        self.launch(sizes(launch, activation, d).size(aligned.into()), [(out, Element::F32)])
    }
}

/// Cells of all pictures of `out`.
fn pixels(d: Dims) -> usize {
    let [height, width] = d.out_grid();
    d.batch * height * width
}

/// Adds whether it is ReLU, rows, height, width, inner, outer, taps, side, stride, border, out height, out width, and
/// which channels of out.
fn sizes(launch: Launch, activation: Activation, d: Dims) -> Launch {
    let ([height, width], [rows, columns]) = (d.out_grid(), d.kernel);
    let launch = launch.size((activation == Activation::Relu).into()).size(pixels(d));
    let launch = launch.size(d.height).size(d.width).size(d.inner).size(d.outer);
    let launch = launch.size(rows * columns).size(columns).size(d.stride);
    let launch = launch.size(d.padding[0]).size(d.padding[1]).size(height).size(width);
    launch.size(d.into.first).size(d.into.of)
}

#[cfg(test)]
impl Cuda {
    /// As [`RectangularConv2d::rectangular_conv2d`], plainly and in `f32`.
    pub(crate) fn rectangular_conv2d_naive(
        &self,
        out: &mut Remote,
        x: &Remote,
        weight: Matrix<'_>,
        bias: &Remote,
        activation: Activation,
        d: Dims,
    ) -> Result<(), CudaError> {
        d.check(out.len(), x.len(), weight.len(), bias.len());
        self.fresh_scratch();
        let from = weight.numbers.address();
        let weights = self.operand_as(from, weight.len(), weight.element, Element::F32)?;
        let x = self.single(x, x.len())?;
        let kernel = Kernel::new(&TEXT, "rectangular_conv2d_naive");
        let launch = Launch::for_each(kernel, pixels(d) * d.outer);
        let launch = launch.run(out).address(x).address(weights).run(bias);
        self.launch(sizes(launch, activation, d).size(0), [(out, Element::F32)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_the_channels_and_the_card() {
        let of = |pixels, outer, short, shared| {
            let name = "a card".into();
            let card = Card { name, capability: (9, 0), multiprocessors: 132, shared };
            tile(pixels, outer, short, &card)
        };
        let (large, small) = (227 << 10, 99 << 10);
        assert_eq!(of(50 * 149 * 149, 32, true, large), SHORT_NARROW);
        assert_eq!(of(50 * 35 * 35, 96, true, large), SHORT_WIDE);
        assert_eq!(of(50 * 35 * 35, 64, true, large), SHORT_SMALL);
        assert_eq!(of(8 * 8, 320, true, large), SHORT_SMALL);
        assert_eq!(of(50 * 149 * 149, 32, false, large), SINGLE_SMALL);
        assert_eq!(of(50 * 35 * 35, 96, false, large), SINGLE_LARGE);
        for short in [false, true] {
            for outer in [1, 32, 64, 192, 2048] {
                assert!(of(1 << 20, outer, short, small).shared <= small as usize);
            }
        }
    }
}
