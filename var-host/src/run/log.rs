//! The log of a run: `log.jsonl`, a JSON object a line.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::RunError;
use super::append::Appended;
use crate::atomic_file::{AtomicFile, AtomicFileError};

/// The file of the log.
pub const FILE: &str = "log.jsonl";
/// The key that every line has: its iteration.
const ITERATION: &str = "iter";

/// A line of the log: numbers by their names, `iter` among them.
pub type LogLine = Map<String, Value>;

/// A log that is being written.
#[derive(Debug)]
pub struct Log(Appended);

impl Log {
    /// Opens the log in `folder` to go on at iteration `resume_at`, the first that will be logged.
    ///
    /// Lines of that iteration and later ones are dropped, and so is a partial line that a killed process or a
    /// machine that lost power left at the end: the file is replaced by one without them.
    ///
    /// # Errors
    /// [`RunError::LogLine`] if a line before the end is no record; if the log cannot be read or
    /// written.
    pub fn open(folder: &Path, resume_at: u64) -> Result<Self, RunError> {
        let path = folder.join(FILE);
        let old = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            bytes => bytes.map_err(RunError::io("read", &path))?,
        };
        let mut kept = Vec::new();
        for (text, line) in lines(&old, &path)? {
            if iteration(&line).is_some_and(|iteration| iteration < resume_at) {
                kept.extend_from_slice(text);
                kept.push(b'\n');
            }
        }
        if kept != old {
            let mut file = AtomicFile::create(&path, true)?;
            file.write_all(&kept)
                .map_err(|source| AtomicFileError::Io { path: path.clone(), source })?;
            file.commit()?;
        }
        Ok(Self(Appended::open(path)?))
    }

    /// Appends a line, which must be an object with `iter`, its iteration; returns it as a record.
    ///
    /// # Errors
    /// If it cannot be written. The log holds whole lines then as before.
    ///
    /// # Panics
    /// If `line` is no object with an integer `iter`.
    #[track_caller]
    pub fn append(&mut self, line: &impl Serialize) -> Result<LogLine, RunError> {
        let value = serde_json::to_value(line).expect("a line of plain values");
        let is_line = value.as_object().is_some_and(|line| iteration(line).is_some());
        assert!(is_line, "log: {value} is no object with an integer `{ITERATION}`");
        let mut text = serde_json::to_vec(line).expect("it was plain values");
        text.push(b'\n');
        self.0.append(&text)?;
        let Value::Object(record) = value else { unreachable!("it was an object") };
        Ok(record)
    }
}

/// The lines of the log at `path`, which may be that of a run still going on.
///
/// # Errors
/// As [`Log::open`].
pub fn read(path: &Path) -> Result<Vec<LogLine>, RunError> {
    let bytes = fs::read(path).map_err(RunError::io("read", path))?;
    Ok(lines(&bytes, path)?.into_iter().map(|(_, line)| line).collect())
}

/// Each whole line's text and record, up to those at the end that are none.
fn lines<'b>(bytes: &'b [u8], path: &Path) -> Result<Vec<(&'b [u8], LogLine)>, RunError> {
    let mut lines = Vec::new();
    let mut fault = None;
    for (number, text) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match (record(text), fault.take()) {
            (Ok(line), None) => lines.push((text.trim_ascii_end(), line)),
            (Ok(_), Some((line, source))) => {
                return Err(RunError::LogLine { path: path.to_path_buf(), line, source });
            }
            (Err(_), Some(first)) => fault = Some(first),
            (Err(source), None) => fault = Some((number + 1, source)),
        }
    }
    Ok(lines)
}

fn record(text: &[u8]) -> Result<LogLine, serde_json::Error> {
    use serde::de::Error;
    let line: LogLine = serde_json::from_slice(text)?;
    if !text.ends_with(b"\n") {
        return Err(Error::custom("the line does not end"));
    }
    match iteration(&line) {
        Some(_) => Ok(line),
        None => Err(Error::custom(format!("it has no integer `{ITERATION}`"))),
    }
}

/// The iteration of a line.
pub fn iteration(line: &LogLine) -> Option<u64> {
    line.get(ITERATION).and_then(Value::as_u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    fn place(text: &str) -> TempDir {
        let place = TempDir::new().unwrap();
        fs::write(place.path().join(FILE), text).unwrap();
        place
    }

    fn text(place: &TempDir) -> String {
        fs::read_to_string(place.path().join(FILE)).unwrap()
    }

    #[test]
    fn lines_are_appended_whole_and_in_their_own_order() {
        #[derive(Serialize)]
        struct LogLine {
            iter: u64,
            #[serde(rename = "L_mean")]
            loss: f32,
        }
        let place = TempDir::new().unwrap();
        let mut log = Log::open(place.path(), 0).unwrap();
        log.append(&LogLine { iter: 3, loss: 1.5 }).unwrap();
        log.append(&json!({"val_L_mean": 2, "iter": 3})).unwrap();
        assert_eq!(text(&place), "{\"iter\":3,\"L_mean\":1.5}\n{\"iter\":3,\"val_L_mean\":2}\n");
        let lines = read(&place.path().join(FILE)).unwrap();
        assert_eq!((lines.len(), iteration(&lines[1])), (2, Some(3)));
    }

    #[test]
    fn lines_that_were_not_saved_are_dropped() {
        let whole = "{\"iter\":1,\"a\":0.10}\n{\"iter\":2}\n{\"iter\":2}\n";
        for lost in ["", "{\"iter\":3}\n", "{\"iter\":7}\n{\"it", "{\"iter\":2}", "\0\0\0", "\n\n"]
        {
            let place = place(&format!("{whole}{lost}"));
            let mut log = Log::open(place.path(), 3).unwrap();
            assert_eq!(text(&place), whole, "{lost:?}");
            log.append(&json!({"iter": 3})).unwrap();
            assert_eq!(text(&place), format!("{whole}{{\"iter\":3}}\n"));
        }
        let place = place(whole);
        Log::open(place.path(), 0).unwrap();
        assert_eq!(text(&place), "");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn damage_before_the_end_is_told_by_its_line() {
        for line in ["{", "{}", "{\"iter\":-1}", "7", "\u{0}"] {
            let text_before = format!("{{\"iter\":1}}\n{line}\n{{\"iter\":2}}\n");
            let place = place(&text_before);
            let error = Log::open(place.path(), 2).unwrap_err();
            assert!(error.to_string().ends_with("log.jsonl: line 2 is no record of a run"));
            assert_eq!(text(&place), text_before);
        }
    }

    #[test]
    #[should_panic(expected = "no object with an integer `iter`")]
    fn line_has_its_iteration() {
        let place = TempDir::new().unwrap();
        let _ = Log::open(place.path(), 0).unwrap().append(&json!({"L_mean": 1}));
    }
}
