//! Images of values known to be finite.

use var_kernel::image::{self, Shown};
use var_kernel::memory::Floats;
use var_kernel::transfer::ImageTransfer;

/// A sample of an image: its byte, or that its value is infinite or not a number.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Sample(pub(crate) Option<u8>);

impl Shown for Sample {
    fn download<B: ImageTransfer>(b: &B, to: &mut [Self], from: &B::Slice) -> Result<(), B::Error> {
        const PART: usize = 256;
        let (mut values, mut bytes) = ([0.0; PART], [0; PART]);
        for (number, part) in to.chunks_mut(PART).enumerate() {
            let (values, bytes) = (&mut values[..part.len()], &mut bytes[..part.len()]);
            b.download(values, from.range(number * PART..number * PART + part.len()))?;
            image::to_bytes(bytes, values);
            for ((sample, value), byte) in part.iter_mut().zip(values).zip(bytes) {
                *sample = Self(value.is_finite().then_some(*byte));
            }
        }
        Ok(())
    }
}

/// Writes the bytes of `samples`; false, and nothing of it, if a value is not finite.
pub(crate) fn write(rgb: &mut [u8], samples: &[Sample]) -> bool {
    if samples.iter().any(|sample| sample.0.is_none()) {
        return false;
    }
    for (byte, sample) in rgb.iter_mut().zip(samples) {
        *byte = sample.0.unwrap_or(0);
    }
    true
}
