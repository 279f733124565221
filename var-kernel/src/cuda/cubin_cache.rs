//! Compiled kernels, kept.

use std::string::String;
use std::vec::Vec;

/// A version of NVRTC: (13, 0).
pub type Compiler = (i32, i32);

/// Compiled kernels kept from one run to the next, by name and by the compiler that made them.
pub trait CubinCache: Send + Sync {
    /// Compilers of the cubins stored under `name`.
    fn versions(&self, name: &str) -> Vec<Compiler>;

    /// The cubin stored under `name` by this compiler.
    fn load(&self, name: &str, by: Compiler) -> Option<Vec<u8>>;

    /// Stores a cubin under `name`; if that fails, it is compiled again next time.
    fn store(&self, name: &str, by: Compiler, cubin: &[u8]);
}

/// The file of the cubin `name`: `NAME-nvrtc13.0.cubin`.
pub fn file_name(name: &str, (major, minor): Compiler) -> String {
    std::format!("{name}-nvrtc{major}.{minor}.cubin")
}

/// The compiler of a file for `name`; none if it is another's.
pub fn compiler_of(file: &str, name: &str) -> Option<Compiler> {
    let version = file.strip_prefix(name)?.strip_prefix("-nvrtc")?.strip_suffix(".cubin")?;
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Bytes of the sum at the end of a file.
const SUM: usize = 8;

/// Contents of a file: the machine code, and a sum by which damage is noticed.
pub fn written(cubin: &[u8]) -> Vec<u8> {
    [cubin, &sum_of(cubin)].concat()
}

/// The machine code of a file; none if it is damaged, since a driver does not check it.
pub fn read(file: &[u8]) -> Option<Vec<u8>> {
    let (cubin, sum) = file.split_at(file.len().checked_sub(SUM)?);
    (sum == sum_of(cubin)).then(|| cubin.to_vec())
}

/// FNV-1a, 64 bits.
fn sum_of(bytes: &[u8]) -> [u8; SUM] {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_noticed() {
        let mut file = written(b"machine code");
        assert_eq!(read(&file).unwrap(), b"machine code");
        file[3] ^= 1;
        assert_eq!((read(&file), read(b"short")), (None, None));
    }

    #[test]
    fn file_names_its_compiler() {
        let file = file_name("linear-sm_90-0123", (13, 5));
        assert_eq!(compiler_of(&file, "linear-sm_90-0123"), Some((13, 5)));
        assert_eq!(compiler_of(&file, "linear-sm_90-012"), None);
        assert_eq!(compiler_of("linear-sm_90-0123-nvrtc13.cubin", "linear-sm_90-0123"), None);
    }
}
