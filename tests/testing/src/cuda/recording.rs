//! A GPU that computes nothing and notes the kernels that it is asked for: the emulator's second GPU.
#![allow(unsafe_code)]

use core::ffi::{CStr, c_char};
use std::slice;
use std::string::{String, ToString};
use std::vec::Vec;

use libloading::Library;
use var_kernel::cuda::{Cuda, GemmProvider, Options, Precision};

use super::skipped;

/// The number of the emulator's GPU.
const NUMBER: u32 = 1;

/// A kernel that was launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// Its name.
    pub kernel: String,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory of a block, in bytes.
    pub shared: u32,
}

/// A product that the library was asked for, `m × n` sums of `k` terms.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiplied {
    /// Rows, by columns.
    pub m: u64,
    /// Columns, by columns.
    pub n: u64,
    /// The inner dimension.
    pub k: u64,
}

/// A launch as the emulator has it.
#[repr(C)]
struct Entry {
    kernel: [c_char; 64],
    grid: [u32; 3],
    threads: u32,
    shared: u32,
}

/// The record of this thread's recording GPU.
pub struct Recording {
    library: &'static Library,
}

/// A GPU that computes nothing and has so many bytes of memory, and its record; work never becomes a graph. There is
/// one at a time in a thread, and none where the GPUs are real.
pub fn recorded(
    precision: Precision,
    bytes: u64,
    gemm_provider: GemmProvider,
) -> Option<(Cuda, Recording)> {
    let library = match super::emulated() {
        Ok(library) => library,
        Err(reason) => return skipped("a recording GPU", "emulator", &reason),
    };
    // SAFETY: the emulator's function, with its types.
    unsafe { library.get::<unsafe extern "C" fn(u64)>(c"emulator_record").unwrap()(bytes) };
    let options =
        Options { number: NUMBER, precision, gemm_provider, graphs: false, ..Options::default() };
    Some((Cuda::open(options).expect("it has room for parameters"), Recording { library }))
}

impl Recording {
    /// The kernels launched since the last call.
    pub fn launched(&self) -> Vec<Launched> {
        let launched = |entry: &Entry| {
            // SAFETY: the emulator ends the name with a NUL.
            let kernel = unsafe { CStr::from_ptr(entry.kernel.as_ptr()) };
            let Entry { grid, threads, shared, .. } = *entry;
            Launched { kernel: kernel.to_string_lossy().to_string(), grid, threads, shared }
        };
        self.entries::<Entry>(c"emulator_launched").iter().map(launched).collect()
    }

    /// The products that the library was asked for since the last call.
    pub fn multiplied(&self) -> Vec<Multiplied> {
        self.entries::<Multiplied>(c"emulator_multiplied").to_vec()
    }

    /// The entries of a list of the emulator's, good until the next call.
    fn entries<T>(&self, list: &CStr) -> &[T] {
        type List<T> = unsafe extern "C" fn(*mut usize) -> *const T;
        let mut count = 0;
        // SAFETY: the emulator's function, with its types; the list is this thread's, and as long as it says.
        unsafe {
            let start = self.library.get::<List<T>>(list).unwrap()(&mut count);
            if count == 0 { &[] } else { slice::from_raw_parts(start, count) }
        }
    }
}
