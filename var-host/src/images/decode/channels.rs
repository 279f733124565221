//! Other color models → RGB, sample by sample.

/// Gray → RGB.
pub(super) fn repeat_gray(gray: &[u8]) -> Vec<u8> {
    gray.iter().flat_map(|sample| [*sample; 3]).collect()
}

/// RGBA → RGB in the same memory.
pub(super) fn drop_alpha(mut samples: Vec<u8>) -> Vec<u8> {
    let pixels = samples.len() / 4;
    for pixel in 1..pixels {
        samples.copy_within(pixel * 4..pixel * 4 + 3, pixel * 3);
    }
    samples.truncate(pixels * 3);
    samples
}

/// CMYK → RGB as Pillow has it: `k' − c · k' / 255`, rounded, with `k' = 255 − k`.
pub(super) fn cmyk_to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let white = 255 - u32::from(k);
    [c, m, y].map(|ink| {
        let product = u32::from(ink) * white + 128;
        white.saturating_sub((product + (product >> 8)) >> 8) as u8
    })
}
