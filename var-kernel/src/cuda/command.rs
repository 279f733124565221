//! Commands to a GPU as data: recorded, compared, launched one by one or as a graph.

use super::gemm::Product;
use super::kernel_source::Kernel;
use crate::memory::Floats;
use crate::remote::Remote;

/// The most arguments of a kernel.
pub(crate) const MAX_ARGUMENTS: usize = 24;

/// The most blocks along the second and third axis of a grid.
const MAX_BLOCKS: u32 = 65_535;

/// One order to the GPU.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// Run a kernel.
    Launch(Launch),
    /// A matrix product by the library.
    Multiply(Product),
    /// Copy on the GPU.
    Copy {
        /// Address to write.
        to: u64,
        /// Address to read.
        from: u64,
        /// How much.
        bytes: u64,
    },
}

impl Command {
    /// The kernel, if it is one.
    pub(crate) fn kernel(&self) -> Option<&'static str> {
        match self {
            Self::Launch(launch) => Some(launch.kernel.name),
            Self::Multiply(_) => Some("cuBLASLt"),
            Self::Copy { .. } => None,
        }
    }
}

/// A kernel, how many threads of it, and its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The kernel.
    pub(crate) kernel: Kernel,
    /// Blocks.
    pub(crate) grid: [u32; 3],
    /// Threads of a block.
    pub(crate) threads: u32,
    /// Dynamic shared memory of a block, in bytes.
    pub(crate) shared: u32,
    arguments: [u64; MAX_ARGUMENTS],
    count: usize,
}

impl Launch {
    /// `kernel` on `grid` blocks of `threads` threads.
    ///
    /// # Panics
    /// If a block or a grid is larger than a GPU can have, or empty.
    #[track_caller]
    pub fn new(kernel: Kernel, grid: [usize; 3], threads: u32) -> Self {
        let [x, y, z] = grid.map(|blocks| u32::try_from(blocks).unwrap_or(u32::MAX));
        let name = kernel.name;
        assert!((1..=i32::MAX as u32).contains(&x), "{name}: {x} blocks along x");
        for blocks in [y, z] {
            assert!((1..=MAX_BLOCKS).contains(&blocks), "{name}: {blocks} blocks along y or z");
        }
        assert!((1..=1024).contains(&threads), "{name}: {threads} threads in a block");
        let grid = [x, y, z];
        Self { kernel, grid, threads, shared: 0, arguments: [0; MAX_ARGUMENTS], count: 0 }
    }

    /// One thread for each of `length` numbers, in as many blocks of 256 as that takes.
    #[track_caller]
    pub fn for_each(kernel: Kernel, length: usize) -> Self {
        const THREADS: usize = 256;
        Self::new(kernel, [length.div_ceil(THREADS), 1, 1], THREADS as u32)
    }

    /// With `bytes` of shared memory for each block.
    pub fn sharing(self, bytes: usize) -> Self {
        Self { shared: u32::try_from(bytes).expect("shared memory is small"), ..self }
    }

    /// Adds an address.
    pub fn address(mut self, address: u64) -> Self {
        self.arguments[self.count] = address;
        self.count += 1;
        self
    }

    /// Adds the address of a slice.
    pub fn slice(self, run: &Remote) -> Self {
        self.address(run.address())
    }

    /// Adds the address of a slice, or null.
    pub fn slice_or_null(self, run: Option<&Remote>) -> Self {
        self.address(run.map_or(0, Remote::address))
    }

    /// Adds a 32-bit size.
    ///
    /// # Panics
    /// If it needs more bits.
    #[track_caller]
    pub fn size(self, size: usize) -> Self {
        let size = u32::try_from(size);
        let Ok(size) = size else { panic!("{}: a size is beyond 32 bits", self.kernel.name) };
        self.address(size.into())
    }

    /// Adds a 64-bit length.
    pub fn length(self, length: usize) -> Self {
        self.address(length as u64)
    }

    /// Adds a number.
    pub fn float(self, x: f32) -> Self {
        self.address(x.to_bits().into())
    }

    /// Its arguments, each in the low bytes of a word.
    pub(crate) fn arguments(&self) -> &[u64] {
        &self.arguments[..self.count]
    }
}

/// Bytes of a run.
pub(crate) fn bytes(run: &Remote) -> u64 {
    crate::remote::WORD * run.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::kernel_source::KernelSource;

    static SOURCE: KernelSource = KernelSource::new(
        "demo",
        "KERNEL(256, 2) void one(float* out) {}\nKERNEL(32) void two() {}",
    );

    #[test]
    fn launches_have_enough_threads_and_no_more_blocks_than_needed() {
        let launch = |length| Launch::for_each(Kernel::new(&SOURCE, "one"), length).grid;
        assert_eq!([1, 256, 257, 1 << 20].map(launch).map(|grid| grid[0]), [1, 1, 2, 4096]);
    }

    #[test]
    fn arguments_lie_in_low_bytes() {
        let launch = Launch::for_each(Kernel::new(&SOURCE, "one"), 1);
        let launch =
            launch.slice(Remote::at(0x1_0000_0000, 4)).size(7).float(-2.0).slice_or_null(None);
        assert_eq!(launch.arguments(), [0x1_0000_0000, 7, 0xc000_0000, 0]);
    }

    #[test]
    #[should_panic(expected = "one: 70000 blocks along y or z")]
    fn grid_too_large_is_refused() {
        Launch::new(Kernel::new(&SOURCE, "one"), [1, 70_000, 1], 32);
    }

    #[test]
    #[should_panic(expected = "one: 0 blocks along x")]
    fn launch_of_nothing_is_refused() {
        Launch::for_each(Kernel::new(&SOURCE, "one"), 0);
    }
}
