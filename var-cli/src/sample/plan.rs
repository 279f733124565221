//! The images of a run: a number and a class for each, and their given tokens.

use anyhow::{Context, Result, bail};
use var_host::engine::{Engine, ImageSpec};
use var_host::model::Weights;
use var_kernel::sample::random::Philox;

use super::draw::ForcedTokens;
use super::options::Options;
use crate::args::values::MOST_IMAGES;
use crate::args::{Session, Usage};
use crate::classes::Classes;
use crate::output;

/// Images where neither their number nor their classes are given.
const DEFAULT_COUNT: usize = 16;

/// All images of a run.
pub(super) struct Plan {
    pub(super) jobs: Vec<ImageSpec>,
    pub(super) kept: Option<ForcedTokens>,
}

impl Plan {
    /// The plan of `options` for a model of these classes.
    pub(super) fn new(
        options: &Options,
        engine: &Engine<'_>,
        weights: &Weights,
        classes: Classes<'_>,
        session: &Session,
    ) -> Result<Self> {
        let (kept, labels_kept) = match &options.from {
            None => (None, None),
            Some(path) => {
                let config = engine.vqvae()?;
                let (ladder, scales) = (&config.ladder, options.scales.unwrap_or(0));
                if !(1..=ladder.scales()).contains(&scales) {
                    bail!("--scales {scales}: the model has 1 to {}", ladder.scales());
                }
                let file = output::read_tokens(path, weights, ladder, config.codes, session)?;
                if file.images() == 0 {
                    bail!("{}: has no images to go on from", path.display());
                }
                file.check_labels(classes.count()).with_context(|| path.display().to_string())?;
                let null = |label: &i32| u32::try_from(*label).unwrap_or(classes.null());
                let labels = file.labels().map(|labels| labels.iter().map(null).collect());
                let mut cells = vec![false; ladder.length()];
                cells[..ladder.range(scales - 1).end].fill(true);
                (Some(ForcedTokens { images: output::images(&file), cells }), labels)
            }
        };
        let listed = match &options.class {
            Some(text) => Some(classes.parse("--class", text, session)?),
            None if options.per_class.is_some() => Some((0..classes.null()).collect()),
            None => labels_kept,
        };
        let rows = kept.as_ref().map(|kept| kept.images.len());
        let count = match (options.count, options.per_class, &listed) {
            (Some(count), _, _) => count as usize,
            (None, Some(each), Some(listed)) => listed.len().saturating_mul(each as usize),
            (None, _, listed) => rows.or(listed.as_ref().map(Vec::len)).unwrap_or(DEFAULT_COUNT),
        };
        if count > MOST_IMAGES as usize {
            let text =
                format!("{count} images are wanted, at most {MOST_IMAGES} can be made at once");
            return Err(Usage(text).into());
        }
        let each = options.per_class.map_or(1, |each| each as usize);
        let random = Philox::new(options.sampling.seed);
        let label = |index: usize| match &listed {
            Some(listed) => listed[index / each % listed.len()],
            None => random.label(index as u32, classes.null()),
        };
        let job = |index| ImageSpec { index: index as u32, label: label(index) };
        Ok(Self { jobs: (0..count).map(job).collect(), kept })
    }
}
