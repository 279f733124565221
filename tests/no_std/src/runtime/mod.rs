//! What the program stands on, in place of std: a start, an end, a place to print, memory.

#[cfg_attr(target_arch = "arm", path = "cortex_m.rs")]
#[cfg_attr(target_arch = "wasm32", path = "wasm.rs")]
#[cfg_attr(not(any(target_arch = "arm", target_arch = "wasm32")), path = "linux/mod.rs")]
mod system;

use core::mem::MaybeUninit;
use core::panic::PanicInfo;

use crate::Memory;

/// Runs the program and prints its error.
fn run() -> Result<(), ()> {
    crate::main(system::print).map_err(|message| {
        system::print(message);
        system::print("\n");
    })
}

/// The program's one piece of memory.
pub(crate) fn memory() -> &'static mut Memory {
    static mut MEMORY: Memory = Memory {
        arena: [0.0; _],
        scratch: [0.0; _],
        weights: [0.0; _],
        layers: [MaybeUninit::uninit(); _],
    };
    // SAFETY: `main` calls this once, and there are no other threads.
    unsafe { (&raw mut MEMORY).as_mut_unchecked() }
}

/// Prints sixteen hexadecimal digits and a line's end.
pub(crate) fn print_hex(number: u64, print: &impl Fn(&str)) {
    for digit in (0..16).rev() {
        let digit = (number >> (4 * digit)) as usize & 15;
        print(&"0123456789abcdef"[digit..=digit]);
    }
    print("\n");
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    system::print("panic\n");
    system::exit(101)
}

/// Named by the unwinding tables of the precompiled `core`, never called: this program aborts.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
