//! The Fréchet distance of two Gaussians.

use nalgebra::{DMatrix, SVD};

use super::factor::{Factor, factor};
use super::{EvaluateError, Statistics};

/// Eigenvalues that are negative by more than this share of the greatest are not rounding.
pub(super) const NEGATIVE: f64 = 1e-4;

/// Steps of the singular values' iteration for each of them; two are usual.
const STEPS: usize = 100;

/// `‖m₁ − m₂‖² + tr C₁ + tr C₂ − 2 tr √(C₁C₂)` (Dowson and Landau, "The Fréchet distance between
/// multivariate normal distributions", 1982).
///
/// Under the root, both covariances have `offset` added to their diagonals: 0, or 1e-6, as in the
/// public evaluator where its root of the product is not finite.
///
/// The trace of the root is the sum of singular values of `R₁ᵀR₂`, where `RᵢRᵢᵀ = Cᵢ` are Cholesky
/// factors with pivoting. Directions without variance are left out of the `Rᵢ`, so singular covariances
/// (fewer images than features) give the exact value, where the root of a computed product carries
/// noise.
///
/// # Errors
/// If the widths differ, a number is not finite, or a matrix is no covariance.
pub fn frechet_distance(
    first: &Statistics,
    second: &Statistics,
    offset: f64,
) -> Result<f64, EvaluateError> {
    let (width, other) = (first.width(), second.width());
    if width != other {
        return Err(EvaluateError::Widths { first: width, second: other });
    }
    for (set, statistics) in [("first", first), ("second", second)] {
        for (array, values) in [("mean", &statistics.mean), ("covariance", &statistics.covariance)]
        {
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                let value = values[index];
                return Err(EvaluateError::StatisticsNotFinite { set, array, index, value });
            }
        }
    }
    let mean: f64 = first.mean.iter().zip(&second.mean).map(|(a, b)| (a - b) * (a - b)).sum();
    let trace = |s: &Statistics| -> f64 { (0..width).map(|i| s.covariance[i * width + i]).sum() };
    let product = root(first, offset)?.transpose() * root(second, offset)?;
    Ok(mean + trace(first) + trace(second) - 2.0 * nuclear_norm(product)?)
}

/// The sum of singular values.
///
/// # Errors
/// If they are not found, or their squares do not add up to those of the entries.
fn nuclear_norm(matrix: DMatrix<f64>) -> Result<f64, EvaluateError> {
    if matrix.is_empty() {
        return Ok(0.0);
    }
    let (squares, steps) = (matrix.norm_squared(), STEPS * matrix.nrows().max(matrix.ncols()));
    let found = SVD::try_new(matrix, false, false, f64::EPSILON, steps);
    let values = found.ok_or(EvaluateError::NoConvergence)?.singular_values;
    if (values.norm_squared() - squares).abs() > 1e-9 * squares {
        return Err(EvaluateError::NoConvergence);
    }
    Ok(values.sum())
}

/// Refuses a matrix that is no covariance: with a direction of negative variance.
///
/// # Errors
/// With the least and the greatest eigenvalue.
pub(super) fn check_covariance(statistics: &Statistics) -> Result<(), EvaluateError> {
    root(statistics, 0.0).map(drop)
}

/// The covariance with `offset` added to its diagonal. Files may hold matrices that are symmetric up to
/// rounding.
fn symmetric(statistics: &Statistics, offset: f64) -> DMatrix<f64> {
    let width = statistics.width();
    DMatrix::from_fn(width, width, |i, j| {
        let both = statistics.covariance[i * width + j] + statistics.covariance[j * width + i];
        0.5 * both + if i == j { offset } else { 0.0 }
    })
}

/// A matrix R with `R·Rᵀ` the covariance, of as many columns as there are directions with variance.
fn root(statistics: &Statistics, offset: f64) -> Result<DMatrix<f64>, EvaluateError> {
    let matrix = symmetric(statistics, offset);
    let Factor { root, remainder } = factor(&matrix);
    let greatest = matrix.diagonal().max();
    // A direction of variance −v leaves an entry of v / n or more, and the greatest eigenvalue is no less
    // than the greatest variance: below that no eigenvalue needs to be known.
    if remainder > NEGATIVE * greatest / matrix.nrows() as f64 {
        let values = matrix.symmetric_eigenvalues();
        let (least, greatest) = (values.min(), values.max());
        if least < -NEGATIVE * greatest.abs() || greatest < 0.0 {
            return Err(EvaluateError::NotCovariance { least, greatest });
        }
    }
    Ok(root)
}
