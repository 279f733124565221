//! Every kernel compiles for the cards it is for; what it takes of them.
//!
//! Wants NVRTC (`VAR_REQUIRE=nvrtc` to fail without it); no card.

use std::format;

use super::TEXTS;
use crate::cuda::driver::compile;
use crate::cuda::testing::compiled::{assert_compile, has_nvrtc};
use crate::cuda::{CudaError, Element};

#[test]
fn every_kernel_compiles_for_every_card() {
    assert_compile(&TEXTS);
    assert_compile(&[&crate::cuda::FORMATS, &crate::cuda::peak::TEXT]);
}

#[test]
fn an_architecture_nvrtc_does_not_know_is_named() {
    if !has_nvrtc() {
        return;
    }
    let outcome = compile::cubin(TEXTS[0], Element::F16, (19, 7));
    assert!(
        matches!(outcome, Err(CudaError::OldCompiler { capability: (19, 7), .. })),
        "{:?}",
        outcome.map(|cubin| format!("{} bytes", cubin.len()))
    );
}
