//! Absolute and squared differences of images.

/// Mean absolute and mean squared difference of images, in [−1, 1].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PixelLosses {
    /// `mean |x − y|`
    pub absolute: f64,
    /// `mean (x − y)²`
    pub squared: f64,
}

impl PixelLosses {
    /// Of `pictures` from `originals`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn of(pictures: &[f32], originals: &[f32]) -> Self {
        assert_eq!(pictures.len(), originals.len(), "images and originals differ in length");
        let mut sums = Self::default();
        for (x, y) in pictures.iter().zip(originals) {
            let difference = f64::from(x - y);
            sums.absolute += difference.abs();
            sums.squared += difference * difference;
        }
        let count = pictures.len() as f64;
        Self { absolute: sums.absolute / count, squared: sums.squared / count }
    }

    /// Peak signal-to-noise ratio in dB, of the range 2.
    pub fn psnr(&self) -> f64 {
        10.0 * (4.0 / self.squared).log10()
    }
}

/// Adds to `gradient` that of `(absolute · Σ |x − y| + squared · Σ (x − y)²) / count`.
///
/// # Panics
/// If the lengths differ.
pub fn backward(
    gradient: &mut [f32],
    pictures: &[f32],
    originals: &[f32],
    [absolute, squared]: [f32; 2],
    count: usize,
) {
    assert_eq!([pictures.len(), originals.len()], [gradient.len(); 2], "pixels: lengths differ");
    let (absolute, squared) = (absolute / count as f32, 2.0 * squared / count as f32);
    for (gradient, (x, y)) in gradient.iter_mut().zip(pictures.iter().zip(originals)) {
        let difference = x - y;
        let sign = if difference == 0.0 { 0.0 } else { absolute.copysign(difference) };
        *gradient += squared.mul_add(difference, sign);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grad::testing::{assert_close, differences, random};

    #[test]
    fn gradient_is_the_losses() {
        let (x, y) = (random(40, 1), random(40, 2));
        let mut gradient = vec![1.0; 40];
        backward(&mut gradient, &x, &y, [0.2, 3.0], 40);
        let want = differences(&x, &[1.0], |x| {
            let pairs = x.iter().zip(&y).map(|(x, y)| x - f64::from(*y));
            vec![pairs.map(|d| (0.2 * d.abs() + 3.0 * d * d) / 40.0).sum()]
        });
        let want: Vec<f64> = want.iter().map(|x| 1.0 + x).collect();
        assert_close(&gradient, &want, 1e-6);
        let mut gradient = vec![0.0];
        backward(&mut gradient, &[0.5], &[0.5], [1.0, 1.0], 1);
        assert_eq!(gradient, [0.0]);
    }

    #[test]
    fn half_the_range_is_six_decibels() {
        let differences = PixelLosses::of(&[0.0, 1.0], &[-1.0, 0.0]);
        assert_eq!((differences.absolute, differences.squared), (1.0, 1.0));
        assert!((differences.psnr() - 6.0206).abs() < 1e-4);
    }
}
