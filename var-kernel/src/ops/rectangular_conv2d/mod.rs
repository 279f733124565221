//! General convolutions: kernel of any size, any stride, zero padding, then ReLU, as Inception and VGG
//! have them. The VQVAE's own are [`super::conv2d`].

mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::memory::Device;
use crate::ops::Channels;

/// Sizes of a [`RectangularConv2d::rectangular_conv2d`].
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Pictures.
    pub batch: usize,
    /// Rows of the input's grid.
    pub height: usize,
    /// Columns of the input's grid.
    pub width: usize,
    /// Channels of the input.
    pub inner: usize,
    /// Channels of the output.
    pub outer: usize,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Cells from one place of the kernel to the next, both ways.
    pub stride: usize,
    /// Rows of zeros above and below the input, columns of zeros left and right of it.
    pub padding: [usize; 2],
    /// Which channels of a cell of `out` are written: `outer` of them.
    pub into: Channels,
}

/// Activation after the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(y, 0)`
    Relu,
}

/// Convolution with bias and activation, into some channels of a wider output.
pub trait RectangularConv2d: Device {
    /// Floats of scratch memory that [`RectangularConv2d::rectangular_conv2d`] wants for `d`.
    fn rectangular_conv2d_scratch(&self, d: Dims) -> usize;

    /// Correlates each picture with `outer` kernels.
    ///
    /// `out[y, x, o] = activation(Σ_{i, dy, dx} input[s·y+dy−p₀, s·x+dx−p₁, i] · weight[o, i, dy, dx] + bias[o])`,
    /// s the stride, p the padding, the input 0 outside its grid.
    ///
    /// `x`: `batch × height × width × inner` (channels last). `weight`: `outer × inner × kernel rows ×
    /// kernel columns`, as in PyTorch. `bias`: `outer`. `out`: `batch × out height × out width ×
    /// into.of`; only its channels from `into.first` on are written. `scratch`: as
    /// [`RectangularConv2d::rectangular_conv2d_scratch`] says; contents unspecified before and after.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`, the kernel reaches over the padded input, or the
    /// stride is 0.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn rectangular_conv2d(
        &self,
        out: &mut Self::Slice,
        x: &Self::Slice,
        weight: Self::Matrix<'_>,
        bias: &Self::Slice,
        activation: Activation,
        scratch: &mut Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

impl Dims {
    /// Rows and columns of the output's grid: `⌊(n + 2·padding − kernel) / stride⌋ + 1`.
    ///
    /// # Panics
    /// If the kernel reaches over the padded input or the stride is 0.
    #[track_caller]
    pub fn out_grid(self) -> [usize; 2] {
        let Self { height, width, kernel, stride, padding, .. } = self;
        [0, 1].map(|axis| {
            let padded = [height, width][axis] + 2 * padding[axis];
            let kernel = kernel[axis];
            assert!(
                (1..=padded).contains(&kernel) && stride > 0,
                "rectangular_conv2d: a kernel of {kernel} on {padded} cells, stride {stride}"
            );
            (padded - kernel) / stride + 1
        })
    }

    /// Floats of `out`.
    ///
    /// # Panics
    /// As [`Dims::out_grid`].
    #[track_caller]
    pub fn out_len(self) -> usize {
        let [height, width] = self.out_grid();
        self.batch * height * width * self.into.of
    }

    /// Multiply-adds of the formula, whichever way it is computed.
    pub fn multiply_adds(self) -> u64 {
        let [height, width] = self.out_grid();
        let taps = self.kernel[0] * self.kernel[1];
        (self.batch * height * width * self.outer) as u64 * (self.inner * taps) as u64
    }

    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub(crate) fn check(self, out: usize, x: usize, weight: usize, bias: usize) {
        let Self { batch, height, width, inner, outer, kernel: [rows, columns], into, .. } = self;
        into.check(outer);
        assert_eq!(
            x,
            batch * height * width * inner,
            "rectangular_conv2d: x is not batch × height × width × inner"
        );
        assert_eq!(
            out,
            self.out_len(),
            "rectangular_conv2d: out is not batch × height × width × channels"
        );
        assert_eq!(
            weight,
            outer * inner * rows * columns,
            "rectangular_conv2d: weight is not outer × inner × kernel"
        );
        assert_eq!(bias, outer, "rectangular_conv2d: bias is not outer");
    }
}
