//! A job: its state, its events from the start, its images.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::watch;
use var_host::Interrupt;

use super::event::Event;
use crate::request::{Command, Task};

/// Number of a job: random, so that no job is another's by a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct JobId(u64);

impl JobId {
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        getrandom::u64().map(Self)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for JobId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_spelled = text.len() == 16
            && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !is_spelled {
            return Err(());
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| ())
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Queued,
    Running,
    Done,
    Failed,
    Canceled,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Whether nothing changes any more.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Canceled)
    }
}

/// An image of a job.
#[derive(Debug)]
pub(super) struct KeptImage {
    pub(super) png: Arc<[u8]>,
    /// As answers and events describe it.
    pub(super) about: Value,
}

/// A job.
pub(super) struct Job {
    id: JobId,
    pub(super) command: Command,
    pub(super) state: State,
    /// Taken when it starts.
    pub(super) task: Option<Task>,
    pub(super) seed: Option<u64>,
    /// How many images it is to make.
    pub(super) wanted: usize,
    pub(super) images: Vec<KeptImage>,
    pub(super) events: Vec<Arc<Event>>,
    /// Tells of new events.
    pub(super) changed: watch::Sender<()>,
    pub(super) interrupt: Interrupt,
    /// How many listen to its events.
    pub(super) listeners: usize,
    /// Whether it goes on without listeners.
    pub(super) keep: bool,
    pub(super) started: Option<Instant>,
    pub(super) seconds: Option<f64>,
    /// The error, of a failed job.
    pub(super) error: Option<Value>,
    /// Bytes of its images and events.
    pub(super) bytes: usize,
}

impl Job {
    pub(super) fn new(id: JobId, command: Command, task: Task, keep: bool) -> Self {
        Self {
            id,
            command,
            state: State::Queued,
            seed: task.seed(),
            wanted: task.images(),
            task: Some(task),
            images: Vec::new(),
            events: Vec::new(),
            changed: watch::Sender::new(()),
            interrupt: Interrupt::default(),
            listeners: 0,
            keep,
            started: None,
            seconds: None,
            error: None,
            bytes: 0,
        }
    }

    /// Adds an event and wakes the listeners.
    pub(super) fn push(&mut self, event: Event) {
        self.bytes += event.data.len();
        self.events.push(Arc::new(event));
        self.changed.send_replace(());
    }

    /// Ends it with a last event.
    pub(super) fn end(&mut self, state: State, event: Event) {
        self.state = state;
        self.task = None;
        self.seconds = self.started.map(|started| started.elapsed().as_secs_f64());
        self.push(event);
    }

    /// As answers have it; `place`: that in the queue.
    pub(super) fn to_json(&self, place: usize) -> Value {
        let images: Vec<&Value> = self.images.iter().map(|image| &image.about).collect();
        let is_waiting = self.state == State::Queued;
        json!({
            "id": self.id.to_string(),
            "kind": self.command.name(),
            "state": self.state.name(),
            "place": is_waiting.then_some(place),
            "seed": self.seed,
            "wanted": self.wanted,
            "images": images,
            "seconds": self.seconds,
            "error": self.error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_ids_are_read_as_they_are_written_and_not_otherwise() {
        let id = JobId(0xab);
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "ab", "00000000000000AB", "+0000000000000ab", "00000000000000ab0"] {
            assert_eq!(text.parse::<JobId>(), Err(()), "{text}");
        }
    }
}
