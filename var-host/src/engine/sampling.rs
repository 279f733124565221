//! Classes → images.

use core::ops::ControlFlow;

use var_kernel::generate::{ForcedTokens, Outcome, Request};
use var_kernel::ops::sample_tokens::NO_TOKEN;
use var_kernel::sample::{Filter, UniformSource};

use super::checked::{self, CheckedSample};
use super::cost::Workload;
use super::error::{A_LOGIT, AN_IMAGE};
use super::runtime::Engine;
use super::spec::{ForcedBatch, ImageSpec, RequestShape, Sample, Sampling, ScaleProgress};
use super::tokens::{image_major, scale_major};
use super::{EngineError, requests};

impl Engine<'_> {
    /// Samples one batch; none if `each`, called after every scale, breaks it off.
    ///
    /// Labels with and without a class may be mixed: the kernel sees them apart.
    ///
    /// # Errors
    /// If the model lacks a half, a label has no class, there is too little memory, or the weights
    /// overflow: a logit or an image is not finite.
    pub fn sample(
        &mut self,
        jobs: &[ImageSpec],
        sampling: Sampling,
        given: Option<&ForcedBatch>,
        each: &mut dyn FnMut(ScaleProgress<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Vec<Sample>>, EngineError> {
        let null = self.transformer()?.null_class();
        if let Some(job) = jobs.iter().find(|job| job.label > null) {
            return Err(EngineError::Label { has: job.label, classes: null });
        }
        let mut samples = Vec::new();
        for of_null in [false, true] {
            let chosen = |job: &ImageSpec| (job.label == null) == of_null;
            let group: Vec<ImageSpec> = jobs.iter().copied().filter(chosen).collect();
            if group.is_empty() {
                continue;
            }
            let given = given.map(|given| ForcedBatch {
                tokens: (jobs.iter().zip(&given.tokens))
                    .filter(|(job, _)| chosen(job))
                    .map(|(_, tokens)| tokens.clone())
                    .collect(),
                cells: given.cells.clone(),
            });
            match self.sample_alike(&group, sampling, given.as_ref(), each)? {
                Some(group) => samples.extend(group),
                None => return Ok(None),
            }
        }
        samples.sort_by_key(|sample: &Sample| {
            jobs.iter().position(|job| *job == sample.job).unwrap_or(usize::MAX)
        });
        Ok(Some(samples))
    }

    /// Samples a batch in which all labels or none are null.
    fn sample_alike(
        &mut self,
        jobs: &[ImageSpec],
        sampling: Sampling,
        given: Option<&ForcedBatch>,
        each: &mut dyn FnMut(ScaleProgress<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Vec<Sample>>, EngineError> {
        let (ladder, vqvae) = (self.transformer()?.ladder, *self.vqvae()?);
        let labels: Vec<u32> = jobs.iter().map(|job| job.label).collect();
        let indices: Vec<u32> = jobs.iter().map(|job| job.index).collect();
        let kept = given.map(|given| scale_major(&given.tokens, &ladder));
        let Sampling { seed, cfg, temperature, top_k, top_p, more_smooth } = sampling;
        let request = Request {
            labels: &labels,
            indices: &indices,
            cfg,
            temperature,
            filter: Filter { top_k, top_p },
            more_smooth,
            source: UniformSource::Seed(seed),
            keep: given
                .zip(kept.as_ref())
                .map(|(given, tokens)| ForcedTokens { tokens, cells: &given.cells }),
        };
        let side = vqvae.side();
        let image_len = side * side * var_kernel::model::vqvae::COLORS;
        let mut tokens = vec![0; jobs.len() * ladder.length()];
        let mut pictures = vec![CheckedSample::default(); jobs.len() * image_len];

        let floats = self.floats(&request)?;
        let (to_tokens, to_pictures) = (&mut tokens[..], &mut pictures[..]);
        let task = requests::SampleRequest {
            jobs,
            request: &request,
            tokens: to_tokens,
            pictures: to_pictures,
            each,
        };
        let Some(outcome) = self.on_model(floats, task)? else {
            return Err(self.not_finite(AN_IMAGE));
        };
        if outcome != Outcome::Done {
            return Ok(None);
        }
        if tokens.contains(&NO_TOKEN) {
            return Err(self.not_finite(A_LOGIT));
        }
        let tokens = image_major(&tokens, jobs.len(), &ladder);
        let pictures = pictures.chunks_exact(image_len);
        let samples = jobs.iter().zip(tokens).zip(pictures).map(|((job, tokens), samples)| {
            let picture = checked::picture(side, samples)?;
            Some(Sample { job: *job, tokens, picture })
        });
        let samples: Option<Vec<Sample>> = samples.collect();
        samples.map_or_else(|| Err(self.not_finite(AN_IMAGE)), |samples| Ok(Some(samples)))
    }

    /// Floats of working memory that [`Engine::sample`] takes for `jobs`.
    ///
    /// # Errors
    /// If the model lacks a half.
    pub fn sample_len(
        &mut self,
        jobs: &[ImageSpec],
        sampling: Sampling,
    ) -> Result<usize, EngineError> {
        let null = self.transformer()?.null_class();
        let mut most = 0;
        for of_null in [false, true] {
            let labels = jobs.iter().map(|job| job.label);
            let labels: Vec<u32> = labels.filter(|label| (*label == null) == of_null).collect();
            if labels.is_empty() {
                continue;
            }
            let Sampling { seed, cfg, temperature, top_k, top_p, more_smooth } = sampling;
            let filter = Filter { top_k, top_p };
            let indices = vec![0; labels.len()];
            let request = Request::new(&labels, &indices, seed);
            most = most.max(self.floats(&Request {
                cfg,
                temperature,
                filter,
                more_smooth,
                ..request
            })?);
        }
        Ok(most)
    }

    /// Floats of working memory of encoding or decoding one image, and of scoring it if there is a
    /// transformer.
    ///
    /// # Errors
    /// If the model has no VQVAE.
    pub fn image_len(&self) -> Result<usize, EngineError> {
        let encode = self.work(Workload::Encode { pictures: 1 })?.floats;
        let decode = self.work(Workload::Decode)?.floats;
        let score = match self.transformer() {
            Ok(_) => self.work(Workload::Nll)?.floats,
            Err(_) => 0,
        };
        Ok(encode.max(decode).max(score))
    }

    /// Floats of working memory that a request takes; a dry run tells, once for requests of one extent.
    fn floats(&mut self, request: &Request<'_>) -> Result<usize, EngineError> {
        if request.keep.is_some() {
            return Ok(self.work(Workload::Sample { request })?.floats);
        }
        let extent = RequestShape::of(request, self.transformer()?.null_class());
        if let Some((_, floats)) = self.planned.iter().find(|(planned, _)| *planned == extent) {
            return Ok(*floats);
        }
        let floats = self.work(Workload::Sample { request })?.floats;
        self.planned.push((extent, floats));
        Ok(floats)
    }

    /// Samples a batch with every kernel of the GPU timed; nothing without a GPU.
    ///
    /// # Errors
    /// As [`Engine::sample`].
    #[cfg(feature = "cuda")]
    pub fn profile(
        &mut self,
        jobs: &[ImageSpec],
        sampling: Sampling,
    ) -> Result<Vec<var_kernel::cuda::peak::KernelTime>, EngineError> {
        let Some(gpu) = self.gpu() else { return Ok(Vec::new()) };
        gpu.cuda().begin_profile()?;
        let go_on = &mut |_: ScaleProgress<'_>| ControlFlow::Continue(());
        let outcome = self.sample(jobs, sampling, None, go_on);
        let times = self.gpu().map(|gpu| gpu.cuda().end_profile());
        outcome?;
        Ok(times.transpose()?.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extent_tells_requests_of_other_memory_apart() {
        let (few, many): (&[u32], &[u32]) = (&[3, 3, 5], &[1, 2, 3]);
        let request = |labels, cfg| Request {
            labels,
            indices: &[0, 1, 2],
            cfg,
            temperature: 1.0,
            filter: Filter { top_k: 900, top_p: 0.96 },
            more_smooth: false,
            source: UniformSource::Seed(1),
            keep: None,
        };
        let of = |labels, cfg| RequestShape::of(&request(labels, cfg), 10);
        assert_eq!(of(few, 1.5), of(&[7, 2, 7], 4.0), "other labels, another strength");
        assert_ne!(of(few, 1.5), of(few, 0.0), "without guidance");
        assert_ne!(of(&[10], 1.5), of(&[3], 1.5), "the null class is not guided");
        assert_ne!(of(few, 1.5), of(many, 1.5), "more classes");
        assert_ne!(of(many, 1.5), of(&[1, 2], 1.5), "fewer images");
    }
}
