//! How weights move: schedules, AdamW, clipping, loss scaling, averages.

pub mod adamw;
pub mod groups;
pub mod loss_scale;
pub mod schedule;

pub use adamw::{AdamW, Update};
pub use loss_scale::LossScale;
