//! NVIDIA's libraries as fakes that a C compiler makes, for tests.
//!
//! Libraries are looked for when a program starts; so a test runs itself once more, with the fakes in its way.

use std::path::PathBuf;
use std::process::Command;
use std::string::String;
use std::{env, eprintln, fs, process};

use crate::fixture;

/// Says to a test that it is the one that was run once more.
const AGAIN: &str = "VAR_FAKE_LIBRARY";

/// Runs the test `name` of `module` again under the fakes, where the driver is the fake called `fake`; true if
/// this is that run.
pub(super) fn under_fakes(module: &str, name: &str, fake: &str) -> bool {
    if env::var_os(AGAIN).is_some() {
        return true;
    }
    let source = fixture::root().join("tests/cuda/fake_driver.c");
    if !source.exists() {
        // This program was taken to another machine.
        eprintln!("skipped: no {}", source.display());
        return false;
    }
    let folder = Folder::new(name);
    for (library, define) in
        [("libcuda.so", "-DCUDA"), ("libnvrtc.so", "-DNVRTC"), ("libcublasLt.so", "-DCUBLASLT")]
    {
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-w", "-O1", define, "-o"]).arg(folder.0.join(library));
        match cc.arg(&source).arg("-lm").status() {
            Err(_) => {
                eprintln!("skipped: no C compiler");
                return false;
            }
            Ok(status) => assert!(status.success(), "{library} does not compile"),
        }
    }
    let (_, module) = module.split_once("::").unwrap();
    let test = std::format!("{module}::{name}");
    let mut again = Command::new(env::current_exe().unwrap());
    again.args([&test, "--exact", "--nocapture"]).env(AGAIN, "1");
    again.env("LD_LIBRARY_PATH", &folder.0).env("VAR_FAKE_CARD", fake);
    let output = again.output().unwrap();
    let [said, faults] =
        [output.stdout, output.stderr].map(|source| String::from_utf8(source).unwrap());
    assert!(output.status.success(), "{said}\n{faults}");
    assert!(said.contains("1 passed"), "no test is called {test}: {said}");
    assert!(!faults.contains("fake driver:"), "{faults}");
    false
}

/// A folder of its own, gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(std::format!("var-{name}-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
