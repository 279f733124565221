//! NVIDIA's driver where it refuses, or its GPU is lost.

use core::sync::atomic::{AtomicU32, Ordering};
use std::vec;

use super::fakes::under_fakes;
use crate::capture::Capture;
use crate::cuda::{Cuda, GemmProvider, Options};
use crate::memory::Device;
use crate::ops::Elementwise;
use crate::ops::elementwise::Unary;
use crate::ops::sample_tokens::{Dims, SampleSettings, SampleTokens};
use crate::ops::testing::tokens_in;
use crate::sample::{Filter, UniformSource};

#[test]
fn draw_is_launched_with_any_number_of_codes() {
    if !under_fakes(module_path!(), "draw_is_launched_with_any_number_of_codes", "") {
        return;
    }
    // 11 201 to 12 288 codes: with the kernel's static memory more than 48 KiB, without it less.
    let cuda = Cuda::open(Options::default()).unwrap();
    for codes in [64, 11_200, 11_201, 12_288, 12_289, 16_384] {
        let d = Dims { images: 1, positions: 1, codes };
        let (mut tokens, logits) = (cuda.memory(1).unwrap(), cuda.memory(codes).unwrap());
        let settings = SampleSettings {
            guidance: 0.0,
            temperature: 1.0,
            filter: Filter { top_k: 0, top_p: 0.0 },
            source: UniformSource::Seed(1),
            scale: 0,
            indices: &[0],
        };
        let tokens = tokens_in(&cuda, &mut *tokens);
        let drawn = cuda.sample_tokens(tokens, None, &logits, None, &settings, d);
        assert_eq!(drawn, Ok(()), "{codes} codes");
    }
}

#[test]
fn library_of_a_lost_gpu_stays_open() {
    if !under_fakes(module_path!(), "library_of_a_lost_gpu_stays_open", "lost") {
        return;
    }
    let cuda = Cuda::open(Options { gemm_provider: GemmProvider::CublasLt, ..Options::default() })
        .unwrap();
    assert!(cuda.library().is_some());
    let (mut out, x) = (cuda.memory(1).unwrap(), cuda.memory(1).unwrap());
    while cuda.wait().is_ok() {
        cuda.map(&mut out, &x, Unary::Silu).unwrap();
    }
}

#[test]
fn graphs_that_cannot_be_made_are_done_without() {
    let name = "graphs_that_cannot_be_made_are_done_without";
    for fake in ["no-capture", "no-graph", "no-launch-in-capture"] {
        if !under_fakes(module_path!(), name, fake) {
            continue;
        }
        static WARNINGS: AtomicU32 = AtomicU32::new(0);
        let warn = |source: &str| {
            assert!(source.contains("kernel by kernel"), "{source}");
            let _ = WARNINGS.fetch_add(1, Ordering::Relaxed);
        };
        let cuda = Cuda::open(Options { warn, ..Options::default() }).unwrap();
        let mut words = vec![0.0; 8];
        let (mut out, x) = (cuda.memory(8).unwrap(), cuda.memory(8).unwrap());
        for turn in 0..4 {
            let numbers = [turn as f32; 8];
            cuda.capture(&mut || {
                (0..6).try_for_each(|_| cuda.map(&mut out, &x, Unary::Silu))?;
                cuda.upload(&mut out, &numbers)
            })
            .unwrap();
            cuda.download(&mut words, &out).unwrap();
            assert_eq!(words, numbers, "turn {turn}");
        }
        assert_eq!(WARNINGS.load(Ordering::Relaxed), 1);
        return;
    }
}
