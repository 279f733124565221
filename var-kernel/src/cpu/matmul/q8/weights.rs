//! Weights rearranged into panels on the way into the cache.

use core::ops::Range;

use half::f16;

use super::layout::{GROUPS, panel_len};
use crate::cpu::matmul::RowMajorQ8;
use crate::cpu::matrix::Q8_BLOCK;
use crate::cpu::simd::dot::{Dot, DotKernel};
use crate::cpu::simd::{LANES, Simd};

/// Packs `blocks` of `columns`, which are rows of `weight`, into panels of [`LANES`] columns laid out
/// `[block][scales, words of groups][column]`; integers past the last column are unspecified, their scales 0.
pub(super) struct PackColumns<'a> {
    pub(super) to: &'a mut [f32],
    pub(super) weight: RowMajorQ8<'a>,
    pub(super) columns: Range<usize>,
    pub(super) blocks: Range<usize>,
}

impl DotKernel for PackColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, D: Dot<S>>(self, s: S, d: D) {
        let Self { to, weight, columns, blocks } = self;
        let panels = to.chunks_exact_mut(blocks.len() * panel_len::<S, D>());
        for (panel, first) in panels.zip(columns.clone().step_by(LANES)) {
            let columns = first..columns.end.min(first + LANES);
            let (panel, _) = panel.as_chunks_mut::<LANES>();
            pack_scales(s, panel, 1 + GROUPS * D::WORDS, weight, columns.clone(), blocks.clone());
            pack_integers(s, d, panel, weight, columns, blocks.clone());
        }
    }
}

/// Two blocks of sixteen columns are a square of words.
const PAIR: usize = 2 * Q8_BLOCK;

#[inline(always)]
fn pack_integers<S: Simd, D: Dot<S>>(
    s: S,
    d: D,
    panel: &mut [[f32; LANES]],
    weight: RowMajorQ8<'_>,
    columns: Range<usize>,
    blocks: Range<usize>,
) {
    let stretch = &weight.values[blocks.start * Q8_BLOCK..];
    let length = blocks.len() * Q8_BLOCK;
    let panel = panel.chunks_mut(2 * (1 + GROUPS * D::WORDS));
    for (panel, k) in panel.zip((0..length).step_by(PAIR)) {
        let mut vectors = [s.splat(0.0); LANES];
        if columns.len() == LANES && k + PAIR <= length {
            for c in 0..LANES {
                let from = &stretch[(columns.start + c) * weight.stride + k..];
                vectors[c] = s.load_bytes(from.first_chunk().expect("two blocks"));
            }
        } else {
            for c in 0..columns.len() {
                let row = &stretch[(columns.start + c) * weight.stride..][..length];
                let mut bytes = [0; PAIR];
                let rest = &row[k..length.min(k + PAIR)];
                bytes[..rest.len()].copy_from_slice(rest);
                vectors[c] = s.load_bytes(&bytes);
            }
        }
        let vectors = s.transpose(vectors);
        for (half, block) in panel.chunks_exact_mut(1 + GROUPS * D::WORDS).enumerate() {
            for g in 0..GROUPS {
                let words = d.weights(vectors[half * GROUPS + g]);
                for w in 0..D::WORDS {
                    s.store(words[w], &mut block[1 + g * D::WORDS + w]);
                }
            }
        }
    }
}

/// The scales of each block go to the first of its `length` vectors.
#[inline(always)]
fn pack_scales<S: Simd>(
    s: S,
    panel: &mut [[f32; LANES]],
    length: usize,
    weight: RowMajorQ8<'_>,
    columns: Range<usize>,
    blocks: Range<usize>,
) {
    let stride = weight.stride / Q8_BLOCK;
    for first in (0..blocks.len()).step_by(LANES) {
        let count = LANES.min(blocks.len() - first);
        let mut vectors = [s.splat(0.0); LANES];
        for c in 0..columns.len() {
            let from = &weight.scales[(columns.start + c) * stride + blocks.start + first..];
            let mut scales = [f16::ZERO; LANES];
            vectors[c] = match from.first_chunk() {
                // Those of other blocks, and of the next row, are not stored.
                Some(whole) => s.load_f16(whole),
                None => {
                    scales[..count].copy_from_slice(&from[..count]);
                    s.load_f16(&scales)
                }
            };
        }
        let vectors = s.transpose(vectors);
        for i in 0..LANES {
            if i < count {
                s.store(vectors[i], &mut panel[(first + i) * length]);
            }
        }
    }
}
