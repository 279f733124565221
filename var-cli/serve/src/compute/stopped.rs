//! Reasons to stop before the work is done.

use var_host::Error;
use var_host::engine::EngineError;
use var_host::pipeline::with_causes;

use crate::fault::{Fault, Kind};

/// A reason to stop before the work is done.
#[derive(Debug)]
pub(super) enum Stopped {
    Canceled,
    Failed(Fault),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        let text = with_causes(&error);
        Self::Failed(match &error {
            Error::Engine(EngineError::Interrupted(_)) => return Self::Canceled,
            Error::Engine(EngineError::NoTransformer | EngineError::NoVqvae) => {
                Fault::new(Kind::Model, text)
            }
            _ => Fault::new(Kind::Internal, text),
        })
    }
}
