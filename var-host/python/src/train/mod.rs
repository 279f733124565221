//! Training of a transformer: `var train` on images.

mod options;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use core::time::Duration;

use pyo3::exceptions::{PyMemoryError, PyUserWarning};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyList, PyTuple};
use serde_json::Value;
use var_host::run::{LogLine, by_name};
use var_host::train::TrainError;
use var_host::{Interrupt, TrainObserver, TrainRun};

use crate::arguments::wrong_type;
use crate::device::NamedDevice;
use crate::error::exception;
use crate::load::{Source, open};
use crate::worker::{Outcome, Waited, wait, wait_once, whole};
use options::Settings;

/// How long Ctrl-C waits for the checkpoint of the step under way.
const PATIENCE: Duration = Duration::from_millis(600);
/// Name of the built-in model's VQVAE.
const BUILT_IN: &str = "built-in";
/// A run that is asked to end says that this signal did it.
const SIGINT: u8 = 2;

/// How a run ended.
#[pyclass(frozen, get_all, module = "varimage")]
pub(crate) struct RunOutcome {
    /// The newest checkpoint, a model file.
    checkpoint: PathBuf,
    /// Iterations done, those of earlier sessions included.
    iterations: u64,
    /// The last validation as its line of the log; None without one.
    validation: Option<Py<PyDict>>,
    /// Whether `on_log` ended it.
    stopped: bool,
}

#[pymethods]
impl RunOutcome {
    fn __repr__(&self) -> String {
        let stopped = if self.stopped { ", stopped" } else { "" };
        format!(
            "<varimage.RunOutcome {}: {} iterations{stopped}>",
            self.checkpoint.display(),
            self.iterations
        )
    }
}

/// The end of a run, and its validation as a line of the log.
struct Ended {
    outcome: RunOutcome,
    validation: Option<LogLine>,
}

/// News from the run's thread.
enum Event {
    Logged(LogLine),
    Warning(String),
}

/// The run's end of the callback.
struct Observer {
    events: Sender<Event>,
    /// Whether to go on after a line; None without a callback.
    replies: Option<Receiver<bool>>,
    stopped: bool,
    interrupt: Interrupt,
}

impl TrainObserver for Observer {
    fn logged(&mut self, line: &LogLine) {
        let Some(replies) = &self.replies else { return };
        // (It fails if the caller has left, by an interrupt.)
        let _ = self.events.send(Event::Logged(line.clone()));
        self.stopped |= !replies.recv().unwrap_or(false);
    }

    fn signal(&self) -> Option<u8> {
        (self.stopped || self.interrupt.is_raised()).then_some(SIGINT)
    }

    fn warn(&mut self, text: &str) {
        let _ = self.events.send(Event::Warning(text.to_owned()));
    }
}

/// The caller's end of a run.
struct Caller<'a, 'py> {
    on_log: Option<&'a Bound<'py, PyAny>>,
    replies: Sender<bool>,
}

impl Caller<'_, '_> {
    fn receive(&self, py: Python<'_>, event: Event) -> PyResult<()> {
        match (event, self.on_log) {
            (Event::Logged(line), Some(callback)) => {
                let result = callback.call1((to_dict(py, &line)?,))?;
                let stops = result.extract::<bool>().is_ok_and(|goes_on| !goes_on);
                // (It fails if the run has ended by itself.)
                let _ = self.replies.send(!stops);
                Ok(())
            }
            (Event::Logged(_), None) => Ok(()),
            (Event::Warning(text), _) => {
                let text = std::ffi::CString::new(text.replace('\0', " ")).expect("without NUL");
                PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 1)
            }
        }
    }
}

/// Trains a transformer on the images of `data`/train/CLASS/*, validated on those of `data`/val/CLASS/*, into the
/// folder `out`; called again with the same arguments it goes on where it stood, to the same bytes.
///
/// `vae`: the file of the VQVAE that makes the tokens, or "built-in". `options`: those of `var train` by their
/// names, `depth`, `bs`, `ep`, `tblr` and so on. After every line of the log `on_log` is called with it, a dict:
/// returning False ends the run after the step under way, with a checkpoint from which it can go on; so does
/// Ctrl-C.
#[pyfunction]
#[pyo3(
    signature = (data, out, *, vae, device="cpu", threads=None, isa=None, on_log=None, **options),
    text_signature = "(data, out, *, vae, device='cpu', threads=0, isa=None, on_log=None, **options)"
)]
pub(crate) fn train(
    py: Python<'_>,
    data: PathBuf,
    out: PathBuf,
    vae: PathBuf,
    device: &str,
    threads: Option<&Bound<'_, PyAny>>,
    isa: Option<&str>,
    on_log: Option<&Bound<'_, PyAny>>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<RunOutcome> {
    if let Some(callback) = on_log
        && !callback.is_callable()
    {
        return Err(wrong_type("on_log", callback, "a function"));
    }
    let device = NamedDevice::new(device, None, "tf32", threads, isa)?.device;
    let settings = Settings::new(out, options)?;
    let vae = (vae != Path::new(BUILT_IN)).then_some(vae);
    let (events, news) = mpsc::channel();
    let (replies, answers) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    let interrupt = Interrupt::default();
    let mut observer = Observer {
        events,
        replies: on_log.map(|_| answers),
        stopped: false,
        interrupt: interrupt.clone(),
    };
    let body = move || {
        let work = || {
            let Settings { size, config, initialization, options } = settings;
            let mut run =
                TrainRun::new(open(Source::BuiltIn, vae).map_err(TrainError::from)?, data, "")?;
            (run.size, run.config, run.initialization) = (size, config, initialization);
            (run.options, run.device) = (options, device);
            run_to_end(&run, &mut observer)
        };
        let outcome = std::panic::catch_unwind(core::panic::AssertUnwindSafe(work));
        drop(observer);
        // The call may have left.
        let _ = ended.send(outcome);
    };
    let thread = thread::Builder::new().name("varimage".to_owned()).spawn(body);
    thread.map_err(|fault| PyMemoryError::new_err(format!("a thread: {fault}")))?;

    let caller = Caller { on_log, replies };
    if let Err(exception) = receive_all(py, &caller, news, &interrupt) {
        interrupt.raise();
        drop(caller);
        leave(py, end)?;
        return Err(exception);
    }
    let ended = whole(wait(py, end, &interrupt)?)?.map_err(|error| exception(&*error))?;
    let validation = ended.validation.map(|line| to_dict(py, &line).map(Bound::unbind));
    Ok(RunOutcome { validation: validation.transpose()?, ..ended.outcome })
}

fn run_to_end(run: &TrainRun, observer: &mut Observer) -> Result<Ended, Box<TrainError>> {
    let outcome = run.train_with(observer)?;
    let stopped = outcome.signal.is_some();
    let iterations = outcome.progress.iterations;
    let validation = outcome.report.as_ref().map(by_name);
    let outcome =
        RunOutcome { checkpoint: outcome.checkpoint, iterations, validation: None, stopped };
    Ok(Ended { outcome, validation })
}

/// Hands the run's news to the caller until it ends.
fn receive_all(
    py: Python<'_>,
    caller: &Caller<'_, '_>,
    mut news: Receiver<Event>,
    interrupt: &Interrupt,
) -> PyResult<()> {
    loop {
        news = match wait_once(py, news, interrupt)? {
            Waited::Answer(event, back) => {
                caller.receive(py, event)?;
                back
            }
            Waited::Not(back) => back,
            Waited::Gone => return Ok(()),
        };
    }
}

/// Waits a little for a run that was told to end; the process waits for the rest of it when it ends.
fn leave(py: Python<'_>, end: Receiver<Outcome<Result<Ended, Box<TrainError>>>>) -> PyResult<()> {
    let (ended, end) = py.detach(move || (end.recv_timeout(PATIENCE).is_ok(), end));
    if ended {
        return Ok(());
    }
    let end = Mutex::new(Some(end));
    let at_exit = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
        let end = end.lock().unwrap_or_else(PoisonError::into_inner).take();
        end.map_or(Ok(()), |end| wait(arguments.py(), end, &Interrupt::default()).map(|_| ()))
    };
    let at_exit = PyCFunction::new_closure(py, None, None, at_exit)?;
    py.import("atexit")?.call_method1("register", (at_exit,)).map(|_| ())
}

/// A line of the log as a dict.
fn to_dict<'py>(py: Python<'py>, line: &LogLine) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in line {
        dict.set_item(name, to_python(py, value)?)?;
    }
    Ok(dict)
}

fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(truth) => Ok(truth.into_pyobject(py)?.to_owned().into_any()),
        Value::Number(number) => match number.as_u64() {
            Some(whole) => Ok(whole.into_pyobject(py)?.into_any()),
            None => Ok(number.as_f64().into_pyobject(py)?.into_any()),
        },
        Value::String(text) => Ok(text.into_pyobject(py)?.into_any()),
        Value::Array(values) => {
            let list = PyList::empty(py);
            for value in values {
                list.append(to_python(py, value)?)?;
            }
            Ok(list.into_any())
        }
        Value::Object(line) => Ok(to_dict(py, line)?.into_any()),
    }
}
