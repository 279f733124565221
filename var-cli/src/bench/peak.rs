//! The machine's peak: fused multiply-adds on registers, on all threads or the whole card.

use core::time::Duration;
use std::time::Instant;

use anyhow::Result;
use var_host::engine::Engine;
use var_host::pool::Threads;
use var_kernel::cpu::{Cpu, SCRATCH_FLOATS};
use var_kernel::parts::peak;

use crate::args::Session;

/// A measurement long enough for the clock and for the processor's frequency to settle.
const LONG_ENOUGH: Duration = Duration::from_millis(200);
/// How often it is repeated; the best counts.
const REPETITIONS: usize = 3;

/// Peak rates of the device.
#[derive(Clone, Copy)]
pub(super) struct Peak {
    /// Billions of operations a second, a fused multiply-add being two.
    pub(super) gflops: f64,
    /// Billions of bytes a second that are read and written when memory is copied; on cards.
    pub(super) gb_per_s: Option<f64>,
}

/// The peak where `engine` computes.
pub(super) fn of(engine: &Engine<'_>, session: &Session) -> Result<Peak> {
    #[cfg(feature = "cuda")]
    if let Some(card) = engine.card() {
        let gflops = 2e-9 * card.cuda().peak_multiply_adds()?;
        return Ok(Peak { gflops, gb_per_s: Some(1e-9 * card.cuda().peak_bytes()?) });
    }
    let _ = engine;
    Ok(Peak { gflops: gflops(session)?, gb_per_s: None })
}

/// Billions of operations a second on the processor.
fn gflops(session: &Session) -> Result<f64> {
    let threads = Threads::new(session.threads, SCRATCH_FLOATS)?;
    let cpu = Cpu::new(session.isa, &threads);
    let mut rounds = 100;
    let mut best = 0.0_f64;
    let mut repetitions = 0;
    while repetitions < REPETITIONS {
        let begun = Instant::now();
        let multiply_adds = peak::multiply_adds(&cpu, rounds);
        let elapsed = begun.elapsed();
        if elapsed < LONG_ENOUGH {
            rounds *= 2;
            continue;
        }
        best = best.max(2.0 * multiply_adds as f64 / elapsed.as_secs_f64() / 1e9);
        repetitions += 1;
    }
    Ok(best)
}
