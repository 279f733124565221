//! Images of values known to be finite.

use var_kernel::image::{self, Shown};
use var_kernel::transfer::ImageTransfer;

use crate::images::RgbImage;

/// A sample of an image: the byte to show; none for a value that is infinite or not a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CheckedSample(Option<u8>);

impl Shown for CheckedSample {
    fn download<B: ImageTransfer>(b: &B, to: &mut [Self], from: &B::Slice) -> Result<(), B::Error> {
        let (mut values, mut bytes) = (vec![0.0; to.len()], vec![0; to.len()]);
        b.download(&mut values, from)?;
        image::to_bytes(&mut bytes, &values);
        for ((sample, value), byte) in to.iter_mut().zip(values).zip(bytes) {
            *sample = Self(value.is_finite().then_some(byte));
        }
        Ok(())
    }
}

/// The image of `side × side × 3` samples; none if a value is not finite.
pub(super) fn picture(side: usize, samples: &[CheckedSample]) -> Option<RgbImage> {
    let bytes: Option<Vec<u8>> = samples.iter().map(|sample| sample.0).collect();
    bytes.map(|bytes| RgbImage::new(side, side, bytes))
}
