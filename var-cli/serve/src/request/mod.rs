//! Bodies of requests → work for the model.

mod body;
mod bounds;
mod codec;
mod command;
mod edit;
mod fields;
mod images;
mod order;
mod sample;
mod task;

pub(crate) use body::{permits, read};
pub(crate) use bounds::Bounds;
pub(crate) use command::Command;
pub(crate) use order::Order;
pub(crate) use task::{EditTask, Task};
