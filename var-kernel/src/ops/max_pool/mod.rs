//! Half the side of pictures, of each 2 × 2 cells the greatest.

mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::memory::Device;

/// Sizes of a [`MaxPool::max_pool`].
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Pictures.
    pub batch: usize,
    /// Rows of the input's grid.
    pub height: usize,
    /// Columns of the input's grid.
    pub width: usize,
    /// Channels of a cell.
    pub channels: usize,
}

/// Pooling.
pub trait MaxPool: Device {
    /// `out[y, x, c]` is the greatest of `x[2y ..= 2y + 1, 2x ..= 2x + 1, c]`; an odd last row or
    /// column is left out.
    ///
    /// `x`: `batch × height × width × channels`. `out`: `batch × ⌊height/2⌋ × ⌊width/2⌋ × channels`.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn max_pool(&self, out: &mut Self::Slice, x: &Self::Slice, d: Dims) -> Result<(), Self::Error>;
}

impl Dims {
    /// Rows and columns of the output's grid.
    pub fn out_grid(self) -> (usize, usize) {
        (self.height / 2, self.width / 2)
    }

    /// Floats of the output.
    pub fn out_len(self) -> usize {
        let (height, width) = self.out_grid();
        self.batch * height * width * self.channels
    }

    /// Floats of the input.
    pub fn in_len(self) -> usize {
        self.batch * self.height * self.width * self.channels
    }

    /// Where the four cells begin that make the cell at (`y`, `x`) of picture `picture`.
    #[inline(always)]
    pub fn cells(self, picture: usize, y: usize, x: usize) -> [usize; 4] {
        let at =
            |y: usize, x: usize| ((picture * self.height + y) * self.width + x) * self.channels;
        let (y, x) = (2 * y, 2 * x);
        [at(y, x), at(y, x + 1), at(y + 1, x), at(y + 1, x + 1)]
    }

    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub fn check(self, out: usize, x: usize) {
        assert_eq!(x, self.in_len(), "max_pool: x is not batch × height × width × channels");
        assert_eq!(out, self.out_len(), "max_pool: out is not a quarter of batch × height × width");
    }
}
