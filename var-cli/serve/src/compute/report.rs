//! Events and images of the job at work.

use serde_json::{Value, json};
use var_host::images::{Parameters, png_bytes};
use var_host::{Interrupt, RgbImage};

use super::stopped::Stopped;
use crate::description::Description;
use crate::fault::{Fault, Kind};
use crate::jobs::{Event, JobId, Jobs, ScaleStep};

/// The job at work, to be told of.
#[derive(Clone, Copy)]
pub(super) struct Reporter<'a> {
    pub(super) description: &'a Description,
    pub(super) jobs: &'a Jobs,
    pub(super) id: JobId,
    pub(super) interrupt: &'a Interrupt,
}

/// An image of a job: its number in the job, and its index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered {
    pub(super) image: usize,
    pub(super) index: u32,
}

impl Reporter<'_> {
    /// Stops a canceled job between two calls to the model.
    pub(super) fn check(self) -> Result<(), Stopped> {
        if self.interrupt.is_raised() { Err(Stopped::Canceled) } else { Ok(()) }
    }

    pub(super) fn event(self, event: Event) {
        self.jobs.tell(self.id, event);
    }

    /// Tells of a scale of an image, with its look if the run ended there.
    pub(super) fn scale(
        self,
        Numbered { image, index }: Numbered,
        scale: usize,
        tokens: Vec<u32>,
        picture: Option<&RgbImage>,
    ) -> Result<(), Stopped> {
        let ladder = &self.description.ladder;
        let png = picture.map(|picture| png(picture, &Parameters::new())).transpose()?;
        let (scales, side) = (ladder.scales(), ladder.sides()[scale]);
        let step = ScaleStep { image, index, scale, scales, side, tokens, png };
        self.jobs.tell_scale(self.id, step);
        Ok(())
    }

    /// Tells of an image that is done; `about` says more of it than its parameters.
    pub(super) fn image(
        self,
        picture: &RgbImage,
        parameters: &Parameters,
        mut about: Value,
    ) -> Result<(), Stopped> {
        about["parameters"] = json!(parameters);
        self.jobs.tell_image(self.id, png(picture, parameters)?, about);
        Ok(())
    }

    /// Tokens of each scale of an image's.
    pub(super) fn maps(self, tokens: &[u32]) -> Vec<Vec<u32>> {
        let ladder = &self.description.ladder;
        (0..ladder.scales()).map(|scale| tokens[ladder.range(scale)].to_vec()).collect()
    }
}

/// The bytes of a PNG file.
fn png(picture: &RgbImage, parameters: &Parameters) -> Result<Vec<u8>, Stopped> {
    png_bytes(picture, parameters)
        .map_err(|fault| Stopped::Failed(Fault::new(Kind::Internal, fault.to_string())))
}
