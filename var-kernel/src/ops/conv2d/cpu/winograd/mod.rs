//! 3×3 convolutions in a quarter of the multiplications: tiles of 4×4 outputs, Winograd's F(4×4, 3×3).
//!
//! Weights and input tiles are transformed to 36 factors each; for each of the 36, the sum over input
//! channels is a matrix product, tiles × channels · channels × outputs; then the inverse transform,
//! bias, residual. Each product is one chain over the input channels, however the work is cut.
//!
//! It is cut into bands of tile rows. Bands are transformed a slab at a time, small enough for the
//! cache that the cores share; then a task multiplies one band with some output channels' weights,
//! which it transforms itself where that is less work than fetching their factors from memory.

mod band;
mod factors;
mod transforms;

use self::band::Band;
use self::factors::{TransformInput, TransformWeights};
use self::transforms::{PRODUCTS, SIDE};
use super::geometry::{Finish, Geometry};
use super::weights::Rows;
use crate::cpu::simd::LANES;
use crate::cpu::{Cpu, Matrix};

/// Tiles that are transformed together: a multiple of every instruction set's tile of a product.
const GROUP: usize = 12;

/// Tiles that a task multiplies at a time with its share of the weights.
const BLOCK: usize = 64;

/// Output channels of a task's products at a time.
const COLUMNS: usize = 2 * LANES;

/// The most input channels of one packed block of a product.
const DEPTH: usize = 160;

/// Floats of a slab's input factors (4 MiB): a part of the cache that the cores share.
const SLAB: usize = 1 << 20;

/// Floats of the weights' factors (32 MiB) above which making them again costs less than fetching
/// them from memory.
const KEPT: usize = 1 << 23;

/// Rows of factors are kept from lying a power of two apart, where they would push each other out
/// of the cache.
const SKEW: usize = LANES;

/// Whether convolutions of these sizes are computed this way.
///
/// On a small picture the weights' transform costs more than it saves.
pub(super) fn serves(g: Geometry) -> bool {
    g.kernel == [3, 3]
        && g.stride == 1
        && g.inner.is_multiple_of(LANES)
        && g.outer.is_multiple_of(LANES)
        && g.out_grid[0] * g.out_grid[1] >= 256
}

/// How the work is cut up.
#[derive(Clone, Copy)]
struct Plan {
    g: Geometry,
    /// Tiles across a picture.
    across: usize,
    /// Rows of tiles of all pictures.
    rows: usize,
    /// Rows of tiles of a band: a task's.
    band: usize,
    /// Bands of a slab.
    slab: usize,
    /// Input channels of a packed block; the last block is filled up with zeros.
    depth: usize,
    /// Packed blocks of the input channels.
    blocks: usize,
    /// Whether the weights' factors are made once, before everything else.
    kept: bool,
}

impl Plan {
    fn of(g: Geometry) -> Self {
        let [height, width] = g.out_grid;
        let (across, rows) = (width.div_ceil(SIDE), g.batch * height.div_ceil(SIDE));
        let blocks = g.inner.div_ceil(DEPTH);
        let depth = g.inner.div_ceil(blocks).next_multiple_of(LANES);
        let kept = across * rows > BLOCK && PRODUCTS * g.inner * g.outer <= KEPT;
        let band = (BLOCK / across).clamp(1, rows.max(1));
        let groups = (band * across).div_ceil(GROUP);
        let bands = rows.div_ceil(band).max(1);
        let slab = (SLAB / (PRODUCTS * groups * GROUP * depth * blocks)).clamp(1, bands);
        Self { g, across, rows, band, slab, depth, blocks, kept }
    }

    /// Rows of factors of one band, or of one pair of panels of weights: the products of each block.
    fn factor_rows(self) -> usize {
        self.blocks * PRODUCTS
    }

    /// Width of a row of a band's input factors: its tiles in whole groups, packed.
    fn input_width(self) -> usize {
        (self.band * self.across).next_multiple_of(GROUP) * self.depth
    }

    /// Width of a row of weight factors: two packed panels.
    fn weight_width(self) -> usize {
        COLUMNS * self.depth
    }

    /// Floats of the slab's input factors.
    fn input_len(self) -> usize {
        self.slab * self.factor_rows() * self.input_width()
    }

    /// Floats of the weights' factors that are made before everything else.
    fn weight_len(self) -> usize {
        let pairs = if self.kept { self.g.outer.div_ceil(COLUMNS) } else { 0 };
        pairs * self.factor_rows() * self.weight_width()
    }
}

/// Floats of scratch memory: a slab's input factors and the weights' factors.
pub(super) fn scratch(g: Geometry) -> usize {
    let plan = Plan::of(together(g));
    plan.input_len() + plan.weight_len()
}

/// The batch computed together: all pictures, or one at a time where the last row of tiles reaches
/// over a picture's edge.
fn together(g: Geometry) -> Geometry {
    let batch = if g.out_grid[0].is_multiple_of(SIDE) { g.batch } else { g.batch.min(1) };
    Geometry { batch, ..g }
}

/// The convolution.
pub(super) fn convolve(
    cpu: Cpu<'_>,
    out: &mut [f32],
    x: &[f32],
    weight: Matrix<'_>,
    finish: Finish<'_>,
    scratch: &mut [f32],
    g: Geometry,
) {
    let (isa, plan) = (cpu.isa, Plan::of(together(g)));
    let (factors, kept) = scratch.split_at_mut(plan.input_len());
    let weight = Rows { matrix: weight, stride: 9 * g.inner };
    let (width, columns) = (plan.weight_width(), LANES * plan.depth);
    cpu.for_each_tile(kept, width, PRODUCTS, columns, |tile, scratch| {
        isa.run(TransformWeights { tile, weight, plan, scratch });
    });
    let kept = &*kept;

    let Geometry { batch, height, width, inner, outer, out_grid, .. } = plan.g;
    let cells = batch * out_grid[0] * out_grid[1];
    let of_input = x.chunks((batch * height * width * inner).max(1));
    let of_output = out.chunks_mut((cells * finish.out_width).max(1));
    for (number, (x, out)) in of_input.zip(of_output).enumerate() {
        let residual = finish.residual.map(|residual| &residual[number * cells * outer..]);
        pictures(cpu, out, x, (weight, kept), Finish { residual, ..finish }, factors, plan);
    }
}

/// The pictures that are computed together.
fn pictures(
    cpu: Cpu<'_>,
    out: &mut [f32],
    x: &[f32],
    (weight, kept): (Rows<'_>, &[f32]),
    finish: Finish<'_>,
    factors: &mut [f32],
    plan: Plan,
) {
    let (isa, g) = (cpu.isa, plan.g);
    let within = finish.out_first..finish.out_first + g.outer;
    let band_len = plan.band * SIDE * g.out_grid[1];
    let slab_len = plan.slab * band_len;
    for (number, out) in out.chunks_mut((slab_len * finish.out_width).max(1)).enumerate() {
        let first_row = number * plan.slab * plan.band;
        let (width, columns) = (plan.input_width(), GROUP * plan.depth);
        cpu.for_each_tile(factors, width, PRODUCTS, columns, |tile, scratch| {
            isa.run(TransformInput { tile, x, first_row, plan, scratch });
        });
        let factors = &*factors;
        let residual = finish.residual.map(|residual| &residual[number * slab_len * g.outer..]);
        let finish = Finish { residual, ..finish };
        let width = finish.out_width;
        cpu.for_each_tile_within(out, width, within.clone(), band_len, COLUMNS, |tile, scratch| {
            isa.run(Band { tile, factors, weight, kept, finish, plan, scratch });
        });
    }
}
