//! Time and error of the VQVAE's convolutions: `cargo bench --bench convolutions [-- threads]`.
//!
//! One line a shape: milliseconds (best of several), the formula's GFLOP/s whichever way it was
//! computed, as a share of the rate of fused multiply-adds that the same threads reached between the
//! runs (which tells a busy machine from a slow kernel), and the error against sums in `f64` as a
//! share of the outputs' spread.

use core::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use var_kernel::cpu::{Cpu, Isa, Matrix, SCRATCH_FLOATS, Workers};
use var_kernel::ops::conv2d::{Conv2d, ConvEpilogue, Dims, Grid};
use var_kernel::ops::group_norm::{self, Activation, GroupNorm};
use var_kernel::ops::nearest_code::{self, Distance, NearestCode};

/// Threads that live as long as a job; scratch that lives as long as the program.
struct Scoped(Vec<Mutex<Vec<f32>>>);

impl Workers for Scoped {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn broadcast(&self, threads: usize, job: &(dyn Fn(&mut [f32]) + Sync)) {
        std::thread::scope(|scope| {
            for scratch in &self.0[1..threads.max(1)] {
                scope.spawn(|| job(&mut scratch.lock().unwrap()));
            }
            job(&mut self.0[0].lock().unwrap());
        });
    }
}

fn main() {
    let threads = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(2);
    let scratch = || Mutex::new(vec![0.0; SCRATCH_FLOATS]);
    let workers = Scoped((0..threads).map(|_| scratch()).collect());
    let cpu = Cpu::new(Isa::best(), &workers);
    println!("{} with {threads} threads", cpu.isa().name());
    for (side, inner, outer, kernel, grid) in [
        (16, 32, 640, 3, Grid::Same),
        (16, 640, 640, 3, Grid::Same),
        (16, 640, 640, 1, Grid::Same),
        (16, 640, 640, 3, Grid::Doubled),
        (32, 640, 320, 3, Grid::Same),
        (32, 320, 320, 3, Grid::Same),
        (32, 320, 320, 3, Grid::Doubled),
        (64, 320, 320, 3, Grid::Same),
        (64, 320, 320, 3, Grid::Doubled),
        (128, 320, 160, 3, Grid::Same),
        (128, 160, 160, 3, Grid::Same),
        (128, 160, 160, 3, Grid::Doubled),
        (256, 160, 160, 3, Grid::Same),
        (256, 160, 160, 3, Grid::Halved),
        (256, 160, 3, 3, Grid::Same),
        (256, 3, 160, 3, Grid::Same),
    ] {
        let (kernel, into) = ([kernel; 2], None);
        let d = Dims { batch: 1, height: side, width: side, inner, outer, kernel, grid, into };
        convolution(cpu, &workers, d);
    }
    group_norms(cpu, &workers);
    nearest_codes(cpu, &workers);
}

/// The best of a few runs in seconds, and the best rate of fused multiply-adds between them in FLOP/s.
fn best(workers: &Scoped, mut run: impl FnMut()) -> (f64, f64) {
    let (mut least, mut peak) = (f64::INFINITY, 0.0);
    let start = Instant::now();
    for round in 0..50 {
        let begin = Instant::now();
        run();
        least = f64::min(least, begin.elapsed().as_secs_f64());
        peak = f64::max(peak, fused_rate(workers));
        if round >= 2 && start.elapsed().as_secs_f64() > 0.5 {
            break;
        }
    }
    (least, peak)
}

/// FLOP/s of chains of fused multiply-adds in registers, on all threads at once; 0 without AVX-512.
#[cfg(target_arch = "x86_64")]
fn fused_rate(workers: &Scoped) -> f64 {
    use core::arch::x86_64::{__m512, _mm512_fmadd_ps, _mm512_set1_ps};

    const CHAINS: usize = 24;
    const LENGTH: usize = 50_000;

    #[target_feature(enable = "avx512f")]
    fn chains() -> [__m512; CHAINS] {
        let (factor, term) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(0.25)));
        let mut sums = [_mm512_set1_ps(1.0); CHAINS];
        for _ in 0..LENGTH {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, term);
            }
        }
        sums
    }

    if !is_x86_feature_detected!("avx512f") {
        return 0.0;
    }
    let seconds = Mutex::new(0.0);
    workers.broadcast(workers.count(), &|_| {
        let begin = Instant::now();
        // SAFETY: the processor was asked for AVX-512 above.
        black_box(unsafe { chains() });
        let elapsed = begin.elapsed().as_secs_f64();
        let mut seconds = seconds.lock().unwrap();
        *seconds = f64::max(*seconds, elapsed);
    });
    (workers.count() * 2 * 16 * CHAINS * LENGTH) as f64 / seconds.into_inner().unwrap()
}

/// Not known here.
#[cfg(not(target_arch = "x86_64"))]
fn fused_rate(_workers: &Scoped) -> f64 {
    0.0
}

fn convolution(cpu: Cpu<'_>, workers: &Scoped, d: Dims) {
    let depth = d.inner * d.taps();
    let x = normal(d.batch * d.height * d.width * d.inner, 1);
    let bound = (3.0 / depth as f32).sqrt();
    let weight: Vec<f32> = uniform(d.outer * depth, 2).map(|u| bound * u).collect();
    let bias = vec![0.0; d.outer];
    let mut out = vec![0.0; d.out_len()];
    let mut scratch = vec![0.0; cpu.conv2d_scratch(d)];
    let matrix = Matrix::F32(&weight);
    let (seconds, peak) = best(workers, || {
        let Ok(()) = cpu.conv2d(&mut out, &x, matrix, &bias, ConvEpilogue::None, &mut scratch, d);
    });
    let rate = 2e-9 * d.multiply_adds() as f64 / seconds;
    let (spread, worst) = errors(&out, &x, &weight, d);
    println!(
        "{:4}² {:3} → {:3} {}×{} {:8} {:8.2} ms {rate:7.0} GFLOP/s {:4.0} % of peak, error {:.1e} rms {:.1e} max",
        d.height,
        d.inner,
        d.outer,
        d.kernel[0],
        d.kernel[1],
        format!("{:?}", d.grid),
        1e3 * seconds,
        1e11 * rate / peak,
        spread,
        worst
    );
}

/// Root mean square and maximum of the error over some outputs, as shares of the outputs' spread.
fn errors(out: &[f32], x: &[f32], weight: &[f32], d: Dims) -> (f64, f64) {
    let [_, width] = d.out_grid();
    let (mut square, mut worst, mut total) = (0.0, 0.0_f64, 0.0);
    let samples = 3000;
    for sample in 0..samples {
        let at = (sample * 2_654_435_761) % out.len();
        let (cell, o) = (at / d.outer, at % d.outer);
        let (y, column) = ((cell / width) as i64, (cell % width) as i64);
        let mut sum = 0.0;
        let side = d.kernel[0];
        for tap in 0..side * side {
            let (down, right) = ((tap / side) as i64, (tap % side) as i64);
            let pad = side as i64 / 2;
            let (y, column) = match d.grid {
                Grid::Same => (y + down - pad, column + right - pad),
                Grid::Halved => (2 * y + down, 2 * column + right),
                Grid::Doubled => ((y + down - 1) >> 1, (column + right - 1) >> 1),
                Grid::Strided { .. } => unreachable!("none is timed"),
            };
            if y < 0 || column < 0 || y >= d.height as i64 || column >= d.width as i64 {
                continue;
            }
            let cell = y as usize * d.width + column as usize;
            for i in 0..d.inner {
                let weight = weight[(o * d.inner + i) * side * side + tap];
                sum += f64::from(x[cell * d.inner + i]) * f64::from(weight);
            }
        }
        let error = f64::from(out[at]) - sum;
        square += error * error;
        total += sum * sum;
        worst = worst.max(error.abs());
    }
    let spread = (total / samples as f64).sqrt();
    ((square / samples as f64).sqrt() / spread, worst / spread)
}

/// Time of the normalization at the decoder's largest size.
fn group_norms(cpu: Cpu<'_>, workers: &Scoped) {
    for (side, channels) in [(16, 640), (64, 320), (256, 160)] {
        let d = group_norm::Dims { batch: 1, positions: side * side, channels, groups: 32 };
        let x = normal(d.positions * channels, 1);
        let (weight, bias) = (vec![1.0; channels], vec![0.0; channels]);
        let mut out = vec![0.0; x.len()];
        let (seconds, peak) = best(workers, || {
            let Ok(()) = cpu.group_norm(&mut out, &x, &weight, &bias, 1e-6, Activation::Silu, d);
        });
        let rate = 1e-9 * (3 * 4 * x.len()) as f64 / seconds;
        println!(
            "group norm {side:4}² × {channels} {:8.3} ms {rate:6.1} GB/s (peak {peak:.1e})",
            1e3 * seconds
        );
    }
}

/// Time of tokenizing one image of the ladder of 256.
fn nearest_codes(cpu: Cpu<'_>, workers: &Scoped) {
    let d = nearest_code::Dims { rows: 680, codes: 4096, width: 32 };
    let (x, codebook) = (normal(d.rows * d.width, 1), normal(d.codes * d.width, 2));
    let mut tokens = vec![0; d.rows];
    let (seconds, peak) = best(workers, || {
        let Ok(()) = cpu.nearest_code(&mut tokens, &x, &codebook, Distance::Euclidean, d);
    });
    let rate = 2e-9 * d.multiply_adds() as f64 / seconds;
    println!(
        "nearest of 4096 codes × 680 {:8.3} ms {rate:6.0} GFLOP/s (peak {peak:.1e})",
        1e3 * seconds
    );
}

/// Numbers evenly spread over −1 .. 1.
fn uniform(length: usize, seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    core::iter::repeat_with(next).take(length)
}

/// Numbers of mean 0 and variance 1: sums of twelve evenly spread ones, halved.
fn normal(length: usize, seed: u64) -> Vec<f32> {
    let twelve: Vec<f32> = uniform(12 * length, seed).collect();
    twelve.chunks_exact(12).map(|twelve| 0.5 * twelve.iter().sum::<f32>()).collect()
}
