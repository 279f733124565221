//! Images → features and statistics of a set.

use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};

use super::{EvaluateError, FeatureRows, ImageSource, InceptionScore, Moments, SPLIT, Statistics};
use crate::engine::{EngineError, Interrupt};
use crate::images::RgbImage;
use crate::inception::{CLASSES, Forward, Inception, InceptionFeatures, POOLED, SPATIAL};
use crate::pipeline::Device;
use crate::pool::Threads;

/// Images that go through the network together: its weights are packed once for so many.
const BATCH: usize = 16;

/// Features and statistics of a set of images.
#[derive(Debug)]
pub struct Observations {
    /// Of the pooled features.
    pub pooled: Moments,
    /// Of the spatial features.
    pub spatial: Moments,
    /// Of the logits.
    pub score: InceptionScore,
    /// The pooled features of every image.
    pub rows: FeatureRows,
    /// Images so far.
    seen: usize,
}

/// Parts of the observations to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObservedParts {
    /// Everything.
    All,
    /// The pooled features and the score: where statistics are known from elsewhere.
    FeatureRows,
    /// All but the features.
    Statistics,
}

/// The network, and the threads it runs on.
pub struct FeatureExtractor<'a> {
    pass: Forward<'a>,
    threads: Threads,
    isa: Isa,
    interrupt: Interrupt,
}

impl Observations {
    fn new() -> Result<Self, EvaluateError> {
        Ok(Self {
            pooled: Moments::new(POOLED),
            spatial: Moments::new(SPATIAL),
            score: InceptionScore::new(CLASSES, SPLIT),
            rows: FeatureRows::new(POOLED)?,
            seen: 0,
        })
    }
}

impl<'a> FeatureExtractor<'a> {
    /// The network with `weights` on so many threads.
    ///
    /// # Panics
    /// If `threads` is 0.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn new(weights: &'a Inception, threads: usize, isa: Isa) -> Result<Self, EvaluateError> {
        let threads = Threads::new(threads, SCRATCH_FLOATS).map_err(EngineError::from)?;
        Ok(Self { pass: Forward::new(weights), threads, isa, interrupt: Interrupt::default() })
    }

    /// The network on `device`: products of a GPU are in `f32`.
    ///
    /// # Errors
    /// If the device cannot be used.
    pub fn on(weights: &'a Inception, device: Device) -> Result<Self, EvaluateError> {
        let (threads, isa) = device.processor();
        let extractor = Self::new(weights, threads, isa)?;
        #[cfg(feature = "cuda")]
        if let Some(gpu) = device.gpu(var_kernel::cuda::Precision::F32)? {
            return extractor.on_gpu(gpu);
        }
        Ok(extractor)
    }

    /// Lets `interrupt` end the work: [`EngineError::Interrupted`].
    pub fn interrupted_by(self, interrupt: Interrupt) -> Self {
        Self { interrupt, ..self }
    }

    /// Features of images, which are resized to the network's input.
    ///
    /// # Errors
    /// If there is too little memory.
    pub fn features(&mut self, images: &[RgbImage]) -> Result<InceptionFeatures, EvaluateError> {
        let mut all = InceptionFeatures::default();
        for batch in images.chunks(BATCH) {
            let InceptionFeatures { pooled, spatial, logits } = self.pass(batch)?;
            all.pooled.extend(pooled);
            all.spatial.extend(spatial);
            all.logits.extend(logits);
        }
        Ok(all)
    }

    /// Features of one batch.
    fn pass(&mut self, images: &[RgbImage]) -> Result<InceptionFeatures, EngineError> {
        let Self { pass, threads, isa, interrupt } = self;
        let workers = interrupt.watch(threads);
        let cpu = Cpu::new(*isa, &workers);
        interrupt.catch(|| pass.features(&cpu, images))?
    }

    /// The same with the network on a GPU.
    ///
    /// # Errors
    /// If the GPU has not the memory.
    #[cfg(feature = "cuda")]
    pub fn on_gpu(self, cuda: var_kernel::cuda::Cuda) -> Result<Self, EvaluateError> {
        Ok(Self { pass: self.pass.on_gpu(cuda)?, ..self })
    }

    /// The processor as it is used here.
    pub fn cpu(&self) -> Cpu<'_> {
        Cpu::new(self.isa, &self.threads)
    }

    /// Looks at every image; `each` sees each of them, and is told how many are done.
    ///
    /// # Errors
    /// If an image cannot be read, a feature is not finite, or `each` says so.
    pub fn observe<E: From<EvaluateError>>(
        &mut self,
        pictures: &ImageSource,
        keep: ObservedParts,
        each: &mut dyn FnMut(usize, &RgbImage) -> Result<(), E>,
    ) -> Result<Observations, E> {
        let mut known = Observations::new()?;
        let mut stream = pictures.stream(1)?;
        let mut done = 0;
        loop {
            let batch: Result<Vec<RgbImage>, _> = stream.by_ref().take(BATCH).collect();
            let batch = batch?;
            if batch.is_empty() {
                break;
            }
            let features = self.pass(&batch).map_err(EvaluateError::from)?;
            known.add(&self.cpu(), &features, keep)?;
            for picture in &batch {
                done += 1;
                each(done, picture)?;
            }
        }
        Ok(known)
    }

    /// Mean and covariance of both kinds of features, the pooled ones first.
    ///
    /// # Errors
    /// If there are fewer than two images.
    pub fn statistics(&self, known: &Observations) -> Result<[Statistics; 2], EvaluateError> {
        let cpu = self.cpu();
        Ok([known.pooled.statistics(&cpu)?, known.spatial.statistics(&cpu)?])
    }
}

impl Observations {
    fn add(
        &mut self,
        cpu: &Cpu<'_>,
        features: &InceptionFeatures,
        keep: ObservedParts,
    ) -> Result<(), EvaluateError> {
        let InceptionFeatures { pooled, spatial, logits } = features;
        for (rows, width) in [(pooled, POOLED), (spatial, SPATIAL)] {
            if let Some(at) = rows.iter().position(|x| !x.is_finite()) {
                let (picture, feature) = (self.seen + at / width, at % width);
                return Err(EvaluateError::NotFinite { picture, feature, value: rows[at] });
            }
        }
        self.seen += pooled.len() / POOLED;
        if keep != ObservedParts::Statistics {
            self.rows.push(pooled)?;
        }
        if keep != ObservedParts::FeatureRows {
            self.pooled.add(cpu, pooled);
            self.spatial.add(cpu, spatial);
        }
        self.score.add_logits(logits);
        Ok(())
    }
}

impl core::fmt::Debug for FeatureExtractor<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Observer").field("isa", &self.isa).finish_non_exhaustive()
    }
}
