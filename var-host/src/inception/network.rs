//! The forward pass.

use core::cell::Cell;

use var_kernel::arena::Arena;
use var_kernel::cpu::{Cpu, Matrix};
use var_kernel::dry::{Dry, DryMatrix, Lengths};
use var_kernel::memory::{Device, Floats};
use var_kernel::ops::conv2d::{self, Conv2d, Grid};
use var_kernel::ops::linear::{self, Epilogue};
use var_kernel::ops::pool;
use var_kernel::ops::{Backend, Channels, Linear, Pool};

use super::layout::{Branch, Conv, InceptionBlock, Pooling, SPATIAL_BLOCK};
use super::{CLASSES, Inception, POOLED, SIDE, SPATIAL_CHANNELS};

/// Features of images, a row for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InceptionFeatures {
    /// Rows of [`POOLED`]: the mean over the last map.
    pub pooled: Vec<f32>,
    /// Rows of [`SPATIAL`](super::SPATIAL): the first seven channels of `Mixed_6d`, row by row, channels together.
    pub spatial: Vec<f32>,
    /// Rows of [`CLASSES`]: the pooled features times the last layer, without its bias.
    pub logits: Vec<f32>,
}

/// Operations of the network.
pub(super) trait InceptionOps: Conv2d + Pool + Linear {}

impl<B: Conv2d + Pool + Linear> InceptionOps for B {}

/// The network's weights on a device.
pub(super) trait FoldedWeights<B: Device> {
    /// Weight and bias of a convolution.
    fn conv(&self, conv: &Conv) -> (B::Matrix<'_>, &B::Slice);

    /// The last layer's weight.
    fn logits(&self) -> B::Matrix<'_>;
}

impl FoldedWeights<Cpu<'_>> for Inception {
    fn conv(&self, conv: &Conv) -> (Matrix<'_>, &[f32]) {
        let folded = self.conv(&conv.name);
        (Matrix::F32(&folded.weight), &folded.bias)
    }

    fn logits(&self) -> Matrix<'_> {
        Matrix::F32(self.logits())
    }
}

/// Weights without numbers, for a dry run.
struct DryWeights;

impl<B> FoldedWeights<Dry<'_, B>> for DryWeights
where
    for<'b> Dry<'b, B>: Device<Slice = [()]>,
    for<'a, 'b> Dry<'b, B>: Device<Matrix<'a> = DryMatrix>,
{
    fn conv(&self, conv: &Conv) -> (DryMatrix, &[()]) {
        static ALL: Lengths = [(); usize::MAX];
        let [rows, columns] = conv.kernel;
        (DryMatrix(conv.outer * conv.inner * rows * columns), &ALL[..conv.outer])
    }

    fn logits(&self) -> DryMatrix {
        DryMatrix(CLASSES * POOLED)
    }
}

/// Appends the spatial features of a map's images.
pub(super) fn look(spatial: &mut Vec<f32>, map: &[f32], channels: usize) {
    let cells = map.chunks_exact(channels);
    spatial.extend(cells.flat_map(|cell| &cell[..SPATIAL_CHANNELS]));
}

/// Floats of working memory for so many images, besides the images.
pub(super) fn floats<B: Backend + InceptionOps>(
    b: &B,
    blocks: &[InceptionBlock],
    pictures: usize,
) -> usize {
    let dry = Dry::new(b);
    let (mut lengths, peak): (Lengths, _) = ([(); usize::MAX], Cell::new(0));
    let mut arena = Arena::measured(&mut lengths[..], &peak);
    let (mut pooled, mut logits, input): (Lengths, Lengths, Lengths) =
        ([(); usize::MAX], [(); usize::MAX], [(); usize::MAX]);
    let out = [&mut pooled[..pictures * POOLED], &mut logits[..pictures * CLASSES]];
    let input = &input[..pictures * SIDE * SIDE * 3];
    let Ok(()) =
        forward(&dry, blocks, &DryWeights, out, input, pictures, &mut arena, &mut |_, _| Ok(()));
    peak.get()
}

/// Sees a map and how many channels it has.
type BlockVisitor<'a, B> =
    dyn FnMut(&<B as Device>::Slice, usize) -> Result<(), <B as Device>::Error> + 'a;

/// Images → pooled features and logits; `look` sees the map of the spatial features and how many
/// channels it has.
pub(super) fn forward<B: InceptionOps>(
    b: &B,
    blocks: &[InceptionBlock],
    weights: &impl FoldedWeights<B>,
    [pooled, logits]: [&mut B::Slice; 2],
    x: &B::Slice,
    pictures: usize,
    arena: &mut Arena<'_, B::Slice>,
    look: &mut BlockVisitor<'_, B>,
) -> Result<(), B::Error> {
    let mut arena = arena.scope();
    // Of each block's input and output one is read, one written, in turn.
    let (mut grid, mut longest) = ([SIDE; 2], 0);
    for block in blocks {
        grid = block.out_grid(grid, pictures);
        longest = longest.max(pictures * grid[0] * grid[1] * block.outer());
    }
    let (mut read, mut written) = (arena.take(longest), arena.take(longest));
    let mut grid = [SIDE; 2];
    for (number, block) in blocks.iter().enumerate() {
        let input = pictures * grid[0] * grid[1] * block.inner;
        let out_grid = block.out_grid(grid, pictures);
        let output = pictures * out_grid[0] * out_grid[1] * block.outer();
        let input = if number == 0 { x } else { read.range(0..input) };
        let out = written.range_mut(0..output);
        let mut first = 0;
        for branch in &block.branches {
            let place =
                BranchInput { pictures, grid, inner: block.inner, first, of: block.outer() };
            branch.forward(b, weights, out, input, place, arena.scope())?;
            first += branch.outer(block.inner);
        }
        if block.name == SPATIAL_BLOCK {
            look(out, block.outer())?;
        }
        (read, written, grid) = (written, read, out_grid);
    }
    let d = pool::Dims {
        batch: pictures,
        height: grid[0],
        width: grid[1],
        channels: POOLED,
        kernel: grid[0],
        stride: 1,
        padding: 0,
        into: Channels::all(POOLED),
    };
    b.pool(
        pooled,
        read.range(0..pictures * grid[0] * grid[1] * POOLED),
        pool::Pooling::Average,
        d,
    )?;
    let d = linear::Dims { rows: pictures, inner: POOLED, outer: CLASSES };
    b.linear(logits, pooled, weights.logits(), None, Epilogue::None, d)
}

/// Input and output of a branch.
#[derive(Clone, Copy)]
struct BranchInput {
    pictures: usize,
    grid: [usize; 2],
    /// Channels of the block's input.
    inner: usize,
    /// The first of the branch's channels in the block's output.
    first: usize,
    /// Channels of the block's output.
    of: usize,
}

impl InceptionBlock {
    /// Rows and columns of the output.
    fn out_grid(&self, grid: [usize; 2], pictures: usize) -> [usize; 2] {
        let branch = &self.branches[0];
        let all = Channels::all(self.inner);
        let mut grid = match branch.pooling {
            Some(pooling) => pooling.dims(pictures, grid, self.inner, all).out_grid(),
            None => grid,
        };
        for conv in branch.chain.iter().chain(branch.ends.first()) {
            grid = conv.dims(pictures, grid, Channels::all(conv.outer)).out_grid();
        }
        grid
    }
}

impl Branch {
    fn forward<B: InceptionOps>(
        &self,
        b: &B,
        weights: &impl FoldedWeights<B>,
        out: &mut B::Slice,
        x: &B::Slice,
        place: BranchInput,
        mut arena: Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let BranchInput { pictures, mut grid, inner, mut first, of } = place;
        let mut read = x;
        if let Some(pooling) = self.pooling {
            if self.ends.is_empty() {
                let d = pooling.dims(pictures, grid, inner, Channels { first, of });
                return pooling.forward(b, out, x, d);
            }
            let d = pooling.dims(pictures, grid, inner, Channels::all(inner));
            let pooled = arena.take(d.out_len());
            pooling.forward(b, pooled, x, d)?;
            (read, grid) = (pooled, d.out_grid());
        }
        for conv in &self.chain {
            let d = conv.dims(pictures, grid, Channels::all(conv.outer));
            let to = arena.take(d.out_len());
            conv.forward(b, weights, to, read, arena.scope(), d)?;
            (read, grid) = (to, d.out_grid());
        }
        for conv in &self.ends {
            let d = conv.dims(pictures, grid, Channels { first, of });
            conv.forward(b, weights, out, read, arena.scope(), d)?;
            first += conv.outer;
        }
        Ok(())
    }
}

impl Conv {
    fn dims(&self, batch: usize, grid: [usize; 2], into: Channels) -> conv2d::Dims {
        let Self { inner, outer, kernel, stride, padding, .. } = *self;
        let [height, width] = grid;
        conv2d::Dims {
            batch,
            height,
            width,
            inner,
            outer,
            kernel,
            grid: Grid::Strided { stride, padding },
            into: Some(into),
        }
    }

    fn forward<B: InceptionOps>(
        &self,
        b: &B,
        weights: &impl FoldedWeights<B>,
        out: &mut B::Slice,
        x: &B::Slice,
        arena: Arena<'_, B::Slice>,
        d: conv2d::Dims,
    ) -> Result<(), B::Error> {
        let (weight, bias) = weights.conv(self);
        let scratch = arena.into_scratch(b.conv2d_scratch(d));
        b.conv2d(out, x, weight, bias, conv2d::ConvEpilogue::Relu, scratch, d)
    }
}

impl Pooling {
    fn dims(
        self,
        batch: usize,
        [height, width]: [usize; 2],
        channels: usize,
        into: Channels,
    ) -> pool::Dims {
        let (stride, padding) = match self {
            Self::Average | Self::Max => (1, 1),
            Self::Halving => (2, 0),
        };
        pool::Dims { batch, height, width, channels, kernel: 3, stride, padding, into }
    }

    fn forward<B: Pool>(
        self,
        b: &B,
        out: &mut B::Slice,
        x: &B::Slice,
        d: pool::Dims,
    ) -> Result<(), B::Error> {
        match self {
            Self::Average => b.pool(out, x, pool::Pooling::Average, d),
            Self::Max | Self::Halving => b.pool(out, x, pool::Pooling::Max, d),
        }
    }
}
