//! Every kernel of the crate compiles for the cards it is for.

use std::format;

use super::TEXTS;
use crate::cuda::driver::compile;
use crate::cuda::testing::{assert_compiles, assert_tiles_compile, compile_into, has_nvrtc};
use crate::cuda::text::Text;
use crate::cuda::{CudaError, FORMATS, PICTURES, Precision, peak};

#[test]
fn every_kernel_compiles_for_every_card() {
    assert_compiles(&TEXTS);
    assert_compiles(&[&FORMATS, &PICTURES, &peak::TEXT]);
}

#[test]
fn tiles_fit_a_card_as_often_as_they_say() {
    assert_tiles_compile(&TEXTS);
}

#[test]
#[ignore = "a tool: compiles into the folder that VAR_COMPILE_INTO names"]
fn kernels_are_compiled_into_a_folder() {
    compile_into(&TEXTS);
    compile_into(&[&FORMATS, &PICTURES, &peak::TEXT]);
}

/// Linear layers and convolutions have another text for TF32, all else the one for `f32`.
#[test]
fn texts_with_products_know_tf32() {
    let whole = |text: &Text, precision| text.whole("", precision);
    for text in TEXTS {
        let multiplies = whole(text, Precision::F32).contains("product_single<BM, BN>(");
        assert_eq!(multiplies, ["linear", "conv2d"].contains(&text.name));
        let differs = whole(text, Precision::Tf32) != whole(text, Precision::F32);
        assert_eq!(differs, multiplies, "{}", text.name);
    }
}

#[test]
fn an_architecture_nvrtc_does_not_know_is_named() {
    if !has_nvrtc() {
        return;
    }
    let outcome = compile::cubin(TEXTS[0], Precision::F16, (19, 7));
    assert!(
        matches!(outcome, Err(CudaError::OldCompiler { capability: (19, 7), .. })),
        "{:?}",
        outcome.map(|cubin| format!("{} bytes", cubin.len()))
    );
}
