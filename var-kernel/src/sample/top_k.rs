//! Only the k most likely tokens.

/// Sets every logit below the `k`th largest to −∞; logits equal to it are kept.
///
/// `work`: at least as long as `logits`.
///
/// # Panics
/// If `k` is 0, or `work` is too short.
pub fn keep(logits: &mut [f32], k: usize, work: &mut [f32]) {
    assert!(k > 0, "top-k: at least one token must be kept");
    if k >= logits.len() {
        return;
    }
    let work = &mut work[..logits.len()];
    work.copy_from_slice(logits);
    let (_, least_kept, _) = work.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    let least_kept = *least_kept;
    for logit in logits {
        if *logit < least_kept {
            *logit = f32::NEG_INFINITY;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn top_k_leaves_the_k_largest_and_their_ties(
            small in prop::collection::vec(-9_i8..9, 1..80),
            k in 1_usize..90,
        ) {
            let logits: Vec<f32> = small.iter().map(|x| f32::from(*x)).collect();
            let mut kept = logits.clone();
            keep(&mut kept, k, &mut vec![0.0; logits.len()]);
            for (before, after) in logits.iter().zip(&kept) {
                let larger = logits.iter().filter(|other| *other > before).count();
                let want = if larger < k { *before } else { f32::NEG_INFINITY };
                prop_assert_eq!(*after, want);
            }
        }
    }
}
