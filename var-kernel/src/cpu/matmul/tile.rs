//! The product of two packed blocks, tile by tile.

use core::ops::Range;

use super::Output;
use crate::cpu::simd::{LANES, Simd};

/// `$body` for each r below `$rows` ≤ 12 and v below `$vectors` ≤ 2, written out: an array that is
/// indexed by constants alone stays in registers, whatever the optimiser thinks of the loop.
macro_rules! unrolled {
    ($r:ident < $rows:expr, $v:ident < $vectors:expr, $body:block) => {
        unrolled!($r $rows, $v $vectors, $body, 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    ($r:ident $rows:expr, $v:ident $vectors:expr, $body:block, $($n:literal)*) => {$(
        if $n < $rows {
            let $r = $n;
            {
                let $v = 0;
                $body
            }
            if $vectors > 1 {
                let $v = 1;
                $body
            }
        }
    )*};
}

/// Where the sums of a product begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At zero: the first block of k.
    Zero,
    /// At the output's value: a later block of k.
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
pub fn multiply<S: Simd>(
    s: S,
    out: &mut impl Output,
    rows: Range<usize>,
    columns: Range<usize>,
    left: &[f32],
    right: &[f32],
    depth: usize,
    start: Start,
) {
    multiply_apart(s, out, rows, columns, left, (right, depth), depth, start);
}

/// [`multiply`] with panels of the right operand that are parts of deeper ones: `right` comes with the
/// depth of those, and begins where the first part does.
///
/// # Panics
/// As [`multiply`].
#[inline(always)]
pub fn multiply_apart<S: Simd>(
    s: S,
    out: &mut impl Output,
    rows: Range<usize>,
    columns: Range<usize>,
    left: &[f32],
    (right, apart): (&[f32], usize),
    depth: usize,
    start: Start,
) {
    let (right, _) = right.as_chunks::<LANES>();
    let panels = columns.len().div_ceil(LANES);
    let mut panel = 0;
    while panel < panels {
        let first = columns.start + panel * LANES;
        let pair = S::TILE_VECTORS == 2 && panel + 1 < panels;
        let right = &right[panel * apart..];
        let width = (if pair { 2 * LANES } else { LANES }).min(columns.end - first);
        let mut row = 0;
        while row < rows.len() {
            let left = &left[row * depth..][..S::TILE_ROWS * depth];
            let height = S::TILE_ROWS.min(rows.len() - row);
            let place = Place { row: rows.start + row, height, column: first, width };
            if pair {
                let right = [&right[..depth], &right[apart..][..depth]];
                tiles::<S, 2>(s, out, place, left, right, start);
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

impl Place {
    #[inline(always)]
    fn is_whole<const ROWS: usize, const VECTORS: usize>(self) -> bool {
        self.height == ROWS && self.width == VECTORS * LANES
    }

    /// Columns of the `v`th vector.
    #[inline(always)]
    fn vector(self, v: usize) -> Range<usize> {
        self.column + v * LANES..self.column + self.width.min((v + 1) * LANES)
    }
}

/// One tile, computed with the fewest rows of those compiled that hold it.
#[inline(always)]
fn tiles<S: Simd, const VECTORS: usize>(
    s: S,
    out: &mut impl Output,
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
    out: &mut impl Output,
    place: Place,
    left: &[f32],
    right: [&[[f32; LANES]]; VECTORS],
    start: Start,
) {
    let mut sums = [[s.splat(0.0); VECTORS]; ROWS];
    if start == Start::Output {
        if place.is_whole::<ROWS, VECTORS>() {
            unrolled!(r < ROWS, v < VECTORS, {
                let part = out.begun(place.row + r, place.vector(v));
                sums[r][v] = s.load(part.first_chunk().expect("a whole tile"));
            });
        } else {
            let mut edge = [[[0.0; LANES]; VECTORS]; ROWS];
            for (r, edge) in edge[..place.height].iter_mut().enumerate() {
                for (v, edge) in edge.iter_mut().enumerate() {
                    let part = out.begun(place.row + r, place.vector(v));
                    edge[..part.len()].copy_from_slice(part);
                }
            }
            unrolled!(r < ROWS, v < VECTORS, { sums[r][v] = s.load(&edge[r][v]) });
        }
    }
    let right = right.map(|panel| &panel[..left.len() / S::TILE_ROWS]);
    for (k, left) in left.chunks_exact(S::TILE_ROWS).enumerate() {
        let mut vectors = [s.splat(0.0); VECTORS];
        for v in 0..VECTORS {
            vectors[v] = s.load(&right[v][k]);
        }
        unrolled!(r < ROWS, v < VECTORS, {
            sums[r][v] = s.mul_add(vectors[v], s.splat(left[r]), sums[r][v]);
        });
    }
    if place.is_whole::<ROWS, VECTORS>() {
        unrolled!(r < ROWS, v < VECTORS, {
            let part = out.part(place.row + r, place.vector(v));
            s.store(sums[r][v], part.first_chunk_mut().expect("a whole tile"));
        });
    } else {
        let mut edge = [[[0.0; LANES]; VECTORS]; ROWS];
        unrolled!(r < ROWS, v < VECTORS, { s.store(sums[r][v], &mut edge[r][v]) });
        for (r, edge) in edge[..place.height].iter().enumerate() {
            for (v, edge) in edge.iter().enumerate() {
                let part = out.part(place.row + r, place.vector(v));
                part.copy_from_slice(&edge[..part.len()]);
            }
        }
    }
}
