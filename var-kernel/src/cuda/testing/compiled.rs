//! Whether kernels compile for the cards they are for, and what they take of them.
//!
//! Wants NVRTC; no card.

use core::num::NonZero;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;
use std::{env, eprintln, println, thread};

use crate::cuda::Precision;
use crate::cuda::driver::compile;
use crate::cuda::text::Text;

/// The oldest card, and the one for which it is tuned.
const CAPABILITIES: [(u32, u32); 2] = [(8, 0), (9, 0)];

/// Bytes that a thread may have too many for its registers: a few cost nothing that shows.
const MOST_SPILLED: u32 = 32;

/// Registers a multiprocessor has.
const REGISTERS: u32 = 65_536;

/// Whether NVRTC is here.
///
/// # Panics
/// If it is not and `VAR_REQUIRE` names it.
pub(crate) fn has_nvrtc() -> bool {
    if compile::is_present() {
        return true;
    }
    let required = env::var("VAR_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == "nvrtc"), "NVRTC is not here");
    eprintln!("skipped: NVRTC is not here");
    false
}

/// Fails unless every kernel of `texts` compiles, in each precision that has its own, and fits the cards' registers;
/// prints what each takes. Without NVRTC, only if `VAR_REQUIRE` names `nvrtc`.
///
/// # Panics
/// If one does not.
pub fn assert_compiles(texts: &[&'static Text]) {
    if !has_nvrtc() {
        return;
    }
    let mut jobs = Vec::new();
    for text in texts {
        for (precision, has_its_own) in [
            (Precision::F16, true),
            (Precision::Bf16, text.has_shorts()),
            (Precision::Tf32, text.multiplies_singles()),
        ] {
            if has_its_own {
                jobs.extend(CAPABILITIES.map(|capability| (*text, precision, capability)));
            }
        }
    }
    // A minute for each large text: all cores help.
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((text, precision, capability)) =
            jobs.get(next.fetch_add(1, Ordering::Relaxed))
        {
            match compile::cubin_and_report(text, *precision, *capability) {
                Ok((_, said)) => report(text, *precision, *capability, &said),
                Err(error) => panic!("{precision} {capability:?}: {error}"),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
}

/// Prints each kernel's registers and stack; fails if one spills more than a few bytes, or a block of it has
/// not the registers.
fn report(text: &'static Text, precision: Precision, (major, minor): (u32, u32), said: &str) {
    let (mut kernel, mut frame, mut seen) = ("", "", Vec::new());
    for line in said.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            kernel = rest.split('\'').next().unwrap_or("");
        } else if line.contains("bytes spill stores") {
            frame = line.trim_start_matches(|c: char| !c.is_ascii_digit());
            let stores = frame.split(", ").nth(1).and_then(|part| part.split(' ').next());
            let spilled: u32 = stores.and_then(|bytes| bytes.parse().ok()).expect("a count");
            assert!(spilled <= MOST_SPILLED, "{kernel} on sm_{major}{minor}: {frame}");
        } else if let Some((_, used)) = line.split_once("Used ") {
            let registers: u32 =
                used.split(' ').next().and_then(|n| n.parse().ok()).expect("a count");
            let threads = text.threads(kernel).expect("the kernel says its threads");
            assert!(registers * threads <= REGISTERS, "{kernel}: {registers} × {threads}");
            println!("sm_{major}{minor} {precision} {kernel}: {used}; {frame}");
            seen.push(kernel);
        }
    }
    let unseen: Vec<&str> = text.kernels().filter(|name| !seen.contains(name)).collect();
    assert!(!seen.is_empty() && unseen.is_empty(), "{}: no report on {unseen:?}", text.name);
}
