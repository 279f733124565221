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
mod plan;
pub(crate) mod transforms;

use self::band::Band;
use self::factors::{TransformInput, TransformWeights};
use self::plan::{GROUP, WinogradPlan};
use self::transforms::{PRODUCTS, SIDE};
use super::geometry::{Geometry, OutputEpilogue};
use crate::cpu::matmul::RowMajorWeights;
use crate::cpu::simd::LANES;
use crate::cpu::{Cpu, Matrix};

/// Whether convolutions of these sizes are computed this way.
///
/// On a small image the weights' transform costs more than it saves.
pub(super) fn serves(g: Geometry) -> bool {
    g.kernel == [3, 3]
        && g.stride == 1
        && g.inner.is_multiple_of(LANES)
        && g.outer.is_multiple_of(LANES)
        && g.out_grid[0] * g.out_grid[1] >= 256
}

/// Floats of scratch memory: a slab's input factors and the weights' factors.
pub(super) fn scratch(g: Geometry) -> usize {
    let plan = WinogradPlan::of(together(g));
    plan.input_len() + plan.weight_len()
}

/// Floats of scratch memory that a thread wants at least.
pub(super) fn scratch_len(g: Geometry) -> usize {
    WinogradPlan::of(together(g)).scratch_len(GROUP, LANES)
}

/// The batch computed together: all images, or one at a time where the last row of tiles reaches
/// over an image's edge.
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
    epilogue: OutputEpilogue<'_>,
    scratch: &mut [f32],
    g: Geometry,
) {
    cpu.scratch_len("conv2d", scratch_len(g));
    let (isa, plan) = (cpu.isa, WinogradPlan::of(together(g)));
    let (factors, kept) = scratch.split_at_mut(plan.input_len());
    let weight = RowMajorWeights { matrix: weight, stride: 9 * g.inner };
    let (width, columns) = (plan.weight_width(), LANES * plan.depth);
    cpu.for_each_tile(kept, width, PRODUCTS, columns, |tile, scratch| {
        isa.run(TransformWeights { tile, weight, plan, scratch });
    });
    let kept = &*kept;

    let Geometry { batch, height, width, inner, outer, out_grid, .. } = plan.g;
    let cells = batch * out_grid[0] * out_grid[1];
    let of_input = x.chunks((batch * height * width * inner).max(1));
    let of_output = out.chunks_mut((cells * epilogue.out_width).max(1));
    for (number, (x, out)) in of_input.zip(of_output).enumerate() {
        let residual = epilogue.residual.map(|residual| &residual[number * cells * outer..]);
        pictures(
            cpu,
            out,
            x,
            (weight, kept),
            OutputEpilogue { residual, ..epilogue },
            factors,
            plan,
        );
    }
}

/// The images that are computed together.
fn pictures(
    cpu: Cpu<'_>,
    out: &mut [f32],
    x: &[f32],
    (weight, kept): (RowMajorWeights<'_>, &[f32]),
    epilogue: OutputEpilogue<'_>,
    factors: &mut [f32],
    plan: WinogradPlan,
) {
    let (isa, g) = (cpu.isa, plan.g);
    let within = epilogue.out_first..epilogue.out_first + g.outer;
    let band_len = plan.band * SIDE * g.out_grid[1];
    let slab_len = plan.slab * band_len;
    for (number, out) in out.chunks_mut((slab_len * epilogue.out_width).max(1)).enumerate() {
        let first_row = number * plan.slab * plan.band;
        let (width, columns) = (plan.input_width(), GROUP * plan.depth);
        cpu.for_each_tile(factors, width, PRODUCTS, columns, |tile, scratch| {
            isa.run(TransformInput { tile, x, first_row, plan, scratch });
        });
        let factors = &*factors;
        let residual = epilogue.residual.map(|residual| &residual[number * slab_len * g.outer..]);
        let epilogue = OutputEpilogue { residual, ..epilogue };
        let width = epilogue.out_width;
        let columns = plan.columns(cpu.workers.scratch_len());
        cpu.for_each_tile_within(out, width, within.clone(), band_len, columns, |tile, scratch| {
            isa.run(Band { tile, factors, weight, kept, epilogue, plan, scratch });
        });
    }
}
