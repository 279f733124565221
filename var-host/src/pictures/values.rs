//! 8-bit samples ↔ the model's numbers in [−1, 1].

use super::Picture;

impl Picture {
    /// Writes the samples as the model takes them, `height × width × 3`.
    ///
    /// `out = sample / 127.5 − 1`; the same f32 bits as `sample / 255`, doubled, less 1.
    ///
    /// # Panics
    /// If `out` is not `height × width × 3` long.
    #[track_caller]
    pub fn to_values(&self, out: &mut [f32]) {
        assert_eq!(out.len(), self.rgb.len(), "to_values: out is not height × width × 3");
        for (out, &sample) in out.iter_mut().zip(&self.rgb) {
            *out = f32::from(sample) / 127.5 - 1.0;
        }
    }

    /// The picture of the model's numbers, `height × width × 3`.
    ///
    /// `sample = round((x + 1) / 2 · 255)` with x clamped to [−1, 1], halves to the even number;
    /// NaN becomes 0. So [`Picture::to_values`] and back is the identity. The golden picture of the
    /// full-size model is rounded so; the published demonstration notebook cuts the fraction off
    /// instead and is darker by half a level on average.
    ///
    /// # Panics
    /// If a side is zero or `values` is not `height × width × 3` long.
    #[track_caller]
    pub fn from_values(width: usize, height: usize, values: &[f32]) -> Self {
        let sample = |&x: &f32| ((x.clamp(-1.0, 1.0) + 1.0) * 0.5 * 255.0).round_ties_even() as u8;
        Self::new(width, height, values.iter().map(sample).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_sample() -> Picture {
        Picture::new(256, 3, (0..=255).cycle().take(256 * 9).collect())
    }

    #[test]
    fn there_and_back_is_the_identity() {
        let picture = every_sample();
        let mut values = vec![0.0; picture.rgb().len()];
        picture.to_values(&mut values);
        assert_eq!((values[0], values[255]), (-1.0, 1.0));
        assert_eq!(Picture::from_values(256, 3, &values), picture);
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
        assert_eq!(Picture::from_values(2, 1, &values).rgb(), [0, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn halves_go_to_the_even_sample() {
        // 0 is half-way between 127 and 128.
        assert_eq!(Picture::from_values(1, 1, &[0.0; 3]).rgb(), [128; 3]);
    }
}
