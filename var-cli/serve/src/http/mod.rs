//! Routes, checks of Host and Origin, event streams, connections.

mod answers;
mod connections;
mod guard;
mod names;
mod path;
mod patient;
mod routes;
mod stream;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::description::Description;
use crate::jobs::Jobs;
use crate::limits::Limits;
use crate::observed::Observed;

pub(crate) use connections::accept;
pub(crate) use names::ServerNames;
pub(crate) use routes::router;

/// What the routes answer from.
pub(crate) struct Shared {
    pub(crate) names: ServerNames,
    pub(crate) description: Arc<Description>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) limits: Limits,
    pub(crate) observed: Arc<Observed>,
    /// The device, threads and instruction set, as `/api/info` shows them.
    pub(crate) machine: serde_json::Value,
    /// Bytes of bodies, as permits.
    pub(crate) body_room: Arc<Semaphore>,
    /// One image is decoded at a time.
    pub(crate) decoding: Arc<Semaphore>,
}
