//! A model from files: its configuration ([`detect`]), its weights where the kernel can use them
//! ([`weights`], [`ModelPart`]), and a file of our own ([`convert`]).

mod built_in;
pub mod classes;
pub mod convert;
pub mod detect;
mod error;
mod family;
mod identity;
pub mod listing;
mod mask;
mod names;
mod part;
mod part_digest;
pub mod settings;
mod weight_limit;
pub mod weights;

pub use built_in::built_in;
pub use classes::{ClassLookup, ClassNameError};
pub use detect::Hints;
pub use error::ModelError;
pub use identity::Identity;
pub use names::TRAINING;
pub use part::ModelPart;
pub use weights::Weights;
