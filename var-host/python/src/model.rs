//! A model: sample, edit, encode, decode, score, logits, latents; its sizes; closing.

use numpy::ndarray::{Array2, Array3, Array4};
use numpy::{IntoPyArray, PyArray1, PyArray3, PyArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use var_host::{Edit, Error, Interrupt, RgbImage};
use var_kernel::Painting;

use crate::arguments::truth;
use crate::device::NamedDevice;
use crate::error::exception;
use crate::image::Image;
use crate::load::{Description, Origin};
use crate::sample::{Draw, Named, box_of};
use crate::worker::Worker;
use crate::{classes, pixels, tokens};

/// A model in use: weights, threads, working memory.
///
/// One call computes at a time: those of several threads take turns. Different models are independent.
/// While a call computes, other Python threads run; Ctrl-C ends it.
#[pyclass(frozen, module = "varimage")]
pub(crate) struct Model {
    pub(crate) worker: Worker,
    pub(crate) description: Description,
    /// None for a model from bytes.
    pub(crate) origin: Option<Origin>,
}

impl Model {
    /// Does `work` on each of several things, until Ctrl-C.
    fn each<T: Send + 'static, R: Send + 'static>(
        &self,
        py: Python<'_>,
        things: Vec<T>,
        work: impl Fn(&mut var_host::Model, T) -> Result<R, Error> + Send + 'static,
    ) -> PyResult<Vec<R>> {
        let all = move |model: &mut var_host::Model, interrupt: &Interrupt| {
            let go_on = things.into_iter().take_while(|_| !interrupt.is_raised());
            go_on.map(|thing| work(model, thing)).collect::<Result<Vec<R>, Error>>()
        };
        self.worker.run(py, all)?.map_err(|error| exception(&error))
    }

    fn pictures<'py>(
        &self,
        py: Python<'py>,
        images: Vec<RgbImage>,
        is_one: bool,
    ) -> Bound<'py, PyAny> {
        let side = self.description.side;
        match (is_one, images.into_iter()) {
            (true, mut images) => {
                pixels::to_array(py, images.next().expect("one image")).into_any()
            }
            (false, images) => pixels::to_arrays(py, images.as_slice(), (side, side)).into_any(),
        }
    }
}

#[pymethods]
impl Model {
    /// Draws an image of each class: a number, a name, or None.
    ///
    /// An image depends on its seed and index alone, on any CPU. `batch` images are computed together. After
    /// every scale of every batch `on_scale` is called with a `Step`: returning False ends the run with the
    /// images of the batches before, an exception ends it and comes out.
    #[pyo3(
        signature = (classes, *, seed=None, cfg=None, temperature=None, top_k=None, top_p=None, more_smooth=None,
                     first_index=None, batch=None, on_scale=None),
        text_signature = "($self, classes, *, seed=0, cfg=1.5, temperature=1.0, top_k=900, top_p=0.96, more_smooth=False, \
                          first_index=0, batch=4, on_scale=None)"
    )]
    fn sample(
        &self,
        py: Python<'_>,
        classes: &Bound<'_, PyAny>,
        seed: Option<&Bound<'_, PyAny>>,
        cfg: Option<&Bound<'_, PyAny>>,
        temperature: Option<&Bound<'_, PyAny>>,
        top_k: Option<&Bound<'_, PyAny>>,
        top_p: Option<&Bound<'_, PyAny>>,
        more_smooth: Option<&Bound<'_, PyAny>>,
        first_index: Option<&Bound<'_, PyAny>>,
        batch: Option<&Bound<'_, PyAny>>,
        on_scale: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Image>> {
        let (labels, _) = classes::labels(&self.description, classes)?;
        let named = Named { seed, cfg, temperature, top_k, top_p, more_smooth, first_index, batch };
        let options = named.options(labels.len())?;
        let draw: Draw = Box::new(move |model, each| model.sample_with(&labels, &options, each));
        self.draw(py, on_scale, draw)
    }

    /// Draws the inside of a box of an image anew, or with `outside` all but it; None if `on_scale` stops it.
    ///
    /// `region`: top, left, bottom, right as shares of the image. `label`: a class, or None for in- and
    /// out-painting as in the paper. The rest as in `sample`.
    #[pyo3(
        signature = (image, region, label=None, *, outside=None, seed=None, cfg=None, temperature=None, top_k=None, top_p=None,
                     more_smooth=None, first_index=None, on_scale=None),
        text_signature = "($self, image, region, label=None, *, outside=False, seed=0, cfg=1.5, temperature=1.0, top_k=900, \
                          top_p=0.96, more_smooth=False, first_index=0, on_scale=None)"
    )]
    fn edit(
        &self,
        py: Python<'_>,
        image: &Bound<'_, PyAny>,
        region: &Bound<'_, PyAny>,
        label: Option<&Bound<'_, PyAny>>,
        outside: Option<&Bound<'_, PyAny>>,
        seed: Option<&Bound<'_, PyAny>>,
        cfg: Option<&Bound<'_, PyAny>>,
        temperature: Option<&Bound<'_, PyAny>>,
        top_k: Option<&Bound<'_, PyAny>>,
        top_p: Option<&Bound<'_, PyAny>>,
        more_smooth: Option<&Bound<'_, PyAny>>,
        first_index: Option<&Bound<'_, PyAny>>,
        on_scale: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Image>> {
        let image = pixels::image(image)?;
        let region = box_of(region)?;
        let label = label.map(|label| classes::label(&self.description, label)).transpose()?;
        let outside = truth("outside", outside, false)?;
        let painting = if outside { Painting::Out } else { Painting::In };
        let named =
            Named { seed, cfg, temperature, top_k, top_p, more_smooth, first_index, batch: None };
        let options = named.options(1)?;
        let edit = Edit { painting, label, ..Edit::from(region) };
        let draw: Draw = Box::new(move |model, each| {
            let edited = model.edit_with(&image, &edit, &options, each)?;
            Ok(edited.into_iter().collect())
        });
        Ok(self.draw(py, on_scale, draw)?.pop())
    }

    /// Tokens of an image, which is resized and cut to the model's side: an array of int32; of several,
    /// (images, tokens).
    fn encode<'py>(
        &self,
        py: Python<'py>,
        image: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (images, is_one) = pixels::images(image)?;
        let mut all = self.each(py, images, |model, image| model.encode(&image))?;
        if is_one {
            return Ok(tokens::to_array(py, all.remove(0)).into_any());
        }
        Ok(tokens::to_rows(py, all.concat(), self.description.tokens).into_any())
    }

    /// The image of tokens: an array (side, side, 3) of uint8; of (images, tokens), as many images.
    fn decode<'py>(
        &self,
        py: Python<'py>,
        tokens: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (all, is_one) = tokens::tokens(&self.description, tokens)?;
        let images = self.each(py, all, |model, tokens| model.decode(&tokens))?;
        Ok(self.pictures(py, images, is_one))
    }

    /// An image encoded and decoded again: an array (side, side, 3) of uint8; of several, as many.
    fn reconstruct<'py>(
        &self,
        py: Python<'py>,
        image: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (images, is_one) = pixels::images(image)?;
        let images = self.each(py, images, |model, image| model.reconstruct(&image))?;
        Ok(self.pictures(py, images, is_one))
    }

    /// Log-likelihood of an image under each class, in nats: an array of float64; of several images,
    /// (images, classes).
    fn score<'py>(
        &self,
        py: Python<'py>,
        image: &Bound<'py, PyAny>,
        classes: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (labels, _) = classes::labels(&self.description, classes)?;
        let (images, is_one) = pixels::images(image)?;
        let shape = (images.len(), labels.len());
        let all = self.each(py, images, move |model, image| model.score(&image, &labels))?;
        if is_one {
            return Ok(PyArray1::from_vec(py, all.concat()).into_any());
        }
        let all = Array2::from_shape_vec(shape, all.concat()).expect("a row for each image");
        Ok(all.into_pyarray(py).into_any())
    }

    /// Teacher-forced logits of an image's tokens: an array (tokens, codes) of float32; of (images, tokens)
    /// and a class for all or for each, (images, tokens, codes).
    fn logits<'py>(
        &self,
        py: Python<'py>,
        tokens: &Bound<'py, PyAny>,
        labels: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (all, is_one) = tokens::tokens(&self.description, tokens)?;
        let count = all.len();
        let labels = classes::labels_of(&self.description, labels, (count, "images"))?;
        let pairs = all.into_iter().zip(labels).collect();
        let mut all =
            self.each(py, pairs, |model, (tokens, label)| model.logits(&tokens, label))?;
        let (length, codes) = (self.description.tokens, self.description.codes);
        if is_one {
            let own = Array2::from_shape_vec((length, codes), all.remove(0));
            return Ok(own.expect("a row for each token").into_pyarray(py).into_any());
        }
        let all = Array3::from_shape_vec((count, length, codes), all.concat());
        Ok(all.expect("rows for each image").into_pyarray(py).into_any())
    }

    /// Latents of tokens, the sum of all scales that the decoder reads: an array (latent, finest, finest) of
    /// float32, PyTorch's `f_hat`; of (images, tokens), as many.
    fn latents<'py>(
        &self,
        py: Python<'py>,
        tokens: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (all, is_one) = tokens::tokens(&self.description, tokens)?;
        let count = all.len();
        let mut all = self.each(py, all, |model, tokens| model.latents(&tokens))?;
        let finest = self.description.ladder.last().copied().unwrap_or(0);
        let latent = self.description.latent;
        if is_one {
            let own = Array3::from_shape_vec((finest, finest, latent), all.remove(0));
            let own: Bound<'py, PyArray3<f32>> = own.expect("the finest map").into_pyarray(py);
            return Ok(own.permute(Some([2, 0, 1]))?.into_any());
        }
        let all = Array4::from_shape_vec((count, finest, finest, latent), all.concat());
        let all = all.expect("maps of one size").into_pyarray(py);
        Ok(all.permute(Some([0, 3, 1, 2]))?.into_any())
    }

    /// The label of a class by its name, its number, or None (the number of classes).
    fn label(&self, class_: &Bound<'_, PyAny>) -> PyResult<u32> {
        classes::label(&self.description, class_)
    }

    /// Frees weights, threads and memory after the calls under way; a model is closed once.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.worker.close(py)
    }

    /// Whether it is closed.
    #[getter]
    fn closed(&self) -> bool {
        !self.worker.is_open()
    }

    /// Names of its files without folders, or "built-in".
    #[getter]
    fn name(&self) -> &str {
        &self.description.name
    }

    /// "cpu" or "cuda:N".
    #[getter]
    fn device(&self) -> &str {
        &self.description.device.name
    }

    /// How many threads compute.
    #[getter]
    fn threads(&self) -> usize {
        self.description.device.threads
    }

    /// The instruction set.
    #[getter]
    fn isa(&self) -> &str {
        self.description.device.isa
    }

    /// Pixels of an image: side × side.
    #[getter]
    fn side(&self) -> usize {
        self.description.side
    }

    /// Sides of the token maps.
    #[getter]
    fn ladder<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.description.ladder)
    }

    /// Number of token maps.
    #[getter]
    fn scales(&self) -> usize {
        self.description.ladder.len()
    }

    /// Tokens of an image, all scales.
    #[getter]
    fn tokens(&self) -> usize {
        self.description.tokens
    }

    /// Values of a token.
    #[getter]
    fn codes(&self) -> usize {
        self.description.codes
    }

    /// Number of classes; 0 without a transformer.
    #[getter]
    fn classes(&self) -> usize {
        self.description.classes.unwrap_or(0)
    }

    /// Names of the classes by number; empty where the file has none. Models of 1000 without names have
    /// ImageNet's.
    #[getter]
    fn class_names(&self) -> Vec<String> {
        self.description.class_names.clone()
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        let Description { name, device, side, classes, .. } = &self.description;
        let classes = classes.map_or("no transformer".to_owned(), |n| format!("{n} classes"));
        let closed = if self.worker.is_open() { "" } else { ", closed" };
        let NamedDevice { name: device, threads, isa, .. } = device;
        format!(
            "<varimage.Model {name}: {side} × {side}, {classes}, {device}, threads {threads}, {isa}{closed}>"
        )
    }

    /// A model is pickled as the path and the options it was opened with, and opened again.
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let refused = match (&self.origin, self.worker.is_open()) {
            (Some(origin), true) => return Ok((origin.opener(py)?, PyTuple::empty(py))),
            (None, _) => "a Model from bytes is not pickled: send the bytes, and load them there",
            (_, false) => "a closed Model is not pickled",
        };
        Err(PyTypeError::new_err(refused))
    }
}
