//! Options of `var bench`.

use std::path::PathBuf;

use clap::Args;

use crate::args::values::DtypeName;
use crate::args::{ModelOptions, values};

/// Measure time per stage and per scale, GFLOP/s, share of the machine's peak, memory
///
/// Times are medians over the runs. The peak is measured on the same threads: fused multiply-adds on registers
/// alone, and a copy of memory. Operations are counted by the formulas; convolutions by Winograd's method take
/// fewer, and may seem to pass the peak. Then each kind of operation of sampling the batch: its time, share
/// of the peak, and its operands' bytes a second. On a GPU, the peaks are measured there, and each kernel's
/// time is told, run one by one.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many times to measure
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = values::whole(1_u16..=1000))]
    pub(super) runs: u16,
    /// Images that go through the model together
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = values::whole(1_u16..=values::LARGEST_BATCH))]
    pub(super) batch: u16,
    /// Classifier-free guidance; with 0 there is one row for an image, not two
    #[arg(long, value_name = "STRENGTH", default_value_t = 1.5, value_parser = values::guidance)]
    pub(super) cfg: f32,
    /// Measure a model of the published size of this depth (16: 308 M parameters, 256 px) with made-up
    /// weights, written to a temporary file
    #[arg(long, value_name = "N", conflicts_with_all = ["model", "var", "vae", "heads"], value_parser = values::whole(1_u16..=64))]
    pub(super) depth: Option<u16>,
    /// How the made-up weights are stored
    #[arg(long, value_enum, default_value = "f32", requires = "depth")]
    pub(super) dtype: DtypeName,
    /// Time whole images only: without the wait after each scale that tells the scales apart, which costs a
    /// GPU time
    #[arg(long)]
    pub(super) whole: bool,
    /// Compare with a report of an earlier run, of --json
    #[arg(long, value_name = "FILE")]
    pub(super) against: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) model: ModelOptions,
}
