//! Which items make up each batch of each rank.

use core::ops::Range;
use std::sync::Arc;

use super::{DataError, EpochOrder};

/// Purpose of a pass over a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplerMode {
    /// All batches of an epoch are of one size: its last items, too few for a batch, are dropped.
    /// A broken image is replaced by the next one of the epoch that can be read.
    Training,
    /// Every item once; the last batch may be smaller. A broken image is left out.
    Validation,
}

/// How a data set is dealt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplerConfig {
    /// Its purpose.
    pub pass: SamplerMode,
    /// Items in a batch, of all ranks together.
    pub batch: u32,
    /// The number of this rank, from 0.
    pub rank: u32,
    /// How many ranks share each batch.
    pub ranks: u32,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Whether every epoch has an order of its own.
    pub shuffle: bool,
}

/// A batch of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchCursor {
    /// The epoch, from 0.
    pub epoch: u32,
    /// The batch within it, from 0.
    pub batch: u32,
}

/// The batches of one rank in a data set of a known size.
///
/// Each global batch is the next [`batch`](SamplerConfig::batch) positions of the epoch, and a rank has
/// the contiguous part of it that its number says: `R` ranks of `n` items see, in the order of
/// their numbers, the items of one rank of `R · n`.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchSampler {
    items: u32,
    config: SamplerConfig,
    balance: Option<Balance>,
}

/// Classes evened out.
#[derive(Clone, Debug, PartialEq)]
struct Balance {
    /// The class of each item.
    labels: Arc<[u32]>,
    strength: f64,
}

impl BatchSampler {
    /// Deals out `items` items.
    ///
    /// # Panics
    /// If the batch or the number of ranks is zero, or the rank is not below the number of ranks.
    ///
    /// # Errors
    /// If there are more than 2³² − 1 items, too few for one batch of training, or if a batch of
    /// training cannot be shared evenly.
    #[track_caller]
    pub fn new(items: usize, config: SamplerConfig) -> Result<Self, DataError> {
        let SamplerConfig { pass, batch, rank, ranks, .. } = config;
        assert!(batch > 0, "plan: a batch of none");
        assert!(rank < ranks, "plan: rank {rank} of {ranks}");
        let has = items;
        let items = u32::try_from(has).map_err(|_| DataError::TooMany { has })?;
        let wants = match pass {
            SamplerMode::Training => batch,
            SamplerMode::Validation => 1,
        };
        if items < wants {
            return Err(DataError::TooFew { wants, has: items });
        }
        if pass == SamplerMode::Training && batch % ranks != 0 {
            return Err(DataError::Uneven { batch, ranks });
        }
        Ok(Self { items, config, balance: None })
    }

    /// Deals out items of rare classes more often, as [`EpochOrder::balanced`] does, where every epoch has an
    /// order of its own. `labels`: the class of each item.
    ///
    /// # Panics
    /// If there are not as many labels as items.
    #[track_caller]
    pub fn balanced(self, labels: Arc<[u32]>, strength: f64) -> Self {
        assert_eq!(labels.len(), self.items as usize, "plan: one label for each item");
        Self { balance: Some(Balance { labels, strength }), ..self }
    }

    /// How many items there are.
    pub fn items(&self) -> u32 {
        self.items
    }

    /// How it is dealt out.
    pub fn config(&self) -> &SamplerConfig {
        &self.config
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> u32 {
        match self.config.pass {
            SamplerMode::Training => self.items / self.config.batch,
            SamplerMode::Validation => self.items.div_ceil(self.config.batch),
        }
    }

    /// This rank's positions of batch number `batch`. Those of a last, smaller batch may be none.
    ///
    /// # Panics
    /// If an epoch has not so many batches.
    #[track_caller]
    pub fn positions(&self, batch: u32) -> Range<u32> {
        let batches = self.batches();
        assert!(batch < batches, "plan: batch {batch} of {batches}");
        let SamplerConfig { batch: size, rank, ranks, .. } = self.config;
        let start = batch * size;
        let has = u64::from(size.min(self.items - start));
        let part = |rank: u32| start + (has * u64::from(rank) / u64::from(ranks)) as u32;
        part(rank)..part(rank + 1)
    }

    /// The most items this rank has in a batch.
    pub fn most_per_batch(&self) -> usize {
        let SamplerConfig { batch, ranks, .. } = self.config;
        batch.min(self.items).div_ceil(ranks) as usize
    }

    /// The order of an epoch.
    pub fn order(&self, epoch: u32) -> EpochOrder {
        let SamplerConfig { seed, shuffle, .. } = self.config;
        match &self.balance {
            _ if !shuffle => EpochOrder::unchanged(self.items),
            Some(Balance { labels, strength }) => {
                EpochOrder::balanced(labels, *strength, seed, epoch)
            }
            None => EpochOrder::shuffled(self.items, seed, epoch),
        }
    }

    /// The batch after `place`.
    pub fn after(&self, place: BatchCursor) -> BatchCursor {
        match place {
            BatchCursor { epoch, batch } if batch + 1 < self.batches() => {
                BatchCursor { epoch, batch: batch + 1 }
            }
            BatchCursor { epoch, .. } => BatchCursor { epoch: epoch + 1, batch: 0 },
        }
    }

    /// Walks this rank's positions from `from` to the end of the epoch before `until`.
    ///
    /// # Errors
    /// If an epoch has not so many batches as `from` says. The end of an epoch is the start of the
    /// next.
    pub(super) fn walk(&self, from: BatchCursor, until: u32) -> Result<SamplerIter, DataError> {
        let batches = self.batches();
        let from = match from {
            BatchCursor { epoch, batch } if batch == batches => {
                BatchCursor { epoch: epoch + 1, batch: 0 }
            }
            BatchCursor { batch, .. } if batch > batches => {
                return Err(DataError::NoSuchBatch { wants: batch, has: batches });
            }
            inside => inside,
        };
        Ok(SamplerIter { sampler: self.clone(), next: from, until, current: None })
    }
}

/// One item of a walk.
#[derive(Clone, Debug)]
pub(super) struct SampledItem {
    /// The batch it is for.
    pub(super) place: BatchCursor,
    /// Its position in the epoch.
    pub(super) position: u32,
    /// The epoch's order.
    pub(super) order: Arc<EpochOrder>,
}

/// The steps of one rank through epochs.
#[derive(Clone, Debug)]
pub(super) struct SamplerIter {
    sampler: BatchSampler,
    /// The batch to begin next.
    next: BatchCursor,
    until: u32,
    /// The batch under way, the rest of it, and the order of its epoch.
    current: Option<(BatchCursor, Range<u32>, Arc<EpochOrder>)>,
}

impl SamplerIter {
    /// The batch to begin next, none at the end.
    pub(super) fn next_batch(&self) -> Option<BatchCursor> {
        (self.next.epoch < self.until).then_some(self.next)
    }

    /// Begins the next batch: its place, positions and order.
    pub(super) fn begin_batch(&mut self) -> Option<(BatchCursor, Range<u32>, Arc<EpochOrder>)> {
        let place = self.next_batch()?;
        self.next = self.sampler.after(place);
        let order = match self.current.take() {
            Some((before, _, order)) if before.epoch == place.epoch => order,
            _ => Arc::new(self.sampler.order(place.epoch)),
        };
        let begun = (place, self.sampler.positions(place.batch), order);
        self.current = Some(begun.clone());
        Some(begun)
    }
}

impl Iterator for SamplerIter {
    type Item = SampledItem;

    fn next(&mut self) -> Option<SampledItem> {
        loop {
            if let Some((place, left, order)) = &mut self.current
                && let Some(position) = left.next()
            {
                return Some(SampledItem { place: *place, position, order: Arc::clone(order) });
            }
            self.begin_batch()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn training(batch: u32, rank: u32, ranks: u32) -> SamplerConfig {
        SamplerConfig { pass: SamplerMode::Training, batch, rank, ranks, seed: 5, shuffle: true }
    }

    fn items(
        sampler: &BatchSampler,
        from: BatchCursor,
        until: u32,
    ) -> Vec<(BatchCursor, u32, u32)> {
        let walk = sampler.walk(from, until).unwrap();
        walk.map(|step| (step.place, step.position, step.order.item(step.position))).collect()
    }

    const START: BatchCursor = BatchCursor { epoch: 0, batch: 0 };

    #[test]
    fn faults_name_both_numbers() {
        let fault = |items, config| BatchSampler::new(items, config).unwrap_err().to_string();
        assert_eq!(fault(7, training(8, 0, 1)), "wants at least 8 images for a batch, has 7");
        assert_eq!(fault(9, training(8, 2, 3)), "a batch of 8 cannot be shared evenly by 3 ranks");
        let validation = SamplerConfig { pass: SamplerMode::Validation, ..training(8, 2, 3) };
        assert_eq!(fault(0, validation), "wants at least 1 image for a batch, has 0");
        let sampler = BatchSampler::new(7, validation).unwrap();
        let beyond = sampler.walk(BatchCursor { epoch: 3, batch: 2 }, 9).unwrap_err();
        assert_eq!(beyond.to_string(), "is to go on at batch 2 of an epoch, which has 1");
        let after = sampler.walk(BatchCursor { epoch: 3, batch: 1 }, 9).unwrap().next_batch();
        assert_eq!(after, Some(BatchCursor { epoch: 4, batch: 0 }));
    }

    proptest! {
        #[test]
        fn ranks_together_see_what_one_sees(
            size in 1_u32..7, of in 1_u32..5, more in 0_u32..40, shuffle: bool, whole: bool,
        ) {
            let pass = if whole { SamplerMode::Validation } else { SamplerMode::Training };
            let total = size * of + more;
            let sampler = |rank, ranks| {
                let config = SamplerConfig { pass, shuffle, ..training(size * of, rank, ranks) };
                BatchSampler::new(total as usize, config).unwrap()
            };
            let alone = items(&sampler(0, 1), START, 2);
            let mut together: Vec<_> =
                (0..of).flat_map(|rank| items(&sampler(rank, of), START, 2)).collect();
            together.sort_unstable_by_key(|(place, position, _)| (*place, *position));
            prop_assert_eq!(alone, together);
        }

        #[test]
        fn epoch_has_each_item_once(
            total in 1_u32..60, batch in 1_u32..9, shuffle: bool, whole: bool,
        ) {
            let pass = if whole { SamplerMode::Validation } else { SamplerMode::Training };
            let sampler = BatchSampler::new(total as usize, SamplerConfig { pass, shuffle, ..training(batch, 0, 1) });
            prop_assume!(sampler.is_ok());
            let sampler = sampler.unwrap();
            let mut seen: Vec<u32> = items(&sampler, START, 1).iter().map(|step| step.2).collect();
            let expected = if whole { total } else { total / batch * batch };
            prop_assert_eq!(seen.len(), expected as usize);
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), expected as usize);
        }

        #[test]
        fn resuming_goes_on_as_if_unbroken(
            total in 1_u32..40, batch in 1_u32..9, epoch in 0_u32..3, at in 0_u32..40, whole: bool,
        ) {
            let pass = if whole { SamplerMode::Validation } else { SamplerMode::Training };
            let sampler = BatchSampler::new(total as usize, SamplerConfig { pass, ..training(batch, 0, 1) });
            prop_assume!(sampler.is_ok());
            let sampler = sampler.unwrap();
            let from = BatchCursor { epoch, batch: at % sampler.batches() };
            let mut unbroken = items(&sampler, START, 4);
            unbroken.retain(|(place, ..)| *place >= from);
            prop_assert_eq!(items(&sampler, from, 4), unbroken);
        }
    }
}
