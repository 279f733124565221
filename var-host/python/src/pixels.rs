//! Images of Python ↔ the library's: arrays, Pillow's, files.

use std::path::PathBuf;

use numpy::ndarray::{Array3, Array4, ArrayView3, Axis};
use numpy::{IntoPyArray, PyArray3, PyArray4, PyReadonlyArrayDyn, PyUntypedArray};
use numpy::{PyArrayDescrMethods, PyUntypedArrayMethods, dtype};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use var_host::RgbImage;
use var_host::images::{Exif, PIXEL_LIMIT};

use crate::arguments::wrong_type;
use crate::error::exception;
use crate::image::Image;

/// Kinds of values that are images, for messages.
const AN_IMAGE: &str = "an array (height, width, 3) of uint8, an image of Pillow, or a path";

/// One image or several, and whether it was one: an array of 3 or 4 dimensions, an image of Pillow or of
/// this module, a path, or a sequence of such.
pub(crate) fn images(value: &Bound<'_, PyAny>) -> PyResult<(Vec<RgbImage>, bool)> {
    let py = value.py();
    if let Some(image) = single(value)? {
        return Ok((vec![image], true));
    }
    if let Ok(array) = value.cast::<PyUntypedArray>() {
        return of_array(array);
    }
    let Ok(each) = value.try_iter() else { return Err(wrong_type("image", value, AN_IMAGE)) };
    let mut images = Vec::new();
    for value in each {
        py.check_signals()?;
        images.push(image(&value?)?);
    }
    Ok((images, false))
}

/// One image.
pub(crate) fn image(value: &Bound<'_, PyAny>) -> PyResult<RgbImage> {
    if let Some(image) = single(value)? {
        return Ok(image);
    }
    let Ok(array) = value.cast::<PyUntypedArray>() else {
        return Err(wrong_type("image", value, AN_IMAGE));
    };
    match of_array(array)? {
        (mut images, true) => Ok(images.remove(0)),
        (_, false) => Err(wrong_shape(array.shape())),
    }
}

/// A path, an image of Pillow or of this module, or what NumPy can make an array of that is one image.
fn single(value: &Bound<'_, PyAny>) -> PyResult<Option<RgbImage>> {
    let py = value.py();
    if let Ok(image) = value.cast::<Image>() {
        return of_rgb_array(image.get().array(py).as_any()).map(Some);
    }
    if value.is_instance_of::<PyString>() || value.hasattr("__fspath__")? {
        let path: PathBuf = value.extract()?;
        let image = py.detach(|| RgbImage::open_with(&path, Exif::Applied));
        return image.map(Some).map_err(|error| exception(&error));
    }
    if value.is_instance_of::<PyUntypedArray>() {
        return Ok(None);
    }
    if value.hasattr("convert")? && value.hasattr("getbands")? {
        let array = asarray(&value.call_method1("convert", ("RGB",))?)?;
        return of_rgb_array(&array).map(Some);
    }
    if value.hasattr("__array__")? {
        // Such as a tensor of PyTorch.
        let (mut images, one) = of_array(asarray(value)?.cast::<PyUntypedArray>()?)?;
        return if one { Ok(images.pop()) } else { Ok(None) };
    }
    Ok(None)
}

fn asarray<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    value.py().import("numpy")?.call_method1("asarray", (value,))
}

fn of_rgb_array(array: &Bound<'_, PyAny>) -> PyResult<RgbImage> {
    let (mut images, _) = of_array(array.cast::<PyUntypedArray>()?)?;
    Ok(images.remove(0))
}

/// The images of an array, and whether it is one.
fn of_array(array: &Bound<'_, PyUntypedArray>) -> PyResult<(Vec<RgbImage>, bool)> {
    let py = array.py();
    if !array.dtype().is_equiv_to(&dtype::<u8>(py)) {
        let text = format!("image: dtype {}, uint8 wanted: 0 to 255", array.dtype());
        return Err(PyTypeError::new_err(text));
    }
    let shape = array.shape();
    let (count, [height, width, 3]) = (match *shape {
        [height, width, channels] => (None, [height, width, channels]),
        [count, height, width, channels] => (Some(count), [height, width, channels]),
        _ => return Err(wrong_shape(shape)),
    }) else {
        return Err(wrong_shape(shape));
    };
    let pixels = (height as u64).checked_mul(width as u64);
    if !pixels.is_some_and(|pixels| (1..=PIXEL_LIMIT).contains(&pixels)) {
        let text = format!("image: {width} × {height}, 1 to {PIXEL_LIMIT} pixels wanted");
        return Err(PyValueError::new_err(text));
    }
    let array: PyReadonlyArrayDyn<'_, u8> = array.extract()?;
    let view = array.as_array();
    let of = |image: ArrayView3<'_, u8>| {
        py.check_signals()?;
        let bytes = match image.as_slice() {
            Some(bytes) => bytes.to_vec(),
            None => image.iter().copied().collect(),
        };
        Ok(RgbImage::new(width, height, bytes))
    };
    let three = "three dimensions";
    if count.is_none() {
        return Ok((vec![of(view.into_dimensionality().expect(three))?], true));
    }
    let each = view.axis_iter(Axis(0));
    let images: PyResult<_> = each.map(|one| of(one.into_dimensionality().expect(three))).collect();
    Ok((images?, false))
}

fn wrong_shape(shape: &[usize]) -> PyErr {
    let hint = match *shape {
        [3, _, _] | [_, 3, _, _] => ": channels come last",
        [_, _] | [_, _, 1] => ": three colors, gray repeated",
        [_, _, 4] => ": three colors, without alpha",
        _ => "",
    };
    let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    PyValueError::new_err(format!("image: shape ({shape}), (height, width, 3) wanted{hint}"))
}

/// An image as an array (height, width, 3), not copied.
pub(crate) fn to_array<'py>(py: Python<'py>, image: RgbImage) -> Bound<'py, PyArray3<u8>> {
    let shape = (image.height(), image.width(), 3);
    Array3::from_shape_vec(shape, image.into_rgb()).expect("an image's bytes").into_pyarray(py)
}

/// Images of one size as an array (count, height, width, 3).
pub(crate) fn to_arrays<'py>(
    py: Python<'py>,
    images: &[RgbImage],
    (height, width): (usize, usize),
) -> Bound<'py, PyArray4<u8>> {
    let bytes: Vec<u8> = images.iter().flat_map(|image| image.rgb()).copied().collect();
    let shape = (images.len(), height, width, 3);
    Array4::from_shape_vec(shape, bytes).expect("images of one size").into_pyarray(py)
}
