//! The kernels of all gradients, as text.
#![allow(unsafe_code)]

use var_kernel::cuda::{CUBIC, MOMENTS, PRODUCT, SOME, Text};

/// Which keys a query sees, and the tiles of attention on tensor cores.
const MASK: &str = include_str!("attention/mask.cuh");
const HEADS_OF_64: &str = include_str!("attention/heads_of_64.cuh");

/// Sums over the rows that share a row of a table.
const TABLE: &str = include_str!("combine/table.cuh");

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

/// AdamW, which is no gradient but computes with them.
// SAFETY: as for those of the gradients.
pub(crate) static ADAMW: Text =
    unsafe { Text::of_another_crate("adamw", include_str!("../optim/adamw/kernel.cu")) }
        .with(&[SOME]);

text!(ATTENTION, "attention", MASK, HEADS_OF_64);
text!(COMBINE, "combine", TABLE);
text!(CONV2D, "conv2d", PRODUCT);
text!(CROSS_ENTROPY, "cross_entropy", SOME);
text!(FEATURE_DISTANCE, "feature_distance");
text!(GROUP_NORM, "group_norm", SOME, MOMENTS);
text!(LAYER_NORM, "layer_norm", SOME, TABLE);
text!(LEAKY_RELU, "leaky_relu");
text!(LINEAR, "linear", PRODUCT);
text!(MAX_POOL, "max_pool");
text!(RESIZE, "resize", CUBIC);
text!(SPLIT_QKV, "split_qkv");
text!(SUMS, "sums");

/// All of them.
#[cfg(all(test, feature = "emulator"))]
pub(super) static TEXTS: [&Text; 14] = [
    &ADAMW,
    &ATTENTION,
    &COMBINE,
    &CONV2D,
    &CROSS_ENTROPY,
    &FEATURE_DISTANCE,
    &GROUP_NORM,
    &LAYER_NORM,
    &LEAKY_RELU,
    &LINEAR,
    &MAX_POOL,
    &RESIZE,
    &SPLIT_QKV,
    &SUMS,
];
