//! Counters of a trainer's state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::optim::LossScale;

/// A counter of a trainer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Counter {
    /// Number of events.
    Count(u64),
    /// A loss scale and its good steps.
    LossScale(f32, u32),
}

/// A counter where it lies.
pub enum StateCounter<'t> {
    /// Number of events.
    Count(&'t mut u64),
    /// A loss scale.
    LossScale(&'t mut LossScale),
}

impl StateCounter<'_> {
    fn get(&self) -> Counter {
        match self {
            Self::Count(count) => Counter::Count(**count),
            Self::LossScale(scale) => Counter::LossScale(scale.factor, scale.good_steps),
        }
    }

    /// Whether `other` is a counter of this kind.
    pub(super) fn is_like(&self, other: &Counter) -> bool {
        matches!(
            (self, other),
            (Self::Count(_), Counter::Count(_)) | (Self::LossScale(_), Counter::LossScale(..))
        )
    }

    /// # Panics
    /// If `counter` is of another kind.
    fn set(&mut self, counter: Counter) {
        match (self, counter) {
            (Self::Count(count), Counter::Count(to)) => **count = to,
            (Self::LossScale(scale), Counter::LossScale(factor, good_steps)) => {
                **scale = LossScale { factor, good_steps };
            }
            (_, counter) => panic!("{counter:?} is a counter of another kind"),
        }
    }
}

/// Each counter's value, by name.
pub(super) fn counters(counters: &[(&'static str, StateCounter<'_>)]) -> BTreeMap<String, Counter> {
    counters.iter().map(|(name, counter)| ((*name).to_owned(), counter.get())).collect()
}

/// Sets each counter to that of its name.
///
/// # Panics
/// If one is missing or of another kind.
pub(super) fn set_counters(
    counters: Vec<(&'static str, StateCounter<'_>)>,
    to: &BTreeMap<String, Counter>,
) {
    for (name, mut counter) in counters {
        counter.set(to[name]);
    }
}
