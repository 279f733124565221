//! Every kernel of a gradient, and the optimizer's, compiles for the GPUs it is for.

use var_testing::cuda::nvrtc::{assert_compiles, assert_tiles_compile, compile_into};

use super::operations::SOURCES;

#[test]
fn every_kernel_compiles_for_every_gpu() {
    assert_compiles(SOURCES);
}

#[test]
fn tiles_fit_a_gpu_as_often_as_they_say() {
    assert_tiles_compile(SOURCES);
}

#[test]
#[ignore = "a tool: compiles into the folder that VAR_COMPILE_INTO names"]
fn kernels_are_compiled_into_a_folder() {
    compile_into(SOURCES);
}
