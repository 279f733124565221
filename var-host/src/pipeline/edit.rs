//! Edits: part of an image kept, the rest drawn anew.

use core::ops::ControlFlow;

use var_kernel::edit::{self, Painting, Region};

use crate::engine::ForcedBatch;
use crate::images::RgbImage;

use super::{Error, Image, Model, SampleOptions, Step};

impl Model {
    /// Draws the inside or the outside of `region` of an image anew; `label`: a class, or none for in-
    /// and out-painting as the paper does it.
    ///
    /// # Errors
    /// If no cell or every cell would be drawn, or as [`Model::sample`].
    pub fn edit(
        &mut self,
        picture: &RgbImage,
        region: Region,
        painting: Painting,
        label: Option<u32>,
        options: &SampleOptions,
    ) -> Result<Image, Error> {
        let go_on = |_: &mut Step<'_, '_>| ControlFlow::Continue(());
        let edited = self.edit_with(picture, region, painting, label, options, go_on)?;
        Ok(edited.expect("nothing stops it"))
    }

    /// The same, calling `each` after every scale; none if it breaks.
    ///
    /// # Errors
    /// As [`Model::edit`].
    pub fn edit_with(
        &mut self,
        picture: &RgbImage,
        region: Region,
        painting: Painting,
        label: Option<u32>,
        options: &SampleOptions,
        each: impl FnMut(&mut Step<'_, '_>) -> ControlFlow<()>,
    ) -> Result<Option<Image>, Error> {
        let (null, ladder) = self.with_engine(|engine| {
            let config = engine.transformer()?;
            Ok((config.null_class(), config.ladder))
        })?;
        let mut finest = vec![0.0; ladder.cells(ladder.scales() - 1)];
        edit::mark(&mut finest, &ladder, region, painting);
        if !finest.contains(&0.0) {
            return Err(Error::EmptyRegion { side: ladder.finest() });
        }
        let mut cells = vec![false; ladder.length()];
        edit::spread(&mut cells, &finest, &ladder);
        let given = ForcedBatch { tokens: vec![self.encode(picture)?], cells };
        let label = label.unwrap_or(null);
        let mut parameters = self.parameters("edit");
        parameters.insert("outpaint".to_owned(), (painting == Painting::Out).to_string());
        let Region { top, left, bottom, right } = region;
        parameters.insert("box".to_owned(), format!("{top},{left},{bottom},{right}"));
        let images = self.draw(&[label], options, Some(&given), parameters, each)?;
        Ok(images.into_iter().next())
    }
}
