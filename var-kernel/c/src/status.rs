//! Error codes and texts; the border that no panic crosses.
#![allow(unsafe_code)]

use core::cell::RefCell;
use core::ffi::c_char;
use core::panic::AssertUnwindSafe;
use std::ffi::CString;
use std::panic;

/// Outcome of a call: `var_status` of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// The callback ended the run.
    Stopped = 1,
    /// An argument is null, of another length, or out of range.
    Argument = -1,
    /// A file cannot be read.
    File = -2,
    /// A file or memory holds no such model, or the model cannot serve the request.
    Model = -3,
    /// Memory or threads cannot be had.
    Memory = -4,
    /// A fault of the library.
    Bug = -5,
}

/// A failed call: its code and text.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn argument(text: impl Into<String>) -> Self {
        Self { status: Status::Argument, text: text.into() }
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Runs the body of an entry point: notes its failure, and makes one of a panic.
pub(crate) fn enter(body: impl FnOnce() -> Result<Status, Failure>) -> Status {
    // State behind the caller's handle may be half-done after a panic; Bug tells that it is to be closed.
    let outcome = panic::catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        let text = format!("a fault of the library: {}", text.unwrap_or("a panic without a text"));
        Err(Failure { status: Status::Bug, text })
    });
    outcome.unwrap_or_else(|Failure { status, text }| {
        let text = CString::new(text.replace('\0', "\u{fffd}")).expect("no NUL is left");
        LAST.with(|last| last.replace(text));
        status
    })
}

/// Text of this thread's last failure; empty before the first.
#[unsafe(no_mangle)]
pub extern "C" fn var_error() -> *const c_char {
    LAST.with(|last| last.borrow().as_ptr())
}

/// Version of the library.
#[unsafe(no_mangle)]
pub extern "C" fn var_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}
