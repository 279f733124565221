//! How tokens are drawn.

use anyhow::Result;
use clap::Args;
use var_host::engine::{ImageSpec, Sampling};
use var_host::images::Parameters;
use var_host::pipeline::parameters::note_sampling;

use super::{Session, values};
use crate::classes::Classes;

#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingOptions {
    /// Seed of the random numbers; the same seed gives the same bytes on every machine
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = values::whole(0..=u64::MAX))]
    pub(crate) seed: u64,
    /// Classifier-free guidance at the last scale; 0 = none, 4 or 5 for looks
    #[arg(long, value_name = "STRENGTH", default_value_t = 1.5, value_parser = values::guidance)]
    pub(crate) cfg: f32,
    /// Divides the logits, after guidance: below 1 likelier tokens, above 1 more even ones
    #[arg(long, value_name = "T", default_value_t = 1.0, value_parser = values::temperature)]
    pub(crate) temperature: f32,
    /// Draw from the K most likely tokens; 0 = all
    #[arg(long, value_name = "K", default_value_t = 900, value_parser = values::whole(0..=usize::MAX))]
    pub(crate) top_k: usize,
    /// Draw from the most likely tokens that together reach probability P; 0 = all
    #[arg(long, value_name = "P", default_value_t = 0.96, value_parser = values::probability)]
    pub(crate) top_p: f32,
    /// Mix codes by Gumbel softmax instead of taking the drawn ones: smoother images
    #[arg(long)]
    pub(crate) more_smooth: bool,
}

impl SamplingOptions {
    /// Refuses guidance that was asked for where no image has a class to be guided to.
    ///
    /// # Errors
    /// [`Usage`](super::Usage) that names the option.
    pub(crate) fn check(
        &self,
        jobs: &[ImageSpec],
        classes: Classes<'_>,
        session: &Session,
    ) -> Result<()> {
        let idle = self.cfg != 0.0 && jobs.iter().all(|job| job.label == classes.null());
        session.given.refuse(
            &["cfg"],
            idle,
            "guides to a class, and no image has one: give --class",
        )
    }

    /// As the engine takes it.
    pub(crate) fn sampling(&self) -> Sampling {
        let Self { seed, cfg, temperature, top_k, top_p, more_smooth } = *self;
        Sampling { seed, cfg, temperature, top_k, top_p, more_smooth }
    }

    /// Notes the options among an image's parameters.
    pub(crate) fn note(&self, parameters: &mut Parameters) {
        note_sampling(parameters, &self.sampling());
    }
}
