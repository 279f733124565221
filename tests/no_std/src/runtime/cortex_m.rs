//! A Cortex-M with a floating-point unit: vectors of the reset, and a debugger's or an emulator's semihosting.

use core::arch::{asm, global_asm};

// The first words of the memory: the stack's end, the address to start at, and those of the faults.
global_asm!(
    ".section .vectors, \"a\"",
    ".word stack_end",
    ".word {reset}",
    ".rept 14",
    ".word {fault}",
    ".endr",
    ".text",
    reset = sym reset,
    fault = sym fault,
);

unsafe extern "C" {
    static mut zeros_start: u32;
    static mut zeros_end: u32;
    static mut data_start: u32;
    static mut data_end: u32;
    static data_load: u32;
}

extern "C" fn reset() -> ! {
    const COPROCESSOR_ACCESS: *mut u32 = 0xe000_ed88 as *mut u32;
    // SAFETY: the register of every Cortex-M that has the unit; the linker's symbols are the ends of
    // the program's own memory, which nothing else uses yet.
    unsafe {
        COPROCESSOR_ACCESS.write_volatile(COPROCESSOR_ACCESS.read_volatile() | 0xf << 20);
        asm!("dsb", "isb");
        let length = (&raw const zeros_end).offset_from(&raw const zeros_start) as usize;
        core::ptr::write_bytes(&raw mut zeros_start, 0, length);
        let length = (&raw const data_end).offset_from(&raw const data_start) as usize;
        core::ptr::copy_nonoverlapping(&raw const data_load, &raw mut data_start, length);
    }
    exit(if super::run().is_ok() { 0 } else { 1 })
}

extern "C" fn fault() -> ! {
    print("fault\n");
    exit(102)
}

pub(crate) fn print(text: &str) {
    const WRITE: usize = 5;
    /// The first file that a debugger opens is its standard output.
    const OPEN: usize = 1;
    let console = *b":tt\0";
    let open = [console.as_ptr() as usize, 4, 3];
    // SAFETY: both blocks are as semihosting wants them, and live until the call returns.
    unsafe {
        let file = semihosting(OPEN, open.as_ptr() as usize);
        semihosting(WRITE, [file, text.as_ptr() as usize, text.len()].as_ptr() as usize);
    }
}

pub(crate) fn exit(code: usize) -> ! {
    const EXIT_EXTENDED: usize = 0x20;
    const APPLICATION_EXIT: usize = 0x2_0026;
    // SAFETY: it does not return.
    unsafe { semihosting(EXIT_EXTENDED, [APPLICATION_EXIT, code].as_ptr() as usize) };
    unreachable!("the debugger has ended this program")
}

/// # Safety
/// `argument` must be what the operation wants.
unsafe fn semihosting(operation: usize, argument: usize) -> usize {
    let result;
    // SAFETY: this breakpoint is the call, with its operands and result in these registers.
    unsafe {
        asm!("bkpt 0xab", inlateout("r0") operation => result, in("r1") argument, options(nostack));
    }
    result
}
