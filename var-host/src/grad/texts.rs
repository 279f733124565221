//! The kernels of all gradients, as text.
#![allow(unsafe_code)]

use var_kernel::cuda::{MOMENTS, PRODUCT, SOME, Text};

/// The text beside an operation's gradient.
macro_rules! text {
    ($name:ident, $folder:literal) => {
        // SAFETY: operations check the lengths of their runs against their sizes before they launch, and
        // the kernels stay inside those sizes, which the emulator's tests show.
        pub(super) static $name: Text = unsafe {
            Text::of_another_crate(
                concat!($folder, "_backward"),
                include_str!(concat!($folder, "/kernel.cu")),
            )
        };
    };
    ($name:ident, $folder:literal, $($shared:expr),+) => {
        // SAFETY: as above.
        pub(super) static $name: Text = unsafe {
            Text::of_another_crate(
                concat!($folder, "_backward"),
                include_str!(concat!($folder, "/kernel.cu")),
            )
        }
        .with(&[$($shared),+]);
    };
}

text!(CONV2D, "conv2d", PRODUCT);
text!(FEATURE_DISTANCE, "feature_distance");
text!(GROUP_NORM, "group_norm", SOME, MOMENTS);
text!(LEAKY_RELU, "leaky_relu");
text!(MAX_POOL, "max_pool");
text!(RESIZE, "resize");
text!(SUMS, "sums");

#[cfg(all(test, feature = "emulator"))]
mod tests {
    use var_kernel::cuda::testing::compiled::assert_compile;

    use super::*;

    #[test]
    fn every_kernel_compiles_for_every_card() {
        assert_compile(&[
            &CONV2D,
            &FEATURE_DISTANCE,
            &GROUP_NORM,
            &LEAKY_RELU,
            &MAX_POOL,
            &RESIZE,
            &SUMS,
        ]);
    }
}
