//! Drawn images, grids.

use std::path::PathBuf;

use numpy::{PyArray1, PyArray3};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use var_host::RgbImage;
use var_host::images::{self, Parameters, png_bytes, write_png};

use crate::arguments::whole;
use crate::error::exception;
use crate::{pixels, tokens};

/// The most columns, and pixels between images, of a grid.
const MOST_PADDING: u64 = 1 << 16;

/// A drawn image: pixels, tokens, and the request that draws it again.
#[pyclass(frozen, module = "varimage")]
pub(crate) struct Image {
    array: Py<PyArray3<u8>>,
    tokens: Py<PyArray1<i32>>,
    parameters: Parameters,
    label: i64,
    index: u32,
    seed: u64,
}

impl Image {
    /// Moves an image of a model of `classes` to Python.
    pub(crate) fn new(py: Python<'_>, image: var_host::Image, classes: usize) -> Self {
        let var_host::Image { picture, tokens: own, label, index, options, parameters } = image;
        let label = if label as usize == classes { -1 } else { i64::from(label) };
        Self {
            array: pixels::to_array(py, picture).unbind(),
            tokens: tokens::to_array(py, own).unbind(),
            parameters,
            label,
            index,
            seed: options.seed,
        }
    }

    pub(crate) fn array<'py>(&self, py: Python<'py>) -> &Bound<'py, PyArray3<u8>> {
        self.array.bind(py)
    }

    fn rgb(&self, py: Python<'_>) -> PyResult<RgbImage> {
        pixels::image(self.array(py).as_any())
    }
}

#[pymethods]
impl Image {
    /// The pixels: an array (height, width, 3) of uint8, not a copy.
    #[getter]
    fn image(&self, py: Python<'_>) -> Py<PyArray3<u8>> {
        self.array.clone_ref(py)
    }

    /// The tokens, scale by scale: an array of int32.
    #[getter]
    fn tokens(&self, py: Python<'_>) -> Py<PyArray1<i32>> {
        self.tokens.clone_ref(py)
    }

    /// The command, the model and the request by name, as `save` keeps them.
    #[getter]
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let parameters = PyDict::new(py);
        for (name, text) in &self.parameters {
            parameters.set_item(name, text)?;
        }
        Ok(parameters)
    }

    /// The class; -1 for none.
    #[getter]
    fn label(&self) -> i64 {
        self.label
    }

    /// The name of the class; `none` without one.
    #[getter]
    fn class_name(&self) -> &str {
        self.parameters.get("class_name").map_or("", String::as_str)
    }

    /// The index in the request: with the seed, it decides the random numbers.
    #[getter]
    fn index(&self) -> u32 {
        self.index
    }

    /// The seed of the request.
    #[getter]
    fn seed(&self) -> u64 {
        self.seed
    }

    /// The image as one of Pillow.
    fn pil<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("PIL.Image")?.call_method1("fromarray", (&self.array,))
    }

    /// Writes a PNG file with `parameters` as text, as `var sample` does; replaces a file of that name.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        if !path.extension().is_some_and(|end| end.eq_ignore_ascii_case("png")) {
            let text = format!("{}: images are saved as .png", path.display());
            return Err(PyValueError::new_err(text));
        }
        let image = self.rgb(py)?;
        let written = py.detach(|| write_png(&path, &image, &self.parameters, true));
        written.map_err(|error| exception(&error))
    }

    fn _repr_png_<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = png_bytes(&self.rgb(py)?, &self.parameters);
        Ok(PyBytes::new(py, &bytes.map_err(|error| exception(&error))?))
    }

    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let array = self.array(py).as_any();
        match (dtype, copy) {
            (None, Some(true)) => array.call_method0("copy"),
            (None, _) => Ok(array.clone()),
            (Some(dtype), _) => array.call_method1("astype", (dtype,)),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let shape = self.array(py).getattr("shape")?;
        let (height, width, _): (usize, usize, usize) = shape.extract()?;
        let class = match self.label {
            -1 => "no class".to_owned(),
            label => format!("class {label} {}", self.class_name()),
        };
        let (seed, index) = (self.seed, self.index);
        Ok(format!("<varimage.Image {width} × {height}, {class}, seed {seed}, index {index}>"))
    }

    fn __reduce__<'py>(&self, _py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let text = "an Image is not pickled: take its .image, .tokens and .parameters";
        Err(PyTypeError::new_err(text))
    }
}

/// Lays images of one size out in rows: an array (height, width, 3).
///
/// Fewer images than `columns` make one row; a last row that is not full is filled up with white.
#[pyfunction]
#[pyo3(signature = (images, columns=None, padding=None), text_signature = "(images, columns=8, padding=0)")]
pub(crate) fn grid<'py>(
    py: Python<'py>,
    images: &Bound<'py, PyAny>,
    columns: Option<&Bound<'py, PyAny>>,
    padding: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyArray3<u8>>> {
    let columns = whole("columns", columns, 1..=MOST_PADDING, 8)? as usize;
    let padding = whole("padding", padding, 0..=MOST_PADDING, 0)? as usize;
    let (images, _) = pixels::images(images)?;
    let size = |image: &RgbImage| (image.width(), image.height());
    let Some(first) = images.first().map(size) else {
        return Err(PyValueError::new_err("grid: no images"));
    };
    if let Some((at, other)) = images.iter().map(size).enumerate().find(|(_, has)| *has != first) {
        let ((width, height), (wants_width, wants_height)) = (other, first);
        let text = format!(
            "grid: image {at} is {width} × {height}, the first {wants_width} × {wants_height}"
        );
        return Err(PyValueError::new_err(text));
    }
    let whole = images::grid(&images, columns, padding);
    Ok(pixels::to_array(py, whole.map_err(|error| PyValueError::new_err(error.to_string()))?))
}
