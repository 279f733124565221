//! The machine's peak: fused multiply-adds on registers, on all threads or the whole GPU.

use core::time::Duration;
use std::time::Instant;

use anyhow::Result;
use var_host::engine::Engine;
use var_kernel::cpu::Cpu;
use var_kernel::ops::elementwise::Elementwise;
use var_kernel::parts::peak;

/// A measurement long enough for the clock and for the processor's frequency to settle.
const LONG_ENOUGH: Duration = Duration::from_millis(200);
/// How often it is repeated; the best counts.
const REPETITIONS: usize = 3;

/// Peak rates of the device.
#[derive(Clone, Copy)]
pub(super) struct Peak {
    /// Billions of operations a second, a fused multiply-add being two.
    pub(super) gflops: f64,
    /// Billions of bytes a second that are read and written when memory is copied.
    pub(super) gb_per_s: f64,
}

/// The peak where `engine` computes.
pub(super) fn of(engine: &Engine<'_>) -> Result<Peak> {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = engine.gpu() {
        let gflops = 2e-9 * gpu.cuda().peak_multiply_adds()?;
        return Ok(Peak { gflops, gb_per_s: 1e-9 * gpu.cuda().peak_bytes()? });
    }
    let cpu = engine.cpu();
    Ok(Peak { gflops: gflops(&cpu), gb_per_s: gb_per_s(&cpu) })
}

/// Billions of operations a second on the processor.
fn gflops(cpu: &Cpu<'_>) -> f64 {
    let mut rounds = 100;
    let mut best = 0.0_f64;
    let mut repetitions = 0;
    while repetitions < REPETITIONS {
        let begun = Instant::now();
        let multiply_adds = peak::multiply_adds(cpu, rounds);
        let elapsed = begun.elapsed();
        if elapsed < LONG_ENOUGH {
            rounds *= 2;
            continue;
        }
        best = best.max(2.0 * multiply_adds as f64 / elapsed.as_secs_f64() / 1e9);
        repetitions += 1;
    }
    best
}

/// Floats that are copied at a time: more than caches hold.
const COPIED: usize = 1 << 26;

/// Billions of bytes a second that the processor reads and writes when it copies.
fn gb_per_s(cpu: &Cpu<'_>) -> f64 {
    let from = vec![1.0; COPIED];
    let mut to = vec![0.0; COPIED];
    let mut best = 0.0_f64;
    for _ in 0..REPETITIONS {
        let begun = Instant::now();
        let Ok(()) = cpu.copy(&mut to, &from);
        best = best.max(8.0 * COPIED as f64 / begun.elapsed().as_secs_f64() / 1e9);
    }
    best
}
