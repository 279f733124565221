//! Shared by the operations' tests: operands, and the check of equal bytes.

use std::string::String;
use std::vec;
use std::vec::Vec;

use half::f16;

use crate::cpu::matrix::Q8_BLOCK;
use crate::cpu::{Cpu, Inline, Isa, SCRATCH_FLOATS, Workers};
use crate::memory::Device;
use crate::transfer::TokenTransfer;

/// `length` numbers in −1 .. 1 that depend on `seed` alone.
pub(crate) fn random(length: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    core::iter::repeat_with(next).take(length).collect()
}

/// As [`random`], in steps of 1/64: each format holds such numbers as they are.
pub(crate) fn coarse(length: usize, seed: u64) -> Vec<f32> {
    random(length, seed).into_iter().map(|x| (64.0 * x).round() / 64.0).collect()
}

/// Scale and integers of a block of activations, as [`crate::cpu::matmul::q8`] defines them.
pub(crate) fn q8_block(x: &[f32]) -> (f32, Vec<i32>) {
    let largest = x.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let scale = if x.iter().all(|x| x.is_finite()) { largest / 127.0 } else { f32::INFINITY };
    let integer = |x: &f32| match scale {
        0.0 | f32::INFINITY => 0,
        _ => (x / scale).round_ties_even().clamp(-127.0, 127.0) as i32,
    };
    (scale, x.iter().map(integer).collect())
}

/// `x · weightᵀ` for q8 weights in rows of `inner`, whole blocks: one chain over the blocks.
pub(crate) fn q8_chains(x: &[f32], values: &[i8], scales: &[f16], inner: usize) -> Vec<f32> {
    let columns = || values.chunks(inner).zip(scales.chunks(inner / Q8_BLOCK));
    let mut out = Vec::new();
    for x in x.chunks(inner) {
        let x: Vec<_> = x.chunks(Q8_BLOCK).map(q8_block).collect();
        out.extend(columns().map(|(values, scales)| {
            let blocks = x.iter().zip(values.chunks(Q8_BLOCK).zip(scales));
            blocks.fold(0.0, |sum: f32, ((scale, q), (w, scale_w))| {
                let dot: i32 = q.iter().zip(w).map(|(q, w)| q * i32::from(*w)).sum();
                (dot as f32).mul_add(scale * scale_w.to_f32(), sum)
            })
        }));
    }
    out
}

/// Fails unless `|got − want| ≤ tolerance` for every number.
#[track_caller]
pub(crate) fn assert_close(got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        assert!(error <= tolerance, "at {i}: got {got}, want {want}, off by {error:e}");
    }
}

/// Runs `op` on every instruction set, inline and on three threads, with memory that held NaN; fails
/// unless all give the same bytes; returns them.
#[track_caller]
pub(crate) fn on_each_cpu(length: usize, op: impl Fn(Cpu<'_>, &mut [f32])) -> Vec<f32> {
    let mut first: Option<Vec<f32>> = None;
    let mut scratch = vec![f32::NAN; SCRATCH_FLOATS];
    let inline = Inline::new(&mut scratch);
    for isa in Isa::all() {
        for workers in [&inline as &dyn Workers, &Spawned(3)] {
            let mut out = vec![f32::NAN; length];
            op(Cpu::new(isa, workers), &mut out);
            let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            match &first {
                None => first = Some(out),
                Some(first) => assert!(
                    bits(first) == bits(&out),
                    "{isa:?} with {} threads gives other bytes",
                    workers.count()
                ),
            }
        }
    }
    first.expect("every machine has the portable instruction set")
}

/// The memory of `run`, to hold tokens.
pub(crate) fn tokens_in<'r, B: TokenTransfer>(_: &B, run: &'r mut B::Slice) -> &'r mut B::Tokens {
    B::tokens_in(run)
}

/// Memory of a backend's own, for scratch.
pub(crate) trait AllocBuffer: Device {
    /// Owns a run.
    type Memory: core::ops::DerefMut<Target = Self::Slice>;

    /// `length` numbers, unspecified.
    fn alloc(&self, length: usize) -> Self::Memory;
}

impl AllocBuffer for Cpu<'_> {
    type Memory = Vec<f32>;

    fn alloc(&self, length: usize) -> Vec<f32> {
        vec![f32::NAN; length]
    }
}

#[cfg(feature = "cuda")]
impl AllocBuffer for crate::cuda::Cuda {
    type Memory = crate::cuda::Memory;

    fn alloc(&self, length: usize) -> crate::cuda::Memory {
        self.memory(length).unwrap()
    }
}

/// A backend's outputs.
pub(crate) struct BackendOutput {
    /// `cpu`, `cuda f16`, …
    pub(crate) name: String,
    /// The numbers.
    pub(crate) values: Vec<f32>,
    /// The rounding of the factors it multiplied, of 1; 0 if they were f32.
    pub(crate) rounding: f64,
}

impl BackendOutput {
    /// The numbers at `range`.
    pub(crate) fn part(&self, range: core::ops::Range<usize>) -> Self {
        let (name, values) = (self.name.clone(), self.values[range].to_vec());
        Self { name, values, rounding: self.rounding }
    }

    /// Fails unless every number is as close as `tolerance`, and a few roundings of half-precision numbers.
    #[track_caller]
    pub(crate) fn assert_close(&self, want: &[f64], tolerance: f64) {
        const ROUNDINGS: f64 = 3.0;
        assert_eq!(self.values.len(), want.len(), "{}", self.name);
        for (i, (got, want)) in self.values.iter().zip(want).enumerate() {
            let tolerance = tolerance + ROUNDINGS * self.rounding * want.abs().max(1.0);
            let error = (f64::from(*got) - want).abs();
            let name = &self.name;
            assert!(error <= tolerance, "{name}, at {i}: got {got}, want {want}, off by {error:e}");
        }
    }

    /// The tokens in the memory of a run.
    pub(crate) fn tokens(&self) -> Vec<u32> {
        self.values.iter().map(|x| x.to_bits()).collect()
    }

    /// The same where only `f32` is computed with, whatever the precision.
    #[track_caller]
    pub(crate) fn assert_as_close(&self, want: &[f64], tolerance: f64) {
        Self { rounding: 0.0, ..self.part(0..self.values.len()) }.assert_close(want, tolerance);
    }
}

/// Runs an operation on every CPU and every GPU; a list of [`BackendOutput`].
///
/// `on_each_backend!([runs it writes: their lengths], [runs it reads], |b| b.operation(out, …))`: the runs
/// are slices of the host here and of the backend in there, where those to write hold NaN. The outputs
/// are one vector, run after run. `[weights: their shapes]` may follow the runs: matrices in there.
macro_rules! on_each_backend {
    ([$($out:ident: $length:expr),*], [$($run:ident),*], |$b:ident| $call:expr) => {
        $crate::ops::testing::on_each_backend!(
            [$($out: $length),*], [$($run),*], [], |$b| $call
        )
    };
    (
        [$($out:ident: $length:expr),*], [$($run:ident),*], [$($matrix:ident: $shape:expr),*],
        |$b:ident| $call:expr
    ) => {{
        let lengths: &[usize] = &[$($length),*];
        let values = $crate::ops::testing::on_each_cpu(lengths.iter().sum(), |cpu, out| {
            let $b = &cpu;
            $(let $run = &$run[..];)*
            $(let $matrix = $crate::cpu::Matrix::F32(&$matrix[..]);)*
            let rest = out;
            let mut lengths = lengths.iter().copied();
            $(let ($out, rest) = rest.split_at_mut(lengths.next().expect("one for each run"));)*
            assert!(rest.is_empty());
            let Ok(()) = $call;
        });
        let first = $crate::ops::testing::BackendOutput { name: "cpu".into(), values, rounding: 0.0 };
        #[allow(unused_mut, reason = "without the feature `cuda` there is one")]
        let mut all = std::vec![first];
        #[cfg(feature = "cuda")]
        for gpu in $crate::cuda::testing::gpus().iter() {
            let $b = &gpu.cuda;
            $(let $run = gpu.put(&$run[..]);)*
            $(let $run = &*$run;)*
            $(let $matrix = gpu.matrix($crate::cpu::Matrix::F32(&$matrix[..]), &$shape);)*
            $(let $matrix = $matrix.view();)*
            let mut lengths = lengths.iter().copied();
            $(let mut $out = gpu.nans(lengths.next().expect("one for each run"));)*
            {
                $(let $out = &mut *$out;)*
                if let Err(error) = $call {
                    panic!("{}: {error}", gpu.name);
                }
            }
            let values = [$(gpu.read(&$out)),*].concat();
            let (name, rounding) = (gpu.name.clone(), gpu.rounding());
            all.push($crate::ops::testing::BackendOutput { name, values, rounding });
        }
        all
    }};
}
pub(crate) use on_each_backend;

/// Threads made anew for each job.
struct Spawned(usize);

impl Workers for Spawned {
    fn count(&self) -> usize {
        self.0
    }

    fn broadcast(&self, threads: usize, job: &(dyn Fn(&mut [f32]) + Sync)) {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| job(&mut vec![f32::NAN; SCRATCH_FLOATS]));
            }
        });
    }
}
