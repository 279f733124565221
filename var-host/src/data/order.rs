//! The order of an epoch: every item once, shuffled by (seed, epoch) alone.

use super::random::{RngStream, below_wide, words};

/// The items of an epoch in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochOrder {
    items: u32,
    /// None: as they are.
    shuffled: Option<Vec<u32>>,
}

impl EpochOrder {
    /// The items as they are.
    pub fn unchanged(items: u32) -> Self {
        Self { items, shuffled: None }
    }

    /// The items shuffled (Fisher and Yates) by the random numbers of `seed` and `epoch`.
    pub fn shuffled(items: u32, seed: u64, epoch: u32) -> Self {
        let mut order: Vec<u32> = (0..items).collect();
        let mut numbers = [0; 4];
        for (step, last) in (1..items).rev().enumerate() {
            if step % 2 == 0 {
                numbers = words(seed, RngStream::EpochOrder, epoch, step as u32 / 2, 0);
            }
            let [high, low] = if step % 2 == 0 { [0, 1] } else { [2, 3] };
            let other = below_wide(numbers[high], numbers[low], last + 1);
            order.swap(last as usize, other as usize);
        }
        Self { items, shuffled: Some(order) }
    }

    /// How many items there are.
    pub fn items(&self) -> u32 {
        self.items
    }

    /// The item at `position`.
    ///
    /// # Panics
    /// If there are not so many.
    #[track_caller]
    pub fn item(&self, position: u32) -> u32 {
        assert!(position < self.items, "order: position {position} of {}", self.items);
        self.shuffled.as_ref().map_or(position, |order| order[position as usize])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(order: &EpochOrder) -> Vec<u32> {
        (0..order.items()).map(|position| order.item(position)).collect()
    }

    #[test]
    fn definition_holds() {
        // By hand for three items: the last swaps with one of three, then the middle with one of two.
        let numbers = var_kernel::sample::random::Philox::new(9).words([0, 0, 4, 0xffff_fffe]);
        let wide = |a: u32, b: u32| f64::from(a) / 2_f64.powi(32) + f64::from(b) / 2_f64.powi(64);
        let mut expected = [0, 1, 2];
        expected.swap(2, (wide(numbers[0], numbers[1]) * 3.0) as usize);
        expected.swap(1, (wide(numbers[2], numbers[3]) * 2.0) as usize);
        assert_eq!(list(&EpochOrder::shuffled(3, 9, 4)), expected);
    }

    #[test]
    fn every_place_is_as_likely() {
        // Where item 0 of 8 comes to lie in 8000 epochs: 1000 times each, ± 5 standard deviations.
        let mut counts = [0_i32; 8];
        for epoch in 0..8000 {
            let order = list(&EpochOrder::shuffled(8, 1, epoch));
            counts[order.iter().position(|item| *item == 0).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (count - 1000).abs() < 148), "{counts:?}");
    }

    #[test]
    fn orders_of_none_and_one_item_are_orders() {
        assert!(list(&EpochOrder::shuffled(0, 3, 0)).is_empty());
        assert_eq!(list(&EpochOrder::shuffled(1, 3, 0)), [0]);
    }

    proptest! {
        #[test]
        fn order_is_a_permutation(items in 0_u32..300, seed: u64, epoch: u32) {
            let order = EpochOrder::shuffled(items, seed, epoch);
            let mut sorted = list(&order);
            prop_assert_eq!(&order, &EpochOrder::shuffled(items, seed, epoch));
            sorted.sort_unstable();
            prop_assert_eq!(sorted, list(&EpochOrder::unchanged(items)));
        }

        #[test]
        fn seeds_and_epochs_have_orders_of_their_own(seed: u64, other: u64, epoch in 0_u32..9) {
            let order = EpochOrder::shuffled(100, seed, epoch);
            prop_assert_ne!(&order, &EpochOrder::shuffled(100, seed, epoch + 1));
            prop_assume!(seed != other);
            prop_assert_ne!(&order, &EpochOrder::shuffled(100, other, epoch));
        }
    }
}
