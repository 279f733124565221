//! The border that no panic crosses, and the text of a thread's last failure.
#![allow(unsafe_code)]

use core::cell::RefCell;
use core::ffi::c_char;
use core::panic::AssertUnwindSafe;
use std::panic;

use varimage_abi::{Failure, Status, Text};

thread_local! {
    static LAST: RefCell<Text> = const { RefCell::new(Text::EMPTY) };
}

/// Runs the body of an entry point: notes its failure, and makes one of a panic.
pub(crate) fn enter(body: impl FnOnce() -> Result<Status, Failure>) -> Status {
    // State behind the caller's handle may be half-done after a panic; Bug tells that it is to be closed.
    let outcome = panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("a panic without a text");
        Err(Failure::new(Status::Bug, format_args!("a fault of the library: {text}")))
    });
    outcome.unwrap_or_else(|Failure { status, text }| {
        LAST.with(|last| last.replace(text));
        status
    })
}

/// Text of this thread's last failure; empty before the first.
#[unsafe(no_mangle)]
pub extern "C" fn var_error() -> *const c_char {
    LAST.with(|last| last.borrow().with_nul().as_ptr().cast())
}

/// Version of the library.
#[unsafe(no_mangle)]
pub extern "C" fn var_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}
