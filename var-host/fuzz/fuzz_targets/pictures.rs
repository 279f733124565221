//! Any bytes, taken for a picture: decoded whole or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use var_host::pictures::{Exif, Picture};

fuzz_target!(|bytes: &[u8]| {
    let Ok(stored) = Picture::from_bytes(bytes, Exif::Ignored) else { return };
    assert_eq!(stored.rgb().len(), 3 * stored.width() * stored.height());
    let turned = Picture::from_bytes(bytes, Exif::Applied).expect("what was read is read again");
    assert_eq!(turned.rgb().len(), stored.rgb().len());
});
