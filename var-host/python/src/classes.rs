//! Classes by number, by name, or none → labels.

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use var_host::model::ClassLookup;

use crate::arguments::{index, out_of_range, wrong_type};
use crate::error::VarError;
use crate::load::Description;

/// Kinds of values that stand for a class, for messages.
const A_CLASS: &str = "an int, a name, or None";

/// The label of one class; the null class for `None` and -1.
pub(crate) fn label(model: &Description, value: &Bound<'_, PyAny>) -> PyResult<u32> {
    let Some(count) = model.classes else {
        return Err(VarError::new_err("the model has no transformer"));
    };
    if value.is_none() {
        return Ok(count as u32);
    }
    if let Ok(name) = value.cast::<PyString>() {
        let names = ClassLookup::new(count, ClassLookup::of_model(count, &model.class_names));
        let label = names.label(&name.to_cow()?);
        return label.map_err(|error| PyKeyError::new_err(error.to_string()));
    }
    let number = index("a class", value).map_err(|_| wrong_type("a class", value, A_CLASS))?;
    match number.extract::<i64>() {
        Ok(-1) => Ok(count as u32),
        Ok(number) if (0..=count as i64).contains(&number) => Ok(number as u32),
        _ => {
            let wanted = format!("0 to {}, or -1 for none,", count.saturating_sub(1));
            Err(out_of_range("a class", number.str()?, wanted))
        }
    }
}

/// The labels of one class or several, and whether it was one.
pub(crate) fn labels(model: &Description, value: &Bound<'_, PyAny>) -> PyResult<(Vec<u32>, bool)> {
    let is_one = value.is_none() || value.is_instance_of::<PyString>() || is_number(value);
    if is_one {
        return Ok((vec![label(model, value)?], true));
    }
    let Ok(each) = value.try_iter() else {
        return Err(wrong_type("classes", value, "ints, names or None"));
    };
    let labels: PyResult<Vec<u32>> = each.map(|value| label(model, &value?)).collect();
    Ok((labels?, false))
}

/// A label for each of `count` things: one for all, or as many.
pub(crate) fn labels_of(
    model: &Description,
    value: &Bound<'_, PyAny>,
    (count, things): (usize, &str),
) -> PyResult<Vec<u32>> {
    match labels(model, value)? {
        (labels, true) => Ok(vec![labels[0]; count]),
        (labels, false) if labels.len() == count => Ok(labels),
        (labels, false) => {
            let text = format!("labels: {} for {count} {things}", labels.len());
            Err(PyValueError::new_err(text))
        }
    }
}

fn is_number(value: &Bound<'_, PyAny>) -> bool {
    value.call_method0("__index__").is_ok()
}
