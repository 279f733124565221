//! A request as a whole: its work, and whether it goes on without listeners.

use serde_json::Value;

use super::bounds::Bounds;
use super::command::Command;
use super::fields::Fields;
use super::task::Task;
use super::{codec, edit, images, sample};
use crate::fault::Fault;

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
            Command::Reconstruct => Task::Reconstruct {
                name: fields.file_name("image_name")?,
                picture: images::square("image", &mut fields, bounds)?,
            },
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
