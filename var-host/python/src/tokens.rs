//! Tokens of Python ↔ the library's.

use numpy::ndarray::{Array1, Array2};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArrayDyn, PyUntypedArray};
use numpy::{PyArrayDescrMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::arguments::out_of_range;
use crate::load::Description;

/// The tokens of one image or of several, and whether it was one: (tokens,) or (images, tokens) of any kind
/// of integers.
pub(crate) fn tokens(
    model: &Description,
    value: &Bound<'_, PyAny>,
) -> PyResult<(Vec<Vec<u32>>, bool)> {
    let array = value.py().import("numpy")?.call_method1("asarray", (value,))?;
    let array = array.cast::<PyUntypedArray>()?;
    let shape = array.shape().to_vec();
    let is_one = shape.len() == 1;
    if !matches!(*shape, [length] | [_, length] if length == model.tokens) {
        let has = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let wanted = model.tokens;
        let text = format!("tokens: shape ({has}), ({wanted}) or (images, {wanted}) wanted");
        return Err(PyValueError::new_err(text));
    }
    if !matches!(array.dtype().kind(), b'i' | b'u') {
        let text = format!("tokens: dtype {}, integers wanted", array.dtype());
        return Err(PyTypeError::new_err(text));
    }
    if array.dtype().kind() == b'u' && array.dtype().itemsize() == 8 && !array.is_empty() {
        // Those past the signed integers would come out negative.
        let most = array.call_method0("max")?.call_method0("__index__")?;
        if most.extract::<i64>().is_err() {
            return Err(wrong_token(model, most.str()?));
        }
    }
    let wide = array.call_method1("astype", ("int64",))?;
    let wide: PyReadonlyArrayDyn<'_, i64> = wide.extract()?;
    let token = |value: &i64| match u32::try_from(*value) {
        Ok(token) if (token as usize) < model.codes => Ok(token),
        _ => Err(wrong_token(model, value)),
    };
    let all: PyResult<Vec<u32>> = wide.as_array().iter().map(token).collect();
    Ok((all?.chunks(model.tokens.max(1)).map(<[u32]>::to_vec).collect(), is_one))
}

fn wrong_token(model: &Description, has: impl core::fmt::Display) -> PyErr {
    out_of_range("a token", has, format!("0 to {}", model.codes.saturating_sub(1)))
}

/// Tokens as an array of `int32`, as files of tokens have them.
pub(crate) fn to_array<'py>(py: Python<'py>, tokens: Vec<u32>) -> Bound<'py, PyArray1<i32>> {
    Array1::from_vec(signed(tokens)).into_pyarray(py)
}

/// Tokens of several images, or of a map, as an array with rows of `width`.
pub(crate) fn to_rows<'py>(
    py: Python<'py>,
    tokens: Vec<u32>,
    width: usize,
) -> Bound<'py, PyArray2<i32>> {
    let shape = (tokens.len() / width, width);
    Array2::from_shape_vec(shape, signed(tokens)).expect("whole rows").into_pyarray(py)
}

fn signed(tokens: Vec<u32>) -> Vec<i32> {
    // (A codebook has fewer than 2³¹ codes.)
    tokens.into_iter().map(|token| token as i32).collect()
}
