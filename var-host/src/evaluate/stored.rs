//! Statistics in archives: `mu` and `sigma` of the pooled features, `mu_s` and `sigma_s` of the spatial
//! ones.

use core::array;
use std::path::Path;

use super::frechet::{NEGATIVE, check_covariance};
use super::{EvaluateError, Statistics};
use crate::inception::{POOLED, SPATIAL};
use crate::npz::{Npz, NpzError, NpzWriter};

/// Statistics of both kinds of features.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredStatistics {
    /// Of the pooled features.
    pub pooled: Statistics,
    /// Of the spatial features; none in statistics for FID alone.
    pub spatial: Option<Statistics>,
}

const POOLED_ARRAYS: [&str; 2] = ["mu", "sigma"];
const SPATIAL_ARRAYS: [&str; 2] = ["mu_s", "sigma_s"];

/// How far two elements across the diagonal may differ, as a share of the greatest variance: rounding
/// of `f32`, with a margin.
const ASYMMETRY: f64 = 1e-5;

/// The statistics in an archive; none if it has no `mu`.
///
/// # Errors
/// If one of a pair is missing, or an array is of another shape than Inception's features have, or no
/// covariance.
pub(super) fn read(npz: &mut Npz) -> Result<Option<StoredStatistics>, EvaluateError> {
    read_as_wide_as(npz, [POOLED, SPATIAL])
}

fn read_as_wide_as(
    npz: &mut Npz,
    widths: [usize; 2],
) -> Result<Option<StoredStatistics>, EvaluateError> {
    let pairs = [POOLED_ARRAYS, SPATIAL_ARRAYS];
    let [pooled, spatial] = pairs.map(|pair| pair.map(|array| npz.contains(array)));
    for (pair, there) in [(POOLED_ARRAYS, pooled), (SPATIAL_ARRAYS, spatial)] {
        if there[0] != there[1] {
            let [has, missing] = if there[0] { pair } else { [pair[1], pair[0]] };
            let path = npz.path().to_path_buf();
            return Err(EvaluateError::PartialStatistics { path, has, missing });
        }
    }
    if !pooled[0] {
        return Ok(None);
    }
    let pooled = pair(npz, POOLED_ARRAYS, widths[0])?;
    let spatial = spatial[0].then(|| pair(npz, SPATIAL_ARRAYS, widths[1])).transpose()?;
    check_eigenvalues(npz.path(), &pooled, spatial.as_ref())?;
    Ok(Some(StoredStatistics { pooled, spatial }))
}

/// A mean and a covariance of features `width` wide.
fn pair(
    npz: &mut Npz,
    names: [&'static str; 2],
    width: usize,
) -> Result<Statistics, EvaluateError> {
    let mean = array(npz, names[0], vec![width])?;
    let covariance = array(npz, names[1], vec![width, width])?;
    check_symmetry(npz.path(), names[1], &covariance, width)?;
    Ok(Statistics { mean, covariance })
}

/// A finite array of the shape that is wanted.
fn array(npz: &mut Npz, name: &'static str, wants: Vec<usize>) -> Result<Vec<f64>, EvaluateError> {
    let (has, values) = npz.floats(name)?;
    let path = npz.path().to_path_buf();
    if has != wants {
        return Err(EvaluateError::StatisticsShape { path, array: name, has, wants });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => {
            let value = values[index];
            Err(EvaluateError::StoredNotFinite { path, array: name, index, value })
        }
        None => Ok(values),
    }
}

/// Refuses a matrix that is not symmetric, or has a negative variance.
fn check_symmetry(
    path: &Path,
    array: &'static str,
    covariance: &[f64],
    width: usize,
) -> Result<(), EvaluateError> {
    let at = |row: usize, column: usize| covariance[row * width + column];
    let greatest = (0..width).map(|i| at(i, i)).fold(0.0, f64::max);
    for row in 0..width {
        let variance = at(row, row);
        if variance < -NEGATIVE * greatest || greatest == 0.0 && variance < 0.0 {
            let path = path.to_path_buf();
            return Err(EvaluateError::NegativeVariance { path, array, row, variance });
        }
        for column in 0..row {
            let values = [at(row, column), at(column, row)];
            if (values[0] - values[1]).abs() > ASYMMETRY * greatest {
                let path = path.to_path_buf();
                return Err(EvaluateError::Asymmetric { path, array, row, column, values });
            }
        }
    }
    Ok(())
}

/// Refuses matrices with a direction of negative variance: before the images are looked at, which may
/// take an hour.
fn check_eigenvalues(
    path: &Path,
    pooled: &Statistics,
    spatial: Option<&Statistics>,
) -> Result<(), EvaluateError> {
    let both = [(POOLED_ARRAYS[1], Some(pooled)), (SPATIAL_ARRAYS[1], spatial)];
    let checked = std::thread::scope(|scope| {
        let threads = both.map(|(_, statistics)| {
            statistics.map(|statistics| scope.spawn(|| check_covariance(statistics)))
        });
        threads.map(|thread| {
            thread.map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    });
    let names: [&'static str; 2] = array::from_fn(|i| both[i].0);
    for (array, checked) in names.into_iter().zip(checked) {
        checked.transpose().map_err(|error| match error {
            EvaluateError::NotCovariance { least, greatest } => {
                EvaluateError::Indefinite { path: path.to_path_buf(), array, least, greatest }
            }
            other => other,
        })?;
    }
    Ok(())
}

/// Writes statistics of pooled and spatial features as [`EvaluationSet::open`](super::EvaluationSet::open)
/// reads them.
///
/// # Errors
/// If the system refuses to write.
pub fn write_statistics(
    writer: &mut NpzWriter,
    [pooled, spatial]: &[Statistics; 2],
) -> Result<(), NpzError> {
    for ([mean, covariance], statistics) in [(POOLED_ARRAYS, pooled), (SPATIAL_ARRAYS, spatial)] {
        let width = statistics.width();
        writer.floats(mean, &[width], &statistics.mean)?;
        writer.floats(covariance, &[width, width], &statistics.covariance)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npz::NpyDtype;

    /// The error of an archive with these arrays.
    fn fault(arrays: &[(&str, &[usize], &[f64])]) -> String {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s.npz");
        let mut writer = NpzWriter::create(&path, true).unwrap();
        for (name, shape, values) in arrays {
            writer.floats(name, shape, values).unwrap();
        }
        writer.finish().unwrap();
        let read = read_as_wide_as(&mut Npz::open(&path).unwrap(), [3, 2]);
        read.unwrap_err().to_string().replace(place.path().to_str().unwrap(), "DIR")
    }

    /// Audit 8.
    #[test]
    fn statistics_that_are_none_are_refused_by_file_and_array() {
        let mean = ("mu", &[3][..], &[1.0, 2.0, 3.0][..]);
        let of = |covariance: &[f64; 9]| fault(&[mean, ("sigma", &[3, 3], covariance)]);
        let good = [4.0, 1.0, 0.0, 1.0, 3.0, 0.0, 0.0, 0.0, 2.0];
        let with = |changes: &[(usize, f64)]| {
            let mut covariance = good;
            changes.iter().for_each(|(index, value)| covariance[*index] = *value);
            of(&covariance)
        };
        assert_eq!(with(&[(5, f64::NAN)]), "DIR/s.npz: sigma: element 5 is NaN");
        assert_eq!(with(&[(0, f64::INFINITY)]), "DIR/s.npz: sigma: element 0 is inf");
        let text = "DIR/s.npz: sigma: is no covariance: ";
        let asymmetric = "element 2, 0 is 0, element 0, 2 0.5";
        assert_eq!(with(&[(2, 0.5)]), format!("{text}{asymmetric}"));
        let negative = "the variance of feature 1 is -3";
        assert_eq!(with(&[(4, -3.0)]), format!("{text}{negative}"));
        let indefinite = with(&[(2, 9.0), (6, 9.0)]);
        assert!(
            indefinite.starts_with(&format!("{text}its eigenvalues go from -6.")),
            "{indefinite}"
        );
        let nan = ("mu", &[3][..], &[0.0, f64::NEG_INFINITY, 0.0][..]);
        let nan = fault(&[nan, ("sigma", &[3, 3], &good)]);
        assert_eq!(nan, "DIR/s.npz: mu: element 1 is -inf");
        let long = fault(&[("mu", &[1, 3], &[0.0; 3]), ("sigma", &[3, 3], &good)]);
        assert_eq!(long, "DIR/s.npz: mu: has shape [1, 3], wants [3]");
        let spatial =
            [("mu_s", &[2][..], &[0.0; 2][..]), ("sigma_s", &[2, 2], &[1.0, 0.0, 0.0, -1.0])];
        let spatial = fault(&[mean, ("sigma", &[3, 3], &good), spatial[0], spatial[1]]);
        let negative = "sigma_s: is no covariance: the variance of feature 1 is -1";
        assert_eq!(spatial, format!("DIR/s.npz: {negative}"));
    }

    #[test]
    fn statistics_come_in_pairs() {
        let (mean, covariance) =
            (("mu", &[3][..], &[0.0; 3][..]), ("sigma", &[3, 3][..], &[0.0; 9][..]));
        let spatial = ("sigma_s", &[2, 2][..], &[0.0; 4][..]);
        let wants = ": statistics are mu and sigma, and mu_s and sigma_s, in pairs";
        for (arrays, message) in [
            (&[mean][..], "has mu but not sigma"),
            (&[covariance], "has sigma but not mu"),
            (&[mean, covariance, spatial], "has sigma_s but not mu_s"),
        ] {
            assert_eq!(fault(arrays), format!("DIR/s.npz: {message}{wants}"));
        }
    }

    /// `f32` leaves eigenvalues of zero a little below.
    #[test]
    fn rounding_is_no_fault() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s.npz");
        let mut writer = NpzWriter::create(&path, true).unwrap();
        let direction = [0.1_f32, 0.7, -1.3];
        let rank_one = direction.map(|a| direction.map(|b| a * b)).concat();
        for (name, shape, values) in
            [("mu", &[3][..], &[0.0; 3][..]), ("sigma", &[3, 3], &rank_one)]
        {
            writer.begin(name, NpyDtype::F32, shape).unwrap();
            values.iter().for_each(|value| writer.write(&value.to_le_bytes()).unwrap());
        }
        writer.finish().unwrap();
        let read = read_as_wide_as(&mut Npz::open(&path).unwrap(), [3, 2]).unwrap().unwrap();
        assert_eq!((read.pooled.covariance[0], read.spatial), (f64::from(rank_one[0]), None));
    }
}
