//! Numbers of Python → the library's, within a range.

use core::fmt::Display;
use core::ops::RangeInclusive;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBool;

/// Something else than was wanted, by its type.
pub(crate) fn wrong_type(name: &str, value: &Bound<'_, PyAny>, wanted: &str) -> PyErr {
    match value.get_type().name() {
        Ok(has) => PyTypeError::new_err(format!("{name}: {has}, {wanted} wanted")),
        Err(error) => error,
    }
}

/// A value out of range.
pub(crate) fn out_of_range(name: &str, has: impl Display, wanted: impl Display) -> PyErr {
    PyValueError::new_err(format!("{name} is {has}, {wanted} wanted"))
}

/// A whole number in `range`; `default` for none.
pub(crate) fn whole(
    name: &str,
    value: Option<&Bound<'_, PyAny>>,
    range: RangeInclusive<u64>,
    default: u64,
) -> PyResult<u64> {
    let Some(value) = value else { return Ok(default) };
    let index = index(name, value)?;
    match index.extract::<u64>() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => {
            let wanted = format!("{} to {}", range.start(), range.end());
            Err(out_of_range(name, index.str()?, wanted))
        }
    }
}

/// The int that a value stands for: an int itself, or one of NumPy's; no truth value.
pub(crate) fn index<'py>(name: &str, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if value.is_instance_of::<PyBool>() {
        return Err(wrong_type(name, value, "an int"));
    }
    value.call_method0("__index__").map_err(|_| wrong_type(name, value, "an int"))
}

/// A number that `is_right` as `f32`; `default` for none.
pub(crate) fn real(
    name: &str,
    value: Option<&Bound<'_, PyAny>>,
    (is_right, wanted): (fn(f32) -> bool, &str),
    default: f32,
) -> PyResult<f32> {
    let Some(value) = value else { return Ok(default) };
    let number = number(name, value)?;
    let narrowed = number as f32;
    if is_right(narrowed) { Ok(narrowed) } else { Err(out_of_range(name, number, wanted)) }
}

/// A number that `is_right`; `default` for none.
pub(crate) fn double(
    name: &str,
    value: Option<&Bound<'_, PyAny>>,
    (is_right, wanted): (fn(f64) -> bool, &str),
    default: f64,
) -> PyResult<f64> {
    let Some(value) = value else { return Ok(default) };
    let number = number(name, value)?;
    if is_right(number) { Ok(number) } else { Err(out_of_range(name, number, wanted)) }
}

/// A number, which a truth value is not.
fn number(name: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    let is_number = !value.is_instance_of::<PyBool>();
    let number = is_number.then(|| value.extract::<f64>().ok()).flatten();
    number.ok_or_else(|| wrong_type(name, value, "a float"))
}

/// A truth value; `default` for none.
pub(crate) fn truth(name: &str, value: Option<&Bound<'_, PyAny>>, default: bool) -> PyResult<bool> {
    let Some(value) = value else { return Ok(default) };
    value.extract::<bool>().map_err(|_| wrong_type(name, value, "a bool"))
}
