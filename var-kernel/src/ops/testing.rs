//! What the operations' tests share: numbers to try, and the promise of equal bytes.

use std::vec;
use std::vec::Vec;

use crate::cpu::{Cpu, Inline, Isa, SCRATCH_FLOATS, Workers};

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
