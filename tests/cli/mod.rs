//! The binary `var` as a user runs it.

mod checkpoints;
mod classes;
mod convert;
mod evaluate;
mod gpu;
mod help;
mod identity;
mod images;
mod interrupted;
mod options;
mod packaging;
mod plot;
mod reference;
mod refusals;
mod sample;
mod sample_folder;
mod scaling;
#[cfg(feature = "serve")]
mod serve;
mod tokenize;
mod train;
mod train_vae;

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;
use var_host::images::{Parameters, RgbImage, read_parameters};
use var_host::tokens::TokenFile;

/// Options of the run that the reference's tokens and images are of.
pub(crate) const REFERENCE: [&str; 12] = [
    "sample", "--class", "0-9", "--cfg", "2", "--top-k", "100", "--top-p", "0.95", "--seed", "0",
    "--quiet",
];

/// An empty folder to run `var` in.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `var` in this folder, without the environment's ranks, with [`small_model`] in place of the built-in
    /// model.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_as_typed(&with_small_model(arguments))
    }

    /// The same with the built-in model where the arguments take it.
    pub(crate) fn command_as_typed<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_var"));
        command.args(arguments).current_dir(self.0.path());
        crate::launch::without_launcher(&mut command);
        command
    }

    /// The same, which signals end even where this process was started with them ignored, as a job in the
    /// background of a shell is.
    #[cfg(unix)]
    pub(crate) fn command_that_signals_end(&self, arguments: &[&str]) -> Command {
        let command = self.command(arguments);
        if !ignores_signals() {
            return command;
        }
        // Becomes `var`, with the same number.
        let mut env = Command::new("env");
        env.arg("--default-signal=HUP,INT,TERM").arg(command.get_program());
        env.args(command.get_args()).current_dir(self.0.path());
        crate::launch::without_launcher(&mut env);
        env
    }

    /// Runs `var`, which must succeed, and returns its stdout.
    #[track_caller]
    pub(crate) fn var(&self, arguments: &[&str]) -> String {
        succeeds(&mut self.command(arguments))
    }

    /// Runs `var`, which must fail with `code`, say so in one line that holds `message` if it is
    /// not the parser's, and leave the folder as it was.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str], code: i32, message: &str) {
        let before = self.names();
        self.refused_by(&mut self.command(arguments), code, message);
        assert_eq!(self.names(), before, "var {}: wrote something", arguments.join(" "));
    }

    #[track_caller]
    pub(crate) fn refused_by(&self, command: &mut Command, code: i32, message: &str) {
        let output = command.output().unwrap();
        // Small sets are warned of before the work that may fail.
        let few = |line: &&str| line.contains(" images: with fewer than 2048 the numbers are ");
        let fault: String = faults(&output).split_inclusive('\n').filter(|l| !few(l)).collect();
        let Output { status, stdout, .. } = output;
        assert_eq!(status.code(), Some(code), "{command:?}: {fault}");
        assert!(fault.contains(message), "{command:?}: says {fault:?}, not {message:?}");
        assert!(stdout.is_empty(), "{command:?}: prints {stdout:?}");
        let own = fault.strip_prefix("var: ");
        assert!(own.is_none_or(|line| line.trim_end().lines().count() == 1), "{fault}");
        assert!(own.is_some() || fault.starts_with("error: "), "{fault}");
    }

    /// All files below the folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![self.0.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.0.path()).unwrap();
                names.push(name.to_str().unwrap().to_owned());
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        names.sort();
        names
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn picture(&self, name: &str) -> RgbImage {
        RgbImage::open(&self.path(name)).unwrap()
    }

    pub(crate) fn parameters(&self, name: &str) -> Parameters {
        read_parameters(&self.path(name)).unwrap()
    }

    pub(crate) fn tokens(&self, name: &str) -> TokenFile {
        TokenFile::open(&self.path(name)).unwrap()
    }
}

/// Whether this process ignores a signal of SIGHUP, SIGINT and SIGTERM.
#[cfg(unix)]
fn ignores_signals() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap());
    [1, 2, 15].iter().any(|signal| mask & 1 << (signal - 1) != 0)
}

/// The lines on stderr, but for the one of a build with GPUs where none answers: where it computes instead.
pub(crate) fn faults(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let elsewhere = |line: &&str| line.starts_with("computing on the processor, in f32: ");
    said.split_inclusive('\n').filter(|line| !elsewhere(line)).collect()
}

/// A file of the fixtures.
pub(crate) fn fixture(name: &str) -> String {
    let path = crate::fixture::fixture(name);
    path.canonicalize().unwrap().to_str().unwrap().to_owned()
}

/// The file of a model of 32 × 32 images of clothes in ten classes: its 30 tokens take a small part of the
/// time of the built-in model's 130.
pub(crate) fn small_model() -> String {
    fixture("fashion_reference.safetensors")
}

/// Commands that take the built-in model where none is named.
const TAKE_A_MODEL: [&str; 9] =
    ["bench", "decode", "edit", "encode", "reconstruct", "sample", "score", "serve", "validate"];

/// The arguments with [`small_model`] where they take the built-in model.
fn with_small_model(arguments: &[&str]) -> Vec<String> {
    let named = arguments.iter().any(|word| ["--model", "--var", "--vae"].contains(word));
    let word = |word: &&str| if *word == "built-in" { small_model() } else { (*word).to_owned() };
    let mut replaced: Vec<String> = arguments.iter().map(word).collect();
    if !named && arguments.first().is_some_and(|command| TAKE_A_MODEL.contains(command)) {
        replaced.extend(["--model".to_owned(), small_model()]);
    }
    replaced
}

/// Runs a command that must succeed, and returns its stdout.
#[track_caller]
pub(crate) fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {faults}");
    String::from_utf8(output.stdout).unwrap()
}

/// Instruction sets of this machine.
pub(crate) fn isas() -> Vec<&'static str> {
    var_kernel::cpu::Isa::all().map(var_kernel::cpu::Isa::name).collect()
}
