//! `var plot`: the logs of training runs → a chart of their curves.

mod panels;
mod run;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use var_host::pipeline::parameters;
use var_host::plural::count;

use crate::args::Session;
use crate::args::values;
use crate::output;
use panels::Look;
use run::Run;

/// Draw the curves of training runs
///
/// A panel for each number that the logs hold, a curve in it for each run; validation values
/// (`val_…`) are drawn as circles in the panel of their namesake.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Folders of training runs, or their log.jsonl
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// The chart to write, .svg or .png
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Which numbers, by their names in the log; `usage` stands for usage.1, usage.2, … [default:
    /// losses, accuracies, PSNR, codebook usage, learning rate, as far as they are there]
    #[arg(long, value_name = "KEY,KEY,…", value_delimiter = ',')]
    keys: Vec<String>,
    /// Share of the average before in a running average, which is drawn over the pale curve
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = values::smoothing)]
    smooth: f64,
    /// Panels in a row
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = values::whole(1_u16..=16))]
    columns: u16,
    /// A logarithmic scale for the iterations
    #[arg(long)]
    log_x: bool,
    /// A logarithmic scale for the numbers; those that are not positive are left out
    #[arg(long)]
    log_y: bool,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    let parameters = parameters::of_command("plot");
    output::check_chart(&options.output, &parameters, session)?;
    let runs: Vec<Run> = options.runs.iter().map(|path| Run::read(path)).collect::<Result<_>>()?;
    let look = Look {
        smooth: options.smooth,
        logarithmic: [options.log_x, options.log_y],
        columns: options.columns.into(),
    };
    let figure = panels::figure(&runs, &options.keys, look)?;
    output::write_chart(&options.output, &figure, &parameters, session)?;
    let titles: Vec<&str> = figure.panels.iter().map(|panel| panel.title.as_str()).collect();
    let lines: usize = runs.iter().map(|run| run.lines).sum();
    session.say(&format!(
        "{}: {} of {}",
        options.output.display(),
        titles.join(", "),
        count(lines, "line")
    ))
}
