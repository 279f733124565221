//! The product of two packed blocks, tile by tile.

use core::ops::Range;

use super::Rows;
use crate::cpu::simd::{LANES, Simd};

/// Where the sums of a product begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At zero: the first block of k.
    Zero,
    /// At what the output holds: a later block of k.
    Output,
}

/// `out[r, columns.start + c] = start + Σₖ left[r, k] · right[k, c]` for each of `rows` rows r.
///
/// `left`: packed, `rows` rows of depth `depth`. `right`: packed, `columns.len()` columns of that
/// depth. Both may be longer.
///
/// # Panics
/// If an operand is too short or `out` has no such rows or columns.
#[inline(always)]
pub(crate) fn multiply<S: Simd>(
    s: S,
    out: &mut impl Rows,
    rows: Range<usize>,
    columns: Range<usize>,
    left: &[f32],
    right: &[f32],
    depth: usize,
    start: Start,
) {
    let (right, _) = right.as_chunks::<LANES>();
    let panels = columns.len().div_ceil(LANES);
    let mut panel = 0;
    while panel < panels {
        let first = columns.start + panel * LANES;
        let pair = S::TILE_VECTORS == 2 && panel + 1 < panels;
        let right = &right[panel * depth..];
        let width = (if pair { 2 * LANES } else { LANES }).min(columns.end - first);
        let mut row = 0;
        while row < rows.len() {
            let left = &left[row * depth..][..S::TILE_ROWS * depth];
            let height = S::TILE_ROWS.min(rows.len() - row);
            let place = Place { row: rows.start + row, height, column: first, width };
            if pair {
                tiles::<S, 2>(
                    s,
                    out,
                    place,
                    left,
                    [&right[..depth], &right[depth..][..depth]],
                    start,
                );
            } else {
                tiles::<S, 1>(s, out, place, left, [&right[..depth]], start);
            }
            row += S::TILE_ROWS;
        }
        panel += if pair { 2 } else { 1 };
    }
}

/// Where a tile lies in the output.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    height: usize,
    column: usize,
    width: usize,
}

/// One tile, computed with the fewest rows of those compiled that hold it.
#[inline(always)]
fn tiles<S: Simd, const VECTORS: usize>(
    s: S,
    out: &mut impl Rows,
    place: Place,
    left: &[f32],
    right: [&[[f32; LANES]]; VECTORS],
    start: Start,
) {
    match (S::TILE_ROWS, place.height) {
        (_, 1) => tile::<S, 1, VECTORS>(s, out, place, left, right, start),
        (_, 2) => tile::<S, 2, VECTORS>(s, out, place, left, right, start),
        (_, 3 | 4) => tile::<S, 4, VECTORS>(s, out, place, left, right, start),
        (12, 5..=8) => tile::<S, 8, VECTORS>(s, out, place, left, right, start),
        (12, _) => tile::<S, 12, VECTORS>(s, out, place, left, right, start),
        (6, _) => tile::<S, 6, VECTORS>(s, out, place, left, right, start),
        _ => unreachable!("no tile of {} rows", S::TILE_ROWS),
    }
}

/// One tile with its sums in registers: `ROWS · VECTORS` of them, then a vector of the right operand
/// each and one number of the left in all lanes.
#[inline(always)]
fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
    s: S,
    out: &mut impl Rows,
    place: Place,
    left: &[f32],
    right: [&[[f32; LANES]]; VECTORS],
    start: Start,
) {
    let mut sums = [[s.splat(0.0); VECTORS]; ROWS];
    if start == Start::Output {
        for r in 0..ROWS {
            if r >= place.height {
                break;
            }
            let row = &out.row(place.row + r)[place.column..][..place.width];
            for v in 0..VECTORS {
                let end = row.len().min((v + 1) * LANES);
                sums[r][v] = s.load_or(&row[v * LANES..end], 0.0);
            }
        }
    }
    for (k, left) in left.chunks_exact(S::TILE_ROWS).enumerate() {
        let mut vectors = [s.splat(0.0); VECTORS];
        for v in 0..VECTORS {
            vectors[v] = s.load(&right[v][k]);
        }
        for r in 0..ROWS {
            let x = s.splat(left[r]);
            for v in 0..VECTORS {
                sums[r][v] = s.mul_add(vectors[v], x, sums[r][v]);
            }
        }
    }
    for r in 0..ROWS {
        // Not a shorter range: the loop must unroll for the sums to stay in registers.
        if r < place.height {
            let row = &mut out.row(place.row + r)[place.column..][..place.width];
            for v in 0..VECTORS {
                let end = row.len().min((v + 1) * LANES);
                s.store_part(sums[r][v], &mut row[v * LANES..end]);
            }
        }
    }
}
