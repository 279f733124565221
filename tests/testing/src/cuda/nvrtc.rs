//! Whether kernels compile for their GPUs, and their registers and shared memory.
//!
//! Wants NVRTC; no GPU.

use core::num::NonZero;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::path::PathBuf;
use std::vec::Vec;
use std::{env, fs, println, thread};

use var_kernel::cuda::{Precision, cubin_cache};
use var_kernel::parts::{KernelSource, nvrtc};

use super::{are_real, kernels, skipped};

/// The oldest GPU, and the one for which it is tuned.
const CAPABILITIES: [(u32, u32); 2] = [(8, 0), (9, 0)];

/// Bytes that a thread may have too many for its registers: a few cost nothing that shows.
const MAX_SPILLED: u32 = 32;

/// Registers a multiprocessor has, and of how many a thread's are a multiple.
const REGISTERS: u32 = 65_536;
const REGISTERS_TOGETHER: u32 = 8;

/// Bytes of shared memory that a multiprocessor has.
fn shared_of((major, _): (u32, u32)) -> u32 {
    if major >= 9 { 228 << 10 } else { 164 << 10 }
}

/// Bytes of shared memory that a block takes beside its own.
const SHARED_OF_BLOCK: u32 = 1 << 10;

/// Whether NVRTC is here; the emulator's is none.
///
/// # Panics
/// If it is not and `VAR_REQUIRE` names it.
pub fn has_nvrtc() -> bool {
    let reason = match (are_real(), nvrtc::is_present()) {
        (true, true) => return true,
        (true, false) => "it is not on this machine",
        (false, _) => "the GPUs of this process are emulated: VAR_GPUS=real",
    };
    skipped("NVRTC", "nvrtc", reason).unwrap_or(false)
}

/// Fails unless every kernel of `kernel_sources` compiles, in each precision that has its own, and fits the GPUs'
/// registers; prints the usage of each. Without NVRTC, only if `VAR_REQUIRE` names `nvrtc`.
///
/// # Panics
/// If one does not.
pub fn assert_compiles(kernel_sources: &[&'static KernelSource]) {
    let mut jobs = Vec::new();
    for source in kernel_sources {
        for precision in precisions(source) {
            jobs.extend(CAPABILITIES.map(|capability| (*source, precision, capability)));
        }
    }
    assert_jobs_compile(&jobs);
}

/// Fails unless the kernels of `kernel_sources` that tile products, and those for tensor cores' attention, compile in half
/// precision for the GPU it is tuned for: compilers differ in the registers these take.
///
/// # Panics
/// If one does not.
pub fn assert_tiles_compile(kernel_sources: &[&'static KernelSource]) {
    let has_tiles = |source: &&'static KernelSource| {
        let text = source.whole(Precision::F32);
        text != source.whole(Precision::Tf32) || text.contains("attention_64")
    };
    let tiles = kernel_sources.iter().copied().filter(has_tiles);
    let jobs: Vec<Job> = tiles.map(|source| (source, Precision::F16, CAPABILITIES[1])).collect();
    assert_jobs_compile(&jobs);
}

/// Compiles every kernel of `kernel_sources`, in each precision that has its own, for the GPU it is tuned for, into the
/// folder that `VAR_COMPILE_INTO` names, as `VAR_CUBINS` finds them: for a machine that has the GPU, where the
/// minute of compiling is dear.
///
/// # Panics
/// Without the variable; if NVRTC is not here, a text does not compile, or a file cannot be written.
pub fn compile_into(kernel_sources: &[&'static KernelSource]) {
    let folder = PathBuf::from(env::var_os("VAR_COMPILE_INTO").expect("VAR_COMPILE_INTO"));
    let version = nvrtc::version().expect("NVRTC is here");
    let capability = CAPABILITIES[1];
    let mut jobs = Vec::new();
    for source in kernel_sources {
        jobs.extend(precisions(source).map(|precision| (*source, precision)));
    }
    on_all_cores(&jobs, |(source, precision)| {
        let cubin = nvrtc::cubin(source, *precision, capability).expect("it compiles");
        let name = nvrtc::cubin_name(source, *precision, capability);
        let path = folder.join(cubin_cache::file_name(&name, version));
        fs::write(path, cubin_cache::written(&cubin)).expect("the folder can be written");
    });
}

/// The precisions in which a text is another.
fn precisions(source: &KernelSource) -> impl Iterator<Item = Precision> + use<> {
    let differs = [Precision::Bf16, Precision::Tf32].map(|precision| {
        (source.whole(precision) != source.whole(Precision::F16)).then_some(precision)
    });
    [Some(Precision::F16)].into_iter().chain(differs).flatten()
}

/// A text to compile.
type Job = (&'static KernelSource, Precision, (u32, u32));

fn assert_jobs_compile(jobs: &[Job]) {
    if !has_nvrtc() {
        return;
    }
    if let Some((major, minor)) = nvrtc::version() {
        println!("NVRTC {major}.{minor}");
    }
    on_all_cores(jobs, |(source, precision, capability)| {
        match nvrtc::compile(source, *precision, *capability, Some("--ptxas-options=-v")) {
            Ok((_, said)) => report(source, *precision, *capability, &said),
            Err(error) => panic!("{precision} {capability:?}: {error}"),
        }
    });
}

/// Does each of `jobs`, on all cores: a large text takes a minute.
fn on_all_cores<T: Sync>(jobs: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(job);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
}

/// Prints each kernel's registers and stack; fails if one spills more than a few bytes, or a multiprocessor has
/// not the registers or the shared memory for as many blocks of it as its text says.
fn report(
    source: &'static KernelSource,
    precision: Precision,
    (major, minor): (u32, u32),
    said: &str,
) {
    let (mut kernel, mut frame, mut seen) = ("", "", Vec::new());
    for line in said.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            kernel = rest.split('\'').next().unwrap_or("");
        } else if line.contains("bytes spill stores") {
            frame = line.trim_start_matches(|c: char| !c.is_ascii_digit());
            let stores = frame.split(", ").nth(1).and_then(|part| part.split(' ').next());
            let spilled: u32 = stores.and_then(|bytes| bytes.parse().ok()).expect("a count");
            assert!(spilled <= MAX_SPILLED, "{kernel} on sm_{major}{minor}: {frame}");
        } else if let Some((_, used)) = line.split_once("Used ") {
            let registers: u32 =
                used.split(' ').next().and_then(|n| n.parse().ok()).expect("a count");
            let threads = kernels::threads(source, kernel).expect("the kernel says its threads");
            let blocks = kernels::blocks(source, kernel).expect("the kernel says its blocks");
            let of_block = registers.next_multiple_of(REGISTERS_TOGETHER) * threads;
            assert!(
                blocks * of_block <= REGISTERS,
                "{kernel} on sm_{major}{minor}: {blocks} blocks of {threads} threads of {registers} registers"
            );
            let shared =
                used.split(" bytes smem").next().and_then(|before| before.rsplit(' ').next());
            let shared: u32 = shared.and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
            assert!(
                blocks * (shared + SHARED_OF_BLOCK) <= shared_of((major, minor)),
                "{kernel} on sm_{major}{minor}: {blocks} blocks of {shared} bytes of shared memory"
            );
            println!("sm_{major}{minor} {precision} {kernel}: {used}; {frame}");
            seen.push(kernel);
        }
    }
    let mut unseen = kernels::names(source);
    unseen.retain(|name| !seen.contains(&&**name));
    assert!(!seen.is_empty() && unseen.is_empty(), "{}: no report on {unseen:?}", source.name());
}
