//! Listening to a job's events, from the start or from where one left off.

use std::sync::Arc;

use tokio::sync::watch;

use super::event::Event;
use super::{JobId, Jobs};

/// A listener of a job. When the last one goes, so does the job, unless it is to be kept.
pub(crate) struct Listener {
    jobs: Arc<Jobs>,
    id: JobId,
    /// Number of the next event.
    next: usize,
    changed: watch::Receiver<()>,
}

/// The next event of a job.
pub(crate) enum Next {
    /// Its number, and the event.
    Event(usize, Arc<Event>),
    /// There are no more.
    End,
}

impl Listener {
    /// Listens to the events of a job from number `next` on; none without such a job.
    pub(crate) fn new(jobs: &Arc<Jobs>, id: JobId, next: usize) -> Option<Self> {
        let mut inner = jobs.lock();
        let job = inner.jobs.get_mut(&id)?;
        job.listeners += 1;
        let changed = job.changed.subscribe();
        drop(inner);
        Some(Self { jobs: Arc::clone(jobs), id, next, changed })
    }

    /// Whether there are no events left, nor will be.
    pub(crate) fn is_at_end(&self) -> bool {
        let inner = self.jobs.lock();
        let job = inner.jobs.get(&self.id);
        job.is_none_or(|job| job.state.is_final() && self.next >= job.events.len())
    }

    /// Waits for the next event.
    pub(crate) async fn next(&mut self) -> Next {
        loop {
            if let Some(next) = self.at_hand() {
                return next;
            }
            if self.changed.changed().await.is_err() {
                return Next::End;
            }
        }
    }

    /// The next event, if it is there already.
    fn at_hand(&mut self) -> Option<Next> {
        let inner = self.jobs.lock();
        let Some(job) = inner.jobs.get(&self.id) else { return Some(Next::End) };
        if let Some(event) = job.events.get(self.next) {
            let number = self.next;
            self.next += 1;
            return Some(Next::Event(number, Arc::clone(event)));
        }
        job.state.is_final().then_some(Next::End)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut inner = self.jobs.lock();
        let Some(job) = inner.jobs.get_mut(&self.id) else { return };
        job.listeners -= 1;
        if job.listeners == 0 && !job.keep {
            self.jobs.cancel_in(&mut inner, self.id);
        }
    }
}
