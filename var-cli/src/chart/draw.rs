//! A chart by the calls of `plotters`, on any backend; `scale` units of it make a pixel.

use std::sync::Once;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;
use plotters::style::FontStyle;

use super::axis::{Axis, shows};
use super::figure::{Curve, Entry, Figure, Panel, Style};
use super::thin::thin;

type Area<B> = DrawingArea<B, Shift>;

/// Width and height of a panel in pixels of the finished chart.
pub(super) const PANEL: [u32; 2] = [480, 300];
/// Height of a line of the legend.
pub(super) const LEGEND_LINE: u32 = 22;

const FONT: &str = "sans-serif";
const TITLE_SIZE: u32 = 18;
const LABEL_SIZE: u32 = 14;
/// From a panel's edge to its title.
const MARGIN: u32 = 16;
/// How strongly a band is colored.
const BAND: f64 = 0.15;
/// Strips in which curves are thinned: half a pixel each.
const COLUMNS: usize = 2 * PANEL[0] as usize;
/// The legend of the chart, and that of a panel.
const WIDE: Spacing = Spacing { sample: 22, gap: 6, between: 18 };
const NARROW: Spacing = Spacing { sample: 12, gap: 4, between: 10 };

/// Colors that the most common kinds of color blindness tell apart in their order.
const COLORS: [RGBColor; 10] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(214, 39, 40),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(227, 119, 194),
    RGBColor(127, 127, 127),
    RGBColor(188, 189, 34),
    RGBColor(23, 190, 207),
];

/// Pixels of a legend: a sample of the curve, the gap to its text, and between two entries.
#[derive(Clone, Copy)]
struct Spacing {
    sample: u32,
    gap: u32,
    between: u32,
}

/// Makes the font known to `plotters`, once.
pub(super) fn register_font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let font = include_bytes!("DejaVuSans.ttf");
        let registered = plotters::style::register_font(FONT, FontStyle::Normal, font);
        assert!(registered.is_ok(), "the font that is built in is whole");
    });
}

/// Draws all of it.
pub(super) fn figure<B: DrawingBackend>(figure: &Figure, area: &Area<B>, scale: u32) -> Result<()> {
    area.fill(&WHITE).map_err(failed)?;
    let (width, _) = area.dim_in_pixel();
    let lines = lines(&figure.legend, width / scale);
    let (legend, panels) = area.split_vertically(lines.len() as u32 * LEGEND_LINE * scale);
    for (number, line) in lines.iter().enumerate() {
        let middle = number as u32 * LEGEND_LINE + LEGEND_LINE / 2 + 3;
        entries(line, &legend, [WIDE.between, middle], WIDE, scale)?;
    }
    let columns = figure.columns.clamp(1, figure.panels.len().max(1));
    let places = panels.split_evenly((figure.panels.len().div_ceil(columns), columns));
    for (drawn, place) in figure.panels.iter().zip(&places) {
        panel(drawn, place, scale)?;
    }
    area.present().map_err(failed)
}

/// Lines that a legend takes in a chart of this width in pixels.
pub(super) fn legend_lines(legend: &[Entry], width: u32) -> u32 {
    lines(legend, width).len() as u32
}

/// The entries of a legend line by line; one that is wider than the chart has a line of its own.
fn lines(legend: &[Entry], width: u32) -> Vec<Vec<Entry>> {
    let mut lines: Vec<Vec<Entry>> = Vec::new();
    let mut right = 0;
    for entry in legend {
        let needs = entry_width(entry, WIDE);
        match lines.last_mut() {
            Some(line) if right + needs <= width => line.push(entry.clone()),
            _ => {
                lines.push(vec![entry.clone()]);
                right = WIDE.between;
            }
        }
        right += needs;
    }
    lines
}

/// Pixels of an entry and the space behind it.
fn entry_width(entry: &Entry, spacing: Spacing) -> u32 {
    spacing.sample + spacing.gap + text_width(&entry.label, LABEL_SIZE) + spacing.between
}

fn text_width(text: &str, size: u32) -> u32 {
    // Widths come in whole units: measured large, then divided.
    let measured = (FONT, size * 16).into_font().box_size(text);
    measured.map_or(0, |(width, _)| width.div_ceil(16))
}

/// Draws entries side by side from `left` on, their middle at `middle`, in pixels.
fn entries<B: DrawingBackend>(
    line: &[Entry],
    area: &Area<B>,
    [left, middle]: [u32; 2],
    spacing: Spacing,
    scale: u32,
) -> Result<()> {
    let scaled = |pixels: u32| (pixels * scale) as i32;
    let (mut x, y) = (left, scaled(middle));
    for entry in line {
        let color = entry.color.map_or(BLACK, color);
        let ends = [(scaled(x), y), (scaled(x + spacing.sample), y)];
        sample(area, ends, color, entry.style, scale)?;
        let place = (scaled(x + spacing.sample + spacing.gap), y - scaled(LABEL_SIZE) / 2);
        area.draw(&text(&entry.label, place, LABEL_SIZE * scale)).map_err(failed)?;
        x += entry_width(entry, spacing);
    }
    Ok(())
}

/// A line of black text with its upper left corner at `place`.
fn text(line: &str, place: (i32, i32), size: u32) -> Text<'static, (i32, i32), String> {
    Text::new(line.to_owned(), place, (FONT, size).into_font().color(&BLACK))
}

/// The piece of curve or band beside a legend's text.
fn sample<B: DrawingBackend>(
    area: &Area<B>,
    ends: [(i32, i32); 2],
    color: RGBColor,
    style: Style,
    scale: u32,
) -> Result<()> {
    if style == Style::Band {
        let half = (LABEL_SIZE * scale) as i32 / 2;
        let corners = [(ends[0].0, ends[0].1 - half), (ends[1].0, ends[1].1 + half)];
        return area.draw(&Rectangle::new(corners, color.mix(BAND).filled())).map_err(failed);
    }
    if style != Style::Points {
        area.draw(&PathElement::new(ends, line_style(color, style, scale))).map_err(failed)?;
    }
    if matches!(style, Style::Circles | Style::Points) {
        let middle = ((ends[0].0 + ends[1].0) / 2, ends[0].1);
        let circle = Circle::new(middle, radius(scale), color.filled());
        area.draw(&circle).map_err(failed)?;
    }
    Ok(())
}

fn panel<B: DrawingBackend>(panel: &Panel, area: &Area<B>, scale: u32) -> Result<()> {
    let [x_log, y_log] = panel.logarithmic;
    let curves: Vec<(&Curve, Vec<[f64; 2]>)> =
        panel.curves.iter().map(|curve| (curve, visible(curve, panel.logarithmic))).collect();
    let values = |axis: usize| {
        let measured = curves.iter().filter(|(curve, _)| curve.style != Style::Band);
        measured.flat_map(move |(_, points)| points.iter().map(move |point| point[axis]))
    };
    let place = |top: u32| ((MARGIN * scale) as i32, (top * scale) as i32);
    area.draw(&text(&panel.title, place(8), TITLE_SIZE * scale)).map_err(failed)?;
    let legend_left = MARGIN + text_width(&panel.title, TITLE_SIZE) + 2 * WIDE.between;
    entries(&panel.legend, area, [legend_left, 18], NARROW, scale)?;

    let axes = Axis::new(values(0), x_log, 0.0).zip(Axis::new(values(1), y_log, 0.05));
    let Some((x_axis, y_axis)) = axes else {
        let nothing = text("nothing to show", place(PANEL[1] / 2), LABEL_SIZE * scale);
        return area.draw(&nothing).map_err(failed);
    };
    let ranges = [x_axis.range(), y_axis.range()];
    let mut chart = ChartBuilder::on(area)
        .margin_top(34 * scale)
        .margin_right(18 * scale)
        .margin_bottom(6 * scale)
        .x_label_area_size(42 * scale)
        .y_label_area_size(64 * scale)
        .build_cartesian_2d(x_axis, y_axis)
        .map_err(failed)?;
    let label = (FONT, LABEL_SIZE * scale).into_font().color(&BLACK);
    chart
        .configure_mesh()
        .bold_line_style(RGBColor(225, 225, 225).stroke_width(scale))
        .light_line_style(TRANSPARENT)
        .axis_style(RGBColor(90, 90, 90).stroke_width(scale))
        .label_style(label)
        .x_desc(panel.x_label.clone())
        .set_all_tick_mark_size(4 * scale)
        .draw()
        .map_err(failed)?;
    for (curve, points) in &curves {
        let color = color(curve.color);
        if curve.style == Style::Band {
            let cut = |point: &[f64; 2], axis: usize| {
                point[axis].clamp(ranges[axis].start, ranges[axis].end)
            };
            let outline = points.iter().map(|point| (cut(point, 0), cut(point, 1)));
            let area = Polygon::new(outline.collect::<Vec<_>>(), color.mix(BAND));
            chart.draw_series([area]).map_err(failed)?;
            continue;
        }
        if curve.style != Style::Points {
            let points = thin(points, COLUMNS).into_iter().map(|[x, y]| (x, y));
            let style = line_style(color, curve.style, scale);
            chart.draw_series(LineSeries::new(points, style)).map_err(failed)?;
        }
        // A line of one point would not be seen.
        if matches!(curve.style, Style::Circles | Style::Points) || points.len() == 1 {
            let circle =
                |point: &[f64; 2]| Circle::new((point[0], point[1]), radius(scale), color.filled());
            chart.draw_series(points.iter().map(circle)).map_err(failed)?;
        }
    }
    let beside = ((6 * scale) as i32, -((LABEL_SIZE + 4) as i32 * scale as i32));
    let notes = panel.notes.iter().map(|note| {
        let place = EmptyElement::at((note.at[0], note.at[1]));
        place + text(&note.text, beside, LABEL_SIZE * scale)
    });
    chart.draw_series(notes).map_err(failed)?;
    Ok(())
}

/// The points of a curve that have a place on the axes.
fn visible(curve: &Curve, [x_log, y_log]: [bool; 2]) -> Vec<[f64; 2]> {
    let points = curve.points.iter().copied();
    points.filter(|[x, y]| shows(*x, x_log) && shows(*y, y_log)).collect()
}

fn line_style(color: RGBColor, style: Style, scale: u32) -> ShapeStyle {
    match style {
        Style::Line => color.stroke_width(2 * scale),
        Style::Pale => pale(color).stroke_width(scale),
        Style::Circles | Style::Points | Style::Band => color.stroke_width(scale),
    }
}

/// Mixed with white, not transparent: a curve that crosses itself is no darker there.
fn pale(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    let mixed = |value: u8| 255 - (255 - value) / 4;
    RGBColor(mixed(red), mixed(green), mixed(blue))
}

fn radius(scale: u32) -> u32 {
    7 * scale / 2
}

fn color(number: usize) -> RGBColor {
    COLORS[number % COLORS.len()]
}

/// The error of `plotters`, without its types.
fn failed(error: impl core::error::Error) -> anyhow::Error {
    anyhow!("the chart cannot be drawn: {error}")
}
