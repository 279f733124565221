//! Tiny runs within this process, each combination of options once.

use core::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use var_host::checkpoint::{Checkpoint, Record, save};
use var_host::images::{RgbImage, write_png};

use crate::args::TypedOptions;
use crate::{Arguments, Command};

const SMALL: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/fashion_reference.safetensors");

/// Files that a run leaves.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// The elements of the model's tensors by their names.
    pub(super) tensors: BTreeMap<String, Vec<f32>>,
    /// The lines of the log, without the speed.
    pub(super) log: Vec<Value>,
    names: Vec<String>,
}

impl Outcome {
    /// The values of `key` in the lines that have it.
    pub(super) fn logged(&self, key: &str) -> Vec<&Value> {
        self.log.iter().filter_map(|line| line.get(key)).collect()
    }

    /// The files that begin with `start`, but for the events, which are named by the clock.
    pub(super) fn files(&self, start: &str) -> Vec<&str> {
        let ours = |name: &&String| name.starts_with(start) && !name.starts_with("events");
        self.names.iter().filter(ours).map(String::as_str).collect()
    }
}

/// The runs so far of one command, their data, and what all have in common.
pub(super) struct Runs {
    place: TempDir,
    command: &'static str,
    base: &'static str,
    /// Tensors that are compared begin so.
    prefix: &'static str,
    done: RefCell<HashMap<String, Result<Outcome, String>>>,
    /// The folder of each line.
    folders: RefCell<HashMap<String, usize>>,
}

impl Runs {
    pub(super) fn new(command: &'static str, base: &'static str, prefix: &'static str) -> Self {
        let place = TempDir::new().unwrap();
        pictures(&place.path().join("data"), 0);
        pictures(&place.path().join("other"), 7);
        let (done, folders) = Default::default();
        Self { place, command, base, prefix, done, folders }
    }

    /// Whether the run `with` these options besides the base's has the option `name`.
    pub(super) fn have(&self, with: &str, name: &str) -> bool {
        let is =
            |word: &str| word == format!("--{name}") || word.starts_with(&format!("--{name}="));
        self.line(with).split(' ').any(is)
    }

    /// What the run with these options besides the base's leaves, or why it is refused.
    pub(super) fn outcome(&self, more: &str) -> Result<Outcome, String> {
        let line = self.line(more);
        if let Some(outcome) = self.done.borrow().get(&line) {
            return outcome.clone();
        }
        let folder = self.folder(&line);
        let outcome = self.run(&line, &folder).map(|()| self.read(&folder));
        self.done.borrow_mut().insert(line, outcome.clone());
        outcome
    }

    /// The present files of the run with these options.
    pub(super) fn left_by(&self, more: &str) -> Outcome {
        self.read(&self.folder(&self.line(more)))
    }

    /// Whether the run of `first` goes on with `second`, or why not.
    pub(super) fn go_on(&self, first: &str, second: &str) -> Result<(), String> {
        self.run(&self.line(second), &self.folder(&self.line(first)))
    }

    /// Whether the option `name` may be another when a run goes on.
    pub(super) fn may_change(&self, name: &str) -> bool {
        match self.parse(&self.command_line(self.base, "run")).unwrap().0.command {
            Command::Train(options) => options.may_change(name),
            Command::TrainVae(options) => options.may_change(name),
            _ => panic!("a command that trains"),
        }
    }

    /// Runs any command line, `@` before the names of files of this place.
    pub(super) fn var(&self, line: &str) -> Result<(), String> {
        let (arguments, given) = self.parse(line)?;
        crate::dispatch(&arguments, given).map_err(|error| format!("{error:#}"))
    }

    fn parse(&self, line: &str) -> Result<(Arguments, TypedOptions), String> {
        let path = |word: &str| match word.split_once('@') {
            Some((before, name)) => format!("{before}{}", self.path(name).display()),
            None => word.to_owned(),
        };
        let words = line.split_whitespace().map(path).map(OsString::from);
        crate::parse(words).map_err(|error| error.to_string())
    }

    /// A file of this place; `small`: that of a model of 32 × 32 images, whose tokens are few.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        match name {
            "small" => PathBuf::from(SMALL),
            name => self.place.path().join(name),
        }
    }

    /// Writes the tensors of some files that begin with `prefix`, each with another prefix instead, and
    /// without metadata, as published checkpoints are.
    pub(super) fn publish(&self, from: &[[&str; 2]], prefix: &str, to: &str) {
        let parts: Vec<_> = from
            .iter()
            .map(|[file, part]| (part, Checkpoint::open(self.path(file)).unwrap()))
            .collect();
        let tensors: Vec<_> = parts
            .iter()
            .flat_map(|(part, checkpoint)| {
                checkpoint.tensors().map(move |info| (part, checkpoint, info.name))
            })
            .filter_map(|(part, checkpoint, whole)| {
                let name = format!("{part}{}", whole.strip_prefix(prefix)?);
                Some((name, checkpoint.tensor(whole).unwrap()))
            })
            .collect();
        let records: Vec<_> = tensors
            .iter()
            .map(|(name, tensor)| {
                Record::borrowed(name.as_str(), tensor.dtype, tensor.shape, tensor.bytes)
            })
            .collect();
        save(self.path(to), records, &BTreeMap::new(), true).unwrap();
    }

    fn line(&self, more: &str) -> String {
        let mut all = options(self.base);
        for word in more.split_whitespace() {
            match word.strip_prefix('!') {
                Some(name) => drop(all.remove(name)),
                None => all.extend(options(word)),
            }
        }
        all.into_values().collect::<Vec<_>>().join(" ")
    }

    fn folder(&self, line: &str) -> String {
        let mut folders = self.folders.borrow_mut();
        let next = folders.len();
        format!("run{}", folders.entry(line.to_owned()).or_insert(next))
    }

    fn run(&self, line: &str, folder: &str) -> Result<(), String> {
        self.var(&self.command_line(line, folder))
    }

    fn command_line(&self, line: &str, folder: &str) -> String {
        format!("var {} {line} --out=@{folder} --threads=1 --alone -q", self.command)
    }

    fn read(&self, folder: &str) -> Outcome {
        let folder = self.path(folder);
        let checkpoint = Checkpoint::open(folder.join("ckpt-last.safetensors")).unwrap();
        let ours = checkpoint.tensors().filter(|info| info.name.starts_with(self.prefix));
        let tensors = ours
            .map(|info| (info.name.to_owned(), checkpoint.tensor(info.name).unwrap().to_f32()))
            .collect();
        let text = fs::read_to_string(folder.join("log.jsonl")).unwrap();
        let mut log: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for line in &mut log {
            line.as_object_mut().unwrap().remove("images_per_s");
        }
        let entries = fs::read_dir(&folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        Outcome { tensors, log, names }
    }
}

/// The options of a line by their names.
fn options(line: &str) -> BTreeMap<String, String> {
    let name = |word: &str| word.trim_start_matches("--").split('=').next().unwrap().to_owned();
    line.split_whitespace().map(|word| (name(word), word.to_owned())).collect()
}

/// Eight images of two classes to learn from, and one of each to validate on.
fn pictures(folder: &Path, seed: usize) {
    for (part, count) in [("train", 8), ("val", 2)] {
        for number in 0..count {
            let class = folder.join(part).join(["ant", "bee"][number % 2]);
            fs::create_dir_all(&class).unwrap();
            let pixel = |i: usize| (i * (number + seed + 3) + i * i / 31 + 40 * seed) as u8;
            let rgb = (0..3 * 40 * 44).map(pixel).collect();
            let picture = RgbImage::new(40, 44, rgb);
            let path = class.join(format!("{number}.png"));
            write_png(&path, &picture, &Default::default(), true).unwrap();
        }
    }
}
