//! Peak rates of a GPU, measured: multiply-adds on registers, bytes copied.

use std::vec::Vec;

use super::command::{Command, Launch};
use super::gemm::{GemmEpilogue, Product, Shape};
use super::kernel_source::{Kernel, KernelSource};
use super::{Cuda, CudaError, Dtype, Precision};
use crate::memory::Device;

pub(crate) static SOURCE: KernelSource = KernelSource::new("peak", include_str!("peak.cu"));

const THREADS: u32 = 256;

/// Blocks that keep a multiprocessor busy.
const BLOCKS_EACH: usize = 8;

/// A measurement this long is enough, in milliseconds.
const LONG_ENOUGH: f32 = 20.0;

/// Side of the matrices that the library multiplies, and how often in one measurement.
const MULTIPLIED: usize = 8192;
const MULTIPLICATIONS: usize = 16;

/// Bytes that are copied: several times any GPU's cache.
const COPIED: usize = 1 << 30;

impl Cuda {
    /// Multiply-adds a second, in the format products are computed in; a fused one counts once.
    ///
    /// With TF32 and 16 bits these are the tensor cores': by the instruction the kernels here use
    /// (`mma.sync`), on registers alone, or by a large product of the library, whichever is faster.
    ///
    /// # Errors
    /// If the GPU has no room for the product, or fails.
    pub fn peak_multiply_adds(&self) -> Result<f64, CudaError> {
        let of_library = self.peak_of_library()?.unwrap_or(0.0);
        Ok(self.peak_on_registers()?.max(of_library))
    }

    fn peak_on_registers(&self) -> Result<f64, CudaError> {
        /// Multiply-adds of a thread in a round, and of a warp's thread on tensor cores.
        const SINGLE: u64 = 32;
        const TF32: u64 = 16 * 16 * 8 * 8 / 32;
        const SHORT: u64 = 16 * 16 * 8 * 16 / 32;
        let (name, each) = match self.precision() {
            Precision::F32 => ("peak_f32", SINGLE),
            Precision::Tf32 => ("peak_tf32", TF32),
            Precision::F16 | Precision::Bf16 => ("peak_half", SHORT),
        };
        let blocks = BLOCKS_EACH * self.properties().multiprocessors as usize;
        let out = self.memory(THREADS as usize)?;
        let mut rounds = 256;
        loop {
            let time = || {
                let launch = Launch::new(Kernel::new(&SOURCE, name), [blocks, 1, 1], THREADS);
                self.time_of(|| self.launch_to_scratch(launch.slice(&out).size(rounds)))
            };
            let time = time()?.min(time()?);
            if time >= LONG_ENOUGH || rounds > 1 << 28 {
                let all = each * rounds as u64 * blocks as u64 * u64::from(THREADS);
                return Ok(all as f64 / (f64::from(time) * 1e-3));
            }
            rounds *= 4;
        }
    }

    /// Multiply-adds a second of the library in a product of three square matrices, if it is there.
    fn peak_of_library(&self) -> Result<Option<f64>, CudaError> {
        let (side, dtype) = (MULTIPLIED, self.inner());
        let shape = Shape {
            rows: side,
            columns: side,
            depth: side,
            a_transposed: false,
            b_transposed: false,
            operands: dtype,
            out: dtype,
            epilogue: GemmEpilogue::Plain,
        };
        if !self.prefers_cublaslt(&shape, &[]) {
            return Ok(None);
        }
        let words = dtype.words(side * side);
        let (mut factor, mut out) = (self.memory(words)?, self.memory(words)?);
        self.upload_bytes(&mut factor, &some_numbers(side * side, dtype))?;
        let product = Product::new(shape, factor.address(), factor.address());
        let mut best = f32::INFINITY;
        for _ in 0..3 {
            best = best.min(self.time_of(|| {
                (0..MULTIPLICATIONS).try_for_each(|_| self.multiply(&mut out, product))
            })?);
        }
        let all = MULTIPLICATIONS as f64 * (side as f64).powi(3);
        Ok(Some(all / (f64::from(best) * 1e-3)))
    }

    /// Bytes read and written a second when memory is copied.
    ///
    /// # Errors
    /// If the GPU has no room for two gibibytes, or fails.
    pub fn peak_bytes(&self) -> Result<f64, CudaError> {
        let (from, to) = (self.memory(COPIED / 4)?, self.memory(COPIED / 4)?);
        let (to, from, bytes) = (to.address(), from.address(), COPIED as u64);
        let mut best = f32::INFINITY;
        for _ in 0..4 {
            let copy = || self.queue.borrow_mut().enqueue(Command::Copy { to, from, bytes });
            best = best.min(self.time_of(copy)?);
        }
        Ok(2.0 * COPIED as f64 / (f64::from(best) * 1e-3))
    }

    /// Milliseconds that work takes on the GPU.
    fn time_of(&self, work: impl FnOnce() -> Result<(), CudaError>) -> Result<f32, CudaError> {
        let begin = self.record_event()?;
        work()?;
        let end = self.record_event()?;
        self.wait()?;
        self.milliseconds(begin, end)
    }

    /// Begins to time every kernel.
    ///
    /// Until [`Cuda::end_profile`] kernels run one by one, so a kernel's time includes its wait for the
    /// host.
    ///
    /// # Errors
    /// Only the GPU's own.
    pub fn begin_profile(&self) -> Result<(), CudaError> {
        self.queue.borrow_mut().begin_profile()
    }

    /// Each kernel's name since [`Cuda::begin_profile`], how often it ran and its milliseconds in sum, the
    /// longest first.
    ///
    /// # Errors
    /// Only the GPU's own.
    pub fn end_profile(&self) -> Result<Vec<KernelTime>, CudaError> {
        let events = self.queue.borrow_mut().end_profile();
        self.wait()?;
        let mut times = Vec::<KernelTime>::new();
        for pair in events.windows(2) {
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
        self.driver.forget_events();
        Ok(times)
    }
}

/// The bytes of so many numbers of 0.5 to 1 and −1 to −0.5: a GPU that multiplies zeros would be faster.
fn some_numbers(count: usize, dtype: Dtype) -> Vec<u8> {
    let random = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    // Sign and mantissa are random, the exponent is that of 0.5.
    let half = |conversions: u16, set: u16| -> Vec<u8> {
        let bits = move |i| (random(i) >> 16) as u16 & conversions | set;
        (0..count).flat_map(move |i| bits(i).to_le_bytes()).collect()
    };
    match dtype {
        Dtype::F32 => {
            let bits = |i| random(i) as u32 & 0x807f_ffff | 0x3f00_0000;
            (0..count).flat_map(|i| bits(i).to_le_bytes()).collect()
        }
        Dtype::F16 => half(0x83ff, 0x3800),
        Dtype::Bf16 => half(0x807f, 0x3f00),
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

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    #[test]
    fn factors_are_near_one() {
        let singles = some_numbers(1000, Dtype::F32);
        let singles = singles.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        let shorts = |dtype, number: fn(u16) -> f32| {
            let bytes = some_numbers(1000, dtype);
            let bits = bytes.chunks_exact(2).map(|b| u16::from_le_bytes(b.try_into().unwrap()));
            bits.map(number).collect::<Vec<f32>>()
        };
        let halves = shorts(Dtype::F16, |bits| f16::from_bits(bits).to_f32());
        let brains = shorts(Dtype::Bf16, |bits| bf16::from_bits(bits).to_f32());
        let numbers: Vec<f32> = singles.chain(halves).chain(brains).collect();
        assert!(numbers.iter().all(|x| (0.5..1.0).contains(&x.abs())));
        assert!(numbers.iter().any(|x| *x > 0.9) && numbers.iter().any(|x| *x < -0.9));
    }
}
