//! The product of packed rows and packed columns, tile by tile.

use core::ops::Range;

use super::layout::{GROUPS, panel_len, row_len};
use crate::cpu::matmul::Output;
use crate::cpu::simd::dot::{Dot, DotKernel};
use crate::cpu::simd::{LANES, Simd};

/// `out[r, columns] = initial + Σ over blocks` for each of `rows` rows r: the initial sums are those in
/// `out` if the product carries on, else 0.
///
/// `a`, `b`: rows and columns of `blocks` blocks, packed; both may be longer.
pub(super) struct MultiplyPanels<'a, O> {
    pub(super) out: &'a mut O,
    pub(super) rows: usize,
    pub(super) columns: Range<usize>,
    pub(super) a: &'a [f32],
    pub(super) b: &'a [f32],
    pub(super) blocks: usize,
    pub(super) carries_on: bool,
}

impl<O: Output> DotKernel for MultiplyPanels<'_, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, D: Dot<S>>(self, s: S, d: D) {
        let Self { out, rows, columns, a, b, blocks, carries_on } = self;
        let panels = columns.len().div_ceil(LANES);
        let b = |panel: usize| {
            &b[panel * blocks * panel_len::<S, D>()..][..blocks * panel_len::<S, D>()]
        };
        let mut panel = 0;
        while panel < panels {
            let first = columns.start + panel * LANES;
            let pair = D::NR_VECTORS == 2 && panel + 1 < panels;
            let width = (if pair { 2 * LANES } else { LANES }).min(columns.end - first);
            let a = a.chunks_exact(blocks * D::MR * row_len::<S, D>());
            for (a, row) in a.zip((0..rows).step_by(D::MR)) {
                let place =
                    Place { row, height: D::MR.min(rows - row), column: first, width, carries_on };
                if pair {
                    tiles::<S, D, 2>(s, d, out, place, a, [b(panel), b(panel + 1)]);
                } else {
                    tiles::<S, D, 1>(s, d, out, place, a, [b(panel)]);
                }
            }
            panel += if pair { 2 } else { 1 };
        }
    }
}

/// Where a tile lies in the output, and whether its sums begin there.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    height: usize,
    column: usize,
    width: usize,
    carries_on: bool,
}

impl Place {
    /// Columns of the `v`th vector.
    #[inline(always)]
    fn vector(self, v: usize) -> Range<usize> {
        self.column + v * LANES..self.column + self.width.min((v + 1) * LANES)
    }
}

/// One tile, computed with the fewest rows of those compiled that hold it.
#[inline(always)]
fn tiles<S: Simd, D: Dot<S>, const VECTORS: usize>(
    s: S,
    d: D,
    out: &mut impl Output,
    place: Place,
    a: &[f32],
    b: [&[f32]; VECTORS],
) {
    match (D::MR, place.height) {
        (_, 1) => tile::<S, D, 1, VECTORS>(s, d, out, place, a, b),
        (2, _) | (_, 2) => tile::<S, D, 2, VECTORS>(s, d, out, place, a, b),
        (3, _) => tile::<S, D, 3, VECTORS>(s, d, out, place, a, b),
        (4, _) | (_, 3 | 4) => tile::<S, D, 4, VECTORS>(s, d, out, place, a, b),
        (6, _) => tile::<S, D, 6, VECTORS>(s, d, out, place, a, b),
        _ => unreachable!("no tile of {} rows", D::MR),
    }
}

/// One tile: its integer sums are in registers for a block.
#[inline(always)]
fn tile<S: Simd, D: Dot<S>, const ROWS: usize, const VECTORS: usize>(
    s: S,
    d: D,
    out: &mut impl Output,
    place: Place,
    a: &[f32],
    b: [&[f32]; VECTORS],
) {
    let mut sums = [[s.splat(0.0); VECTORS]; ROWS];
    if place.carries_on {
        unrolled!(r < ROWS, v < VECTORS, {
            if r < place.height {
                sums[r][v] = s.load_or(out.initial(place.row + r, place.vector(v)), 0.0);
            }
        });
    }
    let b = b.map(|panel| panel.as_chunks::<LANES>().0);
    for (i, a) in a.chunks_exact(D::MR * row_len::<S, D>()).enumerate() {
        let mut blocks = [&b[0][..0]; VECTORS];
        for v in 0..VECTORS {
            blocks[v] = &b[v][i * (1 + GROUPS * D::WORDS)..][..1 + GROUPS * D::WORDS];
        }
        let mut dots = [[d.splat(0); VECTORS]; ROWS];
        if D::OFFSET != 0 {
            unrolled!(r < ROWS, v < VECTORS, {
                dots[r][v] = d.splat(a[D::MR + r].to_bits() as i32);
            });
        }
        // Opaque, lest the loop is unrolled and its sums reordered until none of them fits a register.
        let words = core::hint::black_box(GROUPS * D::WORDS);
        for g in 0..words.min(GROUPS * D::WORDS) {
            let a = &a[(2 + g) * D::MR..][..D::MR];
            let mut weights = [s.splat(0.0); VECTORS];
            for v in 0..VECTORS {
                weights[v] = s.load(&blocks[v][1 + g]);
            }
            unrolled!(r < ROWS, v < VECTORS, {
                dots[r][v] = d.dot(dots[r][v], weights[v], a[r]);
            });
        }
        unrolled!(r < ROWS, v < VECTORS, {
            let scale = s.mul(s.splat(a[r]), s.load(&blocks[v][0]));
            sums[r][v] = s.mul_add(d.to_f32(dots[r][v]), scale, sums[r][v]);
        });
    }
    unrolled!(r < ROWS, v < VECTORS, {
        if r < place.height {
            s.store_part(sums[r][v], out.part(place.row + r, place.vector(v)));
        }
    });
}
