//! The tiling of a Winograd convolution: groups, bands, slabs.

use super::transforms::{PRODUCTS, SIDE};
use crate::cpu::simd::LANES;
use crate::ops::conv2d::cpu::geometry::Geometry;

/// Tiles that are transformed together: a multiple of every instruction set's tile of a product.
pub(super) const GROUP: usize = 12;

/// The most tiles that a task multiplies at a time with its share of the weights.
pub(super) const BLOCK: usize = 64;

/// Output channels of a task's products at a time.
pub(super) const NC: usize = 2 * LANES;

/// The most input channels of one packed block of a product.
pub(super) const KC: usize = 160;

/// Floats of a slab's input factors (4 MiB): a part of the cache that the cores share.
pub(super) const SLAB: usize = 1 << 20;

/// Floats of the weights' factors (32 MiB) above which making them again costs less than fetching
/// them from memory.
pub(super) const KEPT: usize = 1 << 23;

/// Rows of factors are kept from lying a power of two apart, where they would push each other out
/// of the cache.
pub(super) const SKEW: usize = LANES;

/// Floats of sixteen output channels' weights for sixteen input channels.
pub(super) const NATURAL: usize = 9 * LANES * LANES;

/// How the work is cut up.
#[derive(Clone, Copy)]
pub(super) struct WinogradPlan {
    pub(super) g: Geometry,
    /// Tiles across an image.
    pub(super) across: usize,
    /// Rows of tiles of all images.
    pub(super) rows: usize,
    /// Rows of tiles of a band: a task's.
    pub(super) band: usize,
    /// Bands of a slab.
    pub(super) slab: usize,
    /// Input channels of a packed block; the last block is filled up with zeros.
    pub(super) depth: usize,
    /// Packed blocks of the input channels.
    pub(super) blocks: usize,
    /// Whether the weights' factors are made once, before everything else.
    pub(super) kept: bool,
}

impl WinogradPlan {
    pub(super) fn of(g: Geometry) -> Self {
        let [height, width] = g.out_grid;
        let (across, rows) = (width.div_ceil(SIDE), g.batch * height.div_ceil(SIDE));
        let blocks = g.inner.div_ceil(KC);
        let depth = g.inner.div_ceil(blocks).next_multiple_of(LANES);
        let kept = across * rows > BLOCK && PRODUCTS * g.inner * g.outer <= KEPT;
        let band = (BLOCK / across).clamp(1, rows.max(1));
        let groups = (band * across).div_ceil(GROUP);
        let bands = rows.div_ceil(band).max(1);
        let slab = (SLAB / (PRODUCTS * groups * GROUP * depth * blocks)).clamp(1, bands);
        Self { g, across, rows, band, slab, depth, blocks, kept }
    }

    /// Floats of scratch memory of a thread that multiplies `tiles` tiles with the weights of `columns`
    /// output channels at a time.
    pub(super) fn scratch_len(self, tiles: usize, columns: usize) -> usize {
        let input = PRODUCTS * (GROUP * self.depth + SKEW);
        let panel = PRODUCTS * (LANES * self.depth + SKEW) + NATURAL;
        input.max(panel).max(self.products_len(tiles, columns))
    }

    /// The same for the products and outputs alone.
    fn products_len(self, tiles: usize, columns: usize) -> usize {
        // Kept factors lie in pairs of panels.
        let columns = if self.kept { NC } else { columns };
        let made = if self.kept { 0 } else { PRODUCTS * (columns * self.depth + SKEW) + NATURAL };
        PRODUCTS * (tiles * columns + SKEW) + made
    }

    /// Output channels of a task: [`NC`], or one panel where the weights' factors of two are too many
    /// for `scratch` floats.
    pub(super) fn columns(self, scratch: usize) -> usize {
        if self.products_len(GROUP, NC) <= scratch { NC } else { LANES }
    }

    /// Tiles that a task multiplies at a time: [`BLOCK`], or as many groups as fit `scratch` floats.
    pub(super) fn tiles(self, columns: usize, scratch: usize) -> usize {
        let groups = |tiles: &usize| self.products_len(*tiles, columns) <= scratch;
        let fewer = (GROUP..BLOCK).step_by(GROUP).rev();
        core::iter::once(BLOCK).chain(fewer).find(groups).unwrap_or(GROUP)
    }

    /// Rows of factors of one band, or of one pair of panels of weights: the products of each block.
    pub(super) fn factor_rows(self) -> usize {
        self.blocks * PRODUCTS
    }

    /// Width of a row of a band's input factors: its tiles in whole groups, packed.
    pub(super) fn input_width(self) -> usize {
        (self.band * self.across).next_multiple_of(GROUP) * self.depth
    }

    /// Width of a row of weight factors: two packed panels.
    pub(super) fn weight_width(self) -> usize {
        NC * self.depth
    }

    /// Floats of the slab's input factors.
    pub(super) fn input_len(self) -> usize {
        self.slab * self.factor_rows() * self.input_width()
    }

    /// Floats of the weights' factors that are made before everything else.
    pub(super) fn weight_len(self) -> usize {
        let pairs = if self.kept { self.g.outer.div_ceil(NC) } else { 0 };
        pairs * self.factor_rows() * self.weight_width()
    }
}
