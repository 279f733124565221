//! Sampling allocates nothing: a test program of its own, because it counts every allocation.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU64, Ordering};
use std::alloc::System;

use var_kernel::arena::Arena;
use var_kernel::generate::{Outcome, Request, generate};
use var_kernel::sample::{Filter, UniformSource};

mod fixture;
#[path = "support.rs"]
#[allow(dead_code)]
mod support;

use support::{Golden, GoldenModel, working_memory};

/// Allocations of all threads since the program began.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call is passed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn generating_pictures_allocates_nothing() {
    let model = GoldenModel::of(&Golden::open("tiny.safetensors"));
    model.with(|cpu, model| {
        let mut memory = working_memory(64);
        let mut tokens = vec![0; 2 * model.vqvae.config.ladder.length()];
        let mut pictures = vec![0.0; model.vqvae.images_len(2)];
        let mut partly = vec![0.0; model.vqvae.images_len(1)];
        for more_smooth in [false, true] {
            let request = Request {
                labels: &[1, 2],
                indices: &[0, 1],
                cfg: 2.0,
                temperature: 1.0,
                filter: Filter { top_k: 20, top_p: 0.9 },
                more_smooth,
                source: UniformSource::Seed(0),
                keep: None,
            };
            let mut arena = Arena::new(&mut memory[..]);
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            let Ok(outcome) = generate(
                cpu,
                model,
                &request,
                &mut tokens,
                &mut pictures,
                &mut arena,
                &mut |progress| {
                    let Ok(()) = progress.picture(&mut partly, 0);
                    ControlFlow::Continue(())
                },
            );
            let after = ALLOCATIONS.load(Ordering::Relaxed);
            assert_eq!(outcome, Outcome::Done);
            assert_eq!(after - before, 0, "more_smooth: {more_smooth}");
        }
    });
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > 0, "the counter counts");
}
