//! The library's errors → exceptions.

use core::error::Error as StdError;
use std::io::{self, ErrorKind};

use pyo3::exceptions::{
    PyException, PyFileNotFoundError, PyIsADirectoryError, PyMemoryError, PyOSError,
    PyPermissionError, PyValueError,
};
use pyo3::prelude::*;
use var_host::Error;
use var_host::engine::EngineError;
use var_host::evaluate::EvaluateError;
use var_host::images::{ImageError, ImageFault};
use var_host::npz::{NpzError, NpzFault};
use var_host::pipeline::with_causes;
use var_host::run::RunError;
use var_host::train::{TrainConfigError, TrainError};

pyo3::create_exception!(
    varimage,
    VarError,
    PyException,
    "A file that holds no such model or images, a model that cannot serve the request, or a device that \
     cannot be used."
);

/// The exception for an error of the library: its text with those of its causes.
pub(crate) fn exception(error: &(dyn StdError + 'static)) -> PyErr {
    let text = with_causes(error);
    let error = bare(error);
    if let Some(exception) = error.downcast_ref().and_then(|error| of_engine(error, &text)) {
        return exception;
    }
    if let Some(Error::Shape { .. } | Error::EmptyRegion { .. }) = error.downcast_ref() {
        return PyValueError::new_err(text);
    }
    if error.is::<TrainConfigError>()
        || matches!(error.downcast_ref(), Some(RunError::OtherOptions { .. }))
    {
        return PyValueError::new_err(text);
    }
    if let Some(EvaluateError::NoSource { path }) = error.downcast_ref()
        && !path.exists()
    {
        return PyFileNotFoundError::new_err(text);
    }
    match system(error) {
        Some(system) => of_system(system, text),
        None => VarError::new_err(text),
    }
}

/// The error that others only pass on.
fn bare<'e>(error: &'e (dyn StdError + 'static)) -> &'e (dyn StdError + 'static) {
    match error.downcast_ref::<Error>() {
        Some(Error::Engine(inner)) => return bare(inner),
        Some(Error::Image(inner)) => return bare(inner),
        Some(Error::Model(inner)) => return bare(inner),
        _ => (),
    }
    match error.downcast_ref::<TrainError>() {
        Some(TrainError::Config(inner)) => return inner,
        Some(TrainError::Run(inner)) => return inner,
        Some(TrainError::Data(inner)) => return inner,
        Some(TrainError::Engine(inner)) => return bare(inner),
        Some(TrainError::Device(inner)) => return bare(inner),
        Some(TrainError::Model(inner)) => return bare(inner),
        Some(TrainError::Image(inner)) => return bare(inner),
        _ => (),
    }
    match error.downcast_ref::<EvaluateError>() {
        Some(EvaluateError::Image(inner)) => bare(inner),
        Some(EvaluateError::Npz(inner)) => bare(inner),
        Some(EvaluateError::Folder(inner)) => bare(inner),
        Some(EvaluateError::Model(inner)) => bare(inner),
        Some(EvaluateError::Device(inner)) => bare(inner),
        Some(EvaluateError::Engine(inner)) => bare(inner),
        _ => error,
    }
}

/// The system's error: a cause, or the fault of a file.
fn system<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e io::Error> {
    if let Some(ImageError { fault: ImageFault::Io(fault), .. }) = error.downcast_ref() {
        return Some(fault);
    }
    if let Some(NpzError { fault: NpzFault::Io(fault), .. }) = error.downcast_ref() {
        return Some(fault);
    }
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// A fault of the library.
pub(crate) fn bug(text: &str) -> PyErr {
    VarError::new_err(format!("a fault of the library: {text}"))
}

fn of_engine(error: &EngineError, text: &str) -> Option<PyErr> {
    match error {
        EngineError::Memory { .. } | EngineError::Threads(_) => {
            Some(PyMemoryError::new_err(text.to_owned()))
        }
        EngineError::Label { .. } | EngineError::Token { .. } | EngineError::TokenCount { .. } => {
            Some(PyValueError::new_err(text.to_owned()))
        }
        _ => None,
    }
}

/// `OSError`, or its subclass for the kind.
fn of_system(error: &io::Error, text: String) -> PyErr {
    let arguments = (error.raw_os_error(), text);
    match error.kind() {
        ErrorKind::NotFound => PyFileNotFoundError::new_err(arguments),
        ErrorKind::PermissionDenied => PyPermissionError::new_err(arguments),
        ErrorKind::IsADirectory => PyIsADirectoryError::new_err(arguments),
        _ => PyOSError::new_err(arguments),
    }
}
