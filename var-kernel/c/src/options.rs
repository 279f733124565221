//! Structures of options with their defaults.
#![allow(unsafe_code)]

use varimage_abi::Status;
use varimage_abi::options::{VarOptions, VarSampling, init};

use crate::status::enter;

/// Writes the default options.
///
/// # Safety
///
/// If it is not null, `size` bytes must lie there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_options_init_sized(options: *mut VarOptions, size: usize) -> Status {
    // SAFETY: as the caller promises.
    enter(|| unsafe { init(options, size) })
}

/// Writes the default settings of sampling.
///
/// # Safety
///
/// If it is not null, `size` bytes must lie there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn var_sampling_init_sized(
    sampling: *mut VarSampling,
    size: usize,
) -> Status {
    // SAFETY: as the caller promises.
    enter(|| unsafe { init(sampling, size) })
}

#[cfg(test)]
mod tests {
    use varimage_abi::options::Versioned;

    use super::*;

    #[test]
    fn defaults_are_those_of_the_library() {
        let own = crate::sample::settings(&VarSampling::defaults()).unwrap();
        assert_eq!(own, var_host::SampleOptions::default());
    }
}
