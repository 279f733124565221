//! The order of an epoch, by (seed, epoch) alone: every item once, or classes evened out.

use super::random::{RngStream, below_wide, words};

/// How the order of an epoch comes about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OrderOptions {
    /// Whether every epoch has an order of its own.
    pub shuffle: bool,
    /// How far classes are evened out then: see [`EpochOrder::balanced`].
    pub balance: Option<f64>,
}

impl OrderOptions {
    /// Every epoch in the order of the data.
    pub const UNSHUFFLED: Self = Self { shuffle: false, balance: None };
}

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
        shuffle(&mut order, seed, RngStream::EpochOrder, epoch);
        Self { items, shuffled: Some(order) }
    }

    /// As many items, of a class with n of them a share of `n^(1 − balance)`: 0 leaves the classes as they
    /// are, with 1 each is as frequent.
    ///
    /// Of a class that has more items than its share some are left out, others in each epoch; of a rare one
    /// they come several times.
    ///
    /// # Panics
    /// If there are more than 2³² − 1 items, or `balance` is not in 0..=1.
    #[track_caller]
    pub fn balanced(labels: &[u32], balance: f64, seed: u64, epoch: u32) -> Self {
        assert!((0.0..=1.0).contains(&balance), "order: balance {balance} is not in 0..=1");
        let items = u32::try_from(labels.len()).expect("order: at most 2³² − 1 items");
        let classes = labels.iter().max().map_or(0, |most| *most as usize + 1);
        let mut of_class = vec![Vec::new(); classes];
        for item in Self::shuffled(items, seed, epoch).shuffled.unwrap_or_default() {
            of_class[labels[item as usize] as usize].push(item);
        }
        let counts: Vec<usize> = of_class.iter().map(Vec::len).collect();
        let mut order = Vec::with_capacity(labels.len());
        for (items, share) in of_class.iter().zip(shares(&counts, balance)) {
            order.extend(items.iter().cycle().take(share));
        }
        shuffle(&mut order, seed, RngStream::BalancedOrder, epoch);
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

/// Shuffles by Fisher and Yates.
fn shuffle(order: &mut [u32], seed: u64, stream: RngStream, epoch: u32) {
    let mut numbers = [0; 4];
    for (step, last) in (1..order.len() as u32).rev().enumerate() {
        if step % 2 == 0 {
            numbers = words(seed, stream, epoch, step as u32 / 2, 0);
        }
        let [high, low] = if step % 2 == 0 { [0, 1] } else { [2, 3] };
        let other = below_wide(numbers[high], numbers[low], last + 1);
        order.swap(last as usize, other as usize);
    }
}

/// How many items of each class an epoch has: shares of `n^(1 − balance)`, rounded by the largest
/// remainders, of equal ones the first.
fn shares(counts: &[usize], balance: f64) -> Vec<usize> {
    let weight =
        |count: &usize| if *count == 0 { 0.0 } else { libm::pow(*count as f64, 1.0 - balance) };
    let weights: Vec<f64> = counts.iter().map(weight).collect();
    let (items, whole) = (counts.iter().sum::<usize>(), weights.iter().sum::<f64>());
    let exact: Vec<f64> = weights.iter().map(|weight| items as f64 * weight / whole).collect();
    let mut shares: Vec<usize> = exact.iter().map(|share| *share as usize).collect();
    let mut by_remainder: Vec<usize> =
        (0..counts.len()).filter(|class| counts[*class] > 0).collect();
    by_remainder.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()));
    let left = items.saturating_sub(shares.iter().sum());
    by_remainder.iter().cycle().take(left).for_each(|class| shares[*class] += 1);
    shares
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

    #[test]
    fn balance_evens_out_classes() {
        // 90 items of class 0, 9 of class 2, 1 of class 3.
        let labels: Vec<u32> =
            (0..100).map(|item| [0, 2, 3][(item / 90 + item / 99) as usize]).collect();
        let counts = |balance, epoch| {
            let order = list(&EpochOrder::balanced(&labels, balance, 7, epoch));
            let of_class =
                |class| order.iter().filter(|item| labels[**item as usize] == class).count();
            ([0, 1, 2, 3].map(of_class), order)
        };
        assert_eq!(counts(0.0, 0).0, [90, 0, 9, 1]);
        assert_eq!(counts(1.0, 0).0, [34, 0, 33, 33]);
        // Square roots 9.49, 3 and 1 of 13.49.
        assert_eq!(counts(0.5, 0).0, [70, 0, 22, 8]);
        // Each item of a rare class comes as often, and all of a frequent one come in time.
        let (_, order) = counts(1.0, 3);
        let times = |item: &u32| order.iter().filter(|other| *other == item).count();
        assert!((90..99).all(|item| (3..=4).contains(&times(&item))), "{order:?}");
        assert!((0..90).all(|item| times(&item) <= 1), "{order:?}");
        let seen = |item| (0..20).any(|epoch| counts(1.0, epoch).1.contains(&item));
        assert!((0..90).all(seen));
    }

    proptest! {
        #[test]
        fn balanced_order_has_as_many_items(
            labels in prop::collection::vec(0_u32..7, 0..80), balance in 0.0..=1.0, seed: u64, epoch: u32,
        ) {
            let order = list(&EpochOrder::balanced(&labels, balance, seed, epoch));
            prop_assert_eq!(order.len(), labels.len());
            prop_assert!(order.iter().all(|item| (*item as usize) < labels.len()));
        }

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
