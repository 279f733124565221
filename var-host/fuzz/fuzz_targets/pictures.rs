//! Any bytes, taken for a picture: decoded whole or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use var_host::pictures::Picture;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(picture) = Picture::from_bytes(bytes) {
        assert_eq!(picture.rgb().len(), 3 * picture.width() * picture.height());
    }
});
