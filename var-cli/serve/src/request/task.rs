//! Work for the model.

use var_host::{Edit, EditPart, Painting, Region, RgbImage, SampleOptions};

/// Work for the model, checked. Images are of the model's side.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    Sample { labels: Vec<u32>, options: SampleOptions, previews: bool },
    Edit(EditTask),
    Reconstruct { picture: RgbImage, name: Option<String> },
    Encode { picture: RgbImage },
    Decode { tokens: Vec<u32>, label: Option<u32> },
    Score { picture: RgbImage, labels: Vec<u32> },
}

/// An image of which a part is drawn anew.
#[derive(Clone, Debug)]
pub(crate) struct EditTask {
    pub(crate) picture: RgbImage,
    pub(crate) part: Part,
    pub(crate) painting: Painting,
    /// None: without a class.
    pub(crate) label: Option<u32>,
    /// Whether the kept cells have the reconstruction's pixels.
    pub(crate) overlay: bool,
    /// Names of the image's and the mask's files, where they are known.
    pub(crate) names: [Option<String>; 2],
    pub(crate) count: usize,
    pub(crate) options: SampleOptions,
    pub(crate) previews: bool,
}

/// A part of an image.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Box(Region),
    /// White in a mask of the model's side.
    Mask(RgbImage),
}

impl EditTask {
    /// As the model takes it.
    pub(crate) fn edit(&self) -> Edit<'_> {
        let part = match &self.part {
            Part::Box(region) => EditPart::Box(*region),
            Part::Mask(mask) => EditPart::Mask(mask),
        };
        Edit { part, painting: self.painting, label: self.label, overlay: self.overlay }
    }
}

impl Task {
    /// The seed, of work that draws.
    pub(crate) fn seed(&self) -> Option<u64> {
        match self {
            Self::Sample { options, .. } | Self::Edit(EditTask { options, .. }) => {
                Some(options.seed)
            }
            _ => None,
        }
    }

    /// How many images it makes.
    pub(crate) fn images(&self) -> usize {
        match self {
            Self::Sample { labels, .. } => labels.len(),
            Self::Edit(edit) => edit.count,
            Self::Reconstruct { .. } | Self::Decode { .. } => 1,
            Self::Encode { .. } | Self::Score { .. } => 0,
        }
    }
}
