//! Every kernel of the crate compiles for the GPUs it is for.

use std::format;

use super::SOURCES;
use crate::cuda::driver::compile;
use crate::cuda::testing::nvrtc::{assert_compiles, assert_tiles_compile, compile_into, has_nvrtc};
use crate::cuda::{CudaError, FORMATS, PICTURES, Precision, peak};

#[test]
fn every_kernel_compiles_for_every_gpu() {
    assert_compiles(&SOURCES);
    assert_compiles(&[&FORMATS, &PICTURES, &peak::SOURCE]);
}

#[test]
fn tiles_fit_a_gpu_as_often_as_they_say() {
    assert_tiles_compile(&SOURCES);
}

#[test]
#[ignore = "a tool: compiles into the folder that VAR_COMPILE_INTO names"]
fn kernels_are_compiled_into_a_folder() {
    compile_into(&SOURCES);
    compile_into(&[&FORMATS, &PICTURES, &peak::SOURCE]);
}

/// Linear layers and convolutions have another text for TF32, all else the one for `f32`.
#[test]
fn texts_with_products_know_tf32() {
    for source in SOURCES {
        let multiplies = source.whole(Precision::F32).contains("product_f32<BM, BN>(");
        assert_eq!(multiplies, ["linear", "conv2d"].contains(&source.name));
        let differs = source.whole(Precision::Tf32) != source.whole(Precision::F32);
        assert_eq!(differs, multiplies, "{}", source.name);
    }
}

#[test]
fn architecture_nvrtc_does_not_know_is_named() {
    if !has_nvrtc() {
        return;
    }
    let outcome = compile::cubin(SOURCES[0], Precision::F16, (19, 7));
    assert!(
        matches!(outcome, Err(CudaError::OldCompiler { capability: (19, 7), .. })),
        "{:?}",
        outcome.map(|cubin| format!("{} bytes", cubin.len()))
    );
}
