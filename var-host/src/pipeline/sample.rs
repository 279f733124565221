//! Sampling: classes → images.

use core::ops::ControlFlow;

use crate::engine::{Buffer, ForcedBatch, ImageSpec, Sample, Sampling, ScaleProgress};
use crate::images::{Parameters, RgbImage};

use super::parameters::{note_image, note_sampling, precision};
use super::{Error, Image, Model, SampleOptions};

/// State after a scale, as the callback of [`Model::sample_with`] receives it.
pub struct Step<'a, 'b> {
    /// The scale just drawn, from 0.
    pub scale: usize,
    /// Number of scales.
    pub scales: usize,
    inner: &'a mut ScaleProgress<'b>,
}

impl Step<'_, '_> {
    /// Indices of the images drawn together.
    pub fn indices(&self) -> impl Iterator<Item = u32> {
        self.inner.jobs.iter().map(|job| job.index)
    }

    /// Tokens of this scale of image `number` of [`Step::indices`], row by row; none if the device fails,
    /// which ends the run with an error.
    ///
    /// # Panics
    /// If there are fewer images.
    pub fn tokens(&mut self, number: usize) -> Option<Vec<u32>> {
        assert!(number < self.inner.jobs.len(), "image {number} of {}", self.inner.jobs.len());
        (self.inner.tokens)(number)
    }

    /// The image of image `number` of [`Step::indices`] as it would look if the run ended here; none
    /// if it is not finite, which ends the run with an error.
    ///
    /// # Panics
    /// If there are fewer images.
    pub fn picture(&mut self, number: usize) -> Option<RgbImage> {
        assert!(number < self.inner.jobs.len(), "image {number} of {}", self.inner.jobs.len());
        (self.inner.picture)(number)
    }
}

/// Index and class of each image to draw.
fn image_specs(labels: &[u32], options: &SampleOptions) -> Vec<ImageSpec> {
    let spec = |(n, label): (usize, &u32)| {
        let index = u32::try_from(n).ok().and_then(|n| options.first_index.checked_add(n));
        ImageSpec { index: index.expect("indices of images are below 2^32"), label: *label }
    };
    labels.iter().enumerate().map(spec).collect()
}

impl SampleOptions {
    /// The engine's settings.
    fn sampling(&self) -> Sampling {
        let Self { cfg, temperature, top_k, top_p, more_smooth, seed, .. } = *self;
        Sampling { seed, cfg, temperature, top_k, top_p, more_smooth }
    }
}

impl Model {
    /// Floats of working memory for [`Model::lend_memory`]: enough for [`Model::sample`] with these
    /// arguments and for every call for a single image of one of these classes.
    ///
    /// ```
    /// use var_host::{Model, SampleOptions};
    ///
    /// let mut model = Model::built_in()?;
    /// let options = SampleOptions::default();
    /// let floats = model.workspace_len(&[3, 8], &options)?;
    /// model.lend_memory(Some(vec![0.0; floats].leak()))?;
    /// assert_eq!(model.sample(&[3, 8], &options)?.len(), 2);
    /// # Ok::<(), var_host::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the model lacks a half.
    ///
    /// # Panics
    /// As [`Model::sample_with`].
    pub fn workspace_len(
        &mut self,
        labels: &[u32],
        options: &SampleOptions,
    ) -> Result<usize, Error> {
        assert!(options.batch > 0, "a batch has at least one image");
        let jobs = image_specs(labels, options);
        self.with_engine(|engine| {
            let mut most = engine.image_len()?;
            // Batches as they are drawn, and a single image as an edit draws it.
            for jobs in jobs.chunks(options.batch).chain(jobs.chunks(1)) {
                most = most.max(engine.sample_len(jobs, options.sampling())?);
            }
            Ok(Buffer::lent_len(most))
        })
    }

    /// Takes working memory of the CPU from `memory` from now on, and never more; none: its own again, as
    /// much as a call wants.
    ///
    /// # Errors
    /// If the device cannot be used.
    pub fn lend_memory(&mut self, memory: Option<&'static mut [f32]>) -> Result<(), Error> {
        self.with_engine(|engine| {
            engine.lend_memory(memory);
            Ok(())
        })
    }

    /// Draws one image of each class in `labels`; the null class draws without one.
    ///
    /// # Errors
    /// If the model lacks a half, a label has no class, or there is too little memory.
    pub fn sample(&mut self, labels: &[u32], options: &SampleOptions) -> Result<Vec<Image>, Error> {
        self.sample_with(labels, options, |_| ControlFlow::Continue(()))
    }

    /// The same, calling `each` after every scale of every batch; breaking ends the run with the images
    /// of the batches before.
    ///
    /// # Errors
    /// As [`Model::sample`].
    ///
    /// # Panics
    /// If [`SampleOptions::batch`] is 0, or an index is past 2³² − 1.
    pub fn sample_with(
        &mut self,
        labels: &[u32],
        options: &SampleOptions,
        each: impl FnMut(&mut Step<'_, '_>) -> ControlFlow<()>,
    ) -> Result<Vec<Image>, Error> {
        let parameters = self.parameters("sample");
        self.draw(labels, options, None, parameters, each)
    }

    /// Draws images, some of their tokens given; `parameters`: those of all of them.
    pub(super) fn draw(
        &mut self,
        labels: &[u32],
        options: &SampleOptions,
        given: Option<&ForcedBatch>,
        mut parameters: Parameters,
        mut each: impl FnMut(&mut Step<'_, '_>) -> ControlFlow<()>,
    ) -> Result<Vec<Image>, Error> {
        assert!(options.batch > 0, "a batch has at least one image");
        let (sampling, jobs) = (options.sampling(), image_specs(labels, options));
        note_sampling(&mut parameters, &sampling);
        let names = self.weights.class_names.clone();
        self.with_engine(|engine| {
            parameters.insert("precision".to_owned(), precision(engine));
            let classes = (engine.transformer()?.classes, &names[..]);
            let mut images = Vec::new();
            for jobs in jobs.chunks(options.batch) {
                let mut on_scale = |mut done: ScaleProgress<'_>| {
                    let (scale, scales) = (done.scale, done.scales);
                    each(&mut Step { scale, scales, inner: &mut done })
                };
                let Some(samples) = engine.sample(jobs, sampling, given, &mut on_scale)? else {
                    break;
                };
                images.extend(samples.into_iter().map(|Sample { job, tokens, picture }| {
                    let ImageSpec { label, index } = job;
                    let mut parameters = parameters.clone();
                    note_image(&mut parameters, index, label, classes);
                    Image { picture, tokens, label, index, options: *options, parameters }
                }));
            }
            Ok(images)
        })
    }
}
