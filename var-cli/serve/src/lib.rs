//! A model as a local web page and an HTTP interface: `var serve`.
//!
//! | module | holds |
//! |---|---|
//! | `limits` | bounds of requests, jobs and connections |
//! | `fault` | errors of the interface as JSON |
//! | `description` | the model as far as requests are checked against it |
//! | `request` | bodies of requests → work for the model |
//! | `jobs` | the queue, and the events and images of each job |
//! | `compute` | the thread with the model |
//! | `http` | routes, checks of Host and Origin, event streams, connections |
//! | `assets` | files of the page |
//! | `openapi` | the description of the interface for programs |
//! | `observed` | memory, and model files replaced on disk |
//! | `server` | all of it on a port |
//!
//! The model computes on a thread of its own; asynchronous code moves bytes only. No request reaches the
//! file system.
#![forbid(unsafe_code)]

mod assets;
mod compute;
mod description;
mod fault;
mod http;
mod jobs;
mod limits;
mod observed;
mod openapi;
mod request;
mod server;

pub use limits::Limits;
pub use server::{ServeError, Server, Settings, Stop};
