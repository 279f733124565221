//! Data → tokens → batches for the transformer.

use std::sync::Arc;

use super::TrainError;
use super::trainer::Lesson;
use crate::data::{BrokenPicture, Folder, Loader, Place, Plan, TokenBatches, TokenSet, Views};
use crate::engine::Engine;

/// Pictures that go through the VQVAE together.
const ENCODED_TOGETHER: usize = 32;

/// A data set as it is found: pictures, or the tokens made of them.
#[derive(Clone)]
pub enum DataSet {
    /// Pictures, cut anew in every epoch.
    Pictures {
        /// Where they are.
        folder: Arc<Folder>,
        /// How they are cut.
        views: Views,
        /// Threads that read ahead.
        workers: usize,
    },
    /// Tokens.
    Tokens(Arc<TokenSet>),
}

/// The batches of one rank, in order.
pub struct Batches<'a> {
    source: Source<'a>,
}

enum Source<'a> {
    Pictures(Box<Loader>),
    Tokens(TokenBatches<'a>),
}

/// One rank's share of a batch, as tokens.
pub struct Tokens {
    /// Which batch it is.
    pub place: Place,
    /// The class of each image.
    pub labels: Vec<u32>,
    /// L tokens of each.
    pub tokens: Vec<u32>,
    /// Pictures that were found broken on the way here.
    pub broken: Vec<BrokenPicture>,
}

impl DataSet {
    /// How many items there are.
    pub fn items(&self) -> usize {
        match self {
            Self::Pictures { folder, .. } => folder.pictures(),
            Self::Tokens(set) => set.pictures(),
        }
    }

    /// Has pictures read ahead by so many threads.
    pub fn read_by(&mut self, threads: usize) {
        if let Self::Pictures { workers, .. } = self {
            *workers = threads;
        }
    }

    /// The batches of `plan` from `from` to the end of the epoch before `until`.
    ///
    /// # Errors
    /// If an epoch has no such batch, or threads cannot be started.
    pub fn batches(&self, plan: &Plan, from: Place, until: u32) -> Result<Batches<'_>, TrainError> {
        let source = match self {
            Self::Pictures { folder, views, workers } => {
                let folder = Arc::clone(folder);
                let loader = Loader::start(folder, *plan, *views, *workers, from, until)?;
                Source::Pictures(Box::new(loader))
            }
            Self::Tokens(set) => Source::Tokens(set.batches(plan, from, until)?),
        };
        Ok(Batches { source })
    }
}

impl Batches<'_> {
    /// The next batch; pictures are turned into tokens by the VQVAE of `engine`.
    ///
    /// # Errors
    /// If no picture can be read, or the VQVAE cannot take them.
    pub fn next(&mut self, engine: &mut Engine<'_>) -> Result<Option<Tokens>, TrainError> {
        match &mut self.source {
            Source::Pictures(loader) => {
                let Some(batch) = loader.next().transpose()? else { return Ok(None) };
                let mut tokens = Vec::new();
                for views in batch.views.chunks(ENCODED_TOGETHER) {
                    tokens.extend(engine.encode_batch(views)?.into_iter().flatten());
                }
                let (place, labels, broken) = (batch.place, batch.labels, batch.broken);
                Ok(Some(Tokens { place, labels, tokens, broken }))
            }
            Source::Tokens(batches) => Ok(batches.next().map(|batch| Tokens {
                place: batch.place,
                labels: batch.labels,
                tokens: batch.tokens,
                broken: Vec::new(),
            })),
        }
    }
}

/// Cuts images into lessons of at most `images` each.
///
/// # Errors
/// If the tokens are not of the VQVAE of `engine`.
pub fn lessons(
    engine: &mut Engine<'_>,
    labels: &[u32],
    tokens: &[u32],
    images: usize,
) -> Result<Vec<Lesson>, TrainError> {
    if labels.is_empty() {
        return Ok(Vec::new());
    }
    let length = tokens.len() / labels.len();
    let parts = labels.chunks(images).zip(tokens.chunks(images * length));
    parts
        .map(|(labels, tokens)| {
            let input = engine.teacher_input(tokens)?;
            Ok(Lesson { labels: labels.to_vec(), tokens: tokens.to_vec(), input })
        })
        .collect()
}
