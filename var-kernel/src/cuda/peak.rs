//! What a card can do at most, measured: multiply-adds on registers, bytes copied.

use std::vec::Vec;

use super::command::{Command, Launch};
use super::text::{Kernel, Text};
use super::{Cuda, CudaError, Precision};
use crate::memory::Device;

pub(crate) static TEXT: Text = Text::new("peak", include_str!("peak.cu"));

const THREADS: u32 = 256;

/// Blocks that keep a multiprocessor busy.
const BLOCKS_EACH: usize = 8;

/// A measurement this long is enough, in milliseconds.
const LONG_ENOUGH: f32 = 20.0;

/// Bytes that are copied: several times any card's cache.
const COPIED: usize = 1 << 30;

impl Cuda {
    /// Multiply-adds a second, in the format products are computed in; a fused one counts once.
    ///
    /// With TF32 and 16 bits these are the tensor cores', by the instruction the kernels here use (`mma.sync`),
    /// which on some cards is not their fastest.
    ///
    /// # Errors
    /// Only the card's own.
    pub fn peak_multiply_adds(&self) -> Result<f64, CudaError> {
        /// Multiply-adds of a thread in a round, and of a warp's thread on tensor cores.
        const SINGLE: u64 = 32;
        const TF32: u64 = 16 * 16 * 8 * 8 / 32;
        const SHORT: u64 = 16 * 16 * 8 * 16 / 32;
        let (name, each) = match self.precision() {
            Precision::F32 => ("peak_single", SINGLE),
            Precision::Tf32 => ("peak_tf32", TF32),
            Precision::F16 | Precision::Bf16 => ("peak_short", SHORT),
        };
        let blocks = BLOCKS_EACH * self.card().multiprocessors as usize;
        let out = self.memory(THREADS as usize)?;
        let mut rounds = 256;
        loop {
            let time = || {
                let launch = Launch::new(Kernel::new(&TEXT, name), [blocks, 1, 1], THREADS);
                self.timed(launch.run(&out).size(rounds))
            };
            let time = time()?.min(time()?);
            if time >= LONG_ENOUGH || rounds > 1 << 28 {
                let all = each * rounds as u64 * blocks as u64 * u64::from(THREADS);
                return Ok(all as f64 / (f64::from(time) * 1e-3));
            }
            rounds *= 4;
        }
    }

    /// Bytes read and written a second when memory is copied.
    ///
    /// # Errors
    /// If the card has no room for two gibibytes, or fails.
    pub fn peak_bytes(&self) -> Result<f64, CudaError> {
        let (from, to) = (self.memory(COPIED / 4)?, self.memory(COPIED / 4)?);
        let (to, from, bytes) = (to.address(), from.address(), COPIED as u64);
        let mut best = f32::INFINITY;
        for _ in 0..4 {
            let begin = self.mark()?;
            self.queue.borrow_mut().ask(Command::Copy { to, from, bytes })?;
            let end = self.mark()?;
            self.wait()?;
            best = best.min(self.milliseconds(begin, end)?);
        }
        Ok(2.0 * COPIED as f64 / (f64::from(best) * 1e-3))
    }

    /// Milliseconds a launch takes.
    fn timed(&self, launch: Launch) -> Result<f32, CudaError> {
        let begin = self.mark()?;
        self.launch_between(launch)?;
        let end = self.mark()?;
        self.wait()?;
        self.milliseconds(begin, end)
    }

    /// Begins to time every kernel.
    ///
    /// Until [`Cuda::end_profile`] kernels run one by one, so what one waits for the host is counted as its
    /// own.
    ///
    /// # Errors
    /// Only the card's own.
    pub fn begin_profile(&self) -> Result<(), CudaError> {
        self.queue.borrow_mut().begin_profile()
    }

    /// Each kernel's name since [`Cuda::begin_profile`], how often it ran and its milliseconds in sum, the
    /// longest first.
    ///
    /// # Errors
    /// Only the card's own.
    pub fn end_profile(&self) -> Result<Vec<KernelTime>, CudaError> {
        let marks = self.queue.borrow_mut().end_profile();
        self.wait()?;
        let mut times = Vec::<KernelTime>::new();
        for pair in marks.windows(2) {
            let [(_, begin), (name, end)] = pair else { continue };
            let milliseconds = f64::from(self.milliseconds(*begin, *end)?);
            match times.iter_mut().find(|time| time.name == *name) {
                Some(time) => {
                    time.count += 1;
                    time.milliseconds += milliseconds;
                }
                None => times.push(KernelTime { name, count: 1, milliseconds }),
            }
        }
        times.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
        self.driver.forget_marks();
        Ok(times)
    }
}

/// How long a kernel took, all its runs together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelTime {
    /// The kernel.
    pub name: &'static str,
    /// How often it ran.
    pub count: usize,
    /// Milliseconds of all runs.
    pub milliseconds: f64,
}
