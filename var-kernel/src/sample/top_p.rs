//! Only the most likely tokens that together reach a probability (nucleus sampling; Holtzman and
//! others, "The Curious Case of Neural Text Degeneration", 2020).

use super::softmax;
use crate::cpu::Isa;

/// Sets the least likely logits to −∞ while their probabilities add up to no more than `1 − p`;
/// the most likely is always kept. Of equals the one with the lower index goes first.
///
/// `work`: at least as long as `logits`.
///
/// # Panics
/// If `work` is too short.
pub fn keep(isa: Isa, logits: &mut [f32], p: f32, work: &mut [f32]) {
    let possible = logits.iter().filter(|logit| **logit > f32::NEG_INFINITY).count();
    if possible < 2 {
        return;
    }
    let sorted = &mut work[..possible];
    let finite = logits.iter().filter(|logit| **logit > f32::NEG_INFINITY);
    for (to, from) in sorted.iter_mut().zip(finite) {
        *to = *from;
    }
    sorted.sort_unstable_by(f32::total_cmp);

    let dropped = count_dropped(isa, sorted, p);
    if dropped == 0 {
        return;
    }
    // `count_dropped` has overwritten the logits by probabilities, so find the border again: it is
    // the `dropped`th smallest logit.
    for (to, from) in sorted.iter_mut().zip(logits.iter().filter(|x| **x > f32::NEG_INFINITY)) {
        *to = *from;
    }
    let (below, border, _) = sorted.select_nth_unstable_by(dropped - 1, f32::total_cmp);
    let border = *border;
    let mut equals = dropped - below.iter().filter(|x| **x < border).count();
    for logit in logits {
        if *logit < border {
            *logit = f32::NEG_INFINITY;
        } else if *logit == border && equals > 0 {
            *logit = f32::NEG_INFINITY;
            equals -= 1;
        }
    }
}

/// How many of the ascending `sorted` logits go; turns them into probabilities on the way.
fn count_dropped(isa: Isa, sorted: &mut [f32], p: f32) -> usize {
    softmax::softmax(isa, sorted);
    let allowed = 1.0 - f64::from(p);
    let mut cumulative = 0.0;
    let last = sorted.len() - 1;
    let within = |probability: &&f32| {
        cumulative += f64::from(**probability);
        cumulative <= allowed
    };
    sorted[..last].iter().take_while(within).count()
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn top_p_drops_the_lower_index_of_equals_and_is_content_with_p() {
        const NONE: f32 = f32::NEG_INFINITY;
        let kept = |logits: &[f32], p: f32| {
            let mut kept = logits.to_vec();
            keep(Isa::best(), &mut kept, p, &mut vec![0.0; logits.len()]);
            kept
        };
        assert_eq!(kept(&[1.0; 4], 0.5), [NONE, NONE, 1.0, 1.0]);
        assert_eq!(kept(&[1.0; 4], 0.7), [NONE, 1.0, 1.0, 1.0]);
        assert_eq!(kept(&[1.0, NONE, 1.0, 0.0], 0.4), [NONE, NONE, 1.0, NONE]);
        assert_eq!(kept(&[2.0, 1.0], f32::MIN_POSITIVE), [2.0, NONE], "the most likely is kept");
    }

    proptest! {
        #[test]
        fn kept_reach_p_and_none_could_be_spared(
            logits in prop::collection::vec(-6.0_f32..6.0, 1..60),
            p in 0.01_f32..0.99,
        ) {
            let mut kept = logits.clone();
            keep(Isa::best(), &mut kept, p, &mut vec![0.0; logits.len()]);
            let weight = |x: f32| f64::from(x).exp();
            let total: f64 = logits.iter().copied().map(weight).sum();
            let left: Vec<f32> = kept.iter().copied().filter(|x| x.is_finite()).collect();
            let reached: f64 = left.iter().copied().map(weight).sum::<f64>() / total;
            let least = left.iter().copied().fold(f32::INFINITY, f32::min);
            prop_assert!(reached >= f64::from(p) - 1e-6);
            prop_assert!(left.len() == 1 || reached - weight(least) / total <= f64::from(p) + 1e-6);
            for (before, after) in logits.iter().zip(&kept) {
                prop_assert!(after == before || *before <= least);
            }
        }
    }
}
