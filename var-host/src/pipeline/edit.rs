//! Edits: part of an image kept, the rest drawn anew.

use core::ops::{ControlFlow, Range};

use var_kernel::edit::{self, Painting, Region};
use var_kernel::model::VqvaeConfig;

use crate::engine::ForcedBatch;
use crate::images::{Parameters, RgbImage};

use super::{Error, Image, Model, SampleOptions, Step};

/// Part of an image.
#[derive(Clone, Copy, Debug)]
pub enum EditPart<'a> {
    /// A box, rounded to cells of the finest map.
    Box(Region),
    /// The cells of the finest map that are more than half white in this mask, which has the image's size
    /// or is resized and cut as it is.
    Mask(&'a RgbImage),
}

/// An edit: the part of the image, and how it is drawn.
///
/// ```
/// use var_host::{Edit, Model, Painting, Region, SampleOptions};
///
/// let mut model = Model::built_in()?;
/// let options = SampleOptions { cfg: 4.0, seed: 1, ..Default::default() };
/// let image = model.sample(&[3], &options)?.remove(0);
/// let left = Region { top: 0.0, left: 0.0, bottom: 1.0, right: 0.5 };
/// let edit = Edit { label: Some(8), overlay: true, ..Edit::from(left) };
/// let edited = model.edit(&image.picture, &edit, &options)?;
/// let (right, own) = (edited.picture.width() - 1, model.reconstruct(&image.picture)?);
/// assert_eq!(edited.picture.rgb()[3 * right], own.rgb()[3 * right]);
/// # Ok::<(), var_host::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Edit<'a> {
    /// The part.
    pub part: EditPart<'a>,
    /// Whether the part is drawn anew, or all but it.
    pub painting: Painting,
    /// The class drawn; none: without one, as the paper's in- and out-painting.
    pub label: Option<u32>,
    /// Cells of the finest map that are kept have the reconstruction's pixels, to the byte; otherwise what is
    /// drawn changes them a little.
    pub overlay: bool,
}

/// An edit of an image, to be drawn in any number of versions.
#[derive(Clone, Debug)]
pub struct EditPlan {
    label: u32,
    /// The image's tokens, and which cells keep them.
    given: ForcedBatch,
    /// Of the finest map's cells: 1 kept, 0 drawn anew.
    marks: Vec<f32>,
    /// The reconstruction, for an overlay.
    kept: Option<RgbImage>,
    config: VqvaeConfig,
    parameters: Parameters,
}

impl From<Region> for Edit<'_> {
    /// Draws the box anew, without a class.
    fn from(region: Region) -> Self {
        Self::of(EditPart::Box(region))
    }
}

impl<'a> Edit<'a> {
    /// Draws the white part of `mask` anew, without a class.
    pub fn with_mask(mask: &'a RgbImage) -> Self {
        Self::of(EditPart::Mask(mask))
    }

    /// Draws `part` anew, without a class.
    fn of(part: EditPart<'a>) -> Self {
        Self { part, painting: Painting::In, label: None, overlay: false }
    }

    /// Marks of the finest map's cells: 1 kept, 0 drawn anew. A mask has the model's side.
    ///
    /// # Errors
    /// If no cell is drawn anew.
    ///
    /// # Panics
    /// If the mask has another side.
    pub fn marks(&self, config: &VqvaeConfig) -> Result<Vec<f32>, Error> {
        let ladder = &config.ladder;
        let mut finest = vec![0.0; ladder.cells(ladder.scales() - 1)];
        match self.part {
            EditPart::Box(region) => edit::mark(&mut finest, ladder, region, self.painting),
            EditPart::Mask(mask) => {
                let side = config.side();
                assert_eq!([mask.width(), mask.height()], [side, side], "a mask of another side");
                for (cell, mark) in finest.iter_mut().enumerate() {
                    let is_white = whiteness(mask, cell, config) > 0.5;
                    *mark = f32::from(is_white == (self.painting == Painting::Out));
                }
            }
        }
        if !finest.contains(&0.0) {
            return Err(Error::EmptyRegion { side: ladder.finest() });
        }
        Ok(finest)
    }
}

/// Rows and columns of a cell of the finest map in pixels.
fn pixels(cell: usize, config: &VqvaeConfig) -> (Range<usize>, Range<usize>) {
    let (cells, pixels) = (config.ladder.finest(), config.downsampling());
    let (top, left) = (cell / cells * pixels, cell % cells * pixels);
    (top..top + pixels, left..left + pixels)
}

/// The mean of the mask over a cell of the finest map, 0 to 1.
fn whiteness(mask: &RgbImage, cell: usize, config: &VqvaeConfig) -> f64 {
    let (rows, columns) = pixels(cell, config);
    let bytes = 3 * rows.len() * columns.len();
    let row = |y: usize| &mask.rgb()[3 * y * mask.width()..][3 * columns.start..3 * columns.end];
    let sum: u64 = rows.flat_map(row).map(|byte| u64::from(*byte)).sum();
    sum as f64 / (255 * bytes) as f64
}

/// `drawn` with the pixels of `kept` in the cells whose mark is 1.
///
/// # Panics
/// If an image is not of the model's side.
pub fn overlay(drawn: RgbImage, kept: &RgbImage, marks: &[f32], config: &VqvaeConfig) -> RgbImage {
    let side = config.side();
    for image in [&drawn, kept] {
        assert_eq!([image.width(), image.height()], [side, side], "an image of another side");
    }
    let mut rgb = drawn.into_rgb();
    for (cell, _) in marks.iter().enumerate().filter(|(_, mark)| **mark == 1.0) {
        let (rows, columns) = pixels(cell, config);
        for y in rows {
            let row = 3 * (y * side + columns.start)..3 * (y * side + columns.end);
            rgb[row.clone()].copy_from_slice(&kept.rgb()[row]);
        }
    }
    RgbImage::new(side, side, rgb)
}

impl Model {
    /// Draws part of an image anew.
    ///
    /// # Errors
    /// If no cell would be drawn, or as [`Model::sample`].
    pub fn edit(
        &mut self,
        picture: &RgbImage,
        edit: &Edit<'_>,
        options: &SampleOptions,
    ) -> Result<Image, Error> {
        let go_on = |_: &mut Step<'_, '_>| ControlFlow::Continue(());
        let edited = self.edit_with(picture, edit, options, go_on)?;
        Ok(edited.expect("nothing stops it"))
    }

    /// The same, calling `each` after every scale; none if it breaks.
    ///
    /// # Errors
    /// As [`Model::edit`].
    pub fn edit_with(
        &mut self,
        picture: &RgbImage,
        edit: &Edit<'_>,
        options: &SampleOptions,
        each: impl FnMut(&mut Step<'_, '_>) -> ControlFlow<()>,
    ) -> Result<Option<Image>, Error> {
        let plan = self.plan_edit(picture, edit)?;
        self.draw_edit(&plan, options, each)
    }

    /// The image's tokens and the cells of them that are kept, for any number of [`Model::draw_edit`].
    ///
    /// ```
    /// use core::ops::ControlFlow;
    /// use var_host::{Edit, Model, Region, SampleOptions};
    ///
    /// let mut model = Model::built_in()?;
    /// let image = model.decode(&[7; 130])?;
    /// let upper = Region { top: 0.0, left: 0.0, bottom: 0.5, right: 1.0 };
    /// let plan = model.plan_edit(&image, &Edit::from(upper))?;
    /// for first_index in 0..2 {
    ///     let options = SampleOptions { first_index, ..Default::default() };
    ///     let version = model.draw_edit(&plan, &options, |_| ControlFlow::Continue(()))?;
    ///     assert_eq!(version.expect("nothing stops it").index, first_index);
    /// }
    /// # Ok::<(), var_host::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Model::edit`].
    pub fn plan_edit(&mut self, picture: &RgbImage, edit: &Edit<'_>) -> Result<EditPlan, Error> {
        let (null, config) =
            self.with_engine(|engine| Ok((engine.transformer()?.null_class(), *engine.vqvae()?)))?;
        let mask = match edit.part {
            EditPart::Mask(mask) => Some(self.square(mask)?),
            EditPart::Box(_) => None,
        };
        let part = mask.as_ref().map_or(edit.part, EditPart::Mask);
        let marks = Edit { part, ..*edit }.marks(&config)?;
        let mut cells = vec![false; config.ladder.length()];
        edit::spread(&mut cells, &marks, &config.ladder);
        let given = ForcedBatch { tokens: vec![self.encode(picture)?], cells };
        let kept = if edit.overlay { Some(self.decode(&given.tokens[0])?) } else { None };
        let mut parameters = self.parameters("edit");
        parameters.insert("outpaint".to_owned(), (edit.painting == Painting::Out).to_string());
        parameters.insert("overlay".to_owned(), edit.overlay.to_string());
        if let EditPart::Box(Region { top, left, bottom, right }) = edit.part {
            parameters.insert("box".to_owned(), format!("{top},{left},{bottom},{right}"));
        }
        let label = edit.label.unwrap_or(null);
        Ok(EditPlan { label, given, marks, kept, config, parameters })
    }

    /// Draws a version of an edit, calling `each` after every scale; none if it breaks.
    ///
    /// # Errors
    /// As [`Model::sample`].
    pub fn draw_edit(
        &mut self,
        plan: &EditPlan,
        options: &SampleOptions,
        each: impl FnMut(&mut Step<'_, '_>) -> ControlFlow<()>,
    ) -> Result<Option<Image>, Error> {
        let EditPlan { label, given, marks, kept, config, parameters } = plan;
        let images = self.draw(&[*label], options, Some(given), parameters.clone(), each)?;
        let Some(mut image) = images.into_iter().next() else { return Ok(None) };
        if let Some(kept) = kept {
            image.picture = overlay(image.picture, kept, marks, config);
        }
        Ok(Some(image))
    }
}
