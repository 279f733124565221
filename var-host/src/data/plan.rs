//! Which items make up each batch of each rank.

use core::ops::Range;
use std::sync::Arc;

use super::{DataError, Order};

/// Purpose of a pass over a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// All batches of an epoch are of one size: its last items, too few for a batch, are dropped.
    /// A broken picture is replaced by the next one of the epoch that can be read.
    Training,
    /// Every item once; the last batch may be smaller. A broken picture is left out.
    Validation,
}

/// How a data set is dealt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Its purpose.
    pub pass: Pass,
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
pub struct Place {
    /// The epoch, from 0.
    pub epoch: u32,
    /// The batch within it, from 0.
    pub batch: u32,
}

/// The batches of one rank in a data set of a known size.
///
/// Each global batch is the next [`batch`](Batching::batch) positions of the epoch, and a rank has
/// the contiguous part of it that its number says: `R` ranks of `n` items see, in the order of
/// their numbers, the items of one rank of `R · n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    items: u32,
    batching: Batching,
}

impl Plan {
    /// Deals out `items` items.
    ///
    /// # Panics
    /// If the batch or the number of ranks is zero, or the rank is not below the number of ranks.
    ///
    /// # Errors
    /// If there are more than 2³² − 1 items, too few for one batch of training, or if a batch of
    /// training cannot be shared evenly.
    #[track_caller]
    pub fn new(items: usize, batching: Batching) -> Result<Self, DataError> {
        let Batching { pass, batch, rank, ranks, .. } = batching;
        assert!(batch > 0, "plan: a batch of none");
        assert!(rank < ranks, "plan: rank {rank} of {ranks}");
        let has = items;
        let items = u32::try_from(has).map_err(|_| DataError::TooMany { has })?;
        let wants = match pass {
            Pass::Training => batch,
            Pass::Validation => 1,
        };
        if items < wants {
            return Err(DataError::TooFew { wants, has: items });
        }
        if pass == Pass::Training && batch % ranks != 0 {
            return Err(DataError::Uneven { batch, ranks });
        }
        Ok(Self { items, batching })
    }

    /// How many items there are.
    pub fn items(&self) -> u32 {
        self.items
    }

    /// How it is dealt out.
    pub fn batching(&self) -> &Batching {
        &self.batching
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> u32 {
        match self.batching.pass {
            Pass::Training => self.items / self.batching.batch,
            Pass::Validation => self.items.div_ceil(self.batching.batch),
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
        let Batching { batch: size, rank, ranks, .. } = self.batching;
        let start = batch * size;
        let has = u64::from(size.min(self.items - start));
        let part = |rank: u32| start + (has * u64::from(rank) / u64::from(ranks)) as u32;
        part(rank)..part(rank + 1)
    }

    /// The most items this rank has in a batch.
    pub fn most_per_batch(&self) -> usize {
        let Batching { batch, ranks, .. } = self.batching;
        batch.min(self.items).div_ceil(ranks) as usize
    }

    /// The order of an epoch.
    pub fn order(&self, epoch: u32) -> Order {
        let Batching { seed, shuffle, .. } = self.batching;
        if shuffle {
            Order::shuffled(self.items, seed, epoch)
        } else {
            Order::unchanged(self.items)
        }
    }

    /// The batch after `place`.
    pub fn after(&self, place: Place) -> Place {
        match place {
            Place { epoch, batch } if batch + 1 < self.batches() => {
                Place { epoch, batch: batch + 1 }
            }
            Place { epoch, .. } => Place { epoch: epoch + 1, batch: 0 },
        }
    }

    /// Walks this rank's positions from `from` to the end of the epoch before `until`.
    ///
    /// # Errors
    /// If an epoch has not so many batches as `from` says. The end of an epoch is the start of the
    /// next.
    pub(super) fn walk(&self, from: Place, until: u32) -> Result<Walk, DataError> {
        let batches = self.batches();
        let from = match from {
            Place { epoch, batch } if batch == batches => Place { epoch: epoch + 1, batch: 0 },
            Place { batch, .. } if batch > batches => {
                return Err(DataError::NoSuchBatch { wants: batch, has: batches });
            }
            inside => inside,
        };
        Ok(Walk { plan: *self, next: from, until, current: None })
    }
}

/// One item of a walk.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The batch it is for.
    pub(super) place: Place,
    /// Its position in the epoch.
    pub(super) position: u32,
    /// The epoch's order.
    pub(super) order: Arc<Order>,
}

/// The steps of one rank through epochs.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    plan: Plan,
    /// The batch to begin next.
    next: Place,
    until: u32,
    /// The batch under way, the rest of it, and the order of its epoch.
    current: Option<(Place, Range<u32>, Arc<Order>)>,
}

impl Walk {
    /// The batch to begin next, none at the end.
    pub(super) fn next_batch(&self) -> Option<Place> {
        (self.next.epoch < self.until).then_some(self.next)
    }

    /// Begins the next batch: its place, positions and order.
    pub(super) fn begin_batch(&mut self) -> Option<(Place, Range<u32>, Arc<Order>)> {
        let place = self.next_batch()?;
        self.next = self.plan.after(place);
        let order = match self.current.take() {
            Some((before, _, order)) if before.epoch == place.epoch => order,
            _ => Arc::new(self.plan.order(place.epoch)),
        };
        let begun = (place, self.plan.positions(place.batch), order);
        self.current = Some(begun.clone());
        Some(begun)
    }
}

impl Iterator for Walk {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            if let Some((place, left, order)) = &mut self.current
                && let Some(position) = left.next()
            {
                return Some(Step { place: *place, position, order: Arc::clone(order) });
            }
            self.begin_batch()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn training(batch: u32, rank: u32, ranks: u32) -> Batching {
        Batching { pass: Pass::Training, batch, rank, ranks, seed: 5, shuffle: true }
    }

    fn items(plan: &Plan, from: Place, until: u32) -> Vec<(Place, u32, u32)> {
        let walk = plan.walk(from, until).unwrap();
        walk.map(|step| (step.place, step.position, step.order.item(step.position))).collect()
    }

    const START: Place = Place { epoch: 0, batch: 0 };

    #[test]
    fn faults_name_both_numbers() {
        let fault = |items, batching| Plan::new(items, batching).unwrap_err().to_string();
        assert_eq!(fault(7, training(8, 0, 1)), "wants at least 8 pictures for a batch, has 7");
        assert_eq!(fault(9, training(8, 2, 3)), "a batch of 8 cannot be shared evenly by 3 ranks");
        let validation = Batching { pass: Pass::Validation, ..training(8, 2, 3) };
        assert_eq!(fault(0, validation), "wants at least 1 picture for a batch, has 0");
        let plan = Plan::new(7, validation).unwrap();
        let beyond = plan.walk(Place { epoch: 3, batch: 2 }, 9).unwrap_err();
        assert_eq!(beyond.to_string(), "is to go on at batch 2 of an epoch, which has 1");
        let after = plan.walk(Place { epoch: 3, batch: 1 }, 9).unwrap().next_batch();
        assert_eq!(after, Some(Place { epoch: 4, batch: 0 }));
    }

    proptest! {
        #[test]
        fn ranks_together_see_what_one_sees(
            size in 1_u32..7, of in 1_u32..5, more in 0_u32..40, shuffle: bool, whole: bool,
        ) {
            let pass = if whole { Pass::Validation } else { Pass::Training };
            let total = size * of + more;
            let plan = |rank, ranks| {
                let batching = Batching { pass, shuffle, ..training(size * of, rank, ranks) };
                Plan::new(total as usize, batching).unwrap()
            };
            let alone = items(&plan(0, 1), START, 2);
            let mut together: Vec<_> =
                (0..of).flat_map(|rank| items(&plan(rank, of), START, 2)).collect();
            together.sort_unstable_by_key(|(place, position, _)| (*place, *position));
            prop_assert_eq!(alone, together);
        }

        #[test]
        fn an_epoch_has_each_item_once(
            total in 1_u32..60, batch in 1_u32..9, shuffle: bool, whole: bool,
        ) {
            let pass = if whole { Pass::Validation } else { Pass::Training };
            let plan = Plan::new(total as usize, Batching { pass, shuffle, ..training(batch, 0, 1) });
            prop_assume!(plan.is_ok());
            let plan = plan.unwrap();
            let mut seen: Vec<u32> = items(&plan, START, 1).iter().map(|step| step.2).collect();
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
            let pass = if whole { Pass::Validation } else { Pass::Training };
            let plan = Plan::new(total as usize, Batching { pass, ..training(batch, 0, 1) });
            prop_assume!(plan.is_ok());
            let plan = plan.unwrap();
            let from = Place { epoch, batch: at % plan.batches() };
            let mut unbroken = items(&plan, START, 4);
            unbroken.retain(|(place, ..)| *place >= from);
            prop_assert_eq!(items(&plan, from, 4), unbroken);
        }
    }
}
