//! The image of a scaling law: a panel for each measure, both axes logarithmic.

use var_host::scaling::FinishedRun;

use super::report::{Law, ScalingReport, title};
use crate::chart::{Curve, Entry, Figure, Note, Panel, Style};

/// How far the lines reach past the points, as a share of the points' extent.
const MARGIN: f64 = 0.12;
/// Steps that lines and bands are drawn in.
const STEPS: usize = 60;

/// All of it.
pub(super) fn figure(report: &ScalingReport) -> Figure {
    let entry = |label: &str, style| Entry { label: label.to_owned(), color: Some(0), style };
    let legend = vec![
        entry("a run", Style::Points),
        entry("the law", Style::Line),
        entry("95 % interval of the law", Style::Band),
    ];
    let panels = report.laws.iter().map(|law| panel(report, *law)).collect();
    Figure { legend, panels, columns: 2 }
}

/// One measure against the number of parameters.
fn panel(report: &ScalingReport, Law { measure, law }: Law) -> Panel {
    let runs = &report.runs;
    let points: Vec<[f64; 2]> =
        runs.iter().map(|run| [run.parameters, run.measure(measure)]).collect();
    let logs = || points.iter().map(|point| point[0].ln());
    let (low, high) = (logs().fold(f64::INFINITY, f64::min), logs().fold(0.0, f64::max));
    let (low, extent) = (low - MARGIN * (high - low), (1.0 + 2.0 * MARGIN) * (high - low));
    let along = || (0..=STEPS).map(|i| (low + extent * i as f64 / STEPS as f64).exp());
    let edge = |side: usize| along().map(move |n| [n, law.interval_at(n)[side]]);
    let upper: Vec<[f64; 2]> = edge(1).collect();
    let curve = |points, style| Curve { points, color: 0, style };
    let note =
        |(run, at): (&FinishedRun, &[f64; 2])| Note { at: *at, text: format!("d{}", run.depth) };
    let symbol = if title(measure).starts_with("loss") { "L" } else { "Err" };
    let formula = format!("{symbol} = ({:.2e}·N)^{:.3}", law.alpha, law.beta).replace('-', "−");
    Panel {
        title: title(measure).to_owned(),
        x_label: "parameters N".to_owned(),
        logarithmic: [true; 2],
        legend: vec![Entry { label: formula, color: Some(0), style: Style::Line }],
        notes: runs.iter().zip(&points).map(note).collect(),
        curves: vec![
            curve(edge(0).chain(upper.into_iter().rev()).collect(), Style::Band),
            curve(along().map(|n| [n, law.at(n)]).collect(), Style::Line),
            curve(points, Style::Points),
        ],
    }
}
