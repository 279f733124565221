//! Compiled kernels kept in a folder: a text is compiled once for a kind of GPU.

use std::env;
use std::fs;
use std::path::PathBuf;

use var_kernel::cuda::{Compiler, CubinCache, cubin_cache};

use crate::atomic_file::AtomicFile;

/// A folder of compiled kernels.
#[derive(Clone, Debug)]
pub struct CubinFolder(PathBuf);

impl CubinFolder {
    /// Keeps them in `folder`, which is made when the first is stored.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// `$VAR_CUBINS`, else `var` in the user's cache folder (`$XDG_CACHE_HOME`, `~/.cache`), if there is
    /// one.
    pub fn of_the_user() -> Option<Self> {
        let named = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = || {
            let home = || named("HOME").map(|home| home.join(".cache"));
            Some(named("XDG_CACHE_HOME").or_else(home)?.join("var"))
        };
        named("VAR_CUBINS").or_else(cache).map(Self::new)
    }
}

impl CubinCache for CubinFolder {
    fn versions(&self, name: &str) -> Vec<Compiler> {
        let Ok(entries) = fs::read_dir(&self.0) else { return Vec::new() };
        let files = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        files.filter_map(|file| cubin_cache::compiler_of(&file, name)).collect()
    }

    /// None if it is missing or damaged: the driver does not check a cubin.
    fn load(&self, name: &str, by: Compiler) -> Option<Vec<u8>> {
        cubin_cache::read(&fs::read(self.0.join(cubin_cache::file_name(name, by))).ok()?)
    }

    fn store(&self, name: &str, by: Compiler, cubin: &[u8]) {
        let write = || {
            fs::create_dir_all(&self.0).ok()?;
            let path = self.0.join(cubin_cache::file_name(name, by));
            let mut file = AtomicFile::create(path, true).ok()?;
            std::io::Write::write_all(&mut file, &cubin_cache::written(cubin)).ok()?;
            file.commit().ok()
        };
        // A cubin that cannot be stored is compiled again next time.
        let _ = write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_cubins_are_found_again_unless_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let cubin_cache = CubinFolder::new(folder.path().join("deep/er"));
        let (old, new) = ((13, 0), (13, 5));
        assert_eq!((cubin_cache.versions("a"), cubin_cache.load("a", new)), (vec![], None));
        cubin_cache.store("a", new, b"machine code");
        cubin_cache.store("a", old, b"older code");
        cubin_cache.store("ab", new, b"another text's");
        let mut versions = cubin_cache.versions("a");
        versions.sort_unstable();
        assert_eq!(versions, [old, new]);
        assert_eq!(cubin_cache.load("a", new).unwrap(), b"machine code");
        let path = folder.path().join("deep/er/a-nvrtc13.5.cubin");
        let mut bytes = fs::read(&path).unwrap();
        bytes[3] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(cubin_cache.load("a", new), None);
        fs::write(&path, b"short").unwrap();
        assert_eq!(cubin_cache.load("a", new), None);
    }
}
