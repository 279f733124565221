//! Time of a VQVAE's training step and of its parts:
//! `cargo bench -p var-host --bench gradients [-- threads] [step]`, the latter for the step alone.
//!
//! Milliseconds are the best of several runs; GFLOP/s are the formula's whichever way it was computed,
//! and the share is of the fused multiply-adds that the same threads reached between the runs (which
//! tells a busy machine from a slow kernel).

use core::hint::black_box;
use std::time::Instant;

use var_host::grad::group_norm::Forward;
use var_host::grad::{Conv2dBackward, GroupNormBackward};
use var_host::model::weights::vqvae_tensors;
use var_host::pool::Threads;
use var_host::train::ParameterLayout;
use var_host::train::vqvae::{ForwardPass, workspace_size};
use var_host::train::workspace::TrainWorkspace;
use var_kernel::cpu::{Cpu, Isa, Matrix, SCRATCH_FLOATS};
use var_kernel::model::config::{ChannelMultipliers, Refinement};
use var_kernel::model::{Ladder, VqvaeConfig};
use var_kernel::ops::conv2d::{Conv2d, ConvEpilogue, Dims, Grid};
use var_kernel::ops::group_norm::{self, Activation, GroupNorm};
use var_kernel::ops::nearest_code::Distance;
use var_kernel::parts::peak;

/// Images of a step.
const IMAGES: usize = 32;

fn main() {
    let threads = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(2);
    let pool = Threads::new(threads, SCRATCH_FLOATS).expect("threads can be started");
    let cpu = Cpu::new(Isa::best(), &pool);
    println!("{} with {threads} threads", cpu.isa().name());
    step(&cpu);
    if std::env::args().any(|argument| argument == "step") {
        return;
    }
    for (batch, side, inner, outer, kernel, grid) in [
        (IMAGES, 32, 32, 32, 3, Grid::Same),
        (IMAGES, 16, 64, 64, 3, Grid::Same),
        (IMAGES, 8, 64, 64, 3, Grid::Same),
        (IMAGES, 4, 64, 64, 3, Grid::Same),
        (IMAGES, 32, 32, 32, 3, Grid::Halved),
        (IMAGES, 16, 64, 64, 3, Grid::Doubled),
        (IMAGES, 32, 3, 32, 3, Grid::Same),
        (IMAGES, 32, 32, 3, 3, Grid::Same),
        (IMAGES, 16, 32, 64, 1, Grid::Same),
        (1, 64, 320, 320, 3, Grid::Same),
        (1, 256, 160, 160, 3, Grid::Same),
        (1, 256, 160, 160, 3, Grid::Halved),
    ] {
        let (height, width, kernel, into) = (side, side, [kernel; 2], None);
        let d = Dims { batch, height, width, inner, outer, kernel, grid, into };
        convolution(&cpu, d);
    }
    for (batch, side, channels) in [(IMAGES, 32, 32), (IMAGES, 16, 64), (2, 256, 160)] {
        let positions = side * side;
        group_norms(&cpu, group_norm::Dims { batch, positions, channels, groups: 32 });
    }
}

/// The least time of some runs in seconds, and the greatest rate of fused multiply-adds between them in
/// FLOP/s.
fn best(cpu: &Cpu<'_>, mut run: impl FnMut()) -> (f64, f64) {
    let (mut least, mut rate) = (f64::INFINITY, 0.0);
    let start = Instant::now();
    for round in 0..200 {
        let begin = Instant::now();
        run();
        least = f64::min(least, begin.elapsed().as_secs_f64());
        let begin = Instant::now();
        let done = black_box(peak::multiply_adds(cpu, 20));
        rate = f64::max(rate, 2.0 * done as f64 / begin.elapsed().as_secs_f64());
        if round >= 4 && start.elapsed().as_secs_f64() > 0.5 {
            break;
        }
    }
    (least, rate)
}

/// A step of a VQVAE like the built-in model's.
fn step(cpu: &Cpu<'_>) {
    let config = VqvaeConfig {
        codes: 512,
        latent: 16,
        channels: 32,
        multipliers: ChannelMultipliers::new(&[1, 2, 2, 2]).expect("levels"),
        encoder_blocks: 1,
        decoder_blocks: 2,
        ladder: Ladder::new(&[1, 2, 3, 4]).expect("a ladder"),
        refinement: Refinement::Partial(4),
        refinement_ratio: 0.5,
        distance: Distance::Euclidean,
    };
    let layout = ParameterLayout::new(vqvae_tensors(config));
    let mut weights = vec![0.0; layout.floats()];
    for tensor in layout.tensors() {
        let fan: usize = tensor.shape[1..].iter().product();
        let bound = (1.0 / fan as f32).sqrt();
        let of_tensor = uniform(tensor.range.len(), tensor.range.start as u64);
        let norm = tensor.name.contains("norm") && tensor.name.ends_with("weight");
        for (weight, u) in weights[tensor.range.clone()].iter_mut().zip(of_tensor) {
            *weight = if norm { 1.0 } else { bound * u };
        }
    }
    let pictures: Vec<f32> = uniform(IMAGES * config.side() * config.side() * 3, 1).collect();
    let workspace_size = workspace_size(cpu, config, IMAGES);
    let mut values = vec![0.0; workspace_size.values];
    let mut gradients = vec![0.0; workspace_size.gradients];
    let mut scratch = vec![0.0; workspace_size.scratch];
    let mut of_weights = vec![0.0; layout.floats()];
    let mut workspace = TrainWorkspace {
        values: &mut values[..],
        gradients: &mut gradients[..],
        scratch: &mut scratch[..],
    };
    let (mut forward, mut backward) = (f64::INFINITY, f64::INFINITY);
    let (whole, _) = best(cpu, || {
        let begin = Instant::now();
        let Ok(step) =
            ForwardPass::forward(cpu, config, &layout, &weights[..], &mut workspace, &pictures);
        forward = forward.min(begin.elapsed().as_secs_f64());
        let (got, gradient) = step.pictures(&mut workspace);
        for ((gradient, got), want) in gradient.iter_mut().zip(got).zip(&pictures) {
            *gradient = 2.0 * (got - want) / pictures.len() as f32;
        }
        let begin = Instant::now();
        let (weights, into) = (&weights[..], &mut of_weights[..]);
        let Ok(()) = step.backward(cpu, &layout, weights, into, &mut workspace, 1.0, None);
        backward = backward.min(begin.elapsed().as_secs_f64());
    });
    println!(
        "a step of {IMAGES} images: {:.1} ms, forward {:.1}, backward {:.1}; {} + {} + {} + {} floats",
        1e3 * whole,
        1e3 * forward,
        1e3 * backward,
        layout.floats(),
        workspace_size.values,
        workspace_size.gradients,
        workspace_size.scratch
    );
}

fn convolution(cpu: &Cpu<'_>, d: Dims) {
    let x: Vec<f32> = uniform(d.batch * d.height * d.width * d.inner, 1).collect();
    let weight: Vec<f32> = uniform(d.outer * d.inner * d.taps(), 2).collect();
    let dout: Vec<f32> = uniform(d.out_len(), 3).collect();
    let (mut dx, mut dweight) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
    let (mut out, bias) = (vec![0.0; dout.len()], vec![0.0; d.outer]);
    let wanted = cpu.conv2d_scratch(d).max(cpu.conv2d_backward_scratch(d));
    let mut scratch = vec![0.0; wanted];
    print!(
        "{:3} × {:3}² {:3} → {:3} {}×{} {:7}",
        d.batch,
        d.height,
        d.inner,
        d.outer,
        d.kernel[0],
        d.kernel[1],
        format!("{:?}", d.grid)
    );
    let tell = |name: &str, (seconds, peak): (f64, f64)| {
        let rate = 2.0 * d.multiply_adds() as f64 / seconds;
        print!(
            " | {name} {:6.2} ms {:5.0} GFLOP/s {:3.0} %",
            1e3 * seconds,
            1e-9 * rate,
            1e2 * rate / peak
        );
    };
    let matrix = Matrix::F32(&weight);
    tell(
        "forward",
        best(cpu, || {
            let Ok(()) =
                cpu.conv2d(&mut out, &x, matrix, &bias, ConvEpilogue::None, &mut scratch, d);
        }),
    );
    tell(
        "dx",
        best(cpu, || {
            let Ok(()) = cpu.conv2d_backward_x(&mut dx, &dout, matrix, &mut scratch, d);
        }),
    );
    tell(
        "dweight",
        best(cpu, || {
            let Ok(()) = cpu.conv2d_backward_weight(&mut dweight, &dout, &x, &mut scratch, d);
        }),
    );
    println!();
}

fn group_norms(cpu: &Cpu<'_>, d: group_norm::Dims) {
    let x: Vec<f32> = uniform(d.batch * d.positions * d.channels, 1).collect();
    let dout: Vec<f32> = uniform(x.len(), 2).collect();
    let (weight, bias) = (vec![1.0; d.channels], vec![0.0; d.channels]);
    let (mut out, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    let mut sums = vec![0.0; cpu.group_norm_backward_sums(d)];
    let (x, weight, bias) = (&x[..], &weight[..], &bias[..]);
    let (forward, _) = best(cpu, || {
        let Ok(()) = cpu.group_norm(&mut out, x, weight, bias, 1e-6, Activation::Silu, d);
    });
    let of = Forward { x, weight, bias, eps: 1e-6, activation: Activation::Silu };
    let (backward, _) = best(cpu, || {
        let Ok(()) = cpu.group_norm_backward_x(Some(&mut dx), &mut sums, &dout, of, d);
    });
    println!(
        "{:3} × {:5} × {:3} group norm and SiLU: forward {:.2} ms, backward {:.2} ms",
        d.batch,
        d.positions,
        d.channels,
        1e3 * forward,
        1e3 * backward
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
