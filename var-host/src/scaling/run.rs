//! A finished run, read from its files: model size and final losses.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

/// The files of a run.
const CONFIG: &str = "config.json";
const LOG: &str = "log.jsonl";

/// A measure of how bad a model is on data it was not trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Cross-entropy of the tokens of all scales, in nats.
    Loss,
    /// Cross-entropy of the tokens of the last scale.
    LossOfLastScale,
    /// Share of the tokens of all scales that are not the likeliest.
    Error,
    /// Share of the tokens of the last scale.
    ErrorOfLastScale,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Loss, Self::LossOfLastScale, Self::Error, Self::ErrorOfLastScale];

    /// The field of a validation's record.
    const fn field(self) -> &'static str {
        match self {
            Self::Loss => "val_L_mean",
            Self::LossOfLastScale => "val_L_tail",
            Self::Error => "val_acc_mean",
            Self::ErrorOfLastScale => "val_acc_tail",
        }
    }

    /// From a record's number: accuracies are logged in per cent.
    fn of_record(self, value: f64) -> f64 {
        match self {
            Self::Loss | Self::LossOfLastScale => value,
            Self::Error | Self::ErrorOfLastScale => 1.0 - value / 100.0,
        }
    }
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FinishedRun {
    /// Its folder.
    pub folder: PathBuf,
    /// Blocks of its transformer.
    pub depth: u64,
    /// Channels of its transformer.
    pub width: u64,
    /// Parameters of the blocks, `18·depth·width²`: as the published law counts them.
    pub parameters: f64,
    /// The iteration of the last validation.
    pub iteration: Option<u64>,
    /// The last validation, in the order of [`Measure::ALL`].
    pub measures: [f64; 4],
}

/// Why a folder is no finished run.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct ScalingError {
    /// The file.
    pub path: PathBuf,
    /// The fault.
    pub fault: RunFault,
}

/// A fault of a run's file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunFault {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no JSON.
    #[error("line {line}: {source}")]
    Json {
        /// The line, counted from 1.
        line: usize,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// An option is not there or no positive number.
    #[error("has no {option}, or one that is no positive number")]
    Option {
        /// The option.
        option: &'static str,
    },
    /// No validation.
    #[error("has no line with {wants}: the run was not validated")]
    NoValidation {
        /// The fields that are wanted.
        wants: String,
    },
}

impl FinishedRun {
    /// Reads the run in `folder`.
    ///
    /// # Errors
    /// If `config.json` or `log.jsonl` cannot be read, does not say the model's size, or has no
    /// validation.
    pub fn read(folder: &Path) -> Result<Self, ScalingError> {
        let path = folder.join(CONFIG);
        let (depth, width) = size(&path).map_err(|fault| ScalingError { path, fault })?;
        let path = folder.join(LOG);
        let read = || -> Result<_, RunFault> { last_validation(&fs::read_to_string(&path)?) };
        let (iteration, measures) = match read() {
            Ok(found) => found,
            Err(fault) => return Err(ScalingError { path, fault }),
        };
        let parameters = 18.0 * depth as f64 * (width as f64).powi(2);
        Ok(Self { folder: folder.to_path_buf(), depth, width, parameters, iteration, measures })
    }

    /// The last validation's measure.
    pub fn measure(&self, measure: Measure) -> f64 {
        self.measures[measure as usize]
    }
}

/// Depth and width in a run's options.
fn size(path: &Path) -> Result<(u64, u64), RunFault> {
    let config: Value = serde_json::from_str(&fs::read_to_string(path)?)
        .map_err(|source| RunFault::Json { line: source.line(), source })?;
    let number = |option: &str| config[option].as_u64().filter(|number| *number > 0);
    let depth = number("depth").ok_or(RunFault::Option { option: "depth" })?;
    // The published rule where the run does not say.
    let width = match &config["width"] {
        Value::Null => 64 * depth,
        _ => number("width").ok_or(RunFault::Option { option: "width" })?,
    };
    Ok((depth, width))
}

/// The last line of a log that has a validation.
fn last_validation(log: &str) -> Result<(Option<u64>, [f64; 4]), RunFault> {
    let mut last = None;
    for (number, line) in log.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let record: Value = serde_json::from_str(line)
            .map_err(|source| RunFault::Json { line: number + 1, source })?;
        let measures = Measure::ALL
            .map(|measure| record[measure.field()].as_f64().map(|value| measure.of_record(value)));
        if let [Some(a), Some(b), Some(c), Some(d)] = measures {
            last = Some((record["iter"].as_u64(), [a, b, c, d]));
        }
    }
    let wants = || Measure::ALL.map(Measure::field).join(", ");
    last.ok_or_else(|| RunFault::NoValidation { wants: wants() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(config: &str, log: &str) -> Result<FinishedRun, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONFIG), config).unwrap();
        fs::write(folder.path().join(LOG), log).unwrap();
        FinishedRun::read(folder.path())
            .map_err(|error| error.to_string().replace(folder.path().to_str().unwrap(), "RUN"))
    }

    const VALIDATED: &str = concat!(
        "{\"iter\": 1, \"L_mean\": 6.0}\n",
        "{\"iter\": 5, \"val_L_mean\": 5.5, \"val_L_tail\": 5.8, \"val_acc_mean\": 4, \"val_acc_tail\": 3}\n",
        "{\"iter\": 6, \"L_mean\": 5.5}\n\n",
        "{\"iter\": 9, \"val_L_mean\": 5.0, \"val_L_tail\": 5.5, \"val_acc_mean\": 7.5, \"val_acc_tail\": 2}\n",
        "{\"iter\": 10, \"L_mean\": 5.2}\n",
    );

    #[test]
    fn last_validation_counts() {
        let found = run("{\"depth\": 4, \"width\": 256}", VALIDATED).unwrap();
        assert_eq!((found.depth, found.width, found.iteration), (4, 256, Some(9)));
        assert_eq!(found.parameters, 18.0 * 4.0 * 65_536.0);
        assert_eq!(found.measures, [5.0, 5.5, 0.925, 0.98]);
        assert_eq!(found.measure(Measure::Error), 0.925);
        let found = run("{\"depth\": 2, \"width\": null}", VALIDATED).unwrap();
        assert_eq!(found.width, 128);
    }

    #[test]
    fn missing_parts_are_named() {
        let config = "{\"depth\": 4}";
        let message = "RUN/config.json: has no depth, or one that is no positive number";
        assert_eq!(run("{}", VALIDATED).unwrap_err(), message);
        let message = "RUN/log.jsonl: has no line with val_L_mean, val_L_tail, val_acc_mean, val_acc_tail: \
                       the run was not validated";
        assert_eq!(run(config, "{\"iter\": 1}\n").unwrap_err(), message);
        let fault = run(config, "{\"iter\": 1}\n{\"iter\"\n").unwrap_err();
        assert!(fault.starts_with("RUN/log.jsonl: line 2: "), "{fault}");
        let folder = tempfile::tempdir().unwrap();
        assert!(FinishedRun::read(folder.path()).unwrap_err().path.ends_with(CONFIG));
    }
}
