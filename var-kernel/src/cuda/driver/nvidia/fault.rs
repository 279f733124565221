//! The driver's errors as [`CudaError`].

use std::string::{String, ToString};

use cudarc::driver::result::DriverError;

use crate::cuda::error::CudaError;

/// The error of a call while `doing` something.
pub(super) fn call(doing: &'static str) -> impl Fn(DriverError) -> CudaError {
    move |error| CudaError::Driver { doing, reason: reason(error) }
}

/// The driver's text for an error.
pub(super) fn reason(error: DriverError) -> String {
    match error.error_string() {
        Ok(source) => source.to_string_lossy().to_string(),
        Err(_) => std::format!("error {}", error.0 as u32),
    }
}
