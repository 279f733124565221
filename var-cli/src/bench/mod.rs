//! `var bench`: how fast this machine is, stage by stage.

mod measure;
mod peak;
mod report;
mod synthetic;

use anyhow::Result;
use clap::Args;

use crate::args::values::DtypeName;
use crate::args::{ModelOptions, Session, result, values};

/// Measure time per stage and per scale, GFLOP/s, share of the machine's peak, memory
///
/// Times are medians over the runs. The peak is measured on the same threads: fused multiply-adds
/// on registers alone. Operations are counted by the formulas; convolutions by Winograd's method take
/// fewer, and may seem to pass the peak. On a card, the peak is measured there, and each kernel's time is told,
/// run one by one.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many times to measure
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = values::whole(1_u16..=1000))]
    runs: u16,
    /// Images that go through the model together
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = values::whole(1_u16..=values::LARGEST_BATCH))]
    batch: u16,
    /// Classifier-free guidance; with 0 there is one row for an image, not two
    #[arg(long, value_name = "STRENGTH", default_value_t = 1.5, value_parser = values::guidance)]
    cfg: f32,
    /// Measure a model of the published size of this depth (16: 308 M parameters, 256 px) with made-up
    /// weights, written to a temporary file
    #[arg(long, value_name = "N", conflicts_with_all = ["model", "var", "vae", "heads"], value_parser = values::whole(1_u16..=64))]
    depth: Option<u16>,
    /// How the made-up weights are stored
    #[arg(long, value_enum, default_value = "f32", requires = "depth")]
    dtype: DtypeName,
    /// Time whole images only: without the wait after each scale that tells the scales apart, which costs a
    /// card time
    #[arg(long)]
    whole: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelOptions,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    // The file must outlive the weights, which lie in it.
    let temporary;
    let model = match options.depth {
        None => options.model.open_whole(session)?,
        Some(depth) => {
            let sizes = synthetic::Sizes::new(depth.into(), options.model.ladder)?;
            temporary = synthetic::write(sizes, options.dtype, session)?;
            synthetic::open(&temporary, sizes, options.dtype)?
        }
    };
    let mut engine = session.engine(&model.weights)?;
    let times = measure::times(&mut engine, options, session)?;
    let peak = peak::of(&engine, session)?;
    #[cfg_attr(not(feature = "cuda"), allow(unused_mut, reason = "no card has kernels"))]
    let mut report = report::BenchReport::new(&model, &engine, options, session, &times, peak)?;
    #[cfg(feature = "cuda")]
    report.add_kernels(&measure::kernels(&mut engine, options)?);
    if options.json { result(&serde_json::to_string_pretty(&report)?) } else { report.print() }
}
