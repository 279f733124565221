//! Two-dimensional convolution over channels-last feature maps, with bias, residual or ReLU.

pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
#[cfg(test)]
mod tests;

use crate::memory::{Device, Floats};
use crate::ops::Channels;

/// How the output's grid relates to the input's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// As large, with a border of zeros where the kernel, 1 × 1 or 3 × 3, reaches over the edge.
    Same,
    /// Half as large: a row and a column of zeros at the bottom and right, then stride 2 and a 3 × 3 kernel, no
    /// other padding. The input's sides must be even.
    Halved,
    /// Twice as large: nearest-neighbor upsampling, then a 3 × 3 kernel as for `Same`.
    Doubled,
    /// Any kernel, stride and zero padding: `⌊(n + 2·padding − kernel) / stride⌋ + 1` cells along an axis.
    Strided {
        /// Cells from one place of the kernel to the next, both ways.
        stride: usize,
        /// Rows of zeros above and below the input, columns of zeros left and right of it.
        padding: [usize; 2],
    },
}

/// Sizes of a [`Conv2d::conv2d`].
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Images.
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
    /// The output's grid.
    pub grid: Grid,
    /// Which channels of a cell of `out` are written, `outer` of them; a cell has no others if none.
    pub into: Option<Channels>,
}

/// Activation after the sum and its bias.
#[derive(Debug)]
pub enum ConvEpilogue<'a, S: ?Sized> {
    /// Nothing.
    None,
    /// `+ residual[y, x, o]`: `batch × out height × out width × outer`.
    Residual(&'a S),
    /// `max(y, 0)`
    Relu,
}

// Derived, it would want the slice itself to be `Copy`.
impl<S: ?Sized> Clone for ConvEpilogue<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ?Sized> Copy for ConvEpilogue<'_, S> {}

impl<'a, S: ?Sized> ConvEpilogue<'a, S> {
    /// The addition of a residual, if there is one.
    pub fn adding(residual: Option<&'a S>) -> Self {
        residual.map_or(Self::None, Self::Residual)
    }

    /// The residual, if there is one.
    pub fn residual(self) -> Option<&'a S> {
        if let Self::Residual(residual) = self { Some(residual) } else { None }
    }
}

/// Convolution with bias and epilogue.
pub trait Conv2d: Device {
    /// Floats of scratch memory that [`Conv2d::conv2d`] wants for `d`.
    fn conv2d_scratch(&self, d: Dims) -> usize;

    /// Correlates each image with `outer` kernels.
    ///
    /// `out[y, x, o] = epilogue(Σ_{i, dy, dx} input[s·y+dy−p₀, s·x+dx−p₁, i] · weight[o, i, dy, dx] + bias[o])`,
    /// s the stride, p the padding, the input 0 outside its grid.
    ///
    /// `x`: `batch × height × width × inner` (channels last). `weight`: `outer × inner × kernel rows ×
    /// kernel columns`, as in PyTorch. `bias`: `outer`. `out`: `batch × out height × out width × outer`, or
    /// of wider cells (`into`), of which the other channels stay as they are. `scratch`: as
    /// [`Conv2d::conv2d_scratch`] says; contents unspecified before and after.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`, the grid has no such kernel, or the kernel reaches over the padded
    /// input.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn conv2d(
        &self,
        out: &mut Self::Slice,
        x: &Self::Slice,
        weight: Self::Matrix<'_>,
        bias: &Self::Slice,
        epilogue: ConvEpilogue<'_, Self::Slice>,
        scratch: &mut Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

impl Dims {
    /// Rows and columns of the output's grid.
    ///
    /// # Panics
    /// If the kernel of a [`Grid::Strided`] reaches over the padded input or the stride is 0.
    #[track_caller]
    pub fn out_grid(self) -> [usize; 2] {
        match self.grid {
            Grid::Same => [self.height, self.width],
            Grid::Halved => [self.height / 2, self.width / 2],
            Grid::Doubled => [2 * self.height, 2 * self.width],
            Grid::Strided { stride, padding } => [0, 1].map(|axis| {
                let padded = [self.height, self.width][axis] + 2 * padding[axis];
                let kernel = self.kernel[axis];
                assert!(
                    (1..=padded).contains(&kernel) && stride > 0,
                    "conv2d: a kernel of {kernel} on {padded} cells, stride {stride}"
                );
                (padded - kernel) / stride + 1
            }),
        }
    }

    /// Cells of the input between two places of the kernel, and of zeros above and left of the input.
    pub(crate) fn stride_and_border(self) -> (usize, [usize; 2]) {
        match self.grid {
            Grid::Same | Grid::Doubled => (1, self.kernel.map(|side| side / 2)),
            Grid::Halved => (2, [0, 0]),
            Grid::Strided { stride, padding } => (stride, padding),
        }
    }

    /// Taps of the kernel.
    pub fn taps(self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Cells of the outputs of all images.
    #[track_caller]
    pub fn out_cells(self) -> usize {
        let [height, width] = self.out_grid();
        self.batch * height * width
    }

    /// The channels of a cell of `out`.
    pub(crate) fn channels(self) -> Channels {
        self.into.unwrap_or(Channels::all(self.outer))
    }

    /// Floats of `out`.
    #[track_caller]
    pub fn out_len(self) -> usize {
        self.out_cells() * self.channels().of
    }

    /// Multiply-adds of the formula, whichever way it is computed.
    pub fn multiply_adds(self) -> u64 {
        (self.out_cells() * self.outer) as u64 * (self.inner * self.taps()) as u64
    }

    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub(crate) fn check<S: Floats + ?Sized>(
        self,
        out: usize,
        x: usize,
        weight: usize,
        bias: usize,
        epilogue: ConvEpilogue<'_, S>,
    ) {
        let Self { kernel: [rows, columns], .. } = self;
        let valid = match self.grid {
            Grid::Same => rows == columns && (rows == 1 || rows == 3),
            Grid::Halved => {
                self.kernel == [3, 3]
                    && self.height.is_multiple_of(2)
                    && self.width.is_multiple_of(2)
            }
            Grid::Doubled => self.kernel == [3, 3],
            Grid::Strided { .. } => true,
        };
        assert!(valid, "conv2d: no {rows} × {columns} kernel for {:?}", self.grid);
        self.channels().check(self.outer);
        let pixels = self.batch * self.height * self.width;
        assert_eq!(x, pixels * self.inner, "conv2d: x is not batch × height × width × inner");
        assert_eq!(out, self.out_len(), "conv2d: out is not batch × height × width × channels");
        assert_eq!(
            weight,
            self.outer * self.inner * self.taps(),
            "conv2d: weight is not outer × inner × kernel"
        );
        assert_eq!(bias, self.outer, "conv2d: bias is not outer");
        if let ConvEpilogue::Residual(residual) = epilogue {
            let wanted = self.out_cells() * self.outer;
            assert_eq!(residual.len(), wanted, "conv2d: residual is not as large as the output");
        }
    }
}
