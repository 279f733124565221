//! Rearranging operands into panels on the way into the cache.

use core::ops::Range;

use half::{bf16, f16};

use crate::cpu::matrix::{Matrix, Q8_BLOCK};
use crate::cpu::simd::{LANES, Simd};

/// Rows of numbers that can be read sixteen neighbors at a time, widened to `f32`.
pub trait LoadElements {
    /// `length` ≤ 16 neighbors in row `row` from `column` on; zeros in the lanes after them.
    fn load<S: Simd>(&self, s: S, row: usize, column: usize, length: usize) -> S::F32;

    /// Prefetches the number in row `row` at `column` and its neighbors, if there is one.
    #[inline(always)]
    fn prefetch<S: Simd>(&self, _s: S, _row: usize, _column: usize) {}
}

/// A stored number format.
pub trait StoredElement: Copy {
    /// Sixteen neighbors, widened exactly.
    fn load<S: Simd>(s: S, from: &[Self; LANES]) -> S::F32;

    /// One number, widened exactly.
    fn widen(self) -> f32;
}

impl StoredElement for f32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[f32; LANES]) -> S::F32 {
        s.load(from)
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

impl StoredElement for f16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[f16; LANES]) -> S::F32 {
        s.load_f16(from)
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }
}

impl StoredElement for bf16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[bf16; LANES]) -> S::F32 {
        s.load_bf16(from)
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self.to_f32()
    }
}

/// A row-major matrix, or part of one.
#[derive(Clone, Copy)]
pub struct RowMajor<'a, T> {
    /// The numbers.
    pub values: &'a [T],
    /// From the start of a row to the start of the next.
    pub stride: usize,
}

impl<T: StoredElement> LoadElements for RowMajor<'_, T> {
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, row: usize, column: usize, length: usize) -> S::F32 {
        let from = &self.values[row * self.stride + column..][..length];
        match from.try_into() {
            Ok(whole) => T::load(s, whole),
            Err(_) => {
                let mut lanes = [0.0; LANES];
                for (lane, value) in lanes.iter_mut().zip(from) {
                    *lane = value.widen();
                }
                s.load(&lanes)
            }
        }
    }

    #[inline(always)]
    fn prefetch<S: Simd>(&self, s: S, row: usize, column: usize) {
        s.prefetch(self.values.get(row * self.stride + column..).unwrap_or_default());
    }
}

/// A row-major matrix of eight-bit numbers with a factor for each [`Q8_BLOCK`] neighbors.
#[derive(Clone, Copy)]
pub struct RowMajorQ8<'a> {
    /// The integers.
    pub values: &'a [i8],
    /// The factors.
    pub scales: &'a [f16],
    /// Width of a row.
    pub stride: usize,
}

impl LoadElements for RowMajorQ8<'_> {
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, row: usize, column: usize, length: usize) -> S::F32 {
        let start = row * self.stride + column;
        let from = &self.values[start..][..length];
        match from.try_into() {
            Ok(whole) if start % Q8_BLOCK <= Q8_BLOCK - LANES => {
                // Widened as a vector: one instruction where a single number would be a call.
                let scale = s.load_f16(&[self.scales[start / Q8_BLOCK]; LANES]);
                s.mul(s.load_i8(whole), scale)
            }
            _ => {
                let mut lanes = [0.0; LANES];
                for (i, value) in from.iter().enumerate() {
                    lanes[i] = f32::from(*value) * self.scales[(start + i) / Q8_BLOCK].to_f32();
                }
                s.load(&lanes)
            }
        }
    }
}

/// A row-major matrix of weights, which tells its format at each vector: one copy of a loop serves all.
#[derive(Clone, Copy)]
pub struct RowMajorWeights<'a> {
    /// The numbers.
    pub matrix: Matrix<'a>,
    /// Width of a row.
    pub stride: usize,
}

impl LoadElements for RowMajorWeights<'_> {
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, row: usize, column: usize, length: usize) -> S::F32 {
        let stride = self.stride;
        match self.matrix {
            Matrix::F32(values) => RowMajor { values, stride }.load(s, row, column, length),
            Matrix::F16(values) => RowMajor { values, stride }.load(s, row, column, length),
            Matrix::Bf16(values) => RowMajor { values, stride }.load(s, row, column, length),
            Matrix::Q8 { values, scales } => {
                RowMajorQ8 { values, scales, stride }.load(s, row, column, length)
            }
        }
    }

    #[inline(always)]
    fn prefetch<S: Simd>(&self, s: S, row: usize, column: usize) {
        let stride = self.stride;
        match self.matrix {
            Matrix::F32(values) => RowMajor { values, stride }.prefetch(s, row, column),
            Matrix::F16(values) => RowMajor { values, stride }.prefetch(s, row, column),
            Matrix::Bf16(values) => RowMajor { values, stride }.prefetch(s, row, column),
            Matrix::Q8 { .. } => {}
        }
    }
}

/// Packs `rows` × `depth` of `from` into panels of [`Simd::MR`] rows laid out `[k][row]`.
///
/// # Panics
/// If `to` is shorter than [`super::packed_a_len`].
#[inline(always)]
pub fn pack_a<S: Simd>(
    s: S,
    to: &mut [f32],
    from: &impl LoadElements,
    rows: Range<usize>,
    depth: Range<usize>,
) {
    let length = depth.len();
    for (panel, first) in rows.clone().step_by(S::MR).enumerate() {
        let to = &mut to[panel * S::MR * length..];
        let height = S::MR.min(rows.end - first);
        for k in (0..length).step_by(LANES) {
            let count = LANES.min(length - k);
            let mut vectors = [s.splat(0.0); LANES];
            for r in 0..S::MR {
                if r < height {
                    vectors[r] = from.load(s, first + r, depth.start + k, count);
                }
            }
            let columns = s.transpose(vectors);
            for i in 0..LANES {
                if i < count {
                    store_tile_rows(s, columns[i], &mut to[(k + i) * S::MR..]);
                }
            }
        }
    }
}

/// Packs the transpose of `rows` × `depth` of `from` into panels of [`Simd::MR`] rows laid out
/// `[k][row]`: a row of the operand is a column of `from`.
///
/// # Panics
/// If `to` is shorter than [`super::packed_a_len`].
#[inline(always)]
pub fn pack_a_transposed<S: Simd>(
    s: S,
    to: &mut [f32],
    from: &impl LoadElements,
    rows: Range<usize>,
    depth: Range<usize>,
) {
    let length = depth.len();
    for (panel, first) in rows.clone().step_by(S::MR).enumerate() {
        let to = &mut to[panel * S::MR * length..];
        let left = rows.end - first;
        // Neighbors past the panel's rows are overwritten, so a whole vector may be read.
        let count = if left < LANES { left.min(S::MR) } else { LANES };
        for (i, k) in depth.clone().enumerate() {
            store_tile_rows(s, from.load(s, k, first, count), &mut to[i * S::MR..]);
        }
    }
}

/// Writes the first [`Simd::MR`] lanes, and the others too where that stays inside `to`: later
/// packing overwrites them.
#[inline(always)]
fn store_tile_rows<S: Simd>(s: S, v: S::F32, to: &mut [f32]) {
    let end = if to.len() < LANES { S::MR } else { LANES };
    s.store_part(v, &mut to[..end]);
}

/// Packs `depth` × `columns` of `from` into panels of [`LANES`] columns laid out `[k][column]`.
///
/// # Panics
/// If `to` is shorter than [`super::packed_b_len`].
#[inline(always)]
pub fn pack_b<S: Simd>(
    s: S,
    to: &mut [f32],
    from: &impl LoadElements,
    columns: Range<usize>,
    depth: Range<usize>,
) {
    let length = depth.len();
    let (to, _) = to.as_chunks_mut::<LANES>();
    for (panel, first) in columns.clone().step_by(LANES).enumerate() {
        let width = LANES.min(columns.end - first);
        let to = &mut to[panel * length..][..length];
        for (to, k) in to.iter_mut().zip(depth.clone()) {
            s.store(from.load(s, k, first, width), to);
        }
    }
}

/// Packs the transpose of `columns` × `depth` of `from` into panels of [`LANES`] columns laid out
/// `[k][column]`: a column of the operand is a row of `from`.
///
/// # Panics
/// If `to` is shorter than [`super::packed_b_len`].
#[inline(always)]
pub fn pack_b_transposed<S: Simd>(
    s: S,
    to: &mut [f32],
    from: &impl LoadElements,
    columns: Range<usize>,
    depth: Range<usize>,
) {
    let length = depth.len();
    let (to, _) = to.as_chunks_mut::<LANES>();
    for (panel, first) in columns.clone().step_by(LANES).enumerate() {
        let to = &mut to[panel * length..][..length];
        let width = LANES.min(columns.end - first);
        for k in (0..length).step_by(LANES) {
            let count = LANES.min(length - k);
            let mut vectors = [s.splat(0.0); LANES];
            if width == LANES && count == LANES {
                for c in 0..LANES {
                    vectors[c] = from.load(s, first + c, depth.start + k, LANES);
                }
                let vectors = s.transpose(vectors);
                let to = to[k..].first_chunk_mut::<LANES>().expect("a whole block");
                for i in 0..LANES {
                    s.store(vectors[i], &mut to[i]);
                }
            } else {
                for c in 0..width {
                    vectors[c] = from.load(s, first + c, depth.start + k, count);
                }
                let vectors = s.transpose(vectors);
                for i in 0..count {
                    s.store(vectors[i], &mut to[k + i]);
                }
            }
        }
    }
}

/// Packs `rows` × `depth` of `from` into panels of [`Simd::NR_VECTORS`] vectors laid out `[k][row]`; the
/// last panel has as many vectors as are left.
///
/// # Panics
/// If `to` is shorter than the depth times the rows, rounded up to whole vectors.
#[inline(always)]
pub fn pack_lanes<S: Simd>(
    s: S,
    to: &mut [f32],
    from: &impl LoadElements,
    rows: Range<usize>,
    depth: Range<usize>,
) {
    let (to, _) = to.as_chunks_mut::<LANES>();
    let length = depth.len();
    let vectors = rows.len().div_ceil(LANES);
    for vector in 0..vectors {
        let panel = vector / S::NR_VECTORS * S::NR_VECTORS;
        let width = S::NR_VECTORS.min(vectors - panel);
        let to = &mut to[panel * length + vector - panel..];
        let first = rows.start + vector * LANES;
        let height = LANES.min(rows.end - first);
        for k in (0..length).step_by(LANES) {
            let count = LANES.min(length - k);
            let mut lanes = [s.splat(0.0); LANES];
            for r in 0..LANES {
                if r < height {
                    lanes[r] = from.load(s, first + r, depth.start + k, count);
                }
            }
            let lanes = s.transpose(lanes);
            for i in 0..LANES {
                if i < count {
                    s.store(lanes[i], &mut to[(k + i) * width]);
                }
            }
        }
    }
}
