//! 3×3 and 1×1 convolutions over channels-last feature maps.

pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::memory::Device;

/// How the output's grid relates to the input's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// As large, with a border of zeros where the kernel reaches over the edge.
    Same,
    /// Half as large: a row and a column of zeros at the bottom and right, then stride 2, no other
    /// padding. The input's sides must be even.
    Halved,
    /// Twice as large: every input cell doubled both ways (nearest neighbour), then as `Same`.
    Doubled,
}

/// Sizes of a [`Conv2d::conv2d`].
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
    /// Side of the kernel: 3, or 1 with [`Grid::Same`].
    pub kernel: usize,
    /// The output's grid.
    pub grid: Grid,
}

/// Convolution, with bias and an optional residual.
pub trait Conv2d: Device {
    /// Floats of scratch memory that [`Conv2d::conv2d`] wants for `d`.
    fn conv2d_scratch(&self, d: Dims) -> usize;

    /// Correlates each picture with `outer` kernels.
    ///
    /// `out[y, x, o] = Σ_{i, dy, dx} input[y+dy, x+dx, i] · weight[o, i, dy, dx] + bias[o] (+ residual[y, x, o])`
    ///
    /// `x`: `batch × height × width × inner` (channels last). `weight`: `outer × inner × kernel ×
    /// kernel`, as in PyTorch. `bias`: `outer`. `out`, `residual`: `batch × out height × out width ×
    /// outer`. `scratch`: as [`Conv2d::conv2d_scratch`] says; contents unspecified before and after.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`, or the kernel is neither 1 nor 3.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn conv2d(
        &self,
        out: &mut Self::Slice,
        x: &Self::Slice,
        weight: Self::Matrix<'_>,
        bias: &Self::Slice,
        residual: Option<&Self::Slice>,
        scratch: &mut Self::Slice,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

impl Dims {
    /// Rows and columns of the output's grid.
    pub fn out_grid(self) -> (usize, usize) {
        match self.grid {
            Grid::Same => (self.height, self.width),
            Grid::Halved => (self.height / 2, self.width / 2),
            Grid::Doubled => (2 * self.height, 2 * self.width),
        }
    }

    /// Floats of the output.
    pub fn out_len(self) -> usize {
        let (height, width) = self.out_grid();
        self.batch * height * width * self.outer
    }

    /// Multiply-adds of the formula, whichever way it is computed.
    pub fn multiply_adds(self) -> u64 {
        self.out_len() as u64 * (self.inner * self.kernel * self.kernel) as u64
    }

    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub(crate) fn check(
        self,
        out: usize,
        x: usize,
        weight: usize,
        bias: usize,
        residual: Option<usize>,
    ) {
        let valid = match self.grid {
            Grid::Same => self.kernel == 1 || self.kernel == 3,
            Grid::Halved => {
                self.kernel == 3 && self.height.is_multiple_of(2) && self.width.is_multiple_of(2)
            }
            Grid::Doubled => self.kernel == 3,
        };
        assert!(valid, "conv2d: no {} × {} kernel for {:?}", self.kernel, self.kernel, self.grid);
        let taps = self.kernel * self.kernel;
        let pixels = self.batch * self.height * self.width;
        assert_eq!(x, pixels * self.inner, "conv2d: x is not batch × height × width × inner");
        assert_eq!(out, self.out_len(), "conv2d: out is not batch × height × width × outer");
        assert_eq!(
            weight,
            self.outer * self.inner * taps,
            "conv2d: weight is not outer × inner × k × k"
        );
        assert_eq!(bias, self.outer, "conv2d: bias is not outer");
        assert_eq!(residual.unwrap_or(out), out, "conv2d: residual is not as large as out");
    }
}
