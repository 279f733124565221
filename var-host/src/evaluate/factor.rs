//! Cholesky factors of covariances that may be singular.

use nalgebra::DMatrix;

/// Columns that are subtracted from the rest by one matrix product.
const BLOCK: usize = 64;

/// How far beyond its pivot an entry may lie by rounding.
const BEYOND_PIVOT: f64 = 1e-3;

/// A factor of a symmetric matrix A.
pub(super) struct Factor {
    /// R of n × rank, with `R·Rᵀ` = A but for the remainder.
    pub(super) root: DMatrix<f64>,
    /// The largest entry of `|A − R·Rᵀ|` in rows that were no pivots.
    pub(super) remainder: f64,
}

/// Factors `matrix` by Cholesky's algorithm with complete pivoting (Higham, "Accuracy and Stability of
/// Numerical Algorithms", section 10.3).
///
/// It ends where no variance is left above the rounding of the greatest, `n · ε` of it. In a positive
/// semidefinite rest no entry is larger than the largest of the diagonal; where one is, only rounding
/// (of statistics that were stored in `f32`, say) or a negative direction is left, and it ends as well.
pub(super) fn factor(matrix: &DMatrix<f64>) -> Factor {
    let n = matrix.nrows();
    let mut rest = matrix.clone();
    let mut variances: Vec<f64> = matrix.diagonal().iter().copied().collect();
    let greatest = variances.iter().copied().fold(0.0, f64::max);
    let least = greatest * n as f64 * f64::EPSILON;
    let mut open = vec![true; n];
    let mut root = DMatrix::<f64>::zeros(n, n);
    let (mut rank, mut ended) = (0, false);
    while !ended {
        let first = rank;
        while !ended && rank < (first + BLOCK).min(n) {
            let rows = (0..n).filter(|row| open[*row]);
            let Some(pivot) = rows.max_by(|a, b| variances[*a].total_cmp(&variances[*b])) else {
                break;
            };
            let variance = variances[pivot];
            if variance <= least {
                ended = true;
                continue;
            }
            let mut column = rest.column(pivot).clone_owned();
            for before in first..rank {
                column.axpy(-root[(pivot, before)], &root.column(before), 1.0);
            }
            column[pivot] = variance;
            (0..n).filter(|row| !open[*row]).for_each(|row| column[row] = 0.0);
            if column.amax() > variance * (1.0 + BEYOND_PIVOT) {
                ended = true;
                continue;
            }
            column /= variance.sqrt();
            for (left, entry) in variances.iter_mut().zip(&column) {
                *left -= entry * entry;
            }
            open[pivot] = false;
            root.set_column(rank, &column);
            rank += 1;
        }
        if rank == n {
            break;
        }
        let block = root.columns(first, rank - first);
        rest.gemm(-1.0, &block, &block.transpose(), 1.0);
    }
    let mut remainder: f64 = 0.0;
    for (index, entry) in rest.iter().enumerate() {
        if open[index / n] && open[index % n] {
            remainder = remainder.max(entry.abs());
        }
    }
    Factor { root: root.columns(0, rank).clone_owned(), remainder }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `BᵀB` of a `B` of rows × n with entries from a linear congruence.
    fn gram(rows: usize, n: usize) -> DMatrix<f64> {
        let mut state = 1_u32;
        let b = DMatrix::from_fn(rows, n, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 24) - 0.5
        });
        b.transpose() * b
    }

    #[test]
    fn factor_times_its_transpose_is_the_matrix_at_every_rank() {
        for (rows, n) in [(1, 1), (3, 2), (2, 3), (63, 64), (64, 64), (40, 65), (200, 130), (1, 70)]
        {
            let matrix = gram(rows, n);
            let Factor { root, remainder } = factor(&matrix);
            assert_eq!(root.ncols(), rows.min(n), "{rows} rows of {n}");
            let error = (&root * root.transpose() - &matrix).amax();
            assert!(error <= 1e-13 * matrix.amax(), "{rows} rows of {n}: off by {error:e}");
            assert!(remainder <= 1e-13 * matrix.amax(), "{remainder:e}");
        }
    }

    #[test]
    fn factor_of_zeros_has_no_column() {
        let Factor { root, remainder } = factor(&DMatrix::zeros(5, 5));
        assert_eq!((root.ncols(), remainder), (0, 0.0));
    }

    #[test]
    fn factor_leaves_a_negative_direction_in_the_remainder() {
        // Eigenvalues 3 and −1: the diagonal alone tells nothing.
        let Factor { remainder, .. } =
            factor(&DMatrix::from_row_slice(2, 2, &[1.0, 2.0, 2.0, 1.0]));
        assert_eq!(remainder, 2.0);
        let mut matrix = gram(100, 30);
        let direction = DMatrix::from_fn(30, 1, |row, _| if row % 2 == 0 { 0.2 } else { -0.1 });
        let variance = 2.0 * matrix.amax();
        matrix -= variance * &direction * direction.transpose();
        assert!(factor(&matrix).remainder > 1e-3 * variance);
    }

    #[test]
    fn factor_ends_at_the_rounding_of_stored_singles() {
        let exact = gram(40, 64);
        let stored = exact.map(|entry| f64::from(entry as f32));
        let Factor { root, remainder } = factor(&stored);
        assert!((40..64).contains(&root.ncols()), "{} columns", root.ncols());
        assert!(remainder < 1e-6 * exact.amax(), "{remainder:e}");
        assert!((&root * root.transpose() - &exact).amax() < 1e-6 * exact.amax());
    }
}
