//! One draw from a row of probabilities.

/// The smallest index with a running sum of probabilities (ascending index, in `f64`) above
/// `u · total`; `u` in 0 .. 1.
///
/// # Panics
/// If no probability is positive.
pub fn draw(probabilities: &[f32], u: f32) -> usize {
    let total: f64 = probabilities.iter().map(|p| f64::from(*p)).sum();
    let goal = f64::from(u) * total;
    let mut sum = 0.0;
    for (index, probability) in probabilities.iter().enumerate() {
        sum += f64::from(*probability);
        if sum > goal {
            return index;
        }
    }
    probabilities.iter().rposition(|p| *p > 0.0).expect("a row of probabilities has a positive one")
}

/// The index of the largest logit, the first of equals.
pub fn greedy(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zero_draws_the_first_possible_and_almost_one_the_last() {
        let row = [0.0, 0.25, 0.0, 0.5, 0.25, 0.0];
        assert_eq!(draw(&row, 0.0), 1);
        assert_eq!(draw(&row, 0.25), 3);
        assert_eq!(draw(&row, 1.0 - 1.0 / 16_777_216.0), 4);
    }

    #[test]
    fn probabilities_need_not_add_up_to_one() {
        assert_eq!([0.0, 0.24, 0.26].map(|u| draw(&[1.0, 3.0], u)), [0, 0, 1]);
    }

    #[test]
    fn equal_logits_give_the_first_token() {
        assert_eq!(greedy(&[1.0, 2.0, 2.0, -1.0]), 1);
    }

    proptest! {
        #[test]
        fn drawn_token_has_a_probability(
            row in prop::collection::vec(prop_oneof![Just(0.0_f32), 0.0_f32..1.0], 1..50),
            u in 0.0_f32..1.0,
        ) {
            prop_assume!(row.iter().any(|p| *p > 0.0));
            prop_assert!(row[draw(&row, u)] > 0.0);
        }
    }
}
