//! The same by tables, eight bytes at a time.

use std::sync::LazyLock;

/// NVMe's polynomial, the lowest power in the highest bit.
const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;

/// `[n][byte]`: the register after `byte` and `n` zeros, begun with 0.
static TABLES: LazyLock<[[u64; 256]; 8]> = LazyLock::new(|| {
    let mut tables = [[0; 256]; 8];
    for byte in 0..256 {
        tables[0][byte] = (0..8).fold(byte as u64, |register, _| {
            (register >> 1) ^ if register & 1 == 1 { POLYNOMIAL } else { 0 }
        });
    }
    for n in 1..8 {
        for byte in 0..256 {
            tables[n][byte] = step(&tables[0], tables[n - 1][byte], 0);
        }
    }
    tables
});

/// The register after one more byte.
fn step(table: &[u64; 256], register: u64, byte: u8) -> u64 {
    table[usize::from(register as u8 ^ byte)] ^ (register >> 8)
}

/// A checksum in the making.
#[derive(Debug, Default)]
pub(super) struct TableCrc {
    /// The checksum so far: the register's complement, as begin and end of a run have it.
    checksum: u64,
    length: u64,
}

impl TableCrc {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        let mut register = !self.checksum;
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            let mixed = (register ^ u64::from_le_bytes(*word)).to_le_bytes();
            register = (0..8).fold(0, |sum, n| sum ^ TABLES[7 - n][usize::from(mixed[n])]);
        }
        register = rest.iter().fold(register, |register, byte| step(&TABLES[0], register, *byte));
        self.checksum = !register;
        self.length += bytes.len() as u64;
    }

    /// Goes on with the bytes of `rest`, in as many steps as they are.
    pub(super) fn combine(&mut self, rest: &Self) {
        // A register is linear in its start: zeros move this one to its place.
        let moved = (0..rest.length).fold(self.checksum, |sum, _| step(&TABLES[0], sum, 0));
        self.checksum = moved ^ rest.checksum;
        self.length += rest.length;
    }

    pub(super) fn finalize(&self) -> u64 {
        self.checksum
    }
}
