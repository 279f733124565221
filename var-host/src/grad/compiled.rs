//! Every kernel of a gradient, and the optimizer's, compiles for the cards it is for.

use var_kernel::cuda::testing::assert_compiles;

use super::texts::TEXTS;

#[test]
fn every_kernel_compiles_for_every_card() {
    assert_compiles(&TEXTS);
}
