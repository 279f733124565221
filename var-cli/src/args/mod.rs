//! Options that several commands share. Options of one command are with that command.

mod device;
pub(crate) mod every;
mod given;
mod images;
mod launch;
mod model;
pub(crate) mod record;
mod sampling;
mod session;
pub(crate) mod spelling;
pub(crate) mod values;
mod verify;

use core::fmt;

pub(crate) use given::TypedOptions;
pub(crate) use images::{InceptionOptions, PhotographOptions};
pub(crate) use model::{BUILT_IN_VQVAE, Model, ModelOptions};
pub(crate) use sampling::SamplingOptions;
pub(crate) use session::{CommonOptions, Session, result};
pub(crate) use verify::VerifyOptions;

/// Options that do not go together, or not with the environment: exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Usage {}
