//! Sequences of a batch with the same class: its AdaLN parameters are computed once.

use crate::memory::Floats;
use crate::ops::Backend;

/// Sequences that are told apart at most; they are numbered on the stack.
const MOST: usize = 256;

/// The conditions of a batch in which some are the same.
pub(super) struct SharedConditions {
    /// Each label once, in the order they first come.
    labels: [u32; MOST],
    conditions: usize,
    /// Which of them is each sequence's.
    of: [u32; MOST],
    sequences: usize,
}

impl SharedConditions {
    /// The conditions of `labels` and, with guidance, of as many sequences of the class `null`; none if
    /// no two are the same, or there are too many sequences to tell.
    pub(super) fn find(labels: &[u32], null: Option<u32>) -> Option<Self> {
        let nulls = null.map_or(0, |_| labels.len());
        let sequences = labels.len() + nulls;
        if sequences > MOST {
            return None;
        }
        let mut shared = Self { labels: [0; MOST], conditions: 0, of: [0; MOST], sequences };
        let all = labels.iter().copied().chain(null.into_iter().cycle().take(nulls));
        for (number, label) in all.enumerate() {
            let known = &shared.labels[..shared.conditions];
            let condition = known.iter().position(|known| *known == label).unwrap_or_else(|| {
                shared.labels[shared.conditions] = label;
                shared.conditions += 1;
                shared.conditions - 1
            });
            shared.of[number] = condition as u32;
        }
        (shared.conditions < sequences).then_some(shared)
    }

    /// How many conditions there are.
    pub(super) fn conditions(&self) -> usize {
        self.conditions
    }

    /// `out[c] = table[label of condition c]`
    ///
    /// `table`: rows of `width`. `out`: `conditions × width`.
    pub(super) fn look_up<B: Backend>(
        &self,
        b: &B,
        out: &mut B::Slice,
        table: &B::Slice,
        width: usize,
    ) -> Result<(), B::Error> {
        b.embedding(out, table, &self.labels[..self.conditions], width)
    }

    /// `out[n] = rows[condition of sequence n]`
    ///
    /// `rows`: `conditions × width`. `out`: `sequences × width`.
    pub(super) fn spread<B: Backend>(
        &self,
        b: &B,
        out: &mut B::Slice,
        rows: &B::Slice,
        width: usize,
    ) -> Result<(), B::Error> {
        debug_assert_eq!(out.len(), self.sequences * width, "a row for each sequence");
        b.embedding(out, rows, &self.of[..self.sequences], width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_is_one_condition() {
        let shared = SharedConditions::find(&[7, 3, 7, 7, 9], Some(10)).expect("some are the same");
        assert_eq!(shared.labels[..shared.conditions()], [7, 3, 9, 10]);
        assert_eq!(shared.of[..shared.sequences], [0, 1, 0, 0, 2, 3, 3, 3, 3, 3]);
    }

    #[test]
    fn conditions_that_all_differ_share_nothing() {
        assert!(SharedConditions::find(&[1, 2, 3], None).is_none());
        assert!(SharedConditions::find(&[1], Some(5)).is_none());
        assert!(SharedConditions::find(&[1, 1], None).is_some());
        assert!(SharedConditions::find(&[1; MOST + 1], None).is_none(), "too many to tell");
    }
}
