//! Numbers in [−1, 1] ↔ bytes.

/// Shows a picture: `out = ⌊255 · (clamp(x, −1, 1) + 1) / 2⌋`, as the reference's sampling script does.
///
/// # Panics
/// If the lengths differ.
pub fn to_bytes(out: &mut [u8], x: &[f32]) {
    assert_eq!(out.len(), x.len(), "a byte for each number");
    for (byte, x) in out.iter_mut().zip(x) {
        // A cast from float to integer saturates, and takes NaN to 0.
        *byte = ((x.clamp(-1.0, 1.0) + 1.0) * 0.5 * 255.0) as u8;
    }
}

/// Reads a picture: `out = byte / 127.5 − 1`.
///
/// # Panics
/// If the lengths differ.
pub fn from_bytes(out: &mut [f32], bytes: &[u8]) {
    assert_eq!(out.len(), bytes.len(), "a number for each byte");
    for (x, byte) in out.iter_mut().zip(bytes) {
        *x = f32::from(*byte) / 127.5 - 1.0;
    }
}
