//! Compiled kernels, kept.

use std::string::String;
use std::vec::Vec;

/// A version of NVRTC: (13, 0).
pub type Compiler = (i32, i32);

/// Compiled kernels kept from one run to the next, by name and by the compiler that made them.
pub trait Cubins: Send + Sync {
    /// By which compilers what was stored under `name` was made.
    fn versions(&self, name: &str) -> Vec<Compiler>;

    /// What was stored under `name`, made by this compiler.
    fn load(&self, name: &str, by: Compiler) -> Option<Vec<u8>>;

    /// Stores under `name`; what cannot be stored is compiled again next time.
    fn store(&self, name: &str, by: Compiler, cubin: &[u8]);
}

/// The file for what is stored under `name`: `NAME-nvrtc13.0.cubin`.
pub fn file_name(name: &str, (major, minor): Compiler) -> String {
    std::format!("{name}-nvrtc{major}.{minor}.cubin")
}

/// The compiler of a file for `name`; none if it is another's.
pub fn compiler_of(file: &str, name: &str) -> Option<Compiler> {
    let version = file.strip_prefix(name)?.strip_prefix("-nvrtc")?.strip_suffix(".cubin")?;
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_its_compiler() {
        let file = file_name("linear-sm_90-0123", (13, 5));
        assert_eq!(compiler_of(&file, "linear-sm_90-0123"), Some((13, 5)));
        assert_eq!(compiler_of(&file, "linear-sm_90-012"), None);
        assert_eq!(compiler_of("linear-sm_90-0123-nvrtc13.cubin", "linear-sm_90-0123"), None);
    }
}
