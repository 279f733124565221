//! All images as one image.

use std::path::Path;

use anyhow::Result;
use var_host::engine::ImageSpec;
use var_host::images::{self, PIXEL_LIMIT, Parameters, RgbImage};
use var_host::plural::count;

use crate::args::{Session, Usage};
use crate::classes::Classes;
use crate::output;

/// White pixels between neighbors.
pub(crate) const PADDING: usize = 2;
/// The most rows with classes printed.
const ROWS_TOLD: usize = 16;

/// An image of images.
pub(crate) struct Grid<'a> {
    path: &'a Path,
    columns: usize,
    labels: Vec<u32>,
    parameters: Parameters,
    classes: Classes<'a>,
}

/// Columns of a grid of `count` images of so many pixels a `side`: those `wanted`, or as many as rows,
/// or one more.
///
/// # Errors
/// [`Usage`] if they are too many for one image.
pub(crate) fn columns(count: usize, side: usize, wanted: Option<u16>) -> Result<usize> {
    let square = count.isqrt() + usize::from(count.isqrt().pow(2) < count);
    let columns = wanted.map_or(square, usize::from).min(count);
    let rows = count.div_ceil(columns.max(1));
    let pixels = |cells: usize| (cells * (side + PADDING)) as u64;
    if pixels(columns).saturating_mul(pixels(rows)) > PIXEL_LIMIT {
        let text = format!(
            "{count} images of {side} × {side} are too many for one image of at most \
             {PIXEL_LIMIT} pixels: -o DIR/ makes a file of each"
        );
        return Err(Usage(text).into());
    }
    Ok(columns)
}

impl<'a> Grid<'a> {
    /// Refuses, before the work, a path that cannot be written and a grid that is too large.
    pub(crate) fn new(
        path: &'a Path,
        jobs: &[ImageSpec],
        (columns, side): (Option<u16>, usize),
        mut parameters: Parameters,
        classes: Classes<'a>,
        session: &Session,
    ) -> Result<Self> {
        let columns = self::columns(jobs.len(), side, columns)?;
        let labels: Vec<u32> = jobs.iter().map(|job| job.label).collect();
        let numbers: Vec<String> =
            labels.iter().map(|label| classes.number(*label).to_string()).collect();
        parameters.insert("class".to_owned(), numbers.join(","));
        if let [job] = jobs {
            // As in a folder.
            parameters.insert("index".to_owned(), job.index.to_string());
            parameters.insert("class_name".to_owned(), classes.name(job.label));
        } else {
            parameters.insert("index".to_owned(), format!("0..{}", jobs.len()));
        }
        output::check_image(path, &parameters, session)?;
        Ok(Self { path, columns, labels, parameters, classes })
    }

    /// Writes `pictures`, one for each job, and prints their places.
    pub(crate) fn write(&self, pictures: &[RgbImage], session: &Session) -> Result<()> {
        let whole = images::grid(pictures, self.columns, PADDING)?;
        output::write_image(self.path, &whole, &self.parameters, session)?;
        let (images, path) = (count(pictures.len(), "image"), self.path.display());
        let (width, height) = (pictures[0].width(), pictures[0].height());
        session.say(&format!("{path}: {images} of {width} × {height}"))?;
        if self.labels.iter().all(|label| *label == self.labels[0]) {
            return Ok(());
        }
        for labels in self.labels.chunks(self.columns).take(ROWS_TOLD) {
            let names: Vec<String> = labels.iter().map(|label| self.classes.name(*label)).collect();
            session.say(&format!("  {}", names.join(", ")))?;
        }
        Ok(())
    }
}
