//! The thread that a model lives on; waiting for it with the interpreter lock released.

use core::any::Any;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic;
use std::process;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};

use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use var_host::{Interrupt, Model};

use crate::error::bug;

/// How often Ctrl-C is looked for.
const POLL: Duration = Duration::from_millis(50);

/// A call's work on the model.
struct Job {
    interrupt: Interrupt,
    task: Box<dyn FnOnce(&mut Model) + Send>,
}

/// The result of work, or the payload of its panic.
pub(crate) type Outcome<R> = thread::Result<R>;

/// A model on a thread of its own, which does one call's work after the other.
///
/// Calls own all that their work needs: one that Ctrl-C ends leaves at once, and its work ends by itself.
pub(crate) struct Worker {
    /// None when closed.
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The process that has the thread: a forked one has not.
    process: u32,
    /// The thread that runs a callback of this model.
    in_callback: Mutex<Option<ThreadId>>,
}

/// A guard; a poisoned lock holds a whole value all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    /// Opens a model on a new thread; also returns what `describe` says of it.
    pub(crate) fn start<D: Send + 'static, E: Send + 'static>(
        py: Python<'_>,
        open: impl FnOnce() -> Result<(Model, D), E> + Send + 'static,
    ) -> PyResult<Result<(Self, D), E>> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (answer, answers) = mpsc::channel();
        let body = move || {
            let opened = panic::catch_unwind(AssertUnwindSafe(open));
            let (opened, model) = match opened {
                Ok(Ok((model, description))) => (Ok(Ok(description)), Some(model)),
                Ok(Err(error)) => (Ok(Err(error)), None),
                Err(payload) => (Err(payload), None),
            };
            let wanted = answer.send(opened).is_ok();
            if let (true, Some(mut model)) = (wanted, model) {
                serve(&mut model, &queue);
            }
        };
        let thread = thread::Builder::new().name("varimage".to_owned()).spawn(body);
        let thread =
            thread.map_err(|fault| PyMemoryError::new_err(format!("a thread: {fault}")))?;
        let opened = whole(wait(py, answers, &Interrupt::default())?)?;
        Ok(opened.map(|description| {
            let worker = Self {
                jobs: Mutex::new(Some(jobs)),
                thread: Mutex::new(Some(thread)),
                process: process::id(),
                in_callback: Mutex::new(None),
            };
            (worker, description)
        }))
    }

    /// Has `work` done and waits for its result, which Ctrl-C ends.
    pub(crate) fn run<R: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Model, &Interrupt) -> R + Send + 'static,
    ) -> PyResult<R> {
        let (answers, interrupt) = self.begin(work)?;
        whole(wait(py, answers, &interrupt)?)
    }

    /// Has `work` done; returns where its result comes, and the flag that ends it.
    pub(crate) fn begin<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Model, &Interrupt) -> R + Send + 'static,
    ) -> PyResult<(Receiver<Outcome<R>>, Interrupt)> {
        self.check_caller()?;
        let (answer, answers) = mpsc::channel();
        let interrupt = Interrupt::default();
        let flag = interrupt.clone();
        let task = Box::new(move |model: &mut Model| {
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| work(model, &flag)));
            // The call may have left.
            let _ = answer.send(outcome);
        });
        let job = Job { interrupt: interrupt.clone(), task };
        let sent = lock(&self.jobs).as_ref().map(|jobs| jobs.send(job).is_ok());
        match sent {
            Some(true) => Ok((answers, interrupt)),
            Some(false) => Err(bug("the model's thread has ended")),
            None => Err(PyValueError::new_err("the model is closed")),
        }
    }

    /// Runs `callback`, in which calls of this model are refused.
    pub(crate) fn in_callback<R>(&self, callback: impl FnOnce() -> R) -> R {
        *lock(&self.in_callback) = Some(thread::current().id());
        let result = callback();
        *lock(&self.in_callback) = None;
        result
    }

    /// Frees the model after the calls under way; nothing if it is closed.
    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_open() {
            self.check_caller()?;
        }
        drop(lock(&self.jobs).take());
        let Some(thread) = lock(&self.thread).take() else { return Ok(()) };
        let (ended, end) = mpsc::channel();
        // A thread that waits for a thread: a join alone has no time limit.
        let waiter = move || ended.send(thread.join().is_ok());
        thread::Builder::new().spawn(waiter).map_err(|fault| bug(&format!("a thread: {fault}")))?;
        wait(py, end, &Interrupt::default()).map(|_| ())
    }

    pub(crate) fn is_open(&self) -> bool {
        lock(&self.jobs).is_some()
    }

    /// Refuses a call that would wait for itself, or for a thread of another process.
    fn check_caller(&self) -> PyResult<()> {
        if process::id() != self.process {
            let text = format!(
                "the model was opened in process {}, this is its fork {}, without its threads: open the \
                 model here (multiprocessing: the start method 'spawn')",
                self.process,
                process::id()
            );
            return Err(PyRuntimeError::new_err(text));
        }
        if *lock(&self.in_callback) == Some(thread::current().id()) {
            let text = "the model is at work: its callback cannot call it; step.image and step.tokens are there";
            return Err(PyRuntimeError::new_err(text));
        }
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if process::id() != self.process {
            // The thread is not there to be told, and its locks may be held for ever.
            core::mem::forget((lock(&self.jobs).take(), lock(&self.thread).take()));
        }
    }
}

fn serve(model: &mut Model, queue: &Receiver<Job>) {
    while let Ok(Job { interrupt, task }) = queue.recv() {
        if !interrupt.is_raised() {
            model.set_interrupt(interrupt);
            task(model);
        }
    }
}

/// Waits with the interpreter lock released; a signal's exception, Ctrl-C's for one, raises `interrupt` and
/// ends the waiting.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    mut answers: Receiver<T>,
    interrupt: &Interrupt,
) -> PyResult<T> {
    loop {
        match wait_once(py, answers, interrupt)? {
            Waited::Answer(answer, _) => return Ok(answer),
            Waited::Not(back) => answers = back,
            Waited::Gone => return Err(bug("the model's thread has ended")),
        }
    }
}

/// Outcome of waiting for a while.
pub(crate) enum Waited<T> {
    /// An answer; there may be more.
    Answer(T, Receiver<T>),
    /// None yet.
    Not(Receiver<T>),
    /// There will be none.
    Gone,
}

/// Waits for at most [`POLL`].
pub(crate) fn wait_once<T: Send>(
    py: Python<'_>,
    answers: Receiver<T>,
    interrupt: &Interrupt,
) -> PyResult<Waited<T>> {
    let (answer, answers) = py.detach(move || (answers.recv_timeout(POLL), answers));
    match answer {
        Ok(answer) => Ok(Waited::Answer(answer, answers)),
        Err(RecvTimeoutError::Disconnected) => Ok(Waited::Gone),
        Err(RecvTimeoutError::Timeout) => match py.check_signals() {
            Ok(()) => Ok(Waited::Not(answers)),
            Err(exception) => {
                interrupt.raise();
                Err(exception)
            }
        },
    }
}

/// The result, or the exception for a panic.
pub(crate) fn whole<R>(outcome: Outcome<R>) -> PyResult<R> {
    outcome.map_err(|payload: Box<dyn Any + Send>| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        bug(text.unwrap_or("a panic without a text"))
    })
}
