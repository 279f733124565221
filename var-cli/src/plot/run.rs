//! The log of one run as curves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::Value;
use var_host::run::log;

/// A run's numbers by their names, each at its iterations.
#[derive(Debug)]
pub(super) struct Run {
    /// The path as it was given.
    pub(super) label: String,
    /// Lines of the log.
    pub(super) lines: usize,
    /// [iteration, number] in the order of iterations. Numbers in lists and objects are named
    /// `name.index` and `name.key`.
    pub(super) numbers: BTreeMap<String, Vec<[f64; 2]>>,
}

impl Run {
    /// Reads the log in a folder, or the log.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let log: PathBuf = if path.is_dir() { path.join(log::FILE) } else { path.to_path_buf() };
        let lines = log::read(&log)?;
        if lines.is_empty() {
            bail!("{}: nothing is logged yet", log.display());
        }
        let mut numbers = BTreeMap::new();
        for line in &lines {
            let iteration = log::iteration(line).expect("`log::read` refuses lines without") as f64;
            for (name, value) in line {
                add(&mut numbers, name.clone(), iteration, value);
            }
        }
        for points in numbers.values_mut() {
            points.sort_by(|a: &[f64; 2], b| a[0].total_cmp(&b[0]));
        }
        Ok(Self { label: path.display().to_string(), lines: lines.len(), numbers })
    }
}

/// Adds the numbers in `value`; a number that is not finite is null in JSON and leaves a gap.
fn add(numbers: &mut BTreeMap<String, Vec<[f64; 2]>>, name: String, iteration: f64, value: &Value) {
    match value {
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            numbers.entry(name).or_default().push([iteration, number]);
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                add(numbers, format!("{name}.{index}"), iteration, value);
            }
        }
        Value::Object(values) => {
            for (key, value) in values {
                add(numbers, format!("{name}.{key}"), iteration, value);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
