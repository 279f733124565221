//! Opening models: from files, from bytes, the built-in one.

use std::path::PathBuf;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes};
use var_host::Error;
use var_host::model::{ClassLookup, Hints, ModelError, Weights};

use crate::arguments::wrong_type;
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

/// Where a model is.
enum Source {
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
    let device = NamedDevice::new(device, precision, "f16", threads, isa)?;
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
    let opened = Worker::start(py, move || {
        let mut model = open(source, vae)?.on(device.device);
        let description = Description::of(&model, device)?;
        model.prepare().map_err(OpenError::Library)?;
        Ok::<_, OpenError>((model, description))
    })?;
    match opened {
        Ok((worker, description)) => Ok(Model { worker, description }),
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

fn open(source: Source, vae: Option<PathBuf>) -> Result<var_host::Model, Error> {
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
