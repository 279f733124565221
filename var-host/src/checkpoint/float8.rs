//! Floating-point numbers of eight bits, read as those of sixteen, which hold all their values.

use half::f16;

use super::aligned::AlignedBytes;

/// A floating-point type of eight bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Float8 {
    /// Four bits of exponent, three of fraction, no infinities: `float8_e4m3fn`.
    E4m3,
    /// Five bits of exponent, two of fraction: `float8_e5m2`.
    E5m2,
}

impl Float8 {
    /// The type that safetensors headers and PyTorch call `name`.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "F8_E4M3" | "float8_e4m3fn" => Some(Self::E4m3),
            "F8_E5M2" | "float8_e5m2" => Some(Self::E5m2),
            _ => None,
        }
    }

    /// The numbers of `bytes` as `f16`.
    pub(super) fn widened(self, bytes: &[u8]) -> AlignedBytes {
        let mut widened = AlignedBytes::zeroed(2 * bytes.len());
        for (to, byte) in widened.as_mut_slice().chunks_exact_mut(2).zip(bytes) {
            to.copy_from_slice(&self.to_f16(*byte).to_le_bytes());
        }
        widened
    }

    fn to_f16(self, byte: u8) -> f16 {
        let (exponent, fraction) = (i32::from(byte >> 3 & 15), f32::from(byte & 7) / 8.0);
        let size = match (self, exponent) {
            // The upper half of an `f16`.
            (Self::E5m2, _) => return f16::from_bits(u16::from(byte) << 8),
            (Self::E4m3, _) if byte & 0x7f == 0x7f => f32::NAN,
            (Self::E4m3, 0) => fraction * 2_f32.powi(-6),
            (Self::E4m3, exponent) => (1.0 + fraction) * 2_f32.powi(exponent - 7),
        };
        f16::from_f32(if byte & 0x80 == 0 { size } else { -size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_types_definition() {
        let e4m3 = |byte| Float8::E4m3.to_f16(byte).to_f32();
        for (byte, wants) in [
            (0x00, 0.0),
            (0x01, 1.0 / 512.0),
            (0x08, 1.0 / 64.0),
            (0x38, 1.0),
            (0xc5, -3.25),
            (0x7e, 448.0),
        ] {
            assert_eq!(e4m3(byte), wants, "{byte:#x}");
        }
        assert!(e4m3(0x7f).is_nan() && e4m3(0xff).is_nan());
        assert!((0..0x7e).all(|byte| e4m3(byte + 1) > e4m3(byte)), "rising up to NaN");
        let e5m2 = |byte| Float8::E5m2.to_f16(byte).to_f32();
        for (byte, wants) in [(0x3c, 1.0), (0xc1, -2.5), (0x7b, 57344.0), (0x01, 1.0 / 65536.0)] {
            assert_eq!(e5m2(byte), wants, "{byte:#x}");
        }
        assert_eq!(e5m2(0x7c), f32::INFINITY);
    }
}
