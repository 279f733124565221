//! A report of an earlier run, to compare with.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The fields of a report that a comparison reads.
#[derive(Debug, Deserialize)]
pub(super) struct EarlierReport {
    /// The earlier model and device, which may be others.
    model: String,
    device: String,
    batch: u16,
    cfg: f32,
    stages: Vec<EarlierStage>,
    scales: Vec<EarlierStage>,
}

#[derive(Debug, Deserialize)]
struct EarlierStage {
    stage: String,
    seconds: f64,
}

/// Reads a report that `var bench --json` wrote.
pub(super) fn read(file: &Path) -> Result<EarlierReport> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is no report of var bench --json", file.display()))
}

impl EarlierReport {
    /// The model and the device.
    pub(super) fn title(&self) -> String {
        format!("{}, {}", self.model, self.device)
    }

    /// Refuses a report of other work.
    pub(super) fn check(&self, batch: u16, cfg: f32) -> Result<()> {
        if (self.batch, self.cfg) != (batch, cfg) {
            bail!(
                "--against: the report is of batch {} and cfg {}, this run of batch {batch} and cfg {cfg}",
                self.batch,
                self.cfg
            );
        }
        Ok(())
    }

    /// Seconds of a stage or scale, if it was measured.
    pub(super) fn seconds(&self, stage: &str) -> Option<f64> {
        let mut all = self.stages.iter().chain(&self.scales);
        all.find(|known| known.stage == stage).map(|known| known.seconds)
    }
}
