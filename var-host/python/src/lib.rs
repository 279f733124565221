//! Python interface of VAR: the module `varimage`.
//!
//! | file | holds |
//! |---|---|
//! | `worker` | the thread that a model lives on; waiting for it with the interpreter lock released |
//! | `load` | opening models |
//! | `model` | a model's calls and sizes |
//! | `sample` | requests for images; the callback after every scale |
//! | `image` | drawn images, grids |
//! | `train` | training of a transformer |
//! | `evaluate` | metrics and features of sets of images |
//! | `arguments`, `classes`, `device`, `pixels`, `tokens` | Python's values → the library's |
//! | `error` | the library's errors → exceptions |
#![forbid(unsafe_code)]

mod arguments;
mod classes;
mod device;
mod error;
mod evaluate;
mod image;
mod load;
mod model;
mod pixels;
mod sample;
mod tokens;
mod train;
mod worker;

/// Visual autoregressive image generation.
#[pyo3::pymodule]
mod _varimage {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::error::VarError;
    #[pymodule_export]
    use crate::evaluate::{Features, Metrics, evaluate, features};
    #[pymodule_export]
    use crate::image::{Image, grid};
    #[pymodule_export]
    use crate::load::load;
    #[pymodule_export]
    use crate::model::Model;
    #[pymodule_export]
    use crate::sample::Step;
    #[pymodule_export]
    use crate::train::{RunOutcome, train};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
