//! The C interface, by programs in C: built by the system's C compiler, run with the shared library.
//!
//! `VAR_REQUIRE=cc` makes a test fail where it would be skipped.
#![cfg(target_os = "linux")]

mod header;

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use var_host::{Model, SampleOptions};

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder with the shared library under its SONAME, and the programs built there.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().unwrap());
        let test = env::current_exe().unwrap();
        // target/debug/deps/c-0123: cargo puts the library beside the test, or in the folder above.
        let built = test.ancestors().skip(1).take(2).map(|folder| folder.join("libvarimage.so"));
        let built = built.filter(|path| path.exists()).last().expect("cargo built the library");
        fs::copy(&built, place.path("libvarimage.so.0")).unwrap();
        std::os::unix::fs::symlink("libvarimage.so.0", place.path("libvarimage.so")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Builds a program; none if there is no such compiler.
    fn built(
        &self,
        compiler: &str,
        source: &Path,
        name: &str,
        options: &[&str],
    ) -> Option<PathBuf> {
        let program = self.path(name);
        let output = Command::new(compiler)
            .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-g", "-I"])
            .arg(package())
            .args(options)
            .arg(source)
            .arg("-L")
            .arg(self.0.path())
            .args(["-lvarimage", "-lpthread", "-o"])
            .arg(&program)
            .output();
        let output = match output {
            Ok(output) => output,
            Err(error) => {
                let required = env::var("VAR_REQUIRE").unwrap_or_default();
                assert!(!required.split(',').any(|name| name == "cc"), "{compiler}: {error}");
                eprintln!("skipped: {compiler}: {error}");
                return None;
            }
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(program)
    }

    fn run<A: AsRef<OsStr>>(&self, program: &Path, arguments: &[A]) -> Output {
        let output = Command::new(program)
            .args(arguments)
            .env("LD_LIBRARY_PATH", self.0.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {}\n{said}", program.display(), output.status);
        output
    }
}

fn interface() -> PathBuf {
    package().join("../../tests/c/interface.c")
}

fn model_file() -> PathBuf {
    package().join("../../var-host/src/model/default.safetensors")
}

#[test]
fn images_have_the_bytes_of_the_library_for_five_seeds_and_two_classes() {
    let place = Place::new();
    let Some(program) = place.built("cc", &interface(), "draw", &["-std=c11"]) else { return };
    let mut model = Model::built_in().unwrap();
    for seed in [0, 1, 5, 77, u64::MAX] {
        for class in [3, 8] {
            let options = SampleOptions { seed, ..Default::default() };
            let image = model.sample(&[class], &options).unwrap().remove(0);
            let output =
                place.run(&program, &["draw".to_owned(), seed.to_string(), class.to_string()]);
            let (head, rgb) =
                output.stdout.split_at(output.stdout.len() - image.picture.rgb().len());
            assert_eq!(head, b"P6 64 64 255\n");
            assert_eq!(rgb, image.picture.rgb(), "seed {seed}, class {class}");
        }
    }
}

#[test]
fn every_call_answers_right_and_wrong_arguments() {
    let place = Place::new();
    for (compiler, options) in [("cc", ["-std=c11", "-xc"]), ("c++", ["-std=c++17", "-xc++"])] {
        let options = [options[0], options[1], "-Wno-missing-field-initializers"];
        let Some(program) = place.built(compiler, &interface(), compiler, &options) else {
            continue;
        };
        let output = place.run(&program, &[model_file()]);
        assert_eq!(output.stdout, b"all is well\n", "{compiler}");
    }
}

#[test]
fn program_of_the_page_draws_an_image() {
    let page = fs::read_to_string(package().join("README.md")).unwrap();
    let (_, program) = page.split_once("```c\n").unwrap();
    let (program, _) = program.split_once("```").unwrap();
    let place = Place::new();
    let source = place.path("program.c");
    fs::write(&source, program).unwrap();
    let Some(program) = place.built("cc", &source, "program", &["-std=c11"]) else { return };
    let output = place.run::<&str>(&program, &[]);
    let options = SampleOptions { seed: 5, ..Default::default() };
    let image = Model::built_in().unwrap().sample(&[3], &options).unwrap().remove(0);
    assert!(output.stdout.ends_with(image.picture.rgb()));
    assert!(String::from_utf8_lossy(&output.stderr).ends_with("scale 6 of 6\n"));
}
