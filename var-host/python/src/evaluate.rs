//! Metrics and features of sets of images.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray2};
use pyo3::exceptions::{PyMemoryError, PyUserWarning};
use pyo3::prelude::*;
use pyo3::types::PyString;
use var_host::evaluate::{ENOUGH, EvaluationSet, FeatureExtractor, evaluate_sets};
use var_host::image_folder::check_one_run;
use var_host::inception::{CLASSES, Inception, POOLED, SPATIAL};
use var_host::{Interrupt, RgbImage};

use crate::device::NamedDevice;
use crate::error::exception;
use crate::pixels;
use crate::worker::{wait, whole};

/// How good samples are; a metric is None where its inputs are not known, and `missing` says why.
#[pyclass(frozen, get_all, module = "varimage")]
pub(crate) struct Metrics {
    /// Fréchet distance of the pooled features; smaller is better.
    fid: f64,
    /// Fréchet distance of the spatial features.
    sfid: Option<f64>,
    /// `exp` of the mean divergence of a sample's classes from all samples'; greater is better.
    inception_score: Option<f64>,
    /// Share of samples within the reference's manifold.
    precision: Option<f64>,
    /// Share of reference images within the samples' manifold.
    recall: Option<f64>,
    /// Why a metric is not known, by its name.
    missing: BTreeMap<String, String>,
}

#[pymethods]
impl Metrics {
    fn __repr__(&self) -> String {
        let text = |value: Option<f64>| value.map_or("None".to_owned(), |value| value.to_string());
        format!(
            "Metrics(fid={}, sfid={}, inception_score={}, precision={}, recall={})",
            self.fid,
            text(self.sfid),
            text(self.inception_score),
            text(self.precision),
            text(self.recall)
        )
    }
}

/// Features of images by the network that FID is defined on, a row for each image: arrays of float32.
#[pyclass(frozen, get_all, module = "varimage")]
pub(crate) struct Features {
    /// (images, 2048): the mean over the last map.
    pooled: Py<PyArray2<f32>>,
    /// (images, 2023): those of sFID.
    spatial: Py<PyArray2<f32>>,
    /// (images, 1008): those of the Inception Score.
    logits: Py<PyArray2<f32>>,
}

#[pymethods]
impl Features {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<varimage.Features of {} images>", self.pooled.bind(py).len()?))
    }
}

/// A set of images, or where it is.
enum Set {
    Path(PathBuf),
    Images(&'static str, Vec<RgbImage>),
}

impl Set {
    fn of(name: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if value.is_instance_of::<PyString>() || value.hasattr("__fspath__")? {
            return Ok(Self::Path(value.extract()?));
        }
        Ok(Self::Images(name, pixels::images(value)?.0))
    }

    fn open(self) -> Result<EvaluationSet, Fault> {
        Ok(match self {
            Self::Path(path) => {
                check_one_run(&path)?;
                EvaluationSet::open(&path, None)?
            }
            Self::Images(name, images) => EvaluationSet::of_images(name, images)?,
        })
    }
}

/// Any error of the library.
type Fault = Box<dyn core::error::Error + Send + Sync>;

/// Does `work` on a thread of its own, which Ctrl-C leaves and ends.
fn apart<R: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&Interrupt) -> Result<R, Fault> + Send + 'static,
) -> PyResult<R> {
    let (answer, answers) = mpsc::channel();
    let interrupt = Interrupt::default();
    let flag = interrupt.clone();
    let body = move || {
        let outcome = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| work(&flag)));
        // The call may have left.
        let _ = answer.send(outcome);
    };
    let thread = thread::Builder::new().name("varimage".to_owned()).spawn(body);
    thread.map_err(|fault| PyMemoryError::new_err(format!("a thread: {fault}")))?;
    whole(wait(py, answers, &interrupt)?)?.map_err(|error| exception(&*error))
}

/// FID, sFID, Inception Score, precision and recall of samples against a reference.
///
/// Each is a folder, an archive (.npz), an array (images, height, width, 3) of uint8 or a sequence of images;
/// a reference may be an archive of statistics. `inception`: the file of the network's weights,
/// `pt_inception-2015-12-05-6726825d.pth` or what `var convert --inception` makes of it.
#[pyfunction]
#[pyo3(
    signature = (samples, reference, inception, *, device="cpu", threads=None, isa=None),
    text_signature = "(samples, reference, inception, *, device='cpu', threads=0, isa=None)"
)]
pub(crate) fn evaluate(
    py: Python<'_>,
    samples: &Bound<'_, PyAny>,
    reference: &Bound<'_, PyAny>,
    inception: PathBuf,
    device: &str,
    threads: Option<&Bound<'_, PyAny>>,
    isa: Option<&str>,
) -> PyResult<Metrics> {
    let device = NamedDevice::new(device, None, "f32", threads, isa)?.device;
    let (samples, reference) = (Set::of("samples", samples)?, Set::of("reference", reference)?);
    let (metrics, few) = apart(py, move |interrupt| {
        let (samples, reference) = (samples.open()?, reference.open()?);
        let weights = Inception::open(&inception)?;
        let sets = [("samples", &samples), ("the reference", &reference)];
        let few = sets.into_iter().filter(|(_, set)| set.statistics.is_none());
        let few = few.map(|(name, set)| (name, set.count())).find(|(_, count)| *count < ENOUGH);
        Ok((evaluate_sets(&samples, &reference, &weights, device, interrupt)?, few))
    })?;
    if let Some((name, count)) = few {
        let text = format!(
            "{name}: {count} images: with fewer than {ENOUGH} the numbers are not comparable, FID is too large"
        );
        let text = std::ffi::CString::new(text).expect("no NUL in it");
        PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 1)?;
    }
    let var_host::evaluate::Metrics { fid, sfid, inception_score, precision, recall, missing } =
        metrics;
    let missing = missing.into_iter().map(|(name, why)| (name.to_owned(), why)).collect();
    Ok(Metrics { fid, sfid, inception_score, precision, recall, missing })
}

/// Features of images by the network that FID is defined on; `inception` as in `evaluate`.
#[pyfunction]
#[pyo3(
    signature = (images, inception, *, device="cpu", threads=None, isa=None),
    text_signature = "(images, inception, *, device='cpu', threads=0, isa=None)"
)]
pub(crate) fn features(
    py: Python<'_>,
    images: &Bound<'_, PyAny>,
    inception: PathBuf,
    device: &str,
    threads: Option<&Bound<'_, PyAny>>,
    isa: Option<&str>,
) -> PyResult<Features> {
    let device = NamedDevice::new(device, None, "f32", threads, isa)?.device;
    let (images, _) = pixels::images(images)?;
    let count = images.len();
    let features = apart(py, move |interrupt| {
        let weights = Inception::open(&inception)?;
        let extractor = FeatureExtractor::on(&weights, device)?;
        Ok(extractor.interrupted_by(interrupt.clone()).features(&images)?)
    })?;
    let rows = |values: Vec<f32>, width: usize| {
        let rows = Array2::from_shape_vec((count, width), values).expect("a row for each image");
        rows.into_pyarray(py).unbind()
    };
    Ok(Features {
        pooled: rows(features.pooled, POOLED),
        spatial: rows(features.spatial, SPATIAL),
        logits: rows(features.logits, CLASSES),
    })
}
