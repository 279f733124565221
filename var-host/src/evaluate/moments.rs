//! Mean and covariance of features, in one pass and in double precision.

use var_kernel::cpu::Cpu;
use var_kernel::parts::simd::{Simd, SimdKernel};
use var_kernel::parts::tiles::Tile;

use super::EvaluateError;

/// Rows that are added together: the sums of products go through memory once for so many.
const TOGETHER: usize = 64;

/// Rows and columns of the sums of products that a task adds to.
const ROWS: usize = 64;
const COLUMNS: usize = 256;

/// Products that are held in registers at once: rows, and columns.
const HELD: [usize; 2] = [4, 32];

/// Samples under which there is no covariance.
pub const FEWEST: usize = 2;

/// Sums over the rows of a set of features.
///
/// Every sum has one order, that of the rows, whatever the threads and the parts they come in.
#[derive(Clone, Debug)]
pub struct Moments {
    width: usize,
    count: usize,
    /// The first row, subtracted from every row before it is squared, so that little cancels.
    origin: Vec<f64>,
    /// Rows that have not been added yet, their origin subtracted.
    pending: Vec<f64>,
    /// `Σ x`, `width`.
    sums: Vec<f64>,
    /// `Σ x·xᵀ`, `width × width`; right of the diagonal's tiles alone.
    products: Vec<f64>,
}

/// Mean and covariance.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// The mean.
    pub mean: Vec<f64>,
    /// The covariance, row-major, with divisor N − 1.
    pub covariance: Vec<f64>,
}

impl Moments {
    /// Nothing of features `width` numbers wide.
    pub fn new(width: usize) -> Self {
        Self {
            width,
            count: 0,
            origin: Vec::new(),
            pending: Vec::new(),
            sums: vec![0.0; width],
            products: vec![0.0; width * width],
        }
    }

    /// Rows so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Adds `rows`, whole rows of the width.
    ///
    /// # Panics
    /// If they are not.
    pub fn add(&mut self, cpu: &Cpu<'_>, rows: &[f32]) {
        assert_eq!(rows.len() % self.width, 0, "moments: not rows of {}", self.width);
        for row in rows.chunks_exact(self.width) {
            if self.origin.is_empty() {
                self.origin = row.iter().map(|x| f64::from(*x)).collect();
            }
            self.pending
                .extend(row.iter().zip(&self.origin).map(|(x, origin)| f64::from(*x) - origin));
            self.count += 1;
            if self.pending.len() == TOGETHER * self.width {
                self.settle(cpu);
            }
        }
    }

    /// Adds the rows that have not been added yet to the sums.
    fn settle(&mut self, cpu: &Cpu<'_>) {
        let Self { width, pending, sums, products, .. } = self;
        for row in pending.chunks_exact(*width) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        let (x, isa) = (&pending[..], cpu.isa());
        cpu.for_each_tile(products, *width, ROWS, COLUMNS, |tile, _| {
            // The covariance is symmetric.
            if tile.columns.end > tile.rows.start {
                isa.run(AddProducts { tile, x, width: *width });
            }
        });
        pending.clear();
    }

    /// Mean and covariance of the rows.
    ///
    /// # Errors
    /// If there are fewer than two rows.
    pub fn statistics(&self, cpu: &Cpu<'_>) -> Result<Statistics, EvaluateError> {
        let (width, has) = (self.width, self.count);
        if has < FEWEST {
            return Err(EvaluateError::TooFew { wants: FEWEST, has });
        }
        let mut all = self.clone();
        all.settle(cpu);
        let count = has as f64;
        let shifted: Vec<f64> = all.sums.iter().map(|sum| sum / count).collect();
        let mut covariance = all.products;
        for i in 0..width {
            for j in i..width {
                let sum = covariance[i * width + j] - count * shifted[i] * shifted[j];
                covariance[i * width + j] = sum / (count - 1.0);
                covariance[j * width + i] = covariance[i * width + j];
            }
        }
        let mean = shifted.iter().zip(&self.origin).map(|(x, origin)| x + origin).collect();
        Ok(Statistics { mean, covariance })
    }
}

impl Statistics {
    /// Numbers of a feature.
    pub fn width(&self) -> usize {
        self.mean.len()
    }
}

/// Adds the products of some columns of `x` with some others.
///
/// It asks nothing of the vectors: compiled for an instruction set, plain loops use its registers. A
/// product and a sum are rounded apart on every machine.
struct AddProducts<'a> {
    tile: Tile<'a, f64>,
    x: &'a [f64],
    width: usize,
}

impl SimdKernel for AddProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { mut tile, x, width } = self;
        let [rows, columns] = HELD;
        let (first_row, first_column) = (tile.rows.start, tile.columns.start);
        for row in (0..tile.rows.len()).step_by(rows) {
            let height = rows.min(tile.rows.len() - row);
            for column in (0..tile.columns.len()).step_by(columns) {
                let across = columns.min(tile.columns.len() - column);
                let mut sums = [[0.0; HELD[1]]; HELD[0]];
                for r in 0..height {
                    sums[r][..across].copy_from_slice(&tile.row(row + r)[column..][..across]);
                }
                for x in x.chunks_exact(width) {
                    let mut left = [0.0; HELD[0]];
                    left[..height].copy_from_slice(&x[first_row + row..][..height]);
                    let right = &x[first_column + column..];
                    match right.first_chunk::<{ HELD[1] }>() {
                        Some(right) if across == columns => add_products(&mut sums, left, right),
                        _ => {
                            let mut padded = [0.0; HELD[1]];
                            padded[..across].copy_from_slice(&right[..across]);
                            add_products(&mut sums, left, &padded);
                        }
                    }
                }
                for r in 0..height {
                    tile.row(row + r)[column..][..across].copy_from_slice(&sums[r][..across]);
                }
            }
        }
    }
}

#[inline(always)]
fn add_products(
    sums: &mut [[f64; HELD[1]]; HELD[0]],
    left: [f64; HELD[0]],
    right: &[f64; HELD[1]],
) {
    for r in 0..HELD[0] {
        for c in 0..HELD[1] {
            sums[r][c] += left[r] * right[c];
        }
    }
}
