//! Contents of a report.

use serde::Serialize;
use var_host::scaling::{FinishedRun, Measure, PowerLaw};

#[derive(Serialize)]
pub(super) struct ScalingReport {
    pub(super) runs: Vec<FinishedRun>,
    pub(super) laws: Vec<Law>,
}

/// A measure and its law.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Law {
    pub(super) measure: Measure,
    #[serde(flatten)]
    pub(super) law: PowerLaw,
}

/// The name of a measure.
pub(super) fn title(measure: Measure) -> &'static str {
    match measure {
        Measure::Loss => "loss, all scales",
        Measure::LossOfLastScale => "loss, last scale",
        Measure::Error => "error, all scales",
        Measure::ErrorOfLastScale => "error, last scale",
    }
}
