//! How fast the products are, against the fused multiply-adds the machine can do at best.
//!
//! `cargo bench -p var-kernel --bench products [-- word…]` prints the lines that contain every word.
//! Each figure is the best of several runs; measure on a quiet machine.

use core::hint::black_box;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::Instant;

use half::{bf16, f16};
use var_kernel::cpu::{Cpu, Isa, Matrix, SCRATCH_FLOATS, Workers};
use var_kernel::ops::attention::{self, Attention, Mask};
use var_kernel::ops::linear::{self, Epilogue, Linear};
use var_kernel::parts::peak;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let most = std::thread::available_parallelism().map_or(1, usize::from);
    let mut counts = vec![1, most];
    counts.dedup();
    // Without fused multiply-adds in hardware a line takes a minute.
    let slow = |isa: &Isa| ["portable", "sse2"].contains(&isa.name());
    for isa in Isa::all().filter(|isa| !slow(isa) || words.iter().any(|w| w == isa.name())) {
        for &threads in &counts {
            with_threads(threads, |workers| {
                let bench = Bench { cpu: Cpu::new(isa, workers), threads, words: &words };
                bench.linear();
                bench.attention();
            });
        }
    }
}

struct Bench<'a> {
    cpu: Cpu<'a>,
    threads: usize,
    words: &'a [String],
}

impl Bench<'_> {
    fn linear(&self) {
        for (rows, outer, inner) in [
            (1360, 3072, 1024),
            (680, 4096, 1024),
            (512, 1024, 4096),
            (256, 1024, 1024),
            (32, 3072, 1024),
            (8, 4096, 1024),
            (2, 6144, 1024),
            // Weights of 200 MB, which lie in memory.
            (338, 49152, 1024),
            (50, 49152, 1024),
        ] {
            let wanted = ["f32", "f16", "bf16", "q8"]
                .map(|format| self.wants(&format!("linear {rows}x{outer}x{inner} {format}")));
            if wanted == [false; 4] {
                continue;
            }
            let x = numbers(rows * inner);
            let weight = numbers(outer * inner);
            let f16s: Vec<f16> = weight.iter().map(|w| f16::from_f32(*w)).collect();
            let bf16s: Vec<bf16> = weight.iter().map(|w| bf16::from_f32(*w)).collect();
            let q8s: Vec<i8> = weight.iter().map(|w| (w * 127.0) as i8).collect();
            let scales = vec![f16::from_f32(1.0 / 127.0); weight.len() / 32];
            let mut out = vec![0.0; rows * outer];
            let d = linear::Dims { rows, inner, outer };
            for (name, matrix, bytes) in [
                ("f32", Matrix::F32(&weight), 4.0),
                ("f16", Matrix::F16(&f16s), 2.0),
                ("bf16", Matrix::Bf16(&bf16s), 2.0),
                ("q8", Matrix::Q8 { values: &q8s, scales: &scales }, 1.0 + 2.0 / 32.0),
            ] {
                let bytes = bytes * weight.len() as f64;
                let name = format!("linear {rows}x{outer}x{inner} {name}");
                self.line(&name, d.multiply_adds(), bytes, || {
                    let none = Epilogue::None;
                    let Ok(()) = self.cpu.linear(&mut out, &x, matrix, None, none, d);
                });
            }
        }
    }

    fn attention(&self) {
        for (batch, heads, head_width, queries, keys, capacity) in [
            (2, 16, 64, 256, 680, 680),
            (2, 16, 64, 680, 680, 680),
            (2, 16, 64, 1024, 2240, 2240),
            (2, 16, 64, 1, 1, 680),
            (2, 16, 64, 16, 30, 680),
            (1, 1, 640, 1024, 1024, 1024),
        ] {
            let d = attention::Dims { batch, heads, head_width, queries, keys, capacity };
            let name = format!("attention {batch}x{heads}x{head_width} {queries}q {keys}k");
            if !self.wants(&name) {
                continue;
            }
            let width = heads * head_width;
            let q = numbers(batch * queries * width);
            let k = numbers(batch * capacity * width);
            let v = numbers(batch * capacity * width);
            let mut out = vec![0.0; q.len()];
            let bytes = (2 * batch * keys * width * 4) as f64;
            self.line(&name, d.multiply_adds(), bytes, || {
                let Ok(()) = self.cpu.attention(&mut out, &q, &k, &v, 1.0, Mask::None, d);
            });
        }
    }

    fn full(&self, name: &str) -> String {
        format!("{} {} threads {name}", self.cpu.isa().name(), self.threads)
    }

    fn wants(&self, name: &str) -> bool {
        let name = self.full(name);
        self.words.iter().all(|word| name.contains(word.as_str()))
    }

    /// Measures `job` and the peak in turns, so that both meet the same machine.
    fn line(&self, name: &str, multiply_adds: u64, bytes: f64, mut job: impl FnMut()) {
        if !self.wants(name) {
            return;
        }
        let name = self.full(name);
        job();
        let once = seconds(&mut job);
        let repeats = (0.03 / once).clamp(1.0, 20_000.0) as usize;
        let (mut best, mut peak) = (f64::INFINITY, 0.0_f64);
        for _ in 0..12 {
            let time = seconds(|| (0..repeats).for_each(|_| job()));
            best = best.min(time / repeats as f64);
            let mut done = 0;
            let time = seconds(|| done = peak::multiply_adds(&self.cpu, 500));
            peak = peak.max(2e-9 * done as f64 / time);
        }
        let speed = 2e-9 * multiply_adds as f64 / best;
        println!(
            "{name:52} {:10.1} us {speed:7.1} GFLOP/s {:5.1} % of {peak:5.0} {:6.1} GB/s",
            1e6 * best,
            100.0 * speed / peak,
            1e-9 * bytes / best
        );
    }
}

fn seconds(mut job: impl FnMut()) -> f64 {
    let start = Instant::now();
    job();
    start.elapsed().as_secs_f64()
}

/// Numbers in −1 .. 1 without a pattern that matters.
fn numbers(length: usize) -> Vec<f32> {
    let value = |i: u32| (i.wrapping_mul(2_654_435_769) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    black_box((0..length).map(|i| value(i as u32)).collect())
}

type Job<'j> = &'j (dyn Fn(&mut [f32]) + Sync);

/// Threads that spin while they wait, so that a short job is not measured with its threads' start.
struct Spinning {
    threads: usize,
    job: Mutex<Option<Job<'static>>>,
    number: AtomicUsize,
    running: AtomicUsize,
    scratch: Mutex<Vec<f32>>,
}

/// The number of the job that ends the threads.
const LAST: usize = usize::MAX;

fn with_threads(threads: usize, work: impl FnOnce(&dyn Workers)) {
    let pool = Spinning {
        threads,
        job: Mutex::new(None),
        number: AtomicUsize::new(0),
        running: AtomicUsize::new(0),
        scratch: Mutex::new(vec![0.0; SCRATCH_FLOATS]),
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| pool.serve());
        }
        work(&pool);
        pool.number.store(LAST, Ordering::Release);
    });
}

impl Spinning {
    fn serve(&self) {
        let mut scratch = vec![0.0; SCRATCH_FLOATS];
        let mut seen = 0;
        loop {
            let number = self.number.load(Ordering::Acquire);
            if number == LAST {
                return;
            }
            if number == seen {
                core::hint::spin_loop();
                continue;
            }
            seen = number;
            let job = self.job.lock().unwrap().expect("a job comes before its number");
            job(&mut scratch);
            self.running.fetch_sub(1, Ordering::Release);
        }
    }
}

impl Workers for Spinning {
    fn count(&self) -> usize {
        self.threads
    }

    fn broadcast(&self, _threads: usize, job: Job<'_>) {
        // SAFETY: only the lifetime changes, and no thread has the job once this returns: each has
        // counted itself out of `running` after its last use of it.
        let kept = unsafe { core::mem::transmute::<Job<'_>, Job<'static>>(job) };
        *self.job.lock().unwrap() = Some(kept);
        self.running.store(self.threads - 1, Ordering::Relaxed);
        self.number.fetch_add(1, Ordering::Release);
        job(&mut self.scratch.lock().unwrap());
        while self.running.load(Ordering::Acquire) > 0 {
            core::hint::spin_loop();
        }
    }
}
