//! Charts: panels of curves under one legend, as SVG or as an image.
//!
//! Drawn by `plotters`; text is set in DejaVu Sans (its Latin, Greek and Cyrillic letters; license in
//! `DejaVuSans.LICENSE`), so that an image looks the same on every machine.

mod axis;
mod draw;
mod figure;
mod raster;
mod thin;

use anyhow::Result;
use plotters::prelude::{BitMapBackend, IntoDrawingArea, SVGBackend};
use var_host::images::{self, RgbImage};

pub(crate) use figure::{Curve, Entry, Figure, Note, Panel, Style};

use draw::{LEGEND_LINE, PANEL};
use raster::Raster;

/// Signature at the end of an SVG file.
pub(crate) const MADE_BY: &str = "<!-- drawn by var -->\n";

/// Units of an SVG's own coordinates to a pixel: `plotters` counts in whole ones.
const SVG_SCALE: u32 = 16;
/// An image has so many pixels to each of the chart's,
const PICTURE_SCALE: u32 = 2;
/// and is drawn so many times as large first: `plotters` leaves the edges of lines rough.
const OVERSAMPLING: u32 = 2;

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

#[cfg(test)]
mod tests;
