//! The gradient of an embedding against naive sums.

use proptest::prelude::*;

use super::EmbeddingBackward;
use crate::grad::testing::{on_each_backend, random};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn embedding_backward_sums_rows_of_one_index(
        rows in 1_usize..9, width in 1_usize..20, seed: u64,
    ) {
        let dy = random(rows * width, seed);
        let indices: Vec<u32> = (0..rows).map(|row| (row * row % 3) as u32).collect();
        let mut want = vec![1.0; 3 * width];
        for (i, dy) in dy.iter().enumerate() {
            want[indices[i / width] as usize * width + i % width] += f64::from(*dy);
        }
        for got in on_each_backend!([dtable: vec![1.0; 3 * width]], [dy], [], |b| {
            b.embedding_backward(dtable, dy, &indices, width)
        }) {
            got.assert_close(&want, 1e-5);
        }
    }
}
