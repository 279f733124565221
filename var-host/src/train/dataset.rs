//! Data → tokens → batches for the transformer.

use std::sync::Arc;

use super::TrainError;
use super::trainer::Microbatch;
use crate::data::{
    BatchCursor, BatchSampler, CropSpec, Folder, Loader, TokenBatch, TokenBatches, TokenSet,
};
use crate::engine::Engine;

/// Images that go through the VQVAE together.
const ENCODED_TOGETHER: usize = 32;

/// A data set as it is found: images, or the tokens made of them.
#[derive(Clone)]
pub enum DataSet {
    /// Images, cut anew in every epoch.
    Images {
        /// Where they are.
        folder: Arc<Folder>,
        /// How they are cut.
        crop_spec: CropSpec,
        /// Threads that read ahead.
        workers: usize,
    },
    /// Tokens.
    Tokens(Arc<TokenSet>),
}

/// The batches of one rank, in order.
pub struct BatchIter<'a> {
    source: BatchSource<'a>,
}

enum BatchSource<'a> {
    Images(Box<Loader>),
    Tokens(TokenBatches<'a>),
}

impl DataSet {
    /// How many items there are.
    pub fn items(&self) -> usize {
        match self {
            Self::Images { folder, .. } => folder.pictures(),
            Self::Tokens(set) => set.pictures(),
        }
    }

    /// The class of each item.
    pub fn labels(&self) -> Vec<u32> {
        match self {
            Self::Images { folder, .. } => folder.labels(),
            Self::Tokens(set) => set.labels(),
        }
    }

    /// Has images read ahead by so many threads.
    pub fn read_by(&mut self, threads: usize) {
        if let Self::Images { workers, .. } = self {
            *workers = threads;
        }
    }

    /// The batches of `plan` from `from` to the end of the epoch before `until`.
    ///
    /// # Errors
    /// If an epoch has no such batch, or threads cannot be started.
    pub fn batches(
        &self,
        plan: &BatchSampler,
        from: BatchCursor,
        until: u32,
    ) -> Result<BatchIter<'_>, TrainError> {
        let source = match self {
            Self::Images { folder, crop_spec, workers } => {
                let folder = Arc::clone(folder);
                let loader =
                    Loader::start(folder, plan.clone(), *crop_spec, *workers, from, until)?;
                BatchSource::Images(Box::new(loader))
            }
            Self::Tokens(set) => BatchSource::Tokens(set.batches(plan, from, until)?),
        };
        Ok(BatchIter { source })
    }
}

impl BatchIter<'_> {
    /// The next batch; images are turned into tokens by the VQVAE of `engine`.
    ///
    /// # Errors
    /// If no image can be read, or the VQVAE cannot take them.
    pub fn next(&mut self, engine: &mut Engine<'_>) -> Result<Option<TokenBatch>, TrainError> {
        match &mut self.source {
            BatchSource::Images(loader) => {
                let Some(batch) = loader.next().transpose()? else { return Ok(None) };
                let mut tokens = Vec::new();
                for crops in batch.crops.chunks(ENCODED_TOGETHER) {
                    tokens.extend(engine.encode_batch(crops)?.into_iter().flatten());
                }
                Ok(Some(TokenBatch { labels: batch.labels, tokens, broken: batch.broken }))
            }
            BatchSource::Tokens(batches) => Ok(batches.next()),
        }
    }
}

/// Cuts a batch into microbatches of at most `images` images each.
pub fn microbatches(batch: &TokenBatch, images: usize) -> impl Iterator<Item = Microbatch<'_>> {
    let TokenBatch { labels, tokens, .. } = batch;
    let length = tokens.len() / labels.len().max(1);
    let parts = labels.chunks(images).zip(tokens.chunks((images * length).max(1)));
    parts.map(|(labels, tokens)| Microbatch { labels, tokens })
}
