//! `var scaling`: finished runs → the law by which they get better with size.

mod chart;
mod report;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use var_host::pipeline::parameters;
use var_host::plural::count;
use var_host::scaling::{FEWEST, FinishedRun, Measure, PowerLaw};

use crate::args::{Session, Usage, result};
use crate::output;

use report::{Law, ScalingReport, title};

/// Fit loss and error of finished runs to (α·N)^β and draw them
///
/// N is the number of parameters of the transformer's blocks, 18·depth·width². Loss and error are those
/// of each run's last validation, of all scales and of the last. Intervals hold the true value in 95 of
/// 100 cases, if the logarithms scatter normally about a straight line.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Folders that `var train --out` made, of models of at least three sizes
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Draw them in this file, .svg or .png
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options, session: &Session) -> Result<()> {
    if options.runs.len() < FEWEST {
        let text = format!(
            "{}: a fit with an interval wants at least {FEWEST}",
            count(options.runs.len(), "run")
        );
        return Err(Usage(text).into());
    }
    let parameters = parameters::of_command("scaling");
    if let Some(path) = &options.output {
        output::check_chart(path, &parameters, session)?;
    }
    let runs = options.runs.iter().map(|folder| FinishedRun::read(folder));
    let mut runs = runs.collect::<Result<Vec<_>, _>>()?;
    runs.sort_by(|a, b| a.parameters.total_cmp(&b.parameters));
    let mut laws = Vec::new();
    for measure in Measure::ALL {
        let points: Vec<_> =
            runs.iter().map(|run| (run.parameters, run.measure(measure))).collect();
        let law = PowerLaw::fit(&points).with_context(|| title(measure))?;
        laws.push(Law { measure, law });
    }
    let report = ScalingReport { runs, laws };
    if let Some(path) = &options.output {
        output::write_chart(path, &chart::figure(&report), &parameters, session)?;
    }
    if options.json {
        return result(&serde_json::to_string_pretty(&report)?);
    }
    print(&report)
}

fn print(report: &ScalingReport) -> Result<()> {
    result("depth  width  parameters   loss    last    error   last     run")?;
    for run in &report.runs {
        let FinishedRun { folder, depth, width, parameters, measures: [a, b, c, d], .. } = run;
        let folder = folder.display();
        result(&format!(
            "{depth:>5}  {width:>5}  {parameters:>10.3e}  {a:>6.4}  {b:>6.4}  {c:>6.4}  {d:>6.4}  {folder}"
        ))?;
    }
    for Law { measure, law } in &report.laws {
        let PowerLaw { alpha, beta, correlation, .. } = law;
        let ([a, b], [c, d]) = (law.beta_interval, law.alpha_interval);
        result(&format!(
            "{:<17} = (α·N)^β  β = {beta:.4} ({a:.4} to {b:.4})  α = {alpha:.3e} ({c:.3e} to {d:.3e})  \
             correlation {correlation:.4}",
            title(*measure)
        ))?;
    }
    Ok(())
}
