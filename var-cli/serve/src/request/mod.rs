//! Bodies of requests → work for the model.

mod body;
mod codec;
mod edit;
mod fields;
mod images;
mod sample;

use serde_json::Value;
use var_host::{Edit, EditPart, Painting, Region, RgbImage, SampleOptions};

pub(crate) use body::{permits, read};

use crate::description::Description;
use crate::fault::Fault;
use crate::limits::Limits;
use fields::Fields;

/// What a request is checked against.
pub(crate) struct Bounds<'a> {
    pub(crate) model: &'a Description,
    pub(crate) limits: &'a Limits,
}

/// The kinds of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Sample,
    Edit,
    Reconstruct,
    Encode,
    Decode,
    Score,
}

impl Command {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Sample, Self::Edit, Self::Reconstruct, Self::Encode, Self::Decode, Self::Score];

    /// Its name in paths and answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Edit => "edit",
            Self::Reconstruct => "reconstruct",
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::Score => "score",
        }
    }

    /// Whether its body has an image, which takes a while to decode.
    pub(crate) fn takes_image(self) -> bool {
        !matches!(self, Self::Sample | Self::Decode)
    }
}

/// Work for the model, checked. Images are of the model's side.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    Sample { labels: Vec<u32>, options: SampleOptions, previews: bool },
    Edit(EditTask),
    Reconstruct { picture: RgbImage },
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

/// A request, checked.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) task: Task,
    /// Whether the job goes on when nobody listens to its events any more.
    pub(crate) keep: bool,
}

impl Order {
    /// The request `command` with this body.
    pub(crate) fn new(command: Command, body: Value, bounds: &Bounds<'_>) -> Result<Self, Fault> {
        let mut fields = Fields::of(body)?;
        let task = match command {
            Command::Sample => sample::task(&mut fields, bounds)?,
            Command::Edit => edit::task(&mut fields, bounds)?,
            Command::Reconstruct => {
                Task::Reconstruct { picture: images::square("image", &mut fields, bounds)? }
            }
            Command::Encode => {
                Task::Encode { picture: images::square("image", &mut fields, bounds)? }
            }
            Command::Decode => codec::decode(&mut fields, bounds)?,
            Command::Score => codec::score(&mut fields, bounds)?,
        };
        let keep = fields.truth("keep")?.unwrap_or(false);
        fields.finish()?;
        Ok(Self { task, keep })
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
