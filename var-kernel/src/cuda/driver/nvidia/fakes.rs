//! The emulator as a fake that computes nothing and has faults.
//!
//! Its faults are named by the environment, and are the whole process's; so a test runs itself once more, with the
//! emulator's libraries in the loader's way.

use std::env;
use std::process::Command;
use std::string::String;

use crate::cuda::testing::emulator;

/// Says to a test that it is the one that was run once more.
const AGAIN: &str = "VAR_FAKE_LIBRARY";

/// Runs the test `name` of `module` again under the fakes, where the driver is the fake called `fake`; true if
/// this is that run.
pub(super) fn under_fakes(module: &str, name: &str, fake: &str) -> bool {
    if env::var_os(AGAIN).is_some() {
        return true;
    }
    let Some(folder) = emulator::folder_or_skip() else { return false };
    let (_, module) = module.split_once("::").unwrap();
    let test = std::format!("{module}::{name}");
    let mut again = Command::new(env::current_exe().unwrap());
    again.args([&test, "--exact", "--nocapture"]).env(AGAIN, "1");
    again.env("LD_LIBRARY_PATH", folder).env("VAR_FAKE_GPU", fake);
    let output = again.output().unwrap();
    let [said, faults] =
        [output.stdout, output.stderr].map(|source| String::from_utf8(source).unwrap());
    assert!(output.status.success(), "{said}\n{faults}");
    assert!(said.contains("1 passed"), "no test is called {test}: {said}");
    assert!(!faults.contains("fake driver:"), "{faults}");
    false
}
