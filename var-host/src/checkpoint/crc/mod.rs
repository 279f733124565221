//! The CRC-64 of NVMe's standard, of bytes that come piece by piece.

#[cfg(any(test, target_family = "wasm"))]
mod table;

#[cfg(not(target_family = "wasm"))]
use crc_fast::Digest as CrcState;
/// crc-fast holds the tables of all algorithms it knows: 600 kB, as much as the rest of a module.
#[cfg(target_family = "wasm")]
use table::TableCrc as CrcState;

/// A checksum in the making.
pub(crate) struct Crc(CrcState);

impl Default for Crc {
    fn default() -> Self {
        Self(begun())
    }
}

#[cfg(not(target_family = "wasm"))]
fn begun() -> CrcState {
    CrcState::new(crc_fast::CrcAlgorithm::Crc64Nvme)
}

#[cfg(target_family = "wasm")]
fn begun() -> CrcState {
    CrcState::default()
}

impl Crc {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Goes on with the bytes of `rest`, which came after these.
    pub(super) fn append(&mut self, rest: &Self) {
        self.0.combine(&rest.0);
    }

    /// Sixteen hexadecimal digits.
    pub(super) fn text(&self) -> String {
        format!("{:016x}", self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn check_value_of_the_catalogue() {
        let mut crc = Crc::default();
        crc.update(b"1234");
        crc.update(b"56789");
        assert_eq!(crc.text(), "ae8b14860a799888");
    }

    proptest! {
        #[test]
        fn table_gives_the_same_in_any_pieces(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            cuts in prop::array::uniform2(any::<prop::sample::Index>()),
        ) {
            let [a, b] = cuts.map(|cut| cut.index(bytes.len() + 1));
            let (first, last) = (a.min(b), a.max(b));
            let (mut whole, mut head, mut tail) =
                (Crc::default(), table::TableCrc::default(), table::TableCrc::default());
            whole.update(&bytes);
            head.update(&bytes[..first]);
            head.update(&bytes[first..last]);
            tail.update(&bytes[last..]);
            head.combine(&tail);
            prop_assert_eq!(head.finalize(), whole.0.finalize());
        }
    }
}
