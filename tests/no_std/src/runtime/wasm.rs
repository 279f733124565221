//! A module of WebAssembly: [`start`] is its export, `print` its one import.

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    #[link_name = "print"]
    fn host_print(text: *const u8, length: usize);
}

/// The program; 0, or 1 after an error.
#[unsafe(no_mangle)]
extern "C" fn start() -> i32 {
    i32::from(super::run().is_err())
}

pub(crate) fn print(text: &str) {
    // SAFETY: the host reads `length` bytes of this module's memory.
    unsafe { host_print(text.as_ptr(), text.len()) };
}

pub(crate) fn exit(_: usize) -> ! {
    core::arch::wasm32::unreachable()
}
