//! Charts: panels of curves under one legend, as SVG or as an image.
//!
//! Drawn by `plotters`; text is set in DejaVu Sans (its Latin, Greek and Cyrillic letters; license in
//! `DejaVuSans.LICENSE`), so that an image looks the same on every machine.

mod axis;
mod draw;
mod raster;
mod thin;

use anyhow::{Result, anyhow};
use plotters::prelude::{BitMapBackend, IntoDrawingArea, SVGBackend};
use var_host::images::{self, RgbImage};

use raster::Raster;

/// Signature at the end of an SVG file.
pub(crate) const MADE_BY: &str = "<!-- drawn by var -->\n";

/// Width and height of a panel in pixels of the finished chart.
const PANEL: [u32; 2] = [480, 300];
/// Height of a line of the legend.
const LEGEND_LINE: u32 = 22;
/// Units of an SVG's own coordinates to a pixel: `plotters` counts in whole ones.
const SVG_SCALE: u32 = 16;
/// An image has so many pixels to each of the chart's,
const PICTURE_SCALE: u32 = 2;
/// and is drawn so many times as large first: `plotters` leaves the edges of lines rough.
const OVERSAMPLING: u32 = 2;

/// A whole chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figure {
    /// Legend of colors and marks of all panels.
    pub(crate) legend: Vec<Entry>,
    /// Laid out in rows.
    pub(crate) panels: Vec<Panel>,
    /// Panels in a row.
    pub(crate) columns: usize,
}

/// One pair of axes and the curves in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) x_label: String,
    /// Whether x, and whether y, is on a logarithmic scale; points that are not positive are left out.
    pub(crate) logarithmic: [bool; 2],
    /// Legend of this panel: short names, which share a line with the title.
    pub(crate) legend: Vec<Entry>,
    /// Drawn in this order.
    pub(crate) curves: Vec<Curve>,
    /// Labels beside points.
    pub(crate) notes: Vec<Note>,
}

/// A word above and right of a point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Note {
    pub(crate) at: [f64; 2],
    pub(crate) text: String,
}

/// A line of a legend.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) label: String,
    /// `None` for black.
    pub(crate) color: Option<usize>,
    pub(crate) style: Style,
}

/// Points by falling or rising x; of a band, its outline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) points: Vec<[f64; 2]>,
    /// The number of a color; there are ten, which come round again.
    pub(crate) color: usize,
    pub(crate) style: Style,
}

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A line.
    Line,
    /// A pale line, behind others.
    Pale,
    /// A circle at each point, joined by a thin line.
    Circles,
    /// Circles alone.
    Points,
    /// The area within an outline, pale; it may reach past the axes, which the others decide on.
    Band,
}

impl Figure {
    /// Width and height in pixels.
    fn size(&self) -> [u32; 2] {
        let columns = self.columns.clamp(1, self.panels.len().max(1));
        let rows = self.panels.len().div_ceil(columns);
        let legend = draw::legend_lines(&self.legend, PANEL[0] * columns as u32) * LEGEND_LINE;
        [PANEL[0] * columns as u32, PANEL[1] * rows as u32 + legend]
    }

    /// The text of an SVG file.
    pub(crate) fn svg(&self) -> Result<String> {
        draw::register_font();
        let [width, height] = self.size();
        let scaled = (width * SVG_SCALE, height * SVG_SCALE);
        let mut text = String::new();
        {
            let area = SVGBackend::with_string(&mut text, scaled).into_drawing_area();
            draw::figure(self, &area, SVG_SCALE)?;
        }
        // Its own coordinates stay fine; the chart's size is that of its pixels.
        let own = format!("width=\"{}\" height=\"{}\"", scaled.0, scaled.1);
        let shown = format!("width=\"{width}\" height=\"{height}\" stroke-linejoin=\"round\"");
        Ok(text.replacen(&own, &shown, 1) + MADE_BY)
    }

    /// An image.
    pub(crate) fn picture(&self) -> Result<RgbImage> {
        draw::register_font();
        let [width, height] = self.size().map(|side| side * PICTURE_SCALE);
        let large = [width, height].map(|side| side * OVERSAMPLING);
        let mut rgb = vec![255; large[0] as usize * large[1] as usize * 3];
        {
            let raster = Raster(BitMapBackend::with_buffer(&mut rgb, (large[0], large[1])));
            draw::figure(self, &raster.into_drawing_area(), PICTURE_SCALE * OVERSAMPLING)?;
        }
        let large = RgbImage::new(large[0] as usize, large[1] as usize, rgb);
        Ok(images::resize(&large, width as usize, height as usize)?)
    }
}

/// The error of `plotters`, without its types.
fn failed(error: impl core::error::Error) -> anyhow::Error {
    anyhow!("the chart cannot be drawn: {error}")
}

#[cfg(test)]
mod tests;
