//! The texts of gradients' kernels: each beside its operation, declared by [`text`].
#![allow(unsafe_code)]

use var_kernel::parts::{KernelSource, SOME};

/// Sums over the rows that share a row of a table.
pub(super) const TABLE: &str = include_str!("elementwise/table.cuh");

/// Declares `SOURCE`, the kernels of an operation's gradient: its name, its file, texts before it.
macro_rules! kernel_source {
    ($name:literal, $file:literal $(, $shared:expr)*) => {
        /// The kernels.
        // SAFETY: operations check the lengths of their runs against their sizes before they launch, and
        // the kernels stay inside those sizes, which the emulator's tests show.
        #[allow(unsafe_code, reason = "what is promised is about a GPU's memory")]
        pub(in crate::grad) static SOURCE: var_kernel::parts::KernelSource = unsafe {
            var_kernel::parts::KernelSource::of_other_crate(
                concat!($name, "_backward"),
                include_str!($file),
            )
        }
        .with(&[$($shared),*]);
    };
}
pub(super) use kernel_source;

/// AdamW, which is no gradient but computes with them.
// SAFETY: as for those of the gradients.
pub(crate) static ADAMW: KernelSource =
    unsafe { KernelSource::of_other_crate("adamw", include_str!("../optim/adamw/kernel.cu")) }
        .with(&[SOME]);
