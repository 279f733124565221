//! Embedding against its formulas.

use proptest::prelude::*;

use super::Embedding;
use crate::ops::testing::{on_each_backend, random, tokens_in};
use crate::transfer::TokenTransfer;

proptest! {
    #[test]
    fn forced_tokens_replace_drawn_ones_and_look_up_their_codes(
        width in 1_usize..20,
        drawn in prop::collection::vec(0_u32..7, 6..7),
        forced in prop::collection::vec(0_u32..7, 6..7),
        positions in prop::collection::vec(any::<bool>(), 3..4),
    ) {
        let codebook = random(7 * width, 1);
        for got in on_each_backend!([codes: 6 * width, run: 6], [codebook], |b| {
            let tokens = tokens_in(b, run);
            b.upload_tokens(tokens, &drawn)
                .and_then(|()| b.force_tokens(tokens, &forced, &positions))
                .and_then(|()| b.lookup_codes(codes, codebook, tokens, width))
        }) {
            let token = |i: usize| if positions[i % 3] { forced[i] } else { drawn[i] } as usize;
            let want = (0..6).flat_map(|i| &codebook[token(i) * width..][..width]);
            prop_assert!(got.values[..6 * width].iter().eq(want));
        }
    }

    #[test]
    fn embedding_copies_rows(width in 1_usize..20, indices in prop::collection::vec(0_u32..7, 1..9)) {
        let table = random(7 * width, 1);
        for got in on_each_backend!([out: indices.len() * width], [table], |b| {
            b.embedding(out, table, &indices, width)
        }) {
            let want = indices.iter().flat_map(|i| &table[*i as usize * width..][..width]);
            prop_assert!(got.values.iter().eq(want));
        }
    }

    #[test]
    fn lookup_codes_gives_nan_for_a_token_past_the_end(width in 1_usize..20, past in 7_u32..) {
        let codebook = random(7 * width, 1);
        for got in on_each_backend!([codes: 2 * width, run: 2], [codebook], |b| {
            let tokens = tokens_in(b, run);
            let uploaded = b.upload_tokens(tokens, &[past, 6]);
            uploaded.and_then(|()| b.lookup_codes(codes, codebook, tokens, width))
        }) {
            prop_assert!(got.values[..width].iter().all(|value| value.is_nan()));
            prop_assert_eq!(&got.values[width..2 * width], &codebook[6 * width..]);
        }
    }
}
