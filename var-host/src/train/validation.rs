//! The data to validate on, batch by batch: memory does not grow with it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::TrainError;
use super::dataset::{BatchIter, DataSet};
use crate::data::{BatchCursor, BatchSampler, SamplerMode, TokenBatch};
use crate::engine::Engine;

/// One rank's data to validate on.
///
/// Images go through the VQVAE once; their tokens are kept in a temporary file, 4 bytes each. Tokens
/// are read from their own file. The features that a transformer learns from, 32 times as large, are made
/// anew in every walk.
pub struct ValidationSet<'a> {
    set: &'a DataSet,
    plan: BatchSampler,
    /// The most images of a microbatch.
    images: usize,
    source: TokenSource<'a>,
    kept: Option<TokenCache>,
}

enum TokenSource<'a> {
    /// Not begun, or at its end.
    Idle,
    BatchIter(BatchIter<'a>),
    /// Tokens that were kept, from this image on.
    TokenCache(usize),
}

impl<'a> ValidationSet<'a> {
    /// The batches of `plan` to be evaluated in microbatches of at most `images` images.
    ///
    /// # Panics
    /// If `plan` is not of a validation, or there are no images in a microbatch.
    pub fn new(set: &'a DataSet, plan: BatchSampler, images: usize) -> Self {
        assert_eq!(plan.config().pass, SamplerMode::Validation, "a walk over every item once");
        assert!(images > 0, "validation: microbatches of no images");
        Self { set, plan, images, source: TokenSource::Idle, kept: None }
    }

    /// The most images of a microbatch.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Begins a walk over all of it. One that was not ended before counts for nothing.
    ///
    /// # Errors
    /// If the data cannot be read, or there is no place for temporary files.
    pub fn begin(&mut self) -> Result<(), TrainError> {
        if self.kept.as_ref().is_some_and(|kept| kept.whole) {
            self.source = TokenSource::TokenCache(0);
            return Ok(());
        }
        let is_pictures = matches!(self.set, DataSet::Images { .. });
        self.kept = is_pictures.then(TokenCache::new).transpose()?;
        let start = BatchCursor { epoch: 0, batch: 0 };
        self.source = TokenSource::BatchIter(self.set.batches(&self.plan, start, 1)?);
        Ok(())
    }

    /// The next batch; none at the end.
    ///
    /// # Errors
    /// As [`BatchIter::next`], and if the temporary file cannot be written or read.
    pub fn next(&mut self, engine: &mut Engine<'_>) -> Result<Option<TokenBatch>, TrainError> {
        match &mut self.source {
            TokenSource::Idle => Ok(None),
            TokenSource::BatchIter(batches) => {
                let Some(batch) = batches.next(engine)? else {
                    self.kept.iter_mut().for_each(|kept| kept.whole = true);
                    self.source = TokenSource::Idle;
                    return Ok(None);
                };
                if let Some(kept) = &mut self.kept {
                    kept.push(&batch)?;
                }
                Ok(Some(batch))
            }
            TokenSource::TokenCache(at) => {
                let kept = self.kept.as_ref().expect("a walk over what was kept");
                let count = self.images.min(kept.images - *at);
                if count == 0 {
                    self.source = TokenSource::Idle;
                    return Ok(None);
                }
                let batch = kept.read(*at, count)?;
                *at += count;
                Ok(Some(batch))
            }
        }
    }
}

/// Labels and tokens of images in a file without a name: of each image its label, then its tokens.
struct TokenCache {
    file: File,
    images: usize,
    /// Numbers of an image.
    width: usize,
    /// A walk came to its end.
    whole: bool,
}

impl TokenCache {
    fn new() -> Result<Self, TrainError> {
        let file = tempfile::tempfile().map_err(|source| fault(0, source))?;
        Ok(Self { file, images: 0, width: 0, whole: false })
    }

    fn push(&mut self, batch: &TokenBatch) -> Result<(), TrainError> {
        let TokenBatch { labels, tokens, .. } = batch;
        if labels.is_empty() {
            return Ok(());
        }
        let length = tokens.len() / labels.len();
        self.width = 1 + length;
        let rows = labels.iter().zip(tokens.chunks_exact(length));
        let numbers: Vec<u32> =
            rows.flat_map(|(label, tokens)| [&[*label], tokens].concat()).collect();
        let written = self.file.write_all(bytemuck::cast_slice(&numbers));
        written.map_err(|source| fault(self.images, source))?;
        self.images += labels.len();
        Ok(())
    }

    fn read(&self, first: usize, count: usize) -> Result<TokenBatch, TrainError> {
        let mut numbers = vec![0_u32; count * self.width];
        let start = size_of::<u32>() * first * self.width;
        let mut read = || {
            let mut file = &self.file;
            file.seek(SeekFrom::Start(start as u64))?;
            file.read_exact(bytemuck::cast_slice_mut(&mut numbers))
        };
        read().map_err(|source| fault(self.images, source))?;
        let mut batch = TokenBatch::default();
        for row in numbers.chunks_exact(self.width) {
            batch.labels.push(row[0]);
            batch.tokens.extend(&row[1..]);
        }
        Ok(batch)
    }
}

fn fault(images: usize, source: io::Error) -> TrainError {
    TrainError::Kept { images, source }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use var_kernel::cpu::Isa;

    use super::*;
    use crate::data::{CropPositions, CropSpec, Flip, Folder, SamplerConfig};
    use crate::images::{RgbImage, write_png};
    use crate::train::dataset::microbatches;

    /// Ten images of two classes, two of them broken.
    fn set(folder: &Path) -> DataSet {
        for number in 0..10_u8 {
            let class = folder.join(["a", "b"][usize::from(number / 5)]);
            fs::create_dir_all(&class).unwrap();
            let path = class.join(format!("{number}.png"));
            if number % 5 == 3 {
                fs::write(path, "no image").unwrap();
            } else {
                let picture = RgbImage::filled(32, 32, [25 * number, 40, 200 - 20 * number]);
                write_png(&path, &picture, &Default::default(), false).unwrap();
            }
        }
        let crop_spec =
            CropSpec { side: 32, resize: 1.0, crops: CropPositions::Center, flip: Flip::Never };
        DataSet::Images { folder: Arc::new(Folder::open(folder).unwrap()), crop_spec, workers: 1 }
    }

    fn plan(items: usize) -> BatchSampler {
        let pass = SamplerMode::Validation;
        let batching = SamplerConfig { pass, batch: 4, rank: 0, ranks: 1, seed: 0, shuffle: false };
        BatchSampler::new(items, batching).unwrap()
    }

    /// All microbatches as one, the images of each, and how many images were told to be broken.
    fn walk(
        validation: &mut ValidationSet<'_>,
        engine: &mut Engine<'_>,
    ) -> (Vec<u32>, Vec<u32>, Vec<usize>, usize) {
        let mut all = (Vec::new(), Vec::new(), Vec::new(), 0);
        validation.begin().unwrap();
        while let Some(batch) = validation.next(engine).unwrap() {
            all.3 += batch.broken.len();
            for microbatch in microbatches(&batch, 1) {
                all.2.push(microbatch.labels.len());
                all.0.extend(microbatch.labels);
                all.1.extend(microbatch.tokens);
            }
        }
        all
    }

    /// Audit 7: in memory is one microbatch, however many images there are; every walk has the same
    /// numbers, also after one that was broken off.
    #[test]
    fn validation_is_walked_in_microbatches_and_kept_as_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let set = set(folder.path());
        let file = "../fixtures/fashion_reference.safetensors";
        let weights = crate::model::Weights::open(file.as_ref(), &Default::default()).unwrap();
        let mut engine = Engine::new(&weights, 1, Isa::best()).unwrap();
        let mut validation = ValidationSet::new(&set, plan(10), 1);
        validation.begin().unwrap();
        assert!(validation.next(&mut engine).unwrap().is_some());
        let first = walk(&mut validation, &mut engine);
        assert_eq!((&first.0[..], first.3), (&[0, 0, 0, 0, 1, 1, 1, 1][..], 2));
        assert_eq!(first.1.len(), 8 * 30);
        // Images and VQVAE are not asked again.
        fs::remove_dir_all(folder.path().join("a")).unwrap();
        let second = walk(&mut validation, &mut engine);
        assert!(first.0 == second.0 && first.1 == second.1);
        assert_eq!((&second.2[..], second.3), (&[1; 8][..], 0));
        assert_eq!(first.2, second.2);
        // 4 bytes a token and a label on disk; none of it in memory between two walks.
        let kept = validation.kept.as_ref().unwrap();
        assert_eq!(kept.file.metadata().unwrap().len(), 8 * 31 * 4);
    }
}
