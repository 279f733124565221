//! The emulator: NVIDIA's libraries for the processor, `tests/cuda/emulator`, built by g++ beside the test programs
//! and loaded in place of NVIDIA's.
#![allow(unsafe_code)]

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::string::{String, ToString};
use std::sync::OnceLock;
use std::vec::Vec;

use libloading::Library;

use super::skipped;

/// Embeds files of the emulator, with their names.
macro_rules! files {
    ($($name:literal),*) => {
        &[$(($name, include_str!(concat!("../../../cuda/emulator/", $name)))),*]
    };
}

/// Texts by their names.
type Files = &'static [(&'static str, &'static str)];

/// Files that sources include, and kernels.
const HEADERS: Files = files![
    "gpu.h",
    "driver.h",
    "include/kernels.h",
    "include/fibers.h",
    "include/builtins.h",
    "include/instructions.cuh"
];

/// Each library with its sources and the libraries it is linked to.
const LIBRARIES: [(&str, Files, &[&str]); 4] = [
    (
        "libcuda.so",
        files![
            "device.cc",
            "memory.cc",
            "modules.cc",
            "launch.cc",
            "streams.cc",
            "sums.cc",
            "record.cc"
        ],
        &[],
    ),
    ("libnvrtc.so", files!["nvrtc.cc"], &[]),
    ("libcublasLt.so", files!["cublaslt.cc"], &["libcuda.so"]),
    ("libnccl.so.2", files!["nccl.cc"], &["libcuda.so"]),
];

/// All files.
fn files() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    HEADERS.iter().chain(LIBRARIES.iter().flat_map(|(_, sources, _)| *sources))
}

/// For this processor: the libraries go no further than the kernels that they compile.
const FLAGS: [&str; 8] = [
    "-std=c++20",
    "-O2",
    "-march=native",
    "-ffp-contract=off",
    "-fno-gnu-unique",
    "-fno-strict-aliasing",
    "-shared",
    "-fPIC",
];

/// The folder with the libraries, built first if need be.
///
/// # Errors
/// If this is another system than Linux on x86-64, or there is no g++.
///
/// # Panics
/// If a library does not compile, or a file cannot be written.
pub fn folder() -> Result<&'static Path, String> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOLDER.get_or_init(build).as_deref().map_err(Clone::clone)
}

/// The folder, or a word why a test is skipped.
///
/// # Panics
/// As [`folder`], or if there is none and `VAR_REQUIRE` names `emulator`.
pub fn folder_or_skip() -> Option<&'static Path> {
    folder().map_or_else(|reason| skipped("the emulator", "emulator", &reason), Some)
}

/// Links some of the libraries into a folder of their own, for programs that find them by `LD_LIBRARY_PATH`; false
/// if there are none.
///
/// # Panics
/// As [`folder_or_skip`], or if the folder cannot be written.
pub fn link_or_skip(into: &Path, libraries: &[&str]) -> bool {
    let Some(folder) = folder_or_skip() else { return false };
    for library in libraries {
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.join(library), into.join(library)).expect("a new link");
    }
    true
}

/// libcuda, loaded into this process with the others, once and for good: the product asks for libraries by their
/// names, and the loader finds those that have them already.
///
/// # Errors
/// As [`folder`].
///
/// # Panics
/// As [`folder`], or if a library is not loaded.
pub(super) fn load() -> Result<&'static Library, String> {
    static LOADED: OnceLock<Result<Vec<Library>, String>> = OnceLock::new();
    let load = || {
        let folder = folder()?;
        let libraries = LIBRARIES.iter().map(|(name, ..)| {
            // SAFETY: the libraries are the emulator's, which do nothing when they are loaded.
            unsafe { Library::new(folder.join(name)) }.expect("a library that was built is loaded")
        });
        Ok(libraries.collect())
    };
    LOADED.get_or_init(load).as_ref().map(|libraries| &libraries[0]).map_err(Clone::clone)
}

fn build() -> Result<PathBuf, String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("the emulator is for Linux on x86-64".to_string());
    }
    let hash = files().flat_map(|(_, text)| text.bytes());
    let hash = hash.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let program = env::current_exe().expect("a test program has a path");
    let beside = program.parent().expect("a program is in a folder");
    let folder = beside.join(std::format!("emulator-{hash:016x}"));
    // One process builds; the others find its outcome.
    let lock = File::create(folder.with_extension("lock")).expect("the folder can be written");
    lock.lock().expect("a file can be locked");
    if !folder.exists() {
        let fresh = folder.with_extension("new");
        let _ = fs::remove_dir_all(&fresh);
        compile(&fresh)?;
        fs::rename(&fresh, &folder).expect("the folder can be renamed");
    }
    Ok(folder)
}

/// Writes the sources and compiles the libraries in a new folder.
fn compile(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder.join("kernels")).expect("the folder can be written");
    fs::create_dir_all(folder.join("include")).expect("the folder can be written");
    for (name, text) in files() {
        fs::write(folder.join(name), text).expect("the folder can be written");
    }
    for (library, sources, linked) in LIBRARIES {
        let mut compiler = Command::new("g++");
        compiler.current_dir(folder).args(FLAGS);
        compiler.arg(std::format!("-Wl,-soname,{library}")).args(["-o", library]);
        compiler.args(sources.iter().map(|(name, _)| name)).args(linked);
        let output = match compiler.output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err("there is no g++ on this machine".to_string());
            }
            output => output.expect("g++ starts"),
        };
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{library} does not compile:\n{log}");
    }
    Ok(())
}
