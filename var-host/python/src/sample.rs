//! Requests for images; the callback after every scale.

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use numpy::{PyArray2, PyArray3};
use pyo3::exceptions::{PyIndexError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use var_host::{Error, Interrupt, RgbImage, SampleOptions};
use var_kernel::Region;

use crate::arguments::{out_of_range, real, truth, whole, wrong_type};
use crate::error::{VarError, exception};
use crate::image::Image;
use crate::model::Model;
use crate::worker::{Waited, wait, wait_once, whole as outcome_of};
use crate::{pixels, tokens};

/// The most images that go through the model together.
const LARGEST_BATCH: u64 = 4096;

/// State after a scale, for the time of the callback.
#[pyclass(frozen, module = "varimage")]
pub(crate) struct Step {
    scale: usize,
    scales: usize,
    side: usize,
    indices: Vec<u32>,
    ticket: u64,
    requests: Sender<Request>,
    over: AtomicBool,
}

/// A callback's wish, to the model's thread.
enum Request {
    GoOn,
    Stop,
    Tokens { ticket: u64, number: usize, reply: Sender<Option<Vec<u32>>> },
    Image { ticket: u64, number: usize, reply: Sender<Option<RgbImage>> },
}

/// News from the model's thread.
struct Scale {
    scale: usize,
    scales: usize,
    indices: Vec<u32>,
    ticket: u64,
}

/// The model's end of a callback.
struct Calls {
    /// None without a callback.
    link: Option<(Sender<Scale>, Receiver<Request>)>,
    interrupt: Interrupt,
    ticket: u64,
}

impl Calls {
    /// Tells of a scale and serves the callback's wishes.
    fn on_scale(&mut self, step: &mut var_host::Step<'_, '_>) -> ControlFlow<()> {
        if self.interrupt.is_raised() {
            return ControlFlow::Break(());
        }
        let Some((news, requests)) = &self.link else { return ControlFlow::Continue(()) };
        self.ticket += 1;
        let (scale, scales, indices) = (step.scale, step.scales, step.indices().collect());
        let _ = news.send(Scale { scale, scales, indices, ticket: self.ticket });
        loop {
            // The caller has left if its end is gone; a step that is over has another ticket.
            match requests.recv() {
                Ok(Request::GoOn) => return ControlFlow::Continue(()),
                Ok(Request::Stop) | Err(_) => return ControlFlow::Break(()),
                Ok(Request::Tokens { ticket, number, reply }) if ticket == self.ticket => {
                    let _ = reply.send(step.tokens(number));
                }
                Ok(Request::Image { ticket, number, reply }) if ticket == self.ticket => {
                    let _ = reply.send(step.picture(number));
                }
                Ok(_) => (),
            }
        }
    }
}

#[pymethods]
impl Step {
    /// The scale just drawn, from 0.
    #[getter]
    fn scale(&self) -> usize {
        self.scale
    }

    /// Number of scales.
    #[getter]
    fn scales(&self) -> usize {
        self.scales
    }

    /// Indices of the images drawn together.
    #[getter]
    fn indices<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.indices)
    }

    /// Tokens of this scale of the nth image drawn together: an array (side, side) of int32.
    #[pyo3(signature = (n=0))]
    fn tokens<'py>(&self, py: Python<'py>, n: usize) -> PyResult<Bound<'py, PyArray2<i32>>> {
        let (reply, replies) = mpsc::channel();
        self.ask(n, Request::Tokens { ticket: self.ticket, number: n, reply })?;
        let own = self.reply(py, replies)?;
        let own = own.ok_or_else(|| VarError::new_err("the device failed"))?;
        Ok(tokens::to_rows(py, own, self.side))
    }

    /// The nth image drawn together as it would look if the run ended here: an array (height, width, 3) of
    /// uint8. Takes the time of decoding an image.
    #[pyo3(signature = (n=0))]
    fn image<'py>(&self, py: Python<'py>, n: usize) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let (reply, replies) = mpsc::channel();
        self.ask(n, Request::Image { ticket: self.ticket, number: n, reply })?;
        let own = self.reply(py, replies)?;
        let own = own.ok_or_else(|| VarError::new_err("the image so far is not finite"))?;
        Ok(pixels::to_array(py, own))
    }

    fn __repr__(&self) -> String {
        let (scale, scales) = (self.scale, self.scales);
        format!("<varimage.Step scale {scale} of {scales}, {} images>", self.indices.len())
    }
}

impl Step {
    fn ask(&self, number: usize, request: Request) -> PyResult<()> {
        let count = self.indices.len();
        if number >= count {
            return Err(PyIndexError::new_err(format!("image {number} of {count}")));
        }
        if self.over.load(Ordering::Relaxed) || self.requests.send(request).is_err() {
            return Err(over());
        }
        Ok(())
    }

    fn reply<T: Send>(&self, py: Python<'_>, mut replies: Receiver<T>) -> PyResult<T> {
        loop {
            match wait_once(py, replies, &Interrupt::default())? {
                Waited::Answer(reply, _) => return Ok(reply),
                // Another thread may hold the step of a scale that is over.
                Waited::Not(back) if !self.over.load(Ordering::Relaxed) => replies = back,
                Waited::Not(_) | Waited::Gone => return Err(over()),
            }
        }
    }
}

fn over() -> PyErr {
    PyRuntimeError::new_err("the step is over: ask within the callback")
}

/// Arguments of a request by name.
pub(crate) struct Named<'a, 'py> {
    pub(crate) seed: Option<&'a Bound<'py, PyAny>>,
    pub(crate) cfg: Option<&'a Bound<'py, PyAny>>,
    pub(crate) temperature: Option<&'a Bound<'py, PyAny>>,
    pub(crate) top_k: Option<&'a Bound<'py, PyAny>>,
    pub(crate) top_p: Option<&'a Bound<'py, PyAny>>,
    pub(crate) more_smooth: Option<&'a Bound<'py, PyAny>>,
    pub(crate) first_index: Option<&'a Bound<'py, PyAny>>,
    pub(crate) batch: Option<&'a Bound<'py, PyAny>>,
}

impl Named<'_, '_> {
    /// Checks them for a request of `count` images.
    pub(crate) fn options(&self, count: usize) -> PyResult<SampleOptions> {
        let SampleOptions { cfg, temperature, top_k, top_p, more_smooth, seed, first_index, batch } =
            SampleOptions::default();
        let most = u64::from(u32::MAX);
        let last = most.saturating_sub(count.saturating_sub(1) as u64);
        let natural = |name, value, most, default: u64| whole(name, value, 0..=most, default);
        let finite: (fn(f32) -> bool, &str) = (f32::is_finite, "a finite number");
        let warm = SampleOptions::TEMPERATURE;
        let warm_text = format!("{} to {}", warm.start(), warm.end());
        let warm: (fn(f32) -> bool, &str) =
            (|t| SampleOptions::TEMPERATURE.contains(&t), &warm_text);
        let share: (fn(f32) -> bool, &str) = (|p| (0.0..=1.0).contains(&p), "0 to 1");
        let batch = whole("batch", self.batch, 1..=LARGEST_BATCH, batch as u64)?;
        Ok(SampleOptions {
            seed: natural("seed", self.seed, u64::MAX, seed)?,
            cfg: real("cfg", self.cfg, finite, cfg)?,
            temperature: real("temperature", self.temperature, warm, temperature)?,
            top_k: natural("top_k", self.top_k, most, top_k as u64)? as usize,
            top_p: real("top_p", self.top_p, share, top_p)?,
            more_smooth: truth("more_smooth", self.more_smooth, more_smooth)?,
            first_index: natural("first_index", self.first_index, last, first_index.into())? as u32,
            batch: batch as usize,
        })
    }
}

/// Work on a model that ends with images, and takes a function to call after every scale.
pub(crate) type Draw = Box<
    dyn FnOnce(
            &mut var_host::Model,
            &mut dyn FnMut(&mut var_host::Step<'_, '_>) -> ControlFlow<()>,
        ) -> Result<Vec<var_host::Image>, Error>
        + Send,
>;

impl Model {
    /// Has images drawn, calling `on_scale`.
    pub(crate) fn draw(
        &self,
        py: Python<'_>,
        on_scale: Option<&Bound<'_, PyAny>>,
        draw: Draw,
    ) -> PyResult<Vec<Image>> {
        if let Some(callback) = on_scale
            && !callback.is_callable()
        {
            return Err(wrong_type("on_scale", callback, "a function"));
        }
        let (news, scales) = mpsc::channel();
        let (requests, wishes) = mpsc::channel();
        let link = on_scale.map(|_| (news, wishes));
        let (answers, interrupt) = self.worker.begin(move |model, interrupt| {
            let mut calls = Calls { link, interrupt: interrupt.clone(), ticket: 0 };
            draw(model, &mut |step| calls.on_scale(step))
        })?;
        if let Some(callback) = on_scale {
            self.call_back(py, callback, scales, &requests, &interrupt)?;
        }
        let images = outcome_of(wait(py, answers, &interrupt)?)?;
        let images = images.map_err(|error| exception(&error))?;
        let classes = self.description.classes.unwrap_or(0);
        Ok(images.into_iter().map(|image| Image::new(py, image, classes)).collect())
    }

    /// Calls `callback` with every scale until the run ends.
    fn call_back(
        &self,
        py: Python<'_>,
        callback: &Bound<'_, PyAny>,
        mut scales: Receiver<Scale>,
        requests: &Sender<Request>,
        interrupt: &Interrupt,
    ) -> PyResult<()> {
        loop {
            let news = match wait_once(py, scales, interrupt)? {
                Waited::Answer(news, back) => {
                    scales = back;
                    news
                }
                Waited::Not(back) => {
                    scales = back;
                    continue;
                }
                // The run has ended: its result tells how.
                Waited::Gone => return Ok(()),
            };
            let Scale { scale, scales: count, indices, ticket } = news;
            let step = Step {
                scale,
                scales: count,
                side: self.description.ladder[scale],
                indices,
                ticket,
                requests: requests.clone(),
                over: AtomicBool::new(false),
            };
            let step = Bound::new(py, step)?;
            let result = self.worker.in_callback(|| callback.call1((&step,)));
            step.get().over.store(true, Ordering::Relaxed);
            let stops = match result {
                Ok(result) => result.extract::<bool>().is_ok_and(|goes_on| !goes_on),
                Err(exception) => {
                    interrupt.raise();
                    let _ = requests.send(Request::Stop);
                    return Err(exception);
                }
            };
            // (It fails if the run has ended by itself.)
            let _ = requests.send(if stops { Request::Stop } else { Request::GoOn });
        }
    }
}

/// A box by its edges.
pub(crate) fn box_of(value: &Bound<'_, PyAny>) -> PyResult<Region> {
    let wanted = "(top, left, bottom, right)";
    let Ok(edges) = value.extract::<Vec<f32>>() else {
        return Err(wrong_type("region", value, wanted));
    };
    let [top, left, bottom, right] = edges[..] else {
        return Err(PyValueError::new_err(format!(
            "region: {} numbers, 4 wanted: {wanted}",
            edges.len()
        )));
    };
    if !edges.iter().all(|edge| (0.0..=1.0).contains(edge)) || top >= bottom || left >= right {
        let has = format!("({top}, {left}, {bottom}, {right})");
        return Err(out_of_range("region", has, format!("{wanted} from 0 to 1, in order,")));
    }
    Ok(Region { top, left, bottom, right })
}
