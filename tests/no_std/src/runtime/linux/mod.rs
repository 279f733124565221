//! System calls of Linux on x86-64 and aarch64: real ones, or those of an emulator in user mode.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod memory;

use core::arch::{asm, global_asm};

// The stack is aligned to 16 bytes at the entry, and on x86-64 must be so again before a call.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {start}", "ud2", start = sym start);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "bl {start}", "brk 1", start = sym start);

/// Numbers of the calls `write` and `exit_group`.
#[cfg(target_arch = "x86_64")]
const WRITE_EXIT: [usize; 2] = [1, 231];
#[cfg(target_arch = "aarch64")]
const WRITE_EXIT: [usize; 2] = [64, 94];

extern "C" fn start() -> ! {
    exit(if super::run().is_ok() { 0 } else { 1 })
}

pub(crate) fn print(text: &str) {
    // SAFETY: write(1, text, length) reads `text` and nothing else.
    unsafe { system_call(WRITE_EXIT[0], 1, text.as_ptr() as usize, text.len()) };
}

pub(crate) fn exit(code: usize) -> ! {
    // SAFETY: exit_group(code) does not return.
    unsafe { system_call(WRITE_EXIT[1], code, 0, 0) };
    unreachable!("the system has ended this program")
}

/// # Safety
/// The system call must be sound with these arguments.
#[cfg(target_arch = "x86_64")]
unsafe fn system_call(number: usize, a: usize, b: usize, c: usize) -> usize {
    let result;
    // SAFETY: the registers are those of Linux on x86-64; the rest is the caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result
}

/// # Safety
/// The system call must be sound with these arguments.
#[cfg(target_arch = "aarch64")]
unsafe fn system_call(number: usize, a: usize, b: usize, c: usize) -> usize {
    let result;
    // SAFETY: the registers are those of Linux on aarch64; the rest is the caller's promise.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c,
            options(nostack));
    }
    result
}
