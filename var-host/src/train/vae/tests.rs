//! A small VQVAE in training.

use std::collections::BTreeMap;
use std::path::Path;

use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};
use var_kernel::model::config::{ChannelMultipliers, Refinement};
use var_kernel::model::{Ladder, VqvaeConfig};
use var_kernel::ops::nearest_code::Distance;

use super::trainer::OPTIMIZER_CONFIG;
use super::{CodebookUpdate, DiscriminatorState, LossWeights, VqvaeHyperparameters, VqvaeTrainer};
use crate::checkpoint::{Checkpoint, Dtype, Record, save};
use crate::grad::testing::random;
use crate::optim::schedule::{Decay, Schedule};
use crate::parallel::{self, ProcessGroup, SingleProcess};
use crate::pool::Threads;
use crate::train::discriminator::DiscriminatorConfig;
use crate::train::state::{self, Counter, Described, Progress, Snapshot};
use crate::train::{Host, Storage, TrainError};

const CONFIG: fn() -> VqvaeConfig = || VqvaeConfig {
    codes: 16,
    latent: 4,
    channels: 32,
    multipliers: ChannelMultipliers::new(&[1, 1]).unwrap(),
    encoder_blocks: 1,
    decoder_blocks: 1,
    ladder: Ladder::new(&[1, 2, 4]).unwrap(),
    refinement: Refinement::Shared,
    refinement_ratio: 0.5,
    distance: Distance::Euclidean,
};

fn hyperparameters(batch: u32, parts: u32, codebook: CodebookUpdate) -> VqvaeHyperparameters {
    VqvaeHyperparameters {
        batch,
        parts,
        schedule: Schedule {
            decay: Decay::Cosine,
            peak: 2e-3,
            start: 0.1,
            end: 0.3,
            warmup: 3,
            iterations: 40,
            weight_decay: 5e-3,
            weight_decay_end: 5e-3,
        },
        clip: 10.0,
        weights: LossWeights {
            absolute: 0.2,
            squared: 1.0,
            perceptual: 0.0,
            quantizer: 1.0,
            adversarial: 0.4,
            usage_loss: 0.05,
        },
        codebook,
        revive: 0.05,
        gain: 0.5,
        average: 0.9,
        discriminator_start: 2,
        discriminator_warmup: 2,
        seed: 7,
    }
}

fn trainer_on<S: Storage>(
    d: &S::Device<'_>,
    hyperparameters: VqvaeHyperparameters,
) -> VqvaeTrainer<S> {
    let config = DiscriminatorConfig { channels: 8, halvings: 1 };
    let discriminator_state = DiscriminatorState::new(d, config, OPTIMIZER_CONFIG, 7).unwrap();
    VqvaeTrainer::new(d, CONFIG(), hyperparameters, None, Some(discriminator_state)).unwrap()
}

fn trainer(cpu: &Cpu<'_>, hyperparameters: VqvaeHyperparameters) -> VqvaeTrainer {
    trainer_on::<Host>(cpu, hyperparameters)
}

/// Eight images of 8 × 8: stripes of two colors each, their direction and place by the number.
fn pictures() -> Vec<f32> {
    let mut values = Vec::new();
    for number in 0..8_usize {
        let colors = random(6, 1 + number as u64);
        for (y, x) in (0..64).map(|i| (i / 8, i % 8)) {
            let place = if number % 2 == 0 { y } else { x };
            let color = usize::from((place + number / 2) / 4 % 2 == 1);
            values.extend_from_slice(&colors[3 * color..3 * color + 3]);
        }
    }
    values
}

/// Writes a checkpoint of `trainer`.
fn write<S: Storage>(
    d: &S::Device<'_>,
    trainer: &mut VqvaeTrainer<S>,
    progress: &Progress,
    path: &Path,
) {
    let snapshot = Snapshot::read::<S>(d, trainer.state(), Described::default()).unwrap();
    let (records, metadata) = snapshot.records(progress);
    save(path, records, &metadata, true).unwrap();
}

fn restore(
    cpu: &Cpu<'_>,
    trainer: &mut VqvaeTrainer,
    checkpoint: &Checkpoint,
    path: &Path,
) -> Result<Progress, TrainError> {
    state::restore::<Host>(cpu, trainer.state(), checkpoint, path)
}

fn with_cpu<R>(threads: usize, isa: Isa, work: impl FnOnce(&Cpu<'_>) -> R) -> R {
    let threads = Threads::new(threads, SCRATCH_FLOATS).unwrap();
    work(&Cpu::new(isa, &threads))
}

/// Trains for `range` of a run's iterations on `pictures` in `parts`.
fn train(
    trainer: &mut VqvaeTrainer,
    cpu: &Cpu<'_>,
    ranks: &dyn ProcessGroup,
    pictures: &[f32],
    parts: usize,
    range: core::ops::Range<u64>,
) -> Vec<f64> {
    let parts: Vec<Vec<f32>> =
        pictures.chunks(pictures.len() / parts).map(<[f32]>::to_vec).collect();
    let step = |iteration| {
        let step = trainer.step(cpu, cpu, ranks, iteration, &parts).unwrap();
        assert!(step.norm.is_finite());
        step.losses.pixels.psnr()
    };
    range.map(step).collect()
}

#[test]
fn pictures_come_back_better_and_better() {
    for codebook in [CodebookUpdate::EmaCodebook(0.8), CodebookUpdate::Gradient] {
        with_cpu(2, Isa::best(), |cpu| {
            let mut trainer = trainer(cpu, hyperparameters(8, 1, codebook));
            let pictures = pictures();
            let psnr = train(&mut trainer, cpu, &SingleProcess, &pictures, 1, 0..40);
            assert!(psnr[39] > psnr[0] + 6.0, "{codebook:?}: {psnr:?}");
            let discriminator_state = trainer.discriminator_state.as_ref().unwrap();
            assert!(
                discriminator_state.parameters.optimizer.steps == 38
                    && discriminator_state.ratio[0] > 0.0
            );
            assert!(trainer.codebook_state.revived > 0, "the first batch places codes");
            let reconstructed = trainer.reconstruct(cpu, &pictures).unwrap();
            assert_eq!(reconstructed.hits.iter().sum::<u32>(), 8 * (1 + 4 + 16));
        });
    }
}

#[test]
fn parts_and_ranks_learn_what_the_whole_learns() {
    let (pictures, codebook) = (pictures(), CodebookUpdate::EmaCodebook(0.8));
    let alone = |parts| {
        with_cpu(1, Isa::best(), |cpu| {
            let mut trainer = trainer(cpu, hyperparameters(8, parts, codebook));
            let psnr = train(&mut trainer, cpu, &SingleProcess, &pictures, parts as usize, 0..5);
            (psnr, trainer.parameters.weights)
        })
    };
    let (whole, _) = alone(1);
    // AdamW makes steps of full length of the rounding errors of gradients that should be 0; once they
    // have grown, a feature takes another code.
    let assert_same = |psnr: &[f64]| {
        for (step, (a, b)) in whole.iter().zip(psnr).enumerate() {
            let limit = [1e-9, 1e-5, 1e-5].get(step).unwrap_or(&0.5);
            assert!((a - b).abs() <= *limit, "step {step}: {whole:?} {psnr:?}");
        }
    };
    assert_same(&alone(2).0);

    let ranks = parallel::ThreadGroup::new(2);
    let halves = pictures.chunks(pictures.len() / 2);
    let of_ranks: Vec<(Vec<f64>, Vec<f32>)> = std::thread::scope(|scope| {
        let of_rank = |(rank, half): (parallel::ThreadGroup, &[f32])| {
            let half = half.to_vec();
            scope.spawn(move || {
                with_cpu(1, Isa::best(), |cpu| {
                    let mut trainer = trainer(cpu, hyperparameters(8, 1, codebook));
                    let psnr = train(&mut trainer, cpu, &rank, &half, 1, 0..5);
                    (psnr, trainer.parameters.weights)
                })
            })
        };
        let all: Vec<_> = ranks.into_iter().zip(halves).map(of_rank).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(of_ranks[0].1 == of_ranks[1].1, "ranks part ways");
    assert_same(&of_ranks[0].0);
}

#[test]
fn threads_and_instruction_sets_leave_no_trace() {
    let pictures = pictures();
    let mut first: Option<Vec<f32>> = None;
    for isa in Isa::all() {
        for threads in [1, 3] {
            let weights = with_cpu(threads, isa, |cpu| {
                let mut trainer =
                    trainer(cpu, hyperparameters(8, 1, CodebookUpdate::EmaCodebook(0.8)));
                train(&mut trainer, cpu, &SingleProcess, &pictures, 1, 0..4);
                trainer.parameters.weights
            });
            let first = first.get_or_insert_with(|| weights.clone());
            assert!(*first == weights, "{isa:?} with {threads} threads gives other weights");
        }
    }
}

#[test]
fn checkpoint_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let pictures = pictures();
    for codebook in [CodebookUpdate::EmaCodebook(0.8), CodebookUpdate::Gradient] {
        with_cpu(2, Isa::best(), |cpu| {
            let mut unbroken = trainer(cpu, hyperparameters(8, 1, codebook));
            train(&mut unbroken, cpu, &SingleProcess, &pictures, 1, 0..4);
            let progress = Progress { iterations: 4, ..Progress::default() };
            write::<Host>(cpu, &mut unbroken, &progress, &path);
            train(&mut unbroken, cpu, &SingleProcess, &pictures, 1, 4..7);

            let mut resumed = trainer(cpu, hyperparameters(8, 1, codebook));
            let checkpoint = Checkpoint::open(&path).unwrap();
            let progress = restore(cpu, &mut resumed, &checkpoint, &path).unwrap();
            assert_eq!((progress.iterations, progress.version), (4, state::VERSION));
            assert_eq!(progress.counters["updates"], Counter::Count(4));
            train(&mut resumed, cpu, &SingleProcess, &pictures, 1, 4..7);
            assert!(unbroken.parameters.weights == resumed.parameters.weights, "weights");
            assert!(unbroken.parameters.average == resumed.parameters.average, "their average");
            assert!(unbroken.codebook_state == resumed.codebook_state, "the codebook's state");
            let discriminators =
                [&unbroken, &resumed].map(|trainer| trainer.discriminator_state.as_ref().unwrap());
            assert!(
                discriminators[0].parameters.weights == discriminators[1].parameters.weights,
                "the discriminator"
            );
            assert_eq!(discriminators[0].ratio, discriminators[1].ratio);
        });
    }
}

#[test]
fn another_models_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let hyperparameters = hyperparameters(8, 1, CodebookUpdate::Gradient);
    with_cpu(1, Isa::best(), |cpu| {
        let config = VqvaeConfig { codes: 17, ..CONFIG() };
        let mut other =
            VqvaeTrainer::<Host>::new(cpu, config, hyperparameters, None, None).unwrap();
        write::<Host>(cpu, &mut other, &Progress::default(), &path);
        let mut own = trainer(cpu, hyperparameters);
        let checkpoint = Checkpoint::open(&path).unwrap();
        let error = restore(cpu, &mut own, &checkpoint, &path).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("vae.quantize.embedding.weight") && said.contains("[17, 4]"),
            "{said}"
        );
        save(&path, Vec::new(), &BTreeMap::new(), true).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        let error = restore(cpu, &mut own, &checkpoint, Path::new("a"));
        assert!(error.unwrap_err().to_string().starts_with("a: metadata: wants train"));
    });
}

#[cfg(feature = "cuda")]
#[test]
fn gpu_learns_what_the_processor_does() {
    let (pictures, codebook) = (pictures(), CodebookUpdate::EmaCodebook(0.8));
    with_cpu(2, Isa::best(), |cpu| {
        let mut here = trainer(cpu, hyperparameters(8, 1, codebook));
        let want = train(&mut here, cpu, &SingleProcess, &pictures, 1, 0..4);
        for bench in var_testing::cuda::gpus().iter() {
            if bench.cuda.precision() != var_kernel::cuda::Precision::F32 {
                continue;
            }
            let cuda = &bench.cuda;
            let mut there =
                trainer_on::<crate::train::DeviceMemory>(cuda, hyperparameters(8, 1, codebook));
            let parts = [pictures.clone()];
            for (iteration, want) in want.iter().enumerate() {
                let step = there.step(cuda, cpu, &SingleProcess, iteration as u64, &parts).unwrap();
                let psnr = step.losses.pixels.psnr();
                // As for parts and ranks: from the third step on a feature may take another code.
                let limit = if iteration < 2 { 1e-4 } else { 0.5 };
                assert!((psnr - want).abs() <= limit, "{}: {psnr}, want {want}", bench.name);
            }
            // A checkpoint of the GPU goes on here.
            let progress = Progress { iterations: 4, ..Progress::default() };
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.safetensors");
            write::<crate::train::DeviceMemory>(cuda, &mut there, &progress, &path);
            let mut resumed = trainer(cpu, hyperparameters(8, 1, codebook));
            let checkpoint = Checkpoint::open(&path).unwrap();
            restore(cpu, &mut resumed, &checkpoint, &path).unwrap();
            let on_gpu = there.reconstruct(cuda, &pictures).unwrap();
            let on_host = resumed.reconstruct(cpu, &pictures).unwrap();
            assert_eq!(on_gpu.hits, on_host.hits);
            let pairs = on_gpu.pictures.iter().zip(&on_host.pictures);
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-4));
        }
    });
}

/// Rewrites a checkpoint: each tensor's name and values, and the metadata of the training.
fn rewritten(
    from: &Path,
    to: &Path,
    tensor: impl Fn(&str, &mut [f32]) -> String,
    train: impl Fn(&str) -> String,
) {
    let checkpoint = Checkpoint::open(from).unwrap();
    let mut tensors = Vec::new();
    for info in checkpoint.tensors() {
        let mut values = checkpoint.tensor(info.name).unwrap().to_f32();
        tensors.push((tensor(info.name, &mut values), info.shape.to_vec(), values));
    }
    let records = tensors.iter().map(|(name, shape, values)| {
        let bytes = bytemuck::cast_slice(values);
        Record::borrowed(name.as_str(), Dtype::F32, shape.clone(), bytes)
    });
    let mut metadata = checkpoint.metadata().clone();
    let text = train(&metadata["train"]);
    metadata.insert("train".to_owned(), text);
    let records: Vec<_> = records.collect();
    save(to, records, &metadata, true).unwrap();
}

#[test]
fn state_is_taken_by_name_and_moments_cannot_change_places() {
    let folder = tempfile::tempdir().unwrap();
    let [path, other] = ["a.safetensors", "b.safetensors"].map(|name| folder.path().join(name));
    with_cpu(1, Isa::best(), |cpu| {
        let mut trained = trainer(cpu, hyperparameters(8, 1, CodebookUpdate::EmaCodebook(0.8)));
        train(&mut trained, cpu, &SingleProcess, &pictures(), 1, 0..2);
        write::<Host>(cpu, &mut trained, &Progress::default(), &path);
        let fault = |tensor: &dyn Fn(&str, &mut [f32]) -> String, text: &dyn Fn(&str) -> String| {
            rewritten(&path, &other, tensor, text);
            let mut fresh = trainer(cpu, hyperparameters(8, 1, CodebookUpdate::EmaCodebook(0.8)));
            let before = fresh.parameters.weights.clone();
            let checkpoint = Checkpoint::open(&other).unwrap();
            let outcome = restore(cpu, &mut fresh, &checkpoint, Path::new("b"));
            assert!(outcome.is_ok() || fresh.parameters.weights == before, "half a state is set");
            outcome.map(|_| ()).map_err(|error| error.to_string())
        };
        let same = |name: &str, _: &mut [f32]| name.to_owned();
        let as_it_is = |text: &str| text.to_owned();
        assert_eq!(fault(&same, &as_it_is), Ok(()));
        let swapped = |name: &str, _: &mut [f32]| match name {
            "train.m" => "train.v".to_owned(),
            "train.v" => "train.m".to_owned(),
            name => name.to_owned(),
        };
        let said = fault(&swapped, &as_it_is).unwrap_err();
        assert!(said.starts_with("b: train.v: wants averages of squares, file has -"), "{said}");
        // As written before there were versions.
        let old = |text: &str| {
            let text = text.replace("\"version\":1,", "");
            text.replace("\"refused\":", "\"best_psnr\":20.5,\"refused\":")
        };
        assert_eq!(fault(&same, &old), Ok(()));
        let newer = |text: &str| text.replace("\"version\":1", "\"version\":2");
        let said = fault(&same, &newer).unwrap_err();
        assert_eq!(said, "b: metadata: wants a state of version 1 or before, file has 2");
        let lacking = |text: &str| text.replace("\"revived\":", "\"other\":");
        assert_eq!(
            fault(&same, &lacking).unwrap_err(),
            "b: metadata: wants revived, file has none"
        );
    });
}
