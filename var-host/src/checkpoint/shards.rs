//! Checkpoints of several files: an index that says which tensor is in which, a folder, a shard.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Checkpoint, CheckpointError, Contents, Format, FormatError, checksum, digest};

/// The end of an index's name.
const INDEX: &str = ".index.json";
/// Longest index read: some 100 000 tensors.
const INDEX_LIMIT: u64 = 16 << 20;
/// Most shards: each is mapped.
const MOST_SHARDS: usize = 1000;
/// What Hugging Face's libraries call the file of a folder, in the order in which they look.
const NAMES: [&str; 6] = [
    "model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors.index.json",
    "pytorch_model.bin",
    "diffusion_pytorch_model.bin",
];
/// Ends of checkpoints' names.
const EXTENSIONS: [&str; 5] = ["safetensors", "pth", "pt", "ckpt", "bin"];

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Opens a checkpoint of one file or of several: given by the file itself, by an index of shards
    /// (`model.safetensors.index.json`), by one of the shards, or by the folder that holds it.
    ///
    /// # Errors
    ///
    /// [`FormatError::Shards`] with the files that are missing, or with what the folder holds;
    /// else as [`Checkpoint::open`].
    pub fn open_whole(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let chosen = if path.is_dir() { in_folder(path)? } else { path.to_path_buf() };
        let name = chosen.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(INDEX) {
            return Self::of_index(&chosen);
        }
        let Some(shard) = Shard::of(&name) else { return Self::open(chosen) };
        let files: Vec<String> = (1..=shard.count).map(|number| shard.name(number)).collect();
        Self::of_shards(&chosen, &files, None)
    }

    /// The tensors that an index names, from its shards.
    fn of_index(path: &Path) -> Result<Self, CheckpointError> {
        let fault = |fault: String| faulty(path, fault);
        let io = |source| CheckpointError::Io { path: path.to_path_buf(), source };
        let mut text = String::new();
        let read =
            File::open(path).and_then(|file| file.take(INDEX_LIMIT + 1).read_to_string(&mut text));
        if read.map_err(io)? as u64 > INDEX_LIMIT {
            return Err(fault(format!("longer than {INDEX_LIMIT} bytes")));
        }
        let index: Index = serde_json::from_str(&text)
            .map_err(|error| fault(format!("no index of shards: {error}")))?;
        let files: BTreeSet<&String> = index.weight_map.values().collect();
        let plain = |name: &str| Path::new(name).file_name().is_some_and(|last| last == name);
        if let Some(file) = files.iter().find(|file| !plain(file)) {
            return Err(fault(format!("names {file:?}, which is no file of its folder")));
        }
        if index.weight_map.is_empty() {
            return Err(fault("names no tensors".to_owned()));
        }
        let files: Vec<String> = files.into_iter().cloned().collect();
        Self::of_shards(path, &files, Some(&index.weight_map))
    }

    /// The tensors of `files` beside `path`; where there is a `map`, those that it names, each from its
    /// file.
    fn of_shards(
        path: &Path,
        files: &[String],
        map: Option<&BTreeMap<String, String>>,
    ) -> Result<Self, CheckpointError> {
        let fault = |fault: String| faulty(path, fault);
        if files.len() > MOST_SHARDS {
            return Err(fault(format!("{} shards, the limit is {MOST_SHARDS}", files.len())));
        }
        let beside = |name: &String| path.with_file_name(name);
        let missing: Vec<&str> =
            files.iter().filter(|name| !beside(name).exists()).map(String::as_str).collect();
        if !missing.is_empty() {
            let (count, names) = (files.len(), missing.join(", "));
            return Err(fault(format!("{} of {count} shards are missing: {names}", missing.len())));
        }
        let mut whole = Self {
            sources: Vec::new(),
            format: Format::Safetensors,
            contents: Contents::default(),
        };
        for name in files {
            let shard = Self::open(beside(name))?;
            let first = whole.sources.len();
            let wanted = |tensor: &String| map.is_none_or(|map| map.get(tensor) == Some(name));
            whole.format = shard.format;
            whole.sources.extend(shard.sources);
            let Contents { tensors, unreadable, metadata, .. } = shard.contents;
            for (tensor, entry) in tensors.into_iter().filter(|(tensor, _)| wanted(tensor)) {
                let source = first + entry.source();
                let entry = entry.in_source(source);
                if whole.contents.tensors.insert(tensor.clone(), entry).is_some() {
                    return Err(fault(format!("{tensor}: in more than one shard")));
                }
            }
            whole.contents.unreadable.extend(unreadable);
            // What is said of one file is not said of all.
            let of_file = |key: &str| {
                key == checksum::KEY || digest::PARTS.iter().any(|(digest, _)| *digest == key)
            };
            whole.contents.metadata.extend(metadata.into_iter().filter(|(key, _)| !of_file(key)));
        }
        let absent = map.into_iter().flatten().find(|(tensor, _)| {
            !whole.contains(tensor) && !whole.contents.unreadable.contains_key(*tensor)
        });
        match absent {
            Some((tensor, file)) => {
                Err(fault(format!("says {tensor} is in {file}, which has no such tensor")))
            }
            None => Ok(whole),
        }
    }
}

fn faulty(path: &Path, fault: String) -> CheckpointError {
    CheckpointError::Format { path: path.to_path_buf(), source: FormatError::Shards { fault } }
}

/// A name like `model-00001-of-00002.safetensors`.
struct Shard<'n> {
    before: &'n str,
    after: &'n str,
    digits: usize,
    count: usize,
}

impl<'n> Shard<'n> {
    /// The parts of `name`, if it is a shard's.
    fn of(name: &'n str) -> Option<Self> {
        let (before, rest) = name.rsplit_once("-of-")?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (count, after) = rest.split_at(digits);
        let number = before.get(before.len().checked_sub(digits)?..)?;
        let count = count.parse().ok()?;
        let is_one = number.parse().is_ok_and(|number| (1..=count).contains(&number));
        let before = before[..before.len() - digits].strip_suffix('-')?;
        (digits >= 2 && after.starts_with('.') && count <= MOST_SHARDS && is_one).then_some(Self {
            before,
            after,
            digits,
            count,
        })
    }

    fn name(&self, number: usize) -> String {
        let Self { before, after, digits, count } = self;
        format!("{before}-{number:0digits$}-of-{count:0digits$}{after}")
    }
}

/// The one checkpoint in a folder.
fn in_folder(folder: &Path) -> Result<PathBuf, CheckpointError> {
    let known = NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    if let Some(path) = known {
        return Ok(path);
    }
    let io = |source| CheckpointError::Io { path: folder.to_path_buf(), source };
    let (mut indices, mut files) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        if name.ends_with(INDEX) {
            indices.push(name);
        } else if EXTENSIONS.contains(&extension) && !name.starts_with('.') {
            files.push(name);
        }
    }
    indices.sort();
    files.sort();
    // The shards of one checkpoint without its index are one.
    if let Some(first) = files.first().and_then(|name| Shard::of(name)) {
        let names: BTreeSet<String> = (1..=first.count).map(|number| first.name(number)).collect();
        if files.iter().all(|name| names.contains(name)) && indices.is_empty() {
            return Ok(folder.join(&files[0]));
        }
    }
    let found = if indices.is_empty() { files } else { indices };
    match &found[..] {
        [one] => Ok(folder.join(one)),
        [] => Err(faulty(folder, "a folder without a checkpoint".to_owned())),
        several => {
            let names = several.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
            let fault = format!("a folder of {} checkpoints, give one: {names}", several.len());
            Err(faulty(folder, fault))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::checkpoint::{Dtype, Record, save};

    /// A folder of two shards, of which the first holds `a` and `b`, the second `c`, and their index.
    fn folder(index: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, tensors) in [
            ("m-00001-of-00002.safetensors", &["a", "b"][..]),
            ("m-00002-of-00002.safetensors", &["c"]),
        ] {
            let records =
                tensors.iter().map(|name| Record::borrowed(*name, Dtype::U8, [1], name.as_bytes()));
            save(folder.path().join(file), records, &BTreeMap::new(), false).unwrap();
        }
        fs::write(folder.path().join("m.safetensors.index.json"), index).unwrap();
        folder
    }

    const WHOLE: &str = r#"{"metadata": {"total_size": 3}, "weight_map": {"a": "m-00001-of-00002.safetensors",
        "b": "m-00001-of-00002.safetensors", "c": "m-00002-of-00002.safetensors"}}"#;

    fn names(checkpoint: &Checkpoint) -> Vec<String> {
        let read = |name: &str| checkpoint.tensor(name).unwrap().bytes == name.as_bytes();
        assert!(checkpoint.tensors().all(|tensor| read(tensor.name)));
        checkpoint.tensors().map(|tensor| tensor.name.to_owned()).collect()
    }

    /// C03: an index, its folder and a shard are the whole checkpoint.
    #[test]
    fn shards_are_read_through_their_index() {
        let folder = folder(WHOLE);
        for name in [
            "m.safetensors.index.json",
            "",
            "m-00001-of-00002.safetensors",
            "m-00002-of-00002.safetensors",
        ] {
            let checkpoint = Checkpoint::open_whole(folder.path().join(name)).unwrap();
            assert_eq!(names(&checkpoint), ["a", "b", "c"], "{name}");
            assert!(checkpoint.verify().is_err(), "a checksum of one file is not that of all");
        }
        fs::remove_file(folder.path().join("m.safetensors.index.json")).unwrap();
        assert_eq!(names(&Checkpoint::open_whole(folder.path()).unwrap()), ["a", "b", "c"]);
    }

    #[track_caller]
    fn refused(path: &Path, wants: &str) {
        match Checkpoint::open_whole(path) {
            Err(CheckpointError::Format { path: of, source }) => {
                assert_eq!((of.as_path(), source.to_string()), (path, wants.to_owned()));
            }
            other => panic!("{other:?}"),
        }
    }

    /// C03: what is missing is named.
    #[test]
    fn shards_that_are_missing_are_named() {
        let folder = folder(WHOLE);
        fs::remove_file(folder.path().join("m-00002-of-00002.safetensors")).unwrap();
        let wants = "1 of 2 shards are missing: m-00002-of-00002.safetensors";
        for name in ["m.safetensors.index.json", "m-00001-of-00002.safetensors"] {
            refused(&folder.path().join(name), wants);
        }
    }

    #[test]
    fn indices_that_do_not_fit_are_refused() {
        for (index, wants) in [
            (
                WHOLE.replace("\"a\"", "\"z\""),
                "says z is in m-00001-of-00002.safetensors, which has no such tensor",
            ),
            (
                WHOLE.replace("m-00001", "../m-00001"),
                "names \"../m-00001-of-00002.safetensors\", which is no file of its folder",
            ),
            (
                WHOLE.replace("m-00001", "/m-00001"),
                "names \"/m-00001-of-00002.safetensors\", which is no file of its folder",
            ),
            (r#"{"weight_map": {}}"#.to_owned(), "names no tensors"),
            ("{}".to_owned(), "no index of shards: missing field `weight_map` at line 1 column 2"),
        ] {
            refused(&folder(&index).path().join("m.safetensors.index.json"), wants);
        }
    }

    #[test]
    fn folders_without_one_checkpoint_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        refused(folder.path(), "a folder without a checkpoint");
        for name in ["a.pth", "b.pth"] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        refused(folder.path(), "a folder of 2 checkpoints, give one: a.pth, b.pth");
    }

    #[test]
    fn shard_names_alone_are_a_shards() {
        for name in
            ["model-00001-of-00002.safetensors", "pytorch_model-02-of-10.bin", "a-b-01-of-01.pt"]
        {
            assert!(Shard::of(name).is_some(), "{name}");
        }
        for name in [
            "model.safetensors",
            "out-of-00002.pth",
            "m-00003-of-00002.pth",
            "m-1-of-2.pth",
            "-of-",
            "m-00000-of-00002.pth",
            "m-00001-of-99999.pth",
        ] {
            assert!(Shard::of(name).is_none(), "{name}");
        }
    }
}
