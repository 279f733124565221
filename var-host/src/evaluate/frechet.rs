//! The Fréchet distance of two Gaussians.

use faer::{Mat, Side};

use super::{EvaluateError, Statistics};

/// Eigenvalues that are negative by more than this share of the greatest are not rounding.
pub(super) const NEGATIVE: f64 = 1e-4;

/// `‖m₁ − m₂‖² + tr C₁ + tr C₂ − 2 tr √(C₁C₂)` (Dowson and Landau, "The Fréchet distance between
/// multivariate normal distributions", 1982).
///
/// Under the root, both covariances have `offset` added to their diagonals: 0, or 1e-6, as in the
/// public evaluator where its root of the product is not finite.
///
/// The trace of the root is the sum of singular values of `R₁ᵀR₂`, where `RᵢRᵢᵀ = Cᵢ` come from
/// eigenvalues. Directions without variance are left out of the `Rᵢ`, so singular covariances (fewer
/// pictures than features) give the exact value, where the root of a computed product carries noise.
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
    let (a, b) = (root(first, offset)?, root(second, offset)?);
    let product = a.transpose() * &b;
    let root: f64 = if product.nrows() == 0 || product.ncols() == 0 {
        0.0
    } else {
        let values = product.singular_values().map_err(|_| EvaluateError::NoConvergence)?;
        values.iter().sum()
    };
    Ok(mean + trace(first) + trace(second) - 2.0 * root)
}

/// The least and the greatest eigenvalue of a covariance.
///
/// # Errors
/// If they cannot be found.
pub(super) fn eigenvalue_range(statistics: &Statistics) -> Result<(f64, f64), EvaluateError> {
    let values = symmetric(statistics, 0.0).self_adjoint_eigenvalues(Side::Lower);
    let values = values.map_err(|_| EvaluateError::NoConvergence)?;
    Ok((values[0], values[values.len() - 1]))
}

/// The covariance with `offset` added to its diagonal. Files may hold matrices that are symmetric up to
/// rounding.
fn symmetric(statistics: &Statistics, offset: f64) -> Mat<f64> {
    let width = statistics.width();
    Mat::from_fn(width, width, |i, j| {
        let both = statistics.covariance[i * width + j] + statistics.covariance[j * width + i];
        0.5 * both + if i == j { offset } else { 0.0 }
    })
}

/// A matrix R with `R·Rᵀ` the covariance, of as many columns as there are directions with variance.
fn root(statistics: &Statistics, offset: f64) -> Result<Mat<f64>, EvaluateError> {
    let width = statistics.width();
    let eigen = symmetric(statistics, offset).self_adjoint_eigen(Side::Lower);
    let eigen = eigen.map_err(|_| EvaluateError::NoConvergence)?;
    let (vectors, values) = (eigen.U(), eigen.S().column_vector());
    let (least, greatest) = (values[0], values[width - 1]);
    if least < -NEGATIVE * greatest.abs() || greatest < 0.0 {
        return Err(EvaluateError::NotCovariance { least, greatest });
    }
    // A zero but for rounding.
    let smallest = greatest * width as f64 * f64::EPSILON;
    let first = (0..width).find(|i| values[*i] > smallest).unwrap_or(width);
    let column = |i: usize, j: usize| vectors[(i, first + j)] * values[first + j].sqrt();
    Ok(Mat::from_fn(width, width - first, column))
}
