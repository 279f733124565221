//! The picture of a scaling law: a panel for each measure, both axes logarithmic.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::{Law, Report, title};

/// Pixels of the picture.
const SIZE: (u32, u32) = (960, 760);
/// How far the axes reach past the points, as a share of their extent.
const MARGIN: f64 = 0.12;
/// Steps that a line is drawn in.
const STEPS: usize = 60;
/// The colour of points, line and band.
const COLOUR: RGBColor = RGBColor(31, 82, 156);

/// Draws the report as SVG.
pub(super) fn draw(report: &Report) -> Result<String> {
    let mut svg = String::new();
    {
        let whole = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let panels = || -> Result<(), Box<dyn core::error::Error>> {
            whole.fill(&WHITE)?;
            for (law, area) in report.laws.iter().zip(whole.split_evenly((2, 2))) {
                panel(&area, report, *law)?;
            }
            Ok(whole.present()?)
        };
        panels().map_err(|fault| anyhow!("the picture cannot be drawn: {fault}"))?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// One measure against the number of parameters.
fn panel(area: &Area<'_>, report: &Report, law: Law) -> Result<(), Box<dyn core::error::Error>> {
    let Law { measure, law } = law;
    let points: Vec<(f64, f64)> = (report.runs.iter())
        .map(|run| (run.parameters.log10(), run.measure(measure).log10()))
        .collect();
    let (left, right) = extent(points.iter().map(|point| point.0));
    let along: Vec<f64> =
        (0..=STEPS).map(|i| left + (right - left) * i as f64 / STEPS as f64).collect();
    let line: Vec<(f64, f64)> =
        along.iter().map(|x| (*x, law.at(10_f64.powf(*x)).log10())).collect();
    let edge = |side: usize| {
        along.iter().map(move |x| (*x, law.interval_at(10_f64.powf(*x))[side].log10()))
    };
    // The band may be far wider than what is seen: it is cut off at the axes.
    let (low, high) = extent(points.iter().chain(&line).map(|point| point.1));
    let cut = |(x, y): (f64, f64)| (x, y.clamp(low, high));
    let band: Vec<(f64, f64)> =
        edge(0).map(cut).chain(edge(1).map(cut).collect::<Vec<_>>().into_iter().rev()).collect();

    let symbol = if title(measure).starts_with("loss") { "L" } else { "Err" };
    let law_text =
        format!("{symbol} = ({:.2e}·N)^{:.3}   r = {:.3}", law.alpha, law.beta, law.correlation);
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .caption(format!("{}: {law_text}", title(measure)), ("sans-serif", 15))
        .x_label_area_size(42)
        .y_label_area_size(58)
        .build_cartesian_2d(left..right, low..high)?;
    chart
        .configure_mesh()
        .x_desc("parameters N")
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|x| count_text(10_f64.powf(*x)))
        .y_label_formatter(&|y| format!("{:.3}", 10_f64.powf(*y)))
        .light_line_style(WHITE.mix(0.0))
        .bold_line_style(BLACK.mix(0.1))
        .draw()?;
    chart.draw_series([Polygon::new(band, COLOUR.mix(0.12))])?;
    chart.draw_series(LineSeries::new(line, COLOUR.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, COLOUR.filled())))?;
    let labels = points.iter().zip(&report.runs).map(|(point, run)| {
        EmptyElement::at(*point)
            + Text::new(format!("d{}", run.depth), (7, -14), ("sans-serif", 13))
    });
    chart.draw_series(labels)?;
    Ok(())
}

/// The least and the greatest, and some room.
fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let room = MARGIN * (high - low).max(1e-3);
    (low - room, high + room)
}

/// A number of parameters for people.
fn count_text(count: f64) -> String {
    match count {
        1e9.. => format!("{:.1}G", count / 1e9),
        1e6.. => format!("{:.1}M", count / 1e6),
        _ => format!("{:.0}k", count / 1e3),
    }
}
