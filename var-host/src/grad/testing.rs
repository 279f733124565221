//! Shared by the gradients' tests: operands, equal bytes, every backend, finite differences.

use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};
use var_kernel::memory::Device;

use crate::pool::Threads;

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

/// Fails unless `|got − want| ≤ tolerance · max(1, |want|)` for every number.
#[track_caller]
pub(crate) fn assert_close(got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        let allowed = tolerance * want.abs().max(1.0);
        assert!(error <= allowed, "at {i}: got {got}, want {want}, off by {error:e}");
    }
}

/// Runs `op` on every instruction set, on one thread and three; fails unless all give the same bytes;
/// returns them.
#[track_caller]
pub(crate) fn on_each_cpu(length: usize, op: impl Fn(Cpu<'_>, &mut [f32])) -> Vec<f32> {
    let mut first: Option<Vec<f32>> = None;
    for threads in [1, 3] {
        let pool = Threads::new(threads, SCRATCH_FLOATS).expect("threads start");
        for isa in Isa::all() {
            let mut out = vec![f32::NAN; length];
            op(Cpu::new(isa, &pool), &mut out);
            let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            match &first {
                None => first = Some(out),
                Some(first) => assert!(
                    bits(first) == bits(&out),
                    "{isa:?} with {threads} threads gives other bytes"
                ),
            }
        }
    }
    first.expect("every machine has the portable instruction set")
}

/// `Σᵢ weights[i] · ∂f[i]/∂x` by central differences: the gradient of x for outputs with gradients
/// `weights`.
pub(crate) fn differences(x: &[f32], weights: &[f32], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let at = |i: usize, step: f64| {
        let mut x = x.clone();
        x[i] += step;
        let y = f(&x);
        assert_eq!(y.len(), weights.len());
        y.iter().zip(weights).map(|(y, weight)| y * f64::from(*weight)).sum::<f64>()
    };
    (0..x.len()).map(|i| (at(i, STEP) - at(i, -STEP)) / (2.0 * STEP)).collect()
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
impl AllocBuffer for var_kernel::cuda::Cuda {
    type Memory = var_kernel::cuda::Memory;

    fn alloc(&self, length: usize) -> var_kernel::cuda::Memory {
        self.memory(length).expect("the GPU has as much")
    }
}

/// A backend's accumulated outputs.
pub(crate) struct BackendOutput {
    /// `cpu`, `cuda f16`, …
    pub(crate) name: String,
    /// The numbers, run after run.
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

    /// Fails unless `|got − want| ≤ tolerance · max(1, |want|)` for every number, and some roundings of
    /// the largest where it computed with half-precision numbers.
    #[track_caller]
    pub(crate) fn assert_close(&self, want: &[f64], tolerance: f64) {
        const ROUNDINGS: f64 = 4.0;
        assert_eq!(self.values.len(), want.len(), "{}", self.name);
        let largest = want.iter().fold(1.0_f64, |largest, x| largest.max(x.abs()));
        for (i, (got, want)) in self.values.iter().zip(want).enumerate() {
            let allowed = tolerance * want.abs().max(1.0) + ROUNDINGS * self.rounding * largest;
            let (error, name) = ((f64::from(*got) - want).abs(), &self.name);
            assert!(error <= allowed, "{name}, at {i}: got {got}, want {want}, off by {error:e}");
        }
    }
}

/// Runs a gradient on every CPU and every GPU; a list of [`BackendOutput`].
///
/// `on_each_backend!([runs it adds to: their values before], [runs it reads], [matrices: shapes],
/// |b| b.operation(out, …))`: the runs are slices of the host here and of the backend in there.
/// Matrices, by their shapes, are stored as each backend stores them.
macro_rules! on_each_backend {
    (
        [$($out:ident: $before:expr),*], [$($run:ident),*], [$($matrix:ident: $shape:expr),*],
        |$b:ident| $call:expr
    ) => {{
        let befores: &[Vec<f32>] = &[$($before.to_vec()),*];
        let length = befores.iter().map(Vec::len).sum();
        let values = $crate::grad::testing::on_each_cpu(length, |cpu, out| {
            let $b = &cpu;
            $(let $run = &$run[..];)*
            $(let $matrix = var_kernel::cpu::Matrix::F32(&$matrix[..]);)*
            out.copy_from_slice(&befores.concat());
            let rest = out;
            let mut lengths = befores.iter().map(Vec::len);
            $(let ($out, rest) = rest.split_at_mut(lengths.next().expect("one for each run"));)*
            assert!(rest.is_empty());
            let Ok(()) = $call;
        });
        let first = $crate::grad::testing::BackendOutput { name: "cpu".into(), values, rounding: 0.0 };
        #[allow(unused_mut, reason = "without the feature `cuda` there is one")]
        let mut all = vec![first];
        #[cfg(feature = "cuda")]
        for gpu in var_testing::cuda::gpus().iter() {
            let $b = &gpu.cuda;
            $(let $run = gpu.put(&$run[..]);)*
            $(let $run = &*$run;)*
            $(let $matrix = gpu.matrix(var_kernel::cpu::Matrix::F32(&$matrix[..]), &$shape);)*
            $(let $matrix = $matrix.view();)*
            let mut befores = befores.iter();
            $(let mut $out = gpu.put(befores.next().expect("one for each run"));)*
            {
                $(let $out = &mut *$out;)*
                if let Err(error) = $call {
                    panic!("{}: {error}", gpu.name);
                }
            }
            let values = [$(gpu.read(&$out)),*].concat();
            let (name, rounding) = (gpu.name.clone(), gpu.rounding());
            all.push($crate::grad::testing::BackendOutput { name, values, rounding });
        }
        all
    }};
}
pub(crate) use on_each_backend;
