//! The options of a run, and that it is one process's alone.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Map, Value};

use super::digests::DIGEST;
use super::{RunError, SettingDifference};
use crate::atomic_file::{self, AtomicFile, AtomicFileError};

/// The file of the options.
const FILE: &str = "config.json";
/// The file that is locked while a process trains in the folder.
const LOCK: &str = "lock";

/// How long a lock is waited for.
const LOCK_PATIENCE: Duration = Duration::from_millis(200);

/// The options of a run by their names, as `config.json` holds them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options(pub Map<String, Value>);

/// The options of a session of a run by their names, by how far they must be the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunConfig {
    /// What affects training: the same on every rank, and whenever the run goes on.
    pub learned: Map<String, Value>,
    /// Decided for all ranks together: the same on every rank.
    pub session: Map<String, Value>,
    /// Decided by each process: paths, since contents are compared, and threads.
    pub local: Map<String, Value>,
}

impl RunConfig {
    /// All options.
    pub fn all(&self) -> Map<String, Value> {
        let Self { learned, session, local } = self;
        [learned, session, local]
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }

    /// The options that all ranks have alike.
    pub(super) fn of_all_ranks(&self) -> Map<String, Value> {
        let both = self.learned.iter().chain(&self.session);
        both.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Whether the option `name` may be another when a run goes on.
    pub fn may_change(&self, name: &str) -> bool {
        self.session.contains_key(name) || self.local.contains_key(name)
    }

    /// Lets the options `names` be others when the run goes on.
    pub fn release(&mut self, names: &[&str]) {
        for name in names {
            self.session.extend(self.learned.remove_entry(*name));
        }
    }
}

/// The plain values of a struct by their names.
///
/// # Panics
/// If `options` is no struct of plain values.
pub fn by_name(options: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(options) {
        Ok(Value::Object(options)) => options,
        other => panic!("a struct of plain values, not {other:?}"),
    }
}

/// Whether a run is new; holds the folder's lock until it is dropped or the process ends.
#[must_use = "dropping it lets another process train in the folder"]
#[derive(Debug)]
pub enum Begun {
    /// There was no run in the folder.
    New(Lock),
    /// A run goes on.
    Resumed(Lock),
}

/// That no other process trains in the folder. The system gives the lock back when the process
/// ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    #[expect(dead_code, reason = "held for its lock")]
    file: File,
    folder: PathBuf,
    /// Whether this process made the file.
    is_new: bool,
    /// The folders that were made, the outermost first.
    made: Vec<PathBuf>,
}

impl Begun {
    /// Runs `work` while the folder is locked. A new run that fails before it has written anything leaves
    /// nothing.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn hold<R, E>(self, work: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
        let ended = work();
        if ended.is_err() {
            self.withdraw();
        }
        ended
    }

    /// Removes what [`begin`] made for a new run that has written nothing of its own.
    fn withdraw(self) {
        let Self::New(lock) = self else { return };
        let names = fs::read_dir(&lock.folder).into_iter().flatten();
        let mut names = names.map(|entry| entry.map(|entry| entry.file_name()));
        if names.all(|name| name.is_ok_and(|name| name == FILE || name == LOCK)) {
            // The error of the run is told; one of removing would hide it.
            let _ = fs::remove_file(lock.folder.join(FILE));
            lock.withdraw();
        }
    }
}

impl Lock {
    /// Removes the file and the folders if they were made for it.
    fn withdraw(self) {
        if self.is_new {
            let _ = fs::remove_file(self.folder.join(LOCK));
        }
        // Those that others have filled since stay.
        self.made.iter().rev().all(|folder| fs::remove_dir(folder).is_ok());
    }
}

impl Options {
    /// The options in `folder`, if there is a run in it.
    ///
    /// # Errors
    /// If `config.json` cannot be read or is no JSON object.
    pub fn read(folder: &Path) -> Result<Option<Self>, RunError> {
        let path = folder.join(FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(RunError::io("read", &path))?,
        };
        let options = serde_json::from_slice(&text);
        options
            .map(|options| Some(Self(options)))
            .map_err(|source| RunError::Options { path, source })
    }
}

/// Begins a run in `folder`, which is made if it is not there: locks it, removes the temporary files
/// of a killed process, and writes `config.json`.
///
/// If there is a `config.json`, its options must be those of `config` that affect training; the
/// others are replaced. An option that is null is as good as none; a [digest](DIGEST) that the run was begun
/// without is taken as it is.
///
/// # Errors
/// [`RunError::Locked`] if another process trains in the folder; [`RunError::OtherOptions`] with all
/// that differ; [`RunError::NoOptions`] if there are checkpoints and no options; if a file cannot be
/// read or written. The folder is unchanged then.
pub fn begin(folder: &Path, config: &RunConfig) -> Result<Begun, RunError> {
    let made = folder.ancestors().take_while(|place| !place.exists()).map(Path::to_path_buf);
    let mut made: Vec<_> = made.filter(|place| !place.as_os_str().is_empty()).collect();
    made.reverse();
    fs::create_dir_all(folder).map_err(RunError::io("make", folder))?;
    let lock = lock(folder, made)?;
    match write_options(folder, config) {
        Ok(true) => Ok(Begun::New(lock)),
        Ok(false) => Ok(Begun::Resumed(lock)),
        Err(fault) => {
            lock.withdraw();
            Err(fault)
        }
    }
}

/// Writes `config.json` in a folder that is locked; returns whether the run is new.
fn write_options(folder: &Path, config: &RunConfig) -> Result<bool, RunError> {
    let options = &config.all();
    let run = ["ckpt-", "config.json", "log.jsonl", "samples-"];
    let ours = |name: &str| run.iter().any(|start| name.starts_with(start));
    atomic_file::remove_left_over(folder, ours).map_err(RunError::io("tidy", folder))?;
    let Some(Options(found)) = Options::read(folder)? else {
        if let Some(checkpoint) = a_checkpoint(folder)? {
            return Err(RunError::NoOptions { folder: folder.to_path_buf(), checkpoint });
        }
        write(folder, options)?;
        return Ok(true);
    };
    let mut differences = differences(&found, options, &|name| config.may_change(name));
    let is_new_digest =
        |pair: &SettingDifference| pair.was.is_none() && pair.option.ends_with(DIGEST);
    differences.retain(|pair| !is_new_digest(pair));
    if !differences.is_empty() {
        return Err(RunError::OtherOptions { folder: folder.to_path_buf(), differences });
    }
    if found != *options {
        write(folder, options)?;
    }
    Ok(false)
}

fn lock(folder: &Path, made: Vec<PathBuf>) -> Result<Lock, RunError> {
    let path = folder.join(LOCK);
    let is_new = !path.exists();
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(RunError::io("write", &path))?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock { file, folder: folder.to_path_buf(), is_new, made }),
            // A process that this one is about to start holds a lock just given back, until it has become
            // another program.
            Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_PATIENCE => {
                thread::sleep(LOCK_PATIENCE / 10);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(RunError::Locked { folder: folder.to_path_buf() });
            }
            Err(TryLockError::Error(source)) => return Err(RunError::io("lock", &path)(source)),
        }
    }
}

/// The name of a checkpoint in the folder.
fn a_checkpoint(folder: &Path) -> Result<Option<String>, RunError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(RunError::io("read", folder))? {
        let name = entry.map_err(RunError::io("read", folder))?.file_name();
        names.extend(name.to_str().filter(|name| name.starts_with("ckpt-")).map(str::to_owned));
    }
    Ok(names.into_iter().min())
}

/// Differences between two sets of options, but for those that `may_change`.
pub(super) fn differences(
    was: &Map<String, Value>,
    now: &Map<String, Value>,
    may_change: &dyn Fn(&str) -> bool,
) -> Vec<SettingDifference> {
    // Through text as the file was: a number printed and read again may differ in the last bit.
    let now = serde_json::to_string(now).and_then(|text| serde_json::from_str(&text));
    let now: Map<String, Value> = now.expect("a map of plain values");
    let names: BTreeSet<&String> = was.keys().chain(now.keys()).collect();
    let names = names.into_iter().filter(|name| !may_change(name));
    let pairs = names.map(|name| SettingDifference {
        option: name.clone(),
        was: was.get(name).filter(|value| !value.is_null()).cloned(),
        now: now.get(name).filter(|value| !value.is_null()).cloned(),
    });
    pairs.filter(|pair| !is_same(&pair.was, &pair.now)).collect()
}

/// Whether two values are the same; 1 is 1.0, and an older version's f32 is its f64.
fn is_same(was: &Option<Value>, now: &Option<Value>) -> bool {
    let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_f64);
    let (Some(a), Some(b)) = (number(was), number(now)) else { return was == now };
    a == b || a == f64::from(b as f32)
}

fn write(folder: &Path, options: &Map<String, Value>) -> Result<(), RunError> {
    let mut file = AtomicFile::create(folder.join(FILE), true)?;
    let text = serde_json::to_string_pretty(options).expect("a map of plain values");
    if let Err(source) = file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")) {
        return Err(AtomicFileError::Io { path: file.path().to_path_buf(), source }.into());
    }
    Ok(file.commit()?)
}

#[cfg(test)]
mod tests;
