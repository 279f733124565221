//! The product of two packed blocks, tile by tile.

use core::ops::Range;

use super::Output;
use crate::cpu::simd::{LANES, Simd};

/// `$body` for each r below `$rows` ≤ 12 and v below `$vectors` ≤ 2, written out: an array that is
/// indexed by constants alone stays in registers, whatever the optimizer thinks of the loop.
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
pub enum Initial {
    /// At zero: the first block of k.
    Zero,
    /// At the output's value: a later block of k.
    Output,
}

/// Operands that a product asks for while it computes another: some with each k.
pub trait Prefetch: Copy {
    /// Asks for the share of `k`.
    fn at<S: Simd>(self, s: S, k: usize);
}

impl Prefetch for () {
    #[inline(always)]
    fn at<S: Simd>(self, _s: S, _k: usize) {}
}

/// `out[r, columns.start + c] = initial + Σₖ a[r, k] · b[k, c]` for each of `rows` rows r.
///
/// `a`: packed, `rows` rows of depth `depth`. `b`: packed, `columns.len()` columns of that
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
    a: &[f32],
    b: &[f32],
    depth: usize,
    initial: Initial,
) {
    multiply_strided(s, out, rows, columns, a, (b, depth), depth, initial, ());
}

/// [`multiply`] with panels of the right operand that are parts of deeper ones: `b` comes with the
/// depth of those, and begins where the first part does. Meanwhile `prefetch` asks for operands to come.
///
/// # Panics
/// As [`multiply`].
#[inline(always)]
pub fn multiply_strided<S: Simd>(
    s: S,
    out: &mut impl Output,
    rows: Range<usize>,
    columns: Range<usize>,
    a: &[f32],
    (b, b_stride): (&[f32], usize),
    depth: usize,
    initial: Initial,
    prefetch: impl Prefetch,
) {
    let (b, _) = b.as_chunks::<LANES>();
    let panels = columns.len().div_ceil(LANES);
    let mut panel = 0;
    while panel < panels {
        let first = columns.start + panel * LANES;
        let pair = S::NR_VECTORS == 2 && panel + 1 < panels;
        let b = &b[panel * b_stride..];
        let width = (if pair { 2 * LANES } else { LANES }).min(columns.end - first);
        let mut row = 0;
        while row < rows.len() {
            let a = &a[row * depth..][..S::MR * depth];
            let height = S::MR.min(rows.len() - row);
            let rect = TileRect { row: rows.start + row, height, column: first, width };
            if pair {
                let b = [&b[..depth], &b[b_stride..][..depth]];
                tiles::<S, 2>(s, out, rect, a, b, initial, prefetch);
            } else {
                tiles::<S, 1>(s, out, rect, a, [&b[..depth]], initial, prefetch);
            }
            row += S::MR;
        }
        panel += if pair { 2 } else { 1 };
    }
}

/// Where a tile lies in the output.
#[derive(Clone, Copy)]
struct TileRect {
    row: usize,
    height: usize,
    column: usize,
    width: usize,
}

impl TileRect {
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
    rect: TileRect,
    a: &[f32],
    b: [&[[f32; LANES]]; VECTORS],
    initial: Initial,
    prefetch: impl Prefetch,
) {
    match (S::MR, rect.height) {
        (_, 1) => tile::<S, 1, VECTORS>(s, out, rect, a, b, initial, prefetch),
        (2, _) | (_, 2) => tile::<S, 2, VECTORS>(s, out, rect, a, b, initial, prefetch),
        (_, 3 | 4) => tile::<S, 4, VECTORS>(s, out, rect, a, b, initial, prefetch),
        (12, 5..=8) => tile::<S, 8, VECTORS>(s, out, rect, a, b, initial, prefetch),
        (12, _) => tile::<S, 12, VECTORS>(s, out, rect, a, b, initial, prefetch),
        (6, _) => tile::<S, 6, VECTORS>(s, out, rect, a, b, initial, prefetch),
        _ => unreachable!("no tile of {} rows", S::MR),
    }
}

/// One tile with its sums in registers: `ROWS · VECTORS` of them, then a vector of the right operand
/// each and one number of the left in all lanes.
#[inline(always)]
fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
    s: S,
    out: &mut impl Output,
    rect: TileRect,
    a: &[f32],
    b: [&[[f32; LANES]]; VECTORS],
    initial: Initial,
    prefetch: impl Prefetch,
) {
    let mut sums = [[s.splat(0.0); VECTORS]; ROWS];
    if initial == Initial::Output {
        if rect.is_whole::<ROWS, VECTORS>() {
            unrolled!(r < ROWS, v < VECTORS, {
                let part = out.initial(rect.row + r, rect.vector(v));
                sums[r][v] = s.load(part.first_chunk().expect("a whole tile"));
            });
        } else {
            let mut edge = [[[0.0; LANES]; VECTORS]; ROWS];
            for (r, edge) in edge[..rect.height].iter_mut().enumerate() {
                for (v, edge) in edge.iter_mut().enumerate() {
                    let part = out.initial(rect.row + r, rect.vector(v));
                    edge[..part.len()].copy_from_slice(part);
                }
            }
            unrolled!(r < ROWS, v < VECTORS, { sums[r][v] = s.load(&edge[r][v]) });
        }
    }
    let b = b.map(|panel| &panel[..a.len() / S::MR]);
    if S::CHAINS {
        s.chains(&mut sums, a, b);
    } else {
        for (k, a) in a.chunks_exact(S::MR).enumerate() {
            prefetch.at(s, k);
            let mut vectors = [s.splat(0.0); VECTORS];
            for v in 0..VECTORS {
                vectors[v] = s.load(&b[v][k]);
            }
            unrolled!(r < ROWS, v < VECTORS, {
                sums[r][v] = s.mul_add(vectors[v], s.splat(a[r]), sums[r][v]);
            });
        }
    }
    if rect.is_whole::<ROWS, VECTORS>() {
        unrolled!(r < ROWS, v < VECTORS, {
            let part = out.part(rect.row + r, rect.vector(v));
            s.store(sums[r][v], part.first_chunk_mut().expect("a whole tile"));
        });
    } else {
        let mut edge = [[[0.0; LANES]; VECTORS]; ROWS];
        unrolled!(r < ROWS, v < VECTORS, { s.store(sums[r][v], &mut edge[r][v]) });
        for (r, edge) in edge[..rect.height].iter().enumerate() {
            for (v, edge) in edge.iter().enumerate() {
                let part = out.part(rect.row + r, rect.vector(v));
                part.copy_from_slice(&edge[..part.len()]);
            }
        }
    }
}
