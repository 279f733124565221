//! Lines of a convolution's input and output with a border of zeros, packed so that the cells of a
//! tap are a run of the input's.

use core::ops::Range;

use var_kernel::ops::conv2d::{Dims, Grid};
use var_kernel::parts::simd::{LANES, Simd};

/// Side of the kernel.
pub(super) const SIDE: usize = 3;

/// How lines are packed: those of all images one behind the other, with a line of zeros between two
/// images and a cell of zeros between two lines.
///
/// The input is one such grid or, where the output is halved, four: of the even and the odd rows' even
/// and odd cells. Its zeros come first where a tap reaches over the start, else last; the output's
/// come last.
#[derive(Clone, Copy)]
pub(super) struct Grids {
    d: Dims,
    /// Cells of a line.
    pub(super) width: usize,
    /// Lines of an image.
    height: usize,
    /// Grids of the input along one axis.
    phases: usize,
    /// How far the last tap lies from the first, in lines and in cells.
    reach: usize,
}

impl Grids {
    pub(super) fn of(d: Dims) -> Self {
        let [height, width] = d.out_grid();
        let (phases, reach) = match d.grid {
            Grid::Same | Grid::Doubled | Grid::Strided { .. } => (1, SIDE - 1),
            Grid::Halved => (2, 1),
        };
        Self { d, width: width + 1, height: height + 1, phases, reach }
    }

    /// Lines of all images.
    pub(super) fn lines(self) -> usize {
        self.d.batch * self.height
    }

    /// Cells of one grid of the input for some lines of the output.
    fn grid_len(self, lines: usize) -> usize {
        (lines + self.reach) * self.width + self.reach
    }

    /// Cells of the packed input for some lines of the output.
    pub(super) fn input_len(self, lines: usize) -> usize {
        self.phases * self.phases * self.grid_len(lines)
    }

    /// The first cell of the packed input that `tap` sees.
    pub(super) fn start(self, tap: usize, lines: usize) -> usize {
        let (down, right) = (tap / SIDE, tap % SIDE);
        let phase = down % self.phases * self.phases + right % self.phases;
        let (down, right) = (down / self.phases, right / self.phases);
        phase * self.grid_len(lines) + down * self.width + right
    }

    /// Packs the input cells of all taps of output cells in `lines` into panels of [`LANES`] of
    /// `channels`, laid out `[cell][channel]`.
    #[inline(always)]
    pub(super) fn pack_input<S: Simd>(
        self,
        s: S,
        to: &mut [f32],
        x: &[f32],
        lines: Range<usize>,
        channels: Range<usize>,
    ) {
        let Dims { height, width, inner, .. } = self.d;
        let (mut cells, _) = to.as_chunks_mut::<LANES>();
        for first in channels.step_by(LANES) {
            for phase in 0..self.phases * self.phases {
                let (down, right) = (phase / self.phases, phase % self.phases);
                let grid;
                (grid, cells) = cells.split_at_mut(self.grid_len(lines.len()));
                let (of_lines, end) = grid.split_at_mut(grid.len() - self.reach);
                end.fill([0.0; LANES]);
                for (i, line) in of_lines.chunks_exact_mut(self.width).enumerate() {
                    let (picture, y) = self.picture_and_line(lines.start + i);
                    let y = self.place(y, down, height).filter(|_| picture < self.d.batch);
                    let Some(y) = y else {
                        line.fill([0.0; LANES]);
                        continue;
                    };
                    let row = (picture * height + y) * width;
                    for (c, cell) in line.iter_mut().enumerate() {
                        match self.place(c, right, width) {
                            Some(column) => {
                                s.store(sixteen(s, x, (row + column) * inner + first), cell);
                            }
                            None => *cell = [0.0; LANES],
                        }
                    }
                }
            }
        }
    }

    /// Which cell of the input's axis of `length` the cell `i` of a grid holds; none in the border.
    #[inline(always)]
    fn place(self, i: usize, phase: usize, length: usize) -> Option<usize> {
        // In the border at the start it wraps around to a place far past the end.
        let place = match self.d.grid {
            Grid::Same | Grid::Strided { .. } => i.wrapping_sub(1),
            Grid::Doubled => i.wrapping_sub(1) >> 1,
            Grid::Halved => 2 * i + phase,
        };
        (place < length).then_some(place)
    }

    /// Packs the output's gradient in `lines` into panels of [`Simd::MR`] of
    /// `channels`, laid out `[cell][channel]`.
    #[inline(always)]
    pub(super) fn pack_output<S: Simd>(
        self,
        s: S,
        to: &mut [f32],
        dout: &[f32],
        lines: Range<usize>,
        channels: Range<usize>,
    ) {
        let outer = self.d.outer;
        let panel_len = lines.len() * self.width * S::MR;
        for (panel, first) in channels.clone().step_by(S::MR).enumerate() {
            let to = &mut to[panel * panel_len..];
            for (i, line) in lines.clone().enumerate() {
                let to = &mut to[i * self.width * S::MR..];
                let (picture, y) = self.picture_and_line(line);
                let width = if y + 1 < self.height { self.width - 1 } else { 0 };
                let row = (picture * (self.height - 1) + y) * (self.width - 1);
                for x in 0..width {
                    // Lanes past the panel's are overwritten by the next cell.
                    let from = sixteen(s, dout, (row + x) * outer + first);
                    s.store_part(from, &mut to[x * S::MR..][..LANES]);
                }
                to[width * S::MR..self.width * S::MR].fill(0.0);
            }
        }
    }

    /// Which image a line belongs to, and its number there.
    #[inline(always)]
    fn picture_and_line(self, line: usize) -> (usize, usize) {
        (line / self.height, line % self.height)
    }
}

/// Sixteen neighbors, as many as there are. Those past a cell's last channel are the next cell's:
/// they come to sums that nobody reads.
#[inline(always)]
pub(super) fn sixteen<S: Simd>(s: S, from: &[f32], start: usize) -> S::F32 {
    let start = start.min(from.len());
    s.load_or(&from[start..from.len().min(start + LANES)], 0.0)
}
