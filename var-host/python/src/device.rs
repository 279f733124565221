//! `device`, `precision`, `threads`, `isa` → the library's device.

use core::num::NonZero;
use std::thread;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use var_host::Device;
use var_kernel::Isa;

use crate::arguments::whole;

/// The most threads of a pool.
const MOST_THREADS: u64 = 1024;

/// A device with its names.
#[derive(Clone)]
pub(crate) struct NamedDevice {
    pub(crate) device: Device,
    /// `cpu` or `cuda:N`.
    pub(crate) name: String,
    pub(crate) threads: usize,
    pub(crate) isa: &'static str,
}

impl NamedDevice {
    /// Reads the arguments of that name; `default`: of products on a GPU.
    pub(crate) fn new(
        device: &str,
        precision: Option<&str>,
        default: &str,
        threads: Option<&Bound<'_, PyAny>>,
        isa: Option<&str>,
    ) -> PyResult<Self> {
        let (device, name) = match number(device)? {
            None => (cpu(precision)?, "cpu".to_owned()),
            Some(number) => (cuda(number, precision.unwrap_or(default))?, format!("cuda:{number}")),
        };
        let isa = match isa {
            None => Isa::best(),
            Some(name) => Isa::named(name).ok_or_else(|| {
                let known = Isa::all().map(Isa::name).collect::<Vec<_>>().join(", ");
                PyValueError::new_err(format!("isa is {name:?}, this processor has {known}"))
            })?,
        };
        let asked = whole("threads", threads, 0..=MOST_THREADS, 0)? as usize;
        let cores = || thread::available_parallelism().map_or(1, NonZero::get);
        let threads = if asked == 0 { cores() } else { asked };
        Ok(Self { device: device.threads(threads).isa(isa), name, threads, isa: isa.name() })
    }
}

/// The GPU's number; none for the CPU.
fn number(device: &str) -> PyResult<Option<u32>> {
    if device == "cpu" {
        return Ok(None);
    }
    let wrong = || PyValueError::new_err(format!("device is {device:?}, 'cpu' or 'cuda:N' wanted"));
    Device::cuda_number(device).map(Some).ok_or_else(wrong)
}

fn cpu(precision: Option<&str>) -> PyResult<Device> {
    match precision {
        None | Some("f32") => Ok(Device::cpu()),
        Some(other) => {
            let text = format!("precision is {other:?}, a CPU computes in 'f32'");
            Err(PyValueError::new_err(text))
        }
    }
}

#[cfg(feature = "cuda")]
fn cuda(number: u32, precision: &str) -> PyResult<Device> {
    let wrong = || {
        let text = format!("precision is {precision:?}, 'f16', 'bf16', 'f32' or 'tf32' wanted");
        PyValueError::new_err(text)
    };
    let known = var_kernel::cuda::Precision::named(precision).ok_or_else(wrong)?;
    Ok(Device::cuda(number, known))
}

#[cfg(not(feature = "cuda"))]
fn cuda(number: u32, _precision: &str) -> PyResult<Device> {
    let text = format!("device cuda:{number}: this build is without the feature cuda");
    Err(crate::error::VarError::new_err(text))
}
