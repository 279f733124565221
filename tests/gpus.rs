//! Whole models on GPUs = the same on the processor, which is = golden files.
//!
//! GPUs are the machine's, or emulated ones: [`var_testing::cuda`].

use core::convert::Infallible;
use core::fmt;
use core::ops::ControlFlow;
use std::collections::HashMap;

use var_host::model::listing::Wanted;
use var_host::model::weights::{transformer_tensors, vqvae_tensors};
use var_kernel::arena::Arena;
use var_kernel::cpu;
use var_kernel::cuda::{Cuda, CudaMatrix, Dtype, Memory, Precision, Remote};
use var_kernel::generate::{Outcome, Progress, Request, generate};
use var_kernel::model::Model;
use var_kernel::model::weights::Source;
use var_kernel::ops::Backend;
use var_kernel::sample::{Filter, UniformSource as Random};
use var_kernel::score;
use var_kernel::storage::Storage;

use crate::support::{Generated, Golden, GoldenModel, assert_close, scale_major, working_memory};

const FILES: [&str; 2] = ["tiny.safetensors", "tiny_shared_adaln.safetensors"];

/// Words of working memory on a GPU: enough for the small models.
const WORDS: usize = 16 << 20;

/// A model's outputs.
struct Computed {
    /// Logits with tokens forced, of both images.
    logits: Vec<f32>,
    /// Tokens of the golden images.
    encoded: Vec<u32>,
    /// Tokens and images drawn, run by run.
    drawn: Vec<(Vec<u32>, Vec<f32>)>,
}

/// Every GPU, in every precision.
pub(crate) fn gpus() -> Vec<(String, Cuda)> {
    var_testing::cuda::open().into_iter().map(|gpu| (gpu.name, gpu.cuda)).collect()
}

/// A model's weights on a GPU.
pub(crate) struct OnGpu(pub(crate) HashMap<String, (Memory, Dtype, usize)>);

impl OnGpu {
    fn new(cuda: &Cuda, wanted: &[Wanted], weights: &Generated) -> Self {
        let of = |wanted: &Wanted| {
            let values = weights.values(&wanted.name);
            let exact =
                wanted.name.starts_with("quantize.") || wanted.name.starts_with("word_embed.");
            let dtype = if wanted.matrix && !exact { cuda.precision().dtype() } else { Dtype::F32 };
            let memory = cuda.upload_matrix(cpu::Matrix::F32(values), &wanted.shape, dtype);
            (wanted.name.clone(), (memory.expect("the GPU has room"), dtype, values.len()))
        };
        Self(wanted.iter().map(of).collect())
    }
}

impl<'a> Source<'a, Cuda> for &'a OnGpu {
    type Error = Infallible;

    fn matrix(
        &mut self,
        name: fmt::Arguments<'_>,
        _: &[usize],
    ) -> Result<CudaMatrix<'a>, Infallible> {
        let all: &'a OnGpu = self;
        let (memory, dtype, length) = &all.0[&name.to_string()];
        Ok(CudaMatrix::new(memory, *dtype, *length))
    }

    fn vector(&mut self, name: fmt::Arguments<'_>, _: &[usize]) -> Result<&'a Remote, Infallible> {
        let all: &'a OnGpu = self;
        Ok(&all.0[&name.to_string()].0)
    }
}

/// Everything the tests compare.
fn compute<B: Backend>(
    b: &B,
    model: &Model<'_, '_, B>,
    golden: &Golden,
    arena: &mut Arena<'_, B::Slice>,
    runs: usize,
) -> Computed {
    let ladder = model.vqvae.config.ladder;
    let (length, codes) = (ladder.length(), model.vqvae.config.codes);
    let (tokens, labels) = (golden.integers("vae.tokens"), golden.integers("var.labels"));
    let mut logits = vec![f32::NAN; labels.len() * length * codes];
    for ((logits, tokens), label) in
        logits.chunks_mut(length * codes).zip(tokens.chunks(length)).zip(&labels)
    {
        let mut arena = arena.scope();
        let run = arena.take(logits.len());
        score::teacher_forced(b, model, run, tokens, *label, &mut arena).expect("it computes");
        b.download(logits, run).expect("it computes");
    }

    let pictures = golden.channels_last("vae.image");
    let mut encoded = vec![u32::MAX; tokens.len()];
    {
        let mut arena = arena.scope();
        let (on_device, latent) =
            (arena.take(pictures.len()), arena.take(model.vqvae.quantizer.latent_len(2)));
        b.upload(on_device, &pictures).expect("it computes");
        model.vqvae.encode(b, latent, on_device, &mut arena).expect("it computes");
        let quantizer = &model.vqvae.quantizer;
        quantizer.encode(b, &mut encoded, latent, &mut arena).expect("it computes");
    }

    let mut drawn = Vec::new();
    for run in 0..runs {
        // Twice with the seed 5: the second time a GPU replays its graphs.
        let seed = [5, 5, 6][run % 3];
        let request = Request {
            labels: &labels,
            indices: &[3, 9],
            cfg: 2.0,
            temperature: 1.0,
            filter: Filter { top_k: 20, top_p: 0.9 },
            more_smooth: run == 3,
            source: Random::Seed(seed),
            keep: None,
        };
        let mut tokens = vec![u32::MAX; labels.len() * length];
        let mut pictures = vec![f32::NAN; model.vqvae.images_len(labels.len())];
        let go_on = &mut |_: &mut Progress<'_, '_, '_, B>| ControlFlow::Continue(());
        let outcome = generate(b, model, &request, &mut tokens, &mut pictures, arena, go_on);
        assert_eq!(outcome.expect("it computes"), Outcome::Done);
        drawn.push((tokens, pictures));
    }
    Computed { logits, encoded, drawn }
}

/// How many tokens differ.
fn differ(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

fn relative_distance(got: &[f32], want: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let apart: f64 = got.iter().zip(want).map(|(a, b)| square(a - b)).sum();
    (apart / want.iter().map(|x| square(*x)).sum::<f64>()).sqrt()
}

#[test]
fn gpu_computes_what_the_processor_does() {
    for file in FILES {
        let golden = Golden::open(file);
        let by_formula = GoldenModel::of(&golden);
        let ladder = by_formula.var.ladder;
        let on_cpu = by_formula.with(|cpu, model| {
            let mut memory = working_memory(64);
            compute(cpu, model, &golden, &mut Arena::new(&mut memory[..]), 4)
        });
        assert_eq!(on_cpu.encoded, scale_major(&golden.integers("vae.tokens"), 1, &ladder));
        for (name, cuda) in gpus() {
            // An emulated GPU takes a minute for each.
            let rounds = cuda.precision() != Precision::F32;
            if rounds && name.starts_with("emulated") && file != FILES[0] {
                continue;
            }
            let (var, vae) = (transformer_tensors(by_formula.var), vqvae_tensors(by_formula.vae));
            let var = OnGpu::new(&cuda, &var, by_formula.var_weights());
            let vae = OnGpu::new(&cuda, &vae, by_formula.vae_weights());
            let (mut var, mut vae) = (&var, &vae);
            let parts = ((&mut var, by_formula.var), (&mut vae, by_formula.vae));
            let Ok(model) = Model::bind_parts(parts.0, parts.1, &mut Storage::heap());
            let mut memory = cuda.memory(WORDS).expect("the GPU has room");
            let got = compute(&cuda, &model, &golden, &mut Arena::new(&mut *memory), 4);

            let apart = relative_distance(&got.logits, &on_cpu.logits);
            println!("{file}, {name}: logits are off by {apart:.1e} of their length");
            if cuda.precision() == Precision::F32 {
                assert_close(&name, &got.logits, &on_cpu.logits, 1e-3);
                assert_eq!(got.encoded, on_cpu.encoded, "{name}: tokens of images");
                for (number, (got, want)) in got.drawn.iter().zip(&on_cpu.drawn).enumerate() {
                    assert_eq!(got.0, want.0, "{name}: tokens drawn, run {number}");
                    assert_close(&name, &got.1, &want.1, 2e-3);
                }
            } else {
                assert!(apart <= 0.02, "{name}: logits are off by {apart}");
                let wrong = differ(&got.encoded, &on_cpu.encoded);
                assert!(wrong * 10 <= got.encoded.len(), "{name}: {wrong} tokens of images");
            }
            // Run for run the same bytes, whether noted or replayed.
            let bits = |run: usize| {
                let (tokens, pictures) = &got.drawn[run];
                (tokens.clone(), pictures.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
            };
            assert!(bits(0) == bits(1), "{name}: the same request gives other bytes");
            assert!(bits(0) != bits(2), "{name}: another seed gives the same bytes");
        }
    }
}
