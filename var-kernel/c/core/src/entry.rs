//! The text of a failure, in the caller's memory; the program's own end for a panic.
#![allow(unsafe_code)]

use core::ffi::c_char;
use core::panic::PanicInfo;

use varimage_abi::status::TEXT_LEN;
use varimage_abi::{Failure, Status, Text};

/// `var_core_error` of the header.
#[repr(C)]
pub struct VarCoreError {
    text: [c_char; TEXT_LEN],
}

unsafe extern "C" {
    /// The program's: it does not return.
    fn var_core_panic(text: *const c_char);
}

/// Runs the body of an entry point and writes the text of its failure.
///
/// # Safety
/// `error` must be null or point to a place for a text.
pub(crate) unsafe fn enter(
    error: *mut VarCoreError,
    body: impl FnOnce() -> Result<Status, Failure>,
) -> Status {
    body().unwrap_or_else(|Failure { status, text }| {
        if !error.is_null() {
            let text = text.with_nul();
            // SAFETY: the caller vouches for the place; a text with its NUL is at most as long.
            unsafe { error.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len()) };
        }
        status
    })
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let text = Text::of(info);
    // SAFETY: the header wants the function defined by the program.
    unsafe { var_core_panic(text.with_nul().as_ptr().cast()) };
    // It has returned all the same: nothing may go on.
    loop {
        core::hint::spin_loop();
    }
}
