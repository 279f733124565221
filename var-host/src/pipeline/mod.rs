//! A model with its device: sampling, encoding, decoding, editing and scoring in one call each.

mod device;
pub mod edit;
mod error;
mod image;
mod model;
mod options;
pub mod parameters;
mod sample;

pub use device::Device;
pub use edit::{Edit, EditPart, EditPlan};
pub use error::{Error, with_causes};
pub use image::Image;
pub use model::Model;
pub use options::SampleOptions;
pub use sample::Step;

#[cfg(test)]
mod tests;
