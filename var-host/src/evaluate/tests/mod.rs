//! Golden numbers of the metrics; sets of images, good and bad.

mod metrics;
mod sets_of_pictures;

use std::fs;

use serde_json::Value;
use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};

use crate::inception::testing::fixture_path;
use crate::pool::Threads;

/// Runs `work` on two threads.
fn with_cpu<R>(work: impl FnOnce(&Cpu<'_>) -> R) -> R {
    let threads = Threads::new(2, SCRATCH_FLOATS).unwrap();
    work(&Cpu::new(Isa::best(), &threads))
}

fn expected(file: &str) -> Value {
    serde_json::from_slice(&fs::read(fixture_path(file)).unwrap()).unwrap()
}
