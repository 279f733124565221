//! Every kernel of the crate compiles for the cards it is for.

use std::format;

use super::TEXTS;
use crate::cuda::driver::compile;
use crate::cuda::testing::{assert_compiles, has_nvrtc};
use crate::cuda::{CudaError, Element, FORMATS, PICTURES, peak};

#[test]
fn every_kernel_compiles_for_every_card() {
    assert_compiles(&TEXTS);
    assert_compiles(&[&FORMATS, &PICTURES, &peak::TEXT]);
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
