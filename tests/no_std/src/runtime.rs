//! In place of a C library: start, end, print, and the four functions compilers call.

use core::arch::{asm, global_asm};
use core::mem::MaybeUninit;
use core::panic::PanicInfo;

use crate::Memory;

// The stack is aligned to 16 bytes at the entry, and must be so again before a call.
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {start}", "ud2", start = sym start);

extern "C" fn start() -> ! {
    match crate::main(print) {
        Ok(()) => exit(0),
        Err(message) => {
            print(message);
            print("\n");
            exit(1)
        }
    }
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
    unsafe { &mut *(&raw mut MEMORY) }
}

fn print(text: &str) {
    // SAFETY: write(1, text, length) reads `text` and nothing else.
    unsafe { system_call(1, 1, text.as_ptr() as usize, text.len()) };
}

/// Prints sixteen hexadecimal digits and a line's end.
pub(crate) fn print_hex(number: u64, print: &impl Fn(&str)) {
    for digit in (0..16).rev() {
        let digit = (number >> (4 * digit)) as usize & 15;
        print(&"0123456789abcdef"[digit..=digit]);
    }
    print("\n");
}

fn exit(code: usize) -> ! {
    // SAFETY: exit_group(code) does not return.
    unsafe { system_call(231, code, 0, 0) };
    unreachable!("the system has ended this program")
}

/// # Safety
/// The system call must be sound with these arguments.
unsafe fn system_call(number: usize, a: usize, b: usize, c: usize) -> usize {
    let result;
    // SAFETY: the registers are those of Linux on x86-64; the rest is the caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    print("panic\n");
    exit(101)
}

/// # Safety
/// As C's.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller gives `length` bytes each, apart from each other.
    unsafe {
        asm!("rep movsb", inout("rcx") length => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack));
    }
    to
}

/// # Safety
/// As C's.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= length {
        // SAFETY: no byte is written before it is read.
        return unsafe { memcpy(to, from, length) };
    }
    // SAFETY: backwards, no byte is written before it is read; the flag is put back.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") length => _,
            inout("rdi") to.wrapping_add(length).wrapping_sub(1) => _,
            inout("rsi") from.wrapping_add(length).wrapping_sub(1) => _, options(nostack));
    }
    to
}

/// # Safety
/// As C's.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    // SAFETY: the caller gives `length` bytes.
    unsafe {
        asm!("rep stosb", inout("rcx") length => _, inout("rdi") to => _, in("al") byte as u8,
            options(nostack));
    }
    to
}

/// # Safety
/// As C's.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
    for i in 0..length {
        // SAFETY: the caller gives `length` bytes each; volatile, or this would become a call of itself.
        let (a, b) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// # Safety
/// As C's.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
    // SAFETY: the caller's promise is the same.
    unsafe { memcmp(a, b, length) }
}

/// Named by the unwinding tables of the precompiled `core`, never called: this program aborts.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
