//! The gradient of a convolution's input: a convolution of the output's gradient, its weights turned
//! around, inner and outer channels exchanged.
//!
//! A doubled input's cell is seen through four cells with overlapping neighborhoods: with the weights of
//! the same neighbor added up, it sees 4 × 4 of them. A halved output's cells saw an even row through
//! two rows of the kernel and an odd one through one: four convolutions, one for each parity.

use var_kernel::cuda::{Cuda, CudaError, CudaMatrix, Dtype, GpuProperties, Remote};
use var_kernel::ops::conv2d::{Dims, Grid};
use var_kernel::parts::{Kernel, Launch};

use super::narrow::{Narrowed, narrowed};
use super::source::SOURCE;
use super::tile::{ACCESS, ConvTile, HALF_CHANNELS};

const F32_LARGE: ConvTile = ConvTile { kernel: "input_128x64", rows: 128, columns: 64, shared: 0 };
const F32_SMALL: ConvTile = ConvTile { kernel: "input_32x32", rows: 32, columns: 32, shared: 0 };
const HALF_WIDE: ConvTile = ConvTile {
    kernel: "input_half_128x160",
    rows: 128,
    columns: 160,
    shared: (128 + 160) * 128 * 3,
};
const HALF_SMALL: ConvTile =
    ConvTile { kernel: "input_half_64x64", rows: 64, columns: 64, shared: (64 + 64) * 128 * 4 };
const HALF_NARROW: ConvTile =
    ConvTile { kernel: "input_half_128x32", rows: 128, columns: 32, shared: (128 + 32) * 128 * 4 };

/// Sides of a tile of channels that a block turns.
const TURNED: usize = 32;

/// Along one axis: the cells of the output's gradient under one convolution.
#[derive(Clone, Copy)]
struct Axis {
    /// Neighbors seen.
    taps: usize,
    /// The kernel's tap that the first of them saw the cell by; the next ones `step` before it each.
    start: usize,
    step: usize,
    /// How far before the cell's own place the first lies.
    border: usize,
    /// The first of the input's cells that are such.
    first: usize,
}

/// A convolution of the output's gradient.
#[derive(Clone, Copy)]
struct InputGradientPass {
    /// Rows, columns.
    axes: [Axis; 2],
    /// Cells of the output's gradient from one of its places to the next.
    stride: usize,
    /// Cells of the input from one of its cells to the next.
    every: usize,
    /// Whether taps are added up.
    doubled: bool,
}

/// The convolutions that give the gradient.
fn passes(d: Dims) -> Vec<InputGradientPass> {
    let alone =
        |axis, stride, doubled| InputGradientPass { axes: [axis; 2], stride, every: 1, doubled };
    match d.grid {
        Grid::Same => {
            let (taps, border) = (d.kernel[0], d.kernel[0] / 2);
            let axis = Axis { taps, start: taps - 1, step: 1, border, first: 0 };
            vec![alone(axis, 1, false)]
        }
        Grid::Doubled => {
            let axis = Axis { taps: 4, start: 0, step: 0, border: 1, first: 0 };
            vec![alone(axis, 2, true)]
        }
        Grid::Halved => {
            let even = Axis { taps: 2, start: 2, step: 2, border: 1, first: 0 };
            let odd = Axis { taps: 1, start: 1, step: 0, border: 0, first: 1 };
            let axes = [[even, even], [even, odd], [odd, even], [odd, odd]];
            axes.map(|axes| InputGradientPass { axes, stride: 1, every: 2, doubled: false })
                .to_vec()
        }
        Grid::Strided { .. } => unreachable!("refused by `check`"),
    }
}

/// The best tile for `rows` × `inner` sums on a GPU.
fn tile(rows: usize, inner: usize, half: bool, gpu: &GpuProperties) -> ConvTile {
    let fills = |tile: ConvTile| tile.fills(rows, inner, gpu);
    match (half, inner) {
        (false, 33..) if fills(F32_LARGE) => F32_LARGE,
        (false, _) => F32_SMALL,
        (true, ..=32) => HALF_NARROW,
        (true, _) if fills(HALF_WIDE) => HALF_WIDE,
        (true, _) => HALF_SMALL,
    }
}

/// Adds the gradient; neither run is empty.
pub(super) fn add(
    cuda: &Cuda,
    dx: &mut Remote,
    dout: &Remote,
    weight: CudaMatrix<'_>,
    d: Dims,
) -> Result<(), CudaError> {
    let half = weight.dtype() != Dtype::F32 && d.outer.is_multiple_of(HALF_CHANNELS);
    let dtype = if half { weight.dtype() } else { Dtype::F32 };
    let dout = narrowed(cuda, dout, dtype, d.inner)?;
    for pass in passes(d) {
        let weights = turned(cuda, weight, dtype, pass, d)?;
        convolve(cuda, dx, &dout, weights, half, pass, d)?;
    }
    Ok(())
}

/// Where the weights are, turned around for a pass: `inner × taps × outer` of `dtype`.
fn turned(
    cuda: &Cuda,
    weight: CudaMatrix<'_>,
    dtype: Dtype,
    pass: InputGradientPass,
    d: Dims,
) -> Result<u64, CudaError> {
    let name = match (weight.dtype(), dtype) {
        (Dtype::F32, _) => "turn",
        (_, Dtype::F32) => "turn_widened",
        _ => "turn_half",
    };
    let [rows, columns] = pass.axes;
    let taps = rows.taps * columns.taps;
    let to = cuda.scratch(dtype.words(d.inner * taps * d.outer))?;
    let tiles = d.inner.div_ceil(TURNED) * d.outer.div_ceil(TURNED);
    let launch = Launch::new(Kernel::new(&SOURCE, name), [tiles, taps, 1], 256);
    let launch = launch.address(to).address(weight.address()).size(d.inner).size(d.outer);
    let launch = launch.size(d.kernel[1]).size(columns.taps).size(rows.start).size(rows.step);
    let launch = launch.size(columns.start).size(columns.step).size(pass.doubled.into());
    cuda.launch_to_scratch(launch)?;
    Ok(to)
}

/// One convolution, added to the cells of `dx` it is for.
fn convolve(
    cuda: &Cuda,
    dx: &mut Remote,
    dout: &Narrowed,
    weights: u64,
    half: bool,
    pass: InputGradientPass,
    d: Dims,
) -> Result<(), CudaError> {
    let (height, width) = (d.height / pass.every, d.width / pass.every);
    let ([rows, columns], [out_height, out_width]) = (pass.axes, d.out_grid());
    let cells = d.batch * height * width;
    let tile = tile(cells, d.inner, half, cuda.properties());
    let aligned = d.outer.is_multiple_of(4) && dout.numbers.is_multiple_of(ACCESS);
    let blocks = tile.count(cells, d.inner);
    let launch = Launch::new(Kernel::new(&SOURCE, tile.kernel), [blocks, 1, 1], 256);
    let launch = launch.sharing(tile.shared).slice(dx).address(dout.numbers).address(weights);
    let launch = launch.address(dout.back).size(cells).size(out_height).size(out_width);
    let launch = launch.size(d.outer).size(d.inner).size(rows.taps * columns.taps);
    let launch = launch.size(columns.taps).size(pass.stride).size(rows.border);
    let launch = launch.size(columns.border).size(height).size(width).size(pass.every);
    let launch = launch.size(rows.first).size(columns.first).size(aligned.into());
    cuda.launch(launch, [(dx, Dtype::F32)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Along an axis of an input: which output cells saw each cell, and by which of the kernel's taps.
    fn seen(grid: Grid, cells: usize, kernel: usize) -> Vec<Vec<(usize, usize)>> {
        let (kernel, into) = ([kernel; 2], None);
        let (height, width) = (cells, cells);
        let d = Dims { batch: 1, height, width, inner: 1, outer: 1, kernel, grid, into };
        let [kernel, _] = kernel;
        let [out, _] = d.out_grid();
        let mut seen = vec![Vec::new(); cells];
        for (v, tap) in (0..out).flat_map(|v| (0..kernel).map(move |tap| (v, tap))) {
            let place = match grid {
                Grid::Halved => 2 * v + tap,
                _ => (v + tap).wrapping_sub(kernel / 2),
            };
            let place = if grid == Grid::Doubled && place < out { place / 2 } else { place };
            if let Some(seen) = seen.get_mut(place) {
                seen.push((v, tap));
            }
        }
        seen
    }

    #[test]
    fn passes_see_what_saw_the_cell() {
        for (grid, kernel) in
            [(Grid::Same, 1), (Grid::Same, 3), (Grid::Doubled, 3), (Grid::Halved, 3)]
        {
            let cells = 6;
            let (batch, inner, outer) = (1, 1, 1);
            let (height, width, into) = (cells, cells, None);
            let d = Dims { batch, height, width, inner, outer, kernel: [kernel; 2], grid, into };
            let [out, _] = d.out_grid();
            let mut got = vec![Vec::new(); cells];
            for InputGradientPass { axes: [axis, _], stride, every, doubled } in
                passes(d).into_iter().step_by(
                    // Of the four of a halved grid, the two that differ in rows.
                    if grid == Grid::Halved { 2 } else { 1 },
                )
            {
                for (place, neighbor) in
                    (0..cells / every).flat_map(|place| (0..axis.taps).map(move |n| (place, n)))
                {
                    let v = (place * stride + neighbor).wrapping_sub(axis.border);
                    let taps = match doubled {
                        true => 2_usize.saturating_sub(neighbor)..=(3 - neighbor).min(2),
                        false => {
                            let tap = axis.start - axis.step * neighbor;
                            tap..=tap
                        }
                    };
                    if v < out {
                        got[place * every + axis.first].extend(taps.map(|tap| (v, tap)));
                    }
                }
            }
            got.iter_mut().for_each(|seen| seen.sort_unstable());
            assert_eq!(got, seen(grid, cells, kernel), "{grid:?} {kernel}");
        }
    }
}
