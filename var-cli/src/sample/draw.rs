//! Drawing images batch by batch.

use core::ops::ControlFlow;

use anyhow::{Result, bail};
use var_host::engine::{Engine, ForcedBatch, ImageSpec, Sample, Sampling, ScaleProgress};
use var_host::images::RgbImage;

use crate::args::Session;
use crate::memory;
use crate::progress::Progress;

/// The batch where none is asked for, if memory allows.
const DEFAULT_BATCH: usize = 8;

/// Tokens that are given, not drawn.
pub(crate) struct ForcedTokens {
    /// L tokens each; image i of a run takes those of i modulo their number.
    pub(crate) images: Vec<Vec<u32>>,
    /// L: which cells are kept.
    pub(crate) cells: Vec<bool>,
}

/// Callback with an image after a scale.
type EachScale<'a> = &'a dyn Fn(ImageSpec, usize, &RgbImage) -> Result<()>;

/// How images are drawn.
pub(crate) struct Drawing<'a> {
    pub(crate) sampling: Sampling,
    pub(crate) batch: usize,
    pub(crate) kept: Option<ForcedTokens>,
    /// Takes each image as it looks after each scale.
    pub(crate) each_scale: Option<EachScale<'a>>,
}

impl Drawing<'_> {
    /// Draws the images of `jobs` and hands them to `each`, in order.
    pub(crate) fn draw(
        &self,
        engine: &mut Engine<'_>,
        jobs: &[ImageSpec],
        session: &Session,
        each: &mut dyn FnMut(Sample) -> Result<()>,
    ) -> Result<()> {
        self.draw_with(engine, jobs, &mut session.progress(jobs.len(), "image"), each)
    }

    /// [`Drawing::draw`] as part of a longer `progress`.
    pub(crate) fn draw_with(
        &self,
        engine: &mut Engine<'_>,
        jobs: &[ImageSpec],
        progress: &mut Progress,
        each: &mut dyn FnMut(Sample) -> Result<()>,
    ) -> Result<()> {
        for jobs in jobs.chunks(self.batch) {
            let given = self.kept.as_ref().map(|kept| kept.given(jobs));
            let mut fault = None;
            let mut on_scale = |mut done: ScaleProgress<'_>| {
                progress.detail(&format!("scale {}/{}", done.scale + 1, done.scales));
                match self.show(&mut done) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        fault = Some(error);
                        ControlFlow::Break(())
                    }
                }
            };
            let samples = engine.sample(jobs, self.sampling, given.as_ref(), &mut on_scale)?;
            let samples = match (samples, fault) {
                (Some(samples), None) => samples,
                (_, Some(error)) => return Err(error),
                (None, None) => bail!("sampling was broken off"),
            };
            let last = engine.vqvae()?.ladder.scales() - 1;
            for sample in samples {
                if let Some(each_scale) = self.each_scale {
                    each_scale(sample.job, last, &sample.picture)?;
                }
                each(sample)?;
                progress.advance(1);
            }
        }
        Ok(())
    }

    /// Hands on the images so far; those after the last scale come with the samples.
    fn show(&self, done: &mut ScaleProgress<'_>) -> Result<()> {
        let Some(each_scale) = self.each_scale else { return Ok(()) };
        if done.scale + 1 == done.scales {
            return Ok(());
        }
        for (number, job) in done.jobs.iter().enumerate() {
            // Without one the run ends here with an error.
            let Some(picture) = (done.picture)(number) else { break };
            each_scale(*job, done.scale, &picture)?;
        }
        Ok(())
    }
}

impl ForcedTokens {
    fn given(&self, jobs: &[ImageSpec]) -> ForcedBatch {
        let row = |job: &ImageSpec| self.images[job.index as usize % self.images.len()].clone();
        ForcedBatch { tokens: jobs.iter().map(row).collect(), cells: self.cells.clone() }
    }
}

/// The batch asked for, if memory allows it; else one that takes at most half of the rest.
pub(crate) fn batch_size(
    engine: &Engine<'_>,
    wanted: Option<u16>,
    jobs: &[ImageSpec],
    cfg: f32,
) -> Result<usize> {
    let null = engine.transformer()?.null_class();
    let guided = cfg != 0.0 && jobs.iter().any(|job| job.label != null);
    let most = jobs.len().max(1);
    if let Some(batch) = wanted {
        let batch = most.min(batch.into());
        memory::check_batch(engine, batch, guided)?;
        return Ok(batch);
    }
    let mut batch = most.min(memory::default_batch(engine, DEFAULT_BATCH));
    let has = memory::available_to(engine).unwrap_or(u64::MAX);
    while batch > 1 && memory::of_sampling(engine, batch, guided)?.0 > has / 2 {
        batch /= 2;
    }
    memory::check_batch(engine, batch, guided)?;
    Ok(batch)
}
