//! Bounds of requests, jobs and connections.

use core::time::Duration;

use serde_json::{Value, json};

/// Bounds that keep a client from taking the machine's memory, threads or connections.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Jobs that wait, besides the one that runs.
    pub queue: usize,
    /// Images that go through the model together.
    pub batch: usize,
    /// Images of one request.
    pub images: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of all bodies that are read at once.
    pub bodies_bytes: usize,
    /// Values in a request's JSON: numbers, texts, lists and objects.
    pub values: usize,
    /// Pixels of an image that is sent, as its header declares them.
    pub pixels: u64,
    /// Connections at once.
    pub connections: usize,
    /// Jobs that are kept after their end.
    pub finished_jobs: usize,
    /// Bytes of images and events of all jobs that are kept after their end.
    pub finished_bytes: usize,
    /// Bytes of images and events of one job; past them, scales come without their image.
    pub job_bytes: usize,
    /// Time for a request's header, and of a connection without requests.
    pub header_time: Duration,
    /// Time for a request's body.
    pub body_time: Duration,
    /// Time in which a client takes none of the bytes sent to it.
    pub write_time: Duration,
    /// Time for requests under way when the server ends.
    pub ending_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue: 8,
            batch: 4,
            images: 64,
            body_bytes: 32 << 20,
            bodies_bytes: 96 << 20,
            values: 1 << 16,
            pixels: 50_000_000,
            connections: 64,
            finished_jobs: 64,
            finished_bytes: 256 << 20,
            job_bytes: 128 << 20,
            header_time: Duration::from_secs(30),
            body_time: Duration::from_secs(60),
            write_time: Duration::from_secs(30),
            ending_time: Duration::from_secs(3),
        }
    }
}

impl Limits {
    /// As `/api/info` shows them.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "queue": self.queue,
            "batch": self.batch,
            "images": self.images,
            "body_bytes": self.body_bytes,
            "values": self.values,
            "pixels": self.pixels,
            "connections": self.connections,
            "finished_jobs": self.finished_jobs,
            "finished_bytes": self.finished_bytes,
            "job_bytes": self.job_bytes,
            "header_seconds": self.header_time.as_secs(),
            "body_seconds": self.body_time.as_secs(),
            "write_seconds": self.write_time.as_secs(),
        })
    }
}
