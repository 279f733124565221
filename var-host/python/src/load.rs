//! Opening models: from files, from bytes, the built-in one.

use std::path::{self, PathBuf};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyDict};
use var_host::Error;
use var_host::model::{ClassLookup, Hints, ModelError, Weights};

use crate::arguments::{whole, wrong_type};
use crate::device::NamedDevice;
use crate::error::{VarError, exception};
use crate::model::Model;
use crate::worker::Worker;

/// Sizes and names of a model.
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) device: NamedDevice,
    pub(crate) side: usize,
    pub(crate) ladder: Vec<usize>,
    pub(crate) tokens: usize,
    pub(crate) codes: usize,
    pub(crate) latent: usize,
    /// None without a transformer.
    pub(crate) classes: Option<usize>,
    pub(crate) class_names: Vec<String>,
}

/// Arguments of [`load`] that open the model again, in another process.
pub(crate) struct Origin {
    /// None: the built-in model.
    path: Option<PathBuf>,
    vae: Option<PathBuf>,
    device: String,
    precision: Option<String>,
    threads: u64,
    isa: Option<String>,
}

impl Origin {
    /// A function without arguments that opens the model.
    pub(crate) fn opener<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let named = PyDict::new(py);
        named.set_item("vae", &self.vae)?;
        named.set_item("device", &self.device)?;
        named.set_item("precision", &self.precision)?;
        named.set_item("threads", self.threads)?;
        named.set_item("isa", &self.isa)?;
        let load = py.import("varimage")?.getattr("load")?;
        let partial = py.import("functools")?.getattr("partial")?;
        partial.call((load, &self.path), Some(&named))
    }
}

/// Where a model is.
pub(crate) enum Source {
    BuiltIn,
    File(PathBuf),
    Memory(PyBackedBytes),
}

/// Opens a model: a file of `var convert` or `var train`, its bytes, a published checkpoint with its VQVAE in
/// `vae`, or without `path` the built-in model.
///
/// `device`: "cpu" or "cuda:N". `precision`: of products on a GPU, "f16" (default), "bf16", "f32", "tf32".
/// `threads`: 0 for one for each core. `isa`: "portable", "sse2", "avx2", "avx512", "neon"; None for the best. The
/// same seed gives the same bytes for all of them but a GPU's.
#[pyfunction]
#[pyo3(
    signature = (path=None, *, vae=None, device="cpu", precision=None, threads=None, isa=None),
    text_signature = "(path=None, *, vae=None, device='cpu', precision=None, threads=0, isa=None)"
)]
pub(crate) fn load(
    py: Python<'_>,
    path: Option<&Bound<'_, PyAny>>,
    vae: Option<PathBuf>,
    device: &str,
    precision: Option<&str>,
    threads: Option<&Bound<'_, PyAny>>,
    isa: Option<&str>,
) -> PyResult<Model> {
    let named = NamedDevice::new(device, precision, "f16", threads, isa)?;
    let source = match path {
        None => Source::BuiltIn,
        Some(value) if is_bytes(value) => {
            if vae.is_some() {
                return Err(PyTypeError::new_err("vae goes with a path, not with bytes"));
            }
            Source::Memory(value.extract()?)
        }
        Some(value) => match value.extract() {
            Ok(path) => Source::File(path),
            Err(_) => return Err(wrong_type("path", value, "a path or bytes")),
        },
    };
    // Absolute, for a process in another folder.
    let absolute = |path: &PathBuf| path::absolute(path).unwrap_or_else(|_| path.clone());
    let path = match &source {
        Source::BuiltIn => Some(None),
        Source::File(path) => Some(Some(absolute(path))),
        Source::Memory(_) => None,
    };
    let origin = path.map(|path| Origin {
        path,
        vae: vae.as_ref().map(absolute),
        device: device.to_owned(),
        precision: precision.map(str::to_owned),
        // (In range: it was read before.)
        threads: whole("threads", threads, 0..=u64::MAX, 0).unwrap_or(0),
        isa: isa.map(str::to_owned),
    });
    let opened = Worker::start(py, move || {
        let mut model = open(source, vae)?.on(named.device);
        let description = Description::of(&model, named)?;
        model.prepare().map_err(OpenError::Library)?;
        Ok::<_, OpenError>((model, description))
    })?;
    match opened {
        Ok((worker, description)) => Ok(Model { worker, description, origin }),
        Err(OpenError::Library(error)) => Err(exception(&error)),
        Err(OpenError::NoVqvae(name)) => {
            Err(VarError::new_err(format!("{name}: has no VQVAE: give vae")))
        }
    }
}

/// Why a model is not opened.
enum OpenError {
    Library(Error),
    NoVqvae(String),
}

impl<E: Into<Error>> From<E> for OpenError {
    fn from(error: E) -> Self {
        Self::Library(error.into())
    }
}

fn is_bytes(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyBytes>() || value.is_instance_of::<PyByteArray>()
}

/// Opens the model of `source`, with its VQVAE in `vae` if that is given.
pub(crate) fn open(source: Source, vae: Option<PathBuf>) -> Result<var_host::Model, Error> {
    let halves = |var: Option<PathBuf>, vae: PathBuf| {
        Weights::open_halves(var.as_deref(), Some(&vae), &Hints::default())
    };
    let weights: Result<Weights, ModelError> = match (source, vae) {
        (Source::BuiltIn, None) => return var_host::Model::built_in(),
        (Source::Memory(bytes), _) => return var_host::Model::from_bytes(&bytes),
        (Source::File(path), None) => return var_host::Model::open(path),
        (Source::File(path), Some(vae)) => halves(Some(path), vae),
        (Source::BuiltIn, Some(vae)) => halves(None, vae),
    };
    Ok(var_host::Model::new(weights?))
}

impl Description {
    fn of(model: &var_host::Model, device: NamedDevice) -> Result<Self, OpenError> {
        let name = model.name().to_owned();
        let Some(vqvae) = model.vqvae_config() else { return Err(OpenError::NoVqvae(name)) };
        let classes = model.transformer_config().map(|config| config.classes);
        let own = model.class_names();
        Ok(Self {
            name,
            device,
            side: vqvae.side(),
            ladder: vqvae.ladder.sides().to_vec(),
            tokens: vqvae.ladder.length(),
            codes: vqvae.codes,
            latent: vqvae.latent,
            classes,
            class_names: classes.map_or(own, |count| ClassLookup::of_model(count, own)).to_vec(),
        })
    }
}
