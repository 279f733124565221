//! Texts of failures and of panics.

use core::cell::RefCell;
use core::error::Error;
use std::panic;

use var_host::pipeline::with_causes;

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The text of an error with those of its causes.
pub fn text(error: impl Error) -> String {
    with_causes(&error)
}

/// Notes the text of a failure.
pub fn note(text: String) {
    LAST.with(|last| last.replace(text));
}

/// The text of the last failure; empty before the first.
pub fn last() -> String {
    LAST.with(|last| last.borrow().clone())
}

/// Notes the text of every panic: the trap that follows has none.
pub fn note_panics() {
    panic::set_hook(Box::new(|panic| note(format!("a fault of the library: {panic}"))));
}
