//! Numbers in [−1, 1] ↔ bytes.

use crate::transfer::ImageTransfer;

/// Sample type of an image on the host: values in [−1, 1] (`f32`), or bytes to show (`u8`); `()` in a dry
/// run.
pub trait Shown: Copy {
    /// Copies images to the host.
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own.
    fn download<B: ImageTransfer>(b: &B, to: &mut [Self], from: &B::Slice) -> Result<(), B::Error>;
}

impl Shown for f32 {
    fn download<B: ImageTransfer>(b: &B, to: &mut [f32], from: &B::Slice) -> Result<(), B::Error> {
        b.download(to, from)
    }
}

impl Shown for u8 {
    fn download<B: ImageTransfer>(b: &B, to: &mut [u8], from: &B::Slice) -> Result<(), B::Error> {
        b.download_images(to, from)
    }
}

/// No sample, for a dry run.
impl Shown for () {
    fn download<B: ImageTransfer>(_: &B, _: &mut [()], _: &B::Slice) -> Result<(), B::Error> {
        Ok(())
    }
}

/// Shows an image: `out = round(255 · (clamp(x, −1, 1) + 1) / 2)`, halves to the even number; NaN
/// becomes 0.
///
/// The golden images are rounded so; the published demonstration notebook cuts the fraction off
/// instead, and is darker by half a level on average.
///
/// # Panics
/// If the lengths differ.
pub fn to_bytes(out: &mut [u8], x: &[f32]) {
    assert_eq!(out.len(), x.len(), "a byte for each number");
    for (byte, x) in out.iter_mut().zip(x) {
        // A cast from float to integer takes NaN to 0.
        *byte = libm::rintf((x.clamp(-1.0, 1.0) + 1.0) * 0.5 * 255.0) as u8;
    }
}

/// Reads an image: `out = byte / 127.5 − 1`; the same bits as byte / 255, doubled, less 1.
///
/// # Panics
/// If the lengths differ.
pub fn from_bytes(out: &mut [f32], bytes: &[u8]) {
    assert_eq!(out.len(), bytes.len(), "a number for each byte");
    for (x, byte) in out.iter_mut().zip(bytes) {
        *x = f32::from(*byte) / 127.5 - 1.0;
    }
}
