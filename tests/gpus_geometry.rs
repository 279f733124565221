//! Launches of the published models on a GPU that computes nothing: every launch is within the limits of
//! GPUs, and there are no more of them than the blocks need.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, HashMap};

use var_host::model::listing::Wanted;
use var_host::model::weights::{transformer_tensors, vqvae_tensors};
use var_kernel::arena::Arena;
use var_kernel::cuda::{Cuda, Dtype, GemmProvider, Precision};
use var_kernel::generate::{Progress, Request, generate};
use var_kernel::model::config::{ChannelMultipliers, Refinement};
use var_kernel::model::{Ladder, Model, VarConfig, VqvaeConfig};
use var_kernel::ops::nearest_code::Distance;
use var_kernel::sample::{Filter, UniformSource};
use var_kernel::storage::Storage;
use var_testing::cuda::recording::{Launched, Multiplied, recorded};

use crate::gpus::OnGpu;

/// Bytes of the GPU: as many as one of 80 GB has.
const MEMORY: u64 = 80_000_000_000;

/// Bytes of it that are left for operations' scratch memory.
const SCRATCH: u64 = 4_000_000_000;

/// Bytes of shared memory that a block may have: on an A100 163 KiB.
const SHARED: u32 = 163 << 10;

/// Launches of a block at a scale: modulated norm, product, heads, attention, product with its gate,
/// modulated norm, two products; conversions of the first block's input.
const OF_A_BLOCK: usize = 9;

fn sizes(depth: usize, ladder: &str) -> (VarConfig, VqvaeConfig) {
    let ladder = Ladder::named(ladder).expect("a published ladder");
    let transformer = VarConfig {
        depth,
        width: 64 * depth,
        heads: depth,
        hidden: 256 * depth,
        classes: 1000,
        codes: 4096,
        latent: 32,
        ladder,
        unit_length: true,
        shared_modulation: depth == 36,
    };
    let vqvae = VqvaeConfig {
        codes: 4096,
        latent: 32,
        channels: 160,
        multipliers: ChannelMultipliers::new(&[1, 1, 2, 2, 4]).expect("five levels"),
        encoder_blocks: 2,
        decoder_blocks: 3,
        ladder,
        refinement: Refinement::Partial(4),
        refinement_ratio: 0.5,
        distance: Distance::Euclidean,
    };
    (transformer, vqvae)
}

/// Weights without numbers, where the GPU would have them.
fn weights(cuda: &Cuda, wanted: &[Wanted]) -> OnGpu {
    let of = |wanted: &Wanted| {
        let exact = wanted.name.starts_with("quantize.") || wanted.name.starts_with("word_embed.");
        let dtype = if wanted.matrix && !exact { cuda.precision().dtype() } else { Dtype::F32 };
        let numbers = wanted.shape.iter().product();
        let memory = cuda.memory(dtype.words(numbers)).expect("the GPU has room");
        (wanted.name.clone(), (memory, dtype, numbers))
    };
    OnGpu(wanted.iter().map(of).collect::<HashMap<_, _>>())
}

/// The kernels of sampling a batch, scale by scale, and then those of its images; and the products that
/// the library was asked for.
fn sampled(
    depth: usize,
    ladder: &str,
    batch: usize,
    precision: Precision,
    gemm_provider: GemmProvider,
) -> Option<(Vec<Vec<Launched>>, Vec<Multiplied>)> {
    let (cuda, gpu) = recorded(precision, MEMORY, gemm_provider)?;
    let (var, vae) = sizes(depth, ladder);
    let of_var = weights(&cuda, &transformer_tensors(var));
    let of_vae = weights(&cuda, &vqvae_tensors(vae));
    let (mut of_var, mut of_vae) = (&of_var, &of_vae);
    let parts = ((&mut of_var, var), (&mut of_vae, vae));
    let Ok(model) = Model::bind_parts(parts.0, parts.1, &mut Storage::heap());
    let labels: Vec<u32> = (0..batch as u32).collect();
    let request = Request {
        labels: &labels,
        indices: &labels,
        cfg: 1.5,
        temperature: 1.0,
        filter: Filter { top_k: 900, top_p: 0.96 },
        more_smooth: false,
        source: UniformSource::Seed(1),
        keep: None,
    };
    let mut tokens = vec![0; batch * var.ladder.length()];
    let mut pictures = vec![0.0; model.vqvae.images_len(batch)];
    // Operations take their scratch memory besides.
    let (left, _) = cuda.free_and_total().expect("a GPU without faults");
    let words = ((left - SCRATCH) / 4) as usize;
    let mut memory = cuda.memory(words).expect("nearly all that is left");
    gpu.launched();
    let (mut launched, mut multiplied) = (Vec::new(), Vec::new());
    let mut note = || {
        launched.push(gpu.launched());
        multiplied.extend(gpu.multiplied());
    };
    let each = &mut |_: &mut Progress<'_, '_, '_, Cuda>| {
        note();
        ControlFlow::Continue(())
    };
    let mut arena = Arena::new(&mut *memory);
    generate(&cuda, &model, &request, &mut tokens, &mut pictures, &mut arena, each)
        .expect("a GPU that computes nothing has no faults");
    note();
    Some((launched, multiplied))
}

#[test]
fn published_models_ask_for_what_gpus_have() {
    for (depth, ladder, batch) in [
        (16, "256", 1),
        (16, "256", 64),
        (20, "256", 1),
        (24, "256", 8),
        (30, "256", 64),
        (36, "512", 8),
    ] {
        // Keys and values of 64 images in f32 are more than such a GPU has.
        let precisions = [Precision::F16, Precision::F32];
        for precision in precisions.into_iter().take(if batch > 8 { 1 } else { 2 }) {
            let what = format!("d{depth}, {ladder} px, batch {batch}, {precision}");
            let sampled = sampled(depth, ladder, batch, precision, GemmProvider::Builtin);
            let Some((launched, _)) = sampled else { return };
            let mut kernels = BTreeMap::<&str, usize>::new();
            for launch in launched.iter().flatten() {
                let Launched { kernel, grid, threads, shared } = launch;
                assert!(
                    *shared <= SHARED,
                    "{what}: {kernel} wants {shared} bytes of shared memory"
                );
                assert!(matches!(threads, 128 | 256), "{what}: {kernel} has {threads} threads");
                assert!(grid[1] <= 65_535 && grid[2] <= 65_535, "{what}: {kernel} has {grid:?}");
                *kernels.entry(kernel).or_default() += 1;
            }
            let scales = sizes(depth, ladder).0.ladder.scales();
            assert_eq!(launched.len(), scales + 1, "{what}: scales, then images");
            // The first scale has the conditions, the last no next one.
            for (scale, launched) in launched[1..scales].iter().enumerate() {
                let most = depth * OF_A_BLOCK + 40;
                let count = launched.len();
                assert!(count <= most, "{what}: {count} launches at scale {}", scale + 1);
            }
            if precision == Precision::F16 {
                // Heads of 64 and depths of 64 use tensor cores.
                let slow: Vec<_> =
                    kernels.keys().filter(|name| name.starts_with("attention_1")).collect();
                assert!(slow.is_empty(), "{what}: {slow:?}");
                assert!(kernels.keys().any(|name| *name == "attention_64_half"), "{kernels:?}");
            }
            println!("{what}: {} launches, {kernels:?}", launched.iter().flatten().count());
        }
    }
}

/// Products bound by arithmetic go to the library, those bound by reading weights do not.
#[test]
fn large_products_of_the_blocks_are_the_librarys() {
    for (depth, batch, least, most) in [(16, 1, 0.0, 0.3), (16, 64, 0.9, 1.1), (30, 64, 0.9, 1.1)] {
        let sampled = sampled(depth, "256", batch, Precision::F16, GemmProvider::CublasLt);
        let Some((_, multiplied)) = sampled else { return };
        let multiply_adds = |product: &Multiplied| (product.m * product.n * product.k) as f64;
        let of_library: f64 = multiplied.iter().map(multiply_adds).sum();
        // Of every token, with and without its class: queries, keys, values, attention's output, and the
        // hidden layer. The head comes on top.
        let (width, tokens) = (64 * depth, 2 * batch * sizes(depth, "256").0.ladder.length());
        let of_blocks = (depth * tokens * 12 * width * width) as f64;
        let share = of_library / of_blocks;
        assert!((least..=most).contains(&share), "d{depth}, batch {batch}: {share}");
        println!(
            "d{depth}, batch {batch}: {} products, {share:.3} of the blocks'",
            multiplied.len()
        );
    }
}
