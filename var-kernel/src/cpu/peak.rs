//! The machine's measured peak: multiply-adds and bytes a second.

use core::hint::black_box;

use super::Cpu;
use super::simd::{LANES, Simd, SimdKernel};

/// Runs fused multiply-adds on registers alone, `rounds` times a fixed number on each of the lent
/// threads, and returns how many single ones that was in all.
///
/// The caller holds the clock: a fused multiply-add is two operations, and the quotient is the peak
/// no product can pass.
pub fn multiply_adds(cpu: &Cpu<'_>, rounds: usize) -> u64 {
    let threads = cpu.workers.count();
    let isa = cpu.isa;
    cpu.for_each(threads, |_, _| {
        black_box(isa.run(Chains { rounds }));
    });
    let in_flight = cpu.isa.run(InFlight);
    (threads * rounds * LENGTH * in_flight * LANES) as u64
}

/// Multiply-adds of a chain in a round.
const LENGTH: usize = 1000;

/// Chains that run beside each other; as many as hide the latency and still fit the registers.
const fn in_flight<S: Simd>() -> usize {
    if S::MR < 12 { S::MR } else { 12 }
}

struct Chains {
    rounds: usize,
}

impl SimdKernel for Chains {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let factor = s.splat(black_box(0.5));
        let mut chains = [s.splat(black_box(1.0)); 12];
        for _ in 0..self.rounds * LENGTH {
            for chain in &mut chains[..in_flight::<S>()] {
                *chain = s.mul_add(*chain, factor, factor);
            }
        }
        let mut sum = chains[0];
        for chain in &chains[1..in_flight::<S>()] {
            sum = s.add(sum, *chain);
        }
        s.sum(sum)
    }
}

struct InFlight;

impl SimdKernel for InFlight {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        in_flight::<S>()
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;
    use crate::cpu::{Inline, Isa, SCRATCH_FLOATS};

    #[test]
    fn chains_settle_at_their_fixed_point() {
        let mut scratch = vec![0.0; SCRATCH_FLOATS];
        let workers = Inline::new(&mut scratch);
        for isa in Isa::all() {
            // x = x/2 + 1/2 has the fixed point 1, where the chains start.
            let chains = isa.run(InFlight);
            assert_eq!(isa.run(Chains { rounds: 1 }), (chains * LANES) as f32);
            let done = multiply_adds(&Cpu::new(isa, &workers), 3);
            assert_eq!(done, (3 * LENGTH * chains * LANES) as u64);
        }
    }
}
