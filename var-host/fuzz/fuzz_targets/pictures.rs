//! Any bytes, taken for an image: decoded whole or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use var_host::images::{Exif, RgbImage};

fuzz_target!(|bytes: &[u8]| {
    let Ok(stored) = RgbImage::from_bytes(bytes, Exif::Ignored) else { return };
    assert_eq!(stored.rgb().len(), 3 * stored.width() * stored.height());
    let turned = RgbImage::from_bytes(bytes, Exif::Applied).expect("what was read is read again");
    assert_eq!(turned.rgb().len(), stored.rgb().len());
});
