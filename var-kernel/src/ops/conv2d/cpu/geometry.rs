//! A convolution as the two ways of computing it see it.

/// Sizes, and how the output's grid relates to the input's.
#[derive(Clone, Copy)]
pub(crate) struct Geometry {
    /// Images.
    pub(crate) batch: usize,
    /// Rows of the input's grid.
    pub(crate) height: usize,
    /// Columns of the input's grid.
    pub(crate) width: usize,
    /// Whether every input cell stands for two by two.
    pub(crate) doubled: bool,
    /// Channels of the input.
    pub(crate) inner: usize,
    /// Channels of the output.
    pub(crate) outer: usize,
    /// Rows and columns of the kernel.
    pub(crate) kernel: [usize; 2],
    /// Cells from one place of the kernel to the next, both ways.
    pub(crate) stride: usize,
    /// Rows of zeros above the input and columns of zeros left of it. Below and to the right there
    /// are as many as the output's grid needs.
    pub(crate) border: [usize; 2],
    /// Rows and columns of the output's grid.
    pub(crate) out_grid: [usize; 2],
}

/// Epilogue of the sums, and the layout of the outputs.
#[derive(Clone, Copy)]
pub(crate) struct OutputEpilogue<'a> {
    /// Added to each output channel.
    pub(crate) bias: &'a [f32],
    /// Added to each output, as many.
    pub(crate) residual: Option<&'a [f32]>,
    /// Whether negative outputs become 0.
    pub(crate) relu: bool,
    /// Channels that lie side by side in a cell of the output, at least `outer`.
    pub(crate) out_width: usize,
    /// Which of them is the first to be written.
    pub(crate) out_first: usize,
}

impl Geometry {
    /// Taps of the kernel.
    pub(crate) fn taps(self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Rows and columns of the grid that the kernel moves over.
    #[inline(always)]
    pub(crate) fn in_grid(self) -> [usize; 2] {
        let doubled = usize::from(self.doubled);
        [self.height << doubled, self.width << doubled]
    }

    /// Where the cell at row `y`, column `x` of image `picture` begins in the input, counted from
    /// the first row and column of the border; none in the border.
    #[inline(always)]
    pub(crate) fn cell(self, picture: usize, y: usize, x: usize) -> Option<usize> {
        let (y, x) = (y.wrapping_sub(self.border[0]), x.wrapping_sub(self.border[1]));
        let [height, width] = self.in_grid();
        if y >= height || x >= width {
            return None;
        }
        let doubled = usize::from(self.doubled);
        let row = picture * self.height + (y >> doubled);
        Some((row * self.width + (x >> doubled)) * self.inner)
    }
}
