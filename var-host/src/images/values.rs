//! 8-bit samples ↔ the model's numbers in [−1, 1].

use super::RgbImage;

impl RgbImage {
    /// Writes the samples as the model takes them, `height × width × 3`.
    ///
    /// `out = sample / 127.5 − 1`; the same f32 bits as `sample / 255`, doubled, less 1.
    ///
    /// # Panics
    /// If `out` is not `height × width × 3` long.
    #[track_caller]
    pub fn to_values(&self, out: &mut [f32]) {
        var_kernel::image::from_bytes(out, &self.rgb);
    }

    /// The image of the model's numbers, `height × width × 3`.
    ///
    /// As [`var_kernel::image::to_bytes`] rounds: [`RgbImage::to_values`] and back is the identity.
    ///
    /// # Panics
    /// If a side is zero or `values` is not `height × width × 3` long.
    #[track_caller]
    pub fn from_values(width: usize, height: usize, values: &[f32]) -> Self {
        let mut rgb = vec![0; values.len()];
        var_kernel::image::to_bytes(&mut rgb, values);
        Self::new(width, height, rgb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_sample() -> RgbImage {
        RgbImage::new(256, 3, (0..=255).cycle().take(256 * 9).collect())
    }

    #[test]
    fn values_go_there_and_back() {
        let picture = every_sample();
        let mut values = vec![0.0; picture.rgb().len()];
        picture.to_values(&mut values);
        assert_eq!((values[0], values[255]), (-1.0, 1.0));
        assert_eq!(RgbImage::from_values(256, 3, &values), picture);
    }

    #[test]
    fn values_have_the_bits_of_the_training_pipeline() {
        let picture = every_sample();
        let mut values = vec![0.0; picture.rgb().len()];
        picture.to_values(&mut values);
        for (value, &sample) in values.iter().zip(picture.rgb()) {
            let unit = f32::from(sample) / 255.0;
            assert_eq!(value.to_bits(), (unit + unit - 1.0).to_bits(), "sample {sample}");
        }
    }

    #[test]
    fn values_out_of_range_are_clamped() {
        let values = [-7.0, f32::NEG_INFINITY, f32::NAN, 1.5, f32::INFINITY, 0.999];
        assert_eq!(RgbImage::from_values(2, 1, &values).rgb(), [0, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn halves_go_to_the_even_sample() {
        // 0 is half-way between 127 and 128.
        assert_eq!(RgbImage::from_values(1, 1, &[0.0; 3]).rgb(), [128; 3]);
    }
}
