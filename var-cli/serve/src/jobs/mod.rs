//! The queue, and the events and images of each job.

mod event;
mod job;
mod listening;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};
use var_host::Interrupt;

pub(crate) use event::{Event, ScaleStep};
pub(crate) use job::{JobId, State};
pub(crate) use listening::{Listener, Next};

use crate::fault::{Fault, Kind};
use crate::limits::Limits;
use crate::request::{Command, Order, Task};
use job::{Job, KeptImage};

/// All jobs, shared by the routes and the thread that computes.
pub(crate) struct Jobs {
    inner: Mutex<Inner>,
    /// Tells the computing thread of work or the end.
    woken: Condvar,
    limits: Limits,
}

#[derive(Default)]
struct Inner {
    jobs: HashMap<JobId, Job>,
    /// Those that wait, the next first.
    waiting: VecDeque<JobId>,
    /// Those at their end, the oldest first.
    finished: VecDeque<JobId>,
    running: Option<JobId>,
    is_ending: bool,
}

/// A job that starts.
pub(crate) struct Started {
    pub(crate) id: JobId,
    pub(crate) task: Task,
    pub(crate) interrupt: Interrupt,
}

/// The end of a job.
pub(crate) enum Outcome {
    Done,
    Canceled,
    Failed(Fault),
}

impl Jobs {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { inner: Mutex::default(), woken: Condvar::new(), limits }
    }

    /// Its values are whole between two statements that change them: a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an order.
    ///
    /// # Errors
    /// If the queue is full or the server ends.
    pub(crate) fn submit(&self, command: Command, order: Order) -> Result<Value, Fault> {
        let id = JobId::random().map_err(|error| {
            Fault::new(Kind::Internal, format!("the system gives no random number: {error}"))
        })?;
        let mut inner = self.lock();
        self.check_room(&inner)?;
        let place = inner.waiting.len() + 1;
        let mut job = Job::new(id, command, order.task, order.keep);
        job.push(Event::queued(place));
        let (seed, wanted) = (job.seed, job.wanted);
        inner.jobs.insert(id, job);
        inner.waiting.push_back(id);
        self.woken.notify_one();
        Ok(json!({
            "id": id.to_string(), "kind": command.name(), "state": State::Queued.name(),
            "place": place, "seed": seed, "images": wanted,
        }))
    }

    /// Refuses a job that would find no room, before its body is decoded.
    ///
    /// # Errors
    /// If the queue is full or the server ends.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        self.check_room(&self.lock())
    }

    fn check_room(&self, inner: &Inner) -> Result<(), Fault> {
        if inner.is_ending {
            return Err(Fault::new(Kind::Ending, "the server ends"));
        }
        let (queue, limit) = (inner.waiting.len(), self.limits.queue);
        if queue >= limit {
            let text = format!("{queue} jobs wait, the queue holds {limit}: try again");
            return Err(Fault::new(Kind::QueueFull, text)
                .with("queue", queue)
                .with("limit", limit));
        }
        Ok(())
    }

    /// How many jobs wait.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// A job as answers have it; none if there is none, or no longer.
    pub(crate) fn get(&self, id: JobId) -> Option<Value> {
        let inner = self.lock();
        let place = inner.waiting.iter().position(|waiting| *waiting == id);
        inner.jobs.get(&id).map(|job| job.to_json(place.map_or(0, |place| place + 1)))
    }

    /// The PNG file of image `number` of a job; none without such a job, and in it none without such an
    /// image.
    pub(crate) fn image(&self, id: JobId, number: usize) -> Option<Option<Arc<[u8]>>> {
        let inner = self.lock();
        let job = inner.jobs.get(&id)?;
        Some(job.images.get(number).map(|image| Arc::clone(&image.png)))
    }

    /// Cancels a job and tells its state: one that runs stops within a scale.
    pub(crate) fn cancel(&self, id: JobId) -> Option<State> {
        let mut inner = self.lock();
        self.cancel_in(&mut inner, id);
        inner.jobs.get(&id).map(|job| job.state)
    }

    fn cancel_in(&self, inner: &mut Inner, id: JobId) {
        let Some(job) = inner.jobs.get_mut(&id) else { return };
        match job.state {
            State::Running => job.interrupt.raise(),
            State::Queued => {
                job.end(State::Canceled, Event::canceled(0));
                inner.waiting.retain(|waiting| *waiting != id);
                inner.tell_places();
                self.retire(inner, id);
            }
            State::Done | State::Failed | State::Canceled => {}
        }
    }

    /// The next job, waited for; none when the server ends.
    pub(crate) fn start_next(&self) -> Option<Started> {
        let mut inner = self.lock();
        loop {
            if inner.is_ending {
                return None;
            }
            if let Some(id) = inner.waiting.pop_front() {
                inner.running = Some(id);
                let job = inner.jobs.get_mut(&id)?;
                job.state = State::Running;
                job.started = Some(Instant::now());
                job.push(Event::started());
                let started =
                    Started { id, task: job.task.take()?, interrupt: job.interrupt.clone() };
                inner.tell_places();
                return Some(started);
            }
            inner = self.woken.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Adds an event to a job.
    pub(crate) fn tell(&self, id: JobId, event: Event) {
        if let Some(job) = self.lock().jobs.get_mut(&id) {
            job.push(event);
        }
    }

    /// Adds a scale's event, without the image where the job has too many bytes already.
    pub(crate) fn tell_scale(&self, id: JobId, mut step: ScaleStep) {
        let held = self.lock().jobs.get(&id).map_or(0, |job| job.bytes);
        let more = step.png.as_ref().map_or(0, |png| png.len().div_ceil(3) * 4);
        if held + more > self.limits.job_bytes {
            step.png = None;
        }
        // (Built without the lock.)
        let event = Event::scale(&step);
        self.tell(id, event);
    }

    /// Adds an image; `about`: its index, class, seed and parameters.
    pub(crate) fn tell_image(&self, id: JobId, png: Vec<u8>, mut about: Value) {
        let mut inner = self.lock();
        let Some(job) = inner.jobs.get_mut(&id) else { return };
        let number = job.images.len();
        about["image"] = number.into();
        about["url"] = format!("/api/jobs/{id}/images/{number}").into();
        job.bytes += png.len();
        job.push(Event::image(&about));
        job.images.push(KeptImage { png: png.into(), about });
    }

    /// Ends the running job.
    pub(crate) fn finish(&self, id: JobId, outcome: Outcome, memory: &Value) {
        let mut inner = self.lock();
        inner.running = None;
        let Some(job) = inner.jobs.get_mut(&id) else { return };
        let images = job.images.len();
        match outcome {
            Outcome::Done => {
                let seconds = job.started.map_or(0.0, |started| started.elapsed().as_secs_f64());
                job.end(State::Done, Event::done(seconds, images, memory));
            }
            Outcome::Canceled => job.end(State::Canceled, Event::canceled(images)),
            Outcome::Failed(fault) => {
                job.error = Some(fault.to_json());
                job.end(State::Failed, Event::failed(&fault));
            }
        }
        self.retire(&mut inner, id);
    }

    /// Takes nothing more, cancels everything.
    pub(crate) fn end(&self) {
        let mut inner = self.lock();
        inner.is_ending = true;
        let all: Vec<JobId> = inner.waiting.iter().copied().chain(inner.running).collect();
        all.into_iter().for_each(|id| self.cancel_in(&mut inner, id));
        self.woken.notify_all();
    }

    /// Keeps a job at its end, and forgets the oldest where they are too many.
    fn retire(&self, inner: &mut Inner, id: JobId) {
        inner.finished.push_back(id);
        let bytes = |inner: &Inner| -> usize {
            inner.finished.iter().filter_map(|id| inner.jobs.get(id)).map(|job| job.bytes).sum()
        };
        while inner.finished.len() > 1
            && (inner.finished.len() > self.limits.finished_jobs
                || bytes(inner) > self.limits.finished_bytes)
        {
            if let Some(oldest) = inner.finished.pop_front() {
                inner.jobs.remove(&oldest);
            }
        }
    }
}

impl Inner {
    /// Tells those that wait of their places.
    fn tell_places(&mut self) {
        for (place, id) in self.waiting.iter().enumerate() {
            if let Some(job) = self.jobs.get_mut(id) {
                job.push(Event::queued(place + 1));
            }
        }
    }
}

#[cfg(test)]
mod tests;
