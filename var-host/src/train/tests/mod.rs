//! A small transformer in training: its average, its ranks' random numbers, its checkpoints.

mod resume;

use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};
use var_kernel::model::{Ladder, VarConfig};

use super::dropout::{Dropout, RngKey};
use super::teacher::TeacherInputs;
use super::trainer::{self, Microbatch, VarStep};
use super::{Host, Initialization, Precision, TrainParameters, VarHyperparameters, VarTrainer};
use crate::grad::testing::random;
use crate::optim::schedule::{Decay, Schedule};
use crate::parallel::{ProcessGroup, SingleProcess};
use crate::pool::Threads;

fn config() -> VarConfig {
    VarConfig {
        depth: 2,
        width: 16,
        heads: 2,
        hidden: 32,
        classes: 3,
        codes: 8,
        latent: 4,
        ladder: Ladder::new(&[1, 2]).unwrap(),
        unit_length: true,
        shared_modulation: false,
    }
}

fn hyperparameters() -> VarHyperparameters {
    VarHyperparameters {
        batch: 4,
        parts: 1,
        schedule: Schedule {
            decay: Decay::Cosine,
            peak: 0.02,
            start: 0.1,
            end: 0.1,
            warmup: 2,
            iterations: 20,
            weight_decay: 0.05,
            weight_decay_end: 0.05,
        },
        clip: 2.0,
        smoothing: 0.0,
        precision: Precision::F32,
        progressive: None,
        dropout: Dropout { classes: 0.3, depth: 0.2 },
        average: 0.0,
        seed: 5,
    }
}

fn trainer(cpu: &Cpu<'_>, hyperparameters: VarHyperparameters) -> VarTrainer {
    let (layout, weights) =
        trainer::initial(&config(), hyperparameters.seed, Initialization::default());
    VarTrainer::<Host>::new(cpu, config(), hyperparameters, layout, weights).unwrap()
}

/// Some images with an input of any numbers.
#[derive(Clone)]
struct Images {
    labels: Vec<u32>,
    tokens: Vec<u32>,
    input: Vec<f32>,
}

impl Images {
    fn microbatch(&self) -> Microbatch<'_> {
        Microbatch { labels: &self.labels, tokens: &self.tokens }
    }
}

/// The inputs of images that go through the transformer one after the other.
struct Given<'a>(&'a [Images]);

impl TeacherInputs<Host> for Given<'_> {
    fn of(
        &mut self,
        _: &Cpu<'_>,
        number: usize,
        tokens: &[u32],
    ) -> Result<&[f32], super::TrainError> {
        assert_eq!(tokens, self.0[number].tokens);
        Ok(&self.0[number].input)
    }
}

/// Four images.
fn microbatch() -> Images {
    let (length, images) = (config().ladder.length(), 4);
    let tokens = random(length * images, 1).iter().map(|x| (x.abs() * 7.99) as u32).collect();
    let input = random((length - 1) * images * config().latent, 2);
    Images { labels: vec![0, 1, 2, 1], tokens, input }
}

/// The same, of which one number makes every gradient not finite.
fn broken_lesson() -> Images {
    let mut microbatch = microbatch();
    microbatch.input[0] = f32::NAN;
    microbatch
}

fn step(trainer: &mut VarTrainer, cpu: &Cpu<'_>, iteration: u64, images: &Images) -> VarStep {
    learn(trainer, cpu, &SingleProcess, iteration, core::slice::from_ref(images), false)
}

fn learn(
    trainer: &mut VarTrainer,
    cpu: &Cpu<'_>,
    ranks: &dyn ProcessGroup,
    iteration: u64,
    images: &[Images],
    report: bool,
) -> VarStep {
    let parts: Vec<_> = images.iter().map(Images::microbatch).collect();
    trainer.step(cpu, ranks, iteration, &parts, &mut Given(images), report).unwrap()
}

fn with_cpu<R>(work: impl FnOnce(&Cpu<'_>) -> R) -> R {
    let threads = Threads::new(1, SCRATCH_FLOATS).unwrap();
    work(&Cpu::new(Isa::best(), &threads))
}

#[test]
fn average_of_weights_moves_by_its_formula() {
    // The published rule of a warm-up: min(decay, (1 + n) / (10 + n)) at update n.
    let hyperparameters = VarHyperparameters { average: 0.25, ..hyperparameters() };
    with_cpu(|cpu| {
        let mut trainer = trainer(cpu, hyperparameters);
        let mut want = trainer.parameters.weights.clone();
        for (iteration, decay) in [2.0 / 11.0, 0.25, 0.25].into_iter().enumerate() {
            step(&mut trainer, cpu, iteration as u64, &microbatch());
            let decay = decay as f32;
            for (want, weight) in want.iter_mut().zip(&trainer.parameters.weights) {
                *want = decay * *want + (1.0 - decay) * weight;
            }
            assert!(
                trainer.parameters.average.as_ref() == Some(&want),
                "after {} updates",
                iteration + 1
            );
            assert!(trainer.parameters.weights != want);
        }
        // A refused update leaves it as it is.
        step(&mut trainer, cpu, 3, &broken_lesson());
        assert!(trainer.parameters.average.as_ref() == Some(&want));
    });
}

#[test]
fn labels_lose_their_class_by_a_stream_of_their_own() {
    // Other numbers would make every seeded run another one.
    let dropout = Dropout { classes: 0.5, depth: 0.5 };
    let dropped = |seed, iteration, first| {
        let mut labels = vec![0; 24];
        dropout.drop_classes(&mut labels, 1, RngKey { seed, iteration, first });
        labels.iter().fold(0_u32, |bits, label| bits << 1 | label)
    };
    assert_eq!(
        [dropped(0, 0, 0), dropped(7, 3, 0), dropped(7, 3, 5)],
        [343_485, 13_300_529, 6_186_528]
    );
    let kept = dropout.factors(2, 12, RngKey { seed: 7, iteration: 3, first: 0 }).unwrap();
    let halves = kept.chunks_exact(6).flat_map(|row| &row[..2]);
    let bits = halves.fold(0_u64, |bits, factor| bits << 1 | u64::from(*factor > 0.0));
    assert_eq!(bits, 281_474_970_771_519);
}

/// The parts of a batch, of two images each.
fn halves() -> [Images; 2] {
    let (whole, latent) = (microbatch(), config().latent);
    let length = config().ladder.length();
    // The input is scale by scale; behind the first there is one scale, image by image.
    let input = (length - 1) * latent;
    [0, 1].map(|half| Images {
        labels: whole.labels[2 * half..][..2].to_vec(),
        tokens: whole.tokens[2 * half * length..][..2 * length].to_vec(),
        input: whole.input[2 * half * input..][..2 * input].to_vec(),
    })
}

/// AdamW's first moments after one step from the first weights: a tenth of the clipped gradient.
fn moments(
    cpu: &Cpu<'_>,
    hyperparameters: VarHyperparameters,
    ranks: &dyn ProcessGroup,
    parts: &[Images],
) -> Vec<f32> {
    let mut trainer = trainer(cpu, hyperparameters);
    learn(&mut trainer, cpu, ranks, 0, parts, false);
    trainer.parameters.optimizer.m
}

#[track_caller]
fn assert_near(got: &[f32], want: &[f32], share: f32) {
    let largest = want.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let apart = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest > 0.0 && apart <= share * largest, "{apart} of {largest}");
}

#[test]
fn parts_and_ranks_learn_what_the_whole_batch_teaches() {
    let hyperparameters = VarHyperparameters { clip: 0.0, ..hyperparameters() };
    with_cpu(|cpu| {
        let whole = moments(cpu, hyperparameters, &SingleProcess, &[microbatch()]);
        let parts = VarHyperparameters { parts: 2, ..hyperparameters };
        assert_near(&moments(cpu, parts, &SingleProcess, &halves()), &whole, 1e-5);
        let of_ranks: Vec<Vec<f32>> = std::thread::scope(|scope| {
            let ranks = crate::parallel::ThreadGroup::new(2).into_iter().zip(halves());
            let of_rank = |(rank, half): (crate::parallel::ThreadGroup, Images)| {
                scope.spawn(move || with_cpu(|cpu| moments(cpu, hyperparameters, &rank, &[half])))
            };
            let all: Vec<_> = ranks.map(of_rank).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(of_ranks[0] == of_ranks[1], "ranks part ways");
        assert_near(&of_ranks[0], &whole, 1e-5);
    });
}

#[test]
fn loss_scale_leaves_the_gradient_as_it_is() {
    let hyperparameters = VarHyperparameters { clip: 0.0, ..hyperparameters() };
    with_cpu(|cpu| {
        let single = moments(cpu, hyperparameters, &SingleProcess, &[microbatch()]);
        let half = VarHyperparameters { precision: Precision::F16, ..hyperparameters };
        assert_near(&moments(cpu, half, &SingleProcess, &[microbatch()]), &single, 2e-2);
    });
}

#[test]
fn images_without_their_class_teach_the_null_class() {
    let dropout = Dropout { classes: 1.0, depth: 0.0 };
    with_cpu(|cpu| {
        let m = moments(
            cpu,
            VarHyperparameters { dropout, ..hyperparameters() },
            &SingleProcess,
            &[microbatch()],
        );
        let (layout, _) = trainer::initial(&config(), 0, Initialization::default());
        let rows = &m[layout.tensor("class_emb.weight").unwrap().range.clone()];
        let moved: Vec<bool> =
            rows.chunks_exact(config().width).map(|row| row.iter().any(|x| *x != 0.0)).collect();
        assert_eq!(moved, [false, false, false, true]);
    });
}

#[test]
fn recipe_decides_rate_decay_clipping_and_smoothing_of_a_step() {
    let hyperparameters = VarHyperparameters { clip: 0.25, ..hyperparameters() };
    let schedule = Schedule { weight_decay_end: 0.5, ..hyperparameters.schedule };
    let hyperparameters = VarHyperparameters { schedule, ..hyperparameters };
    with_cpu(|cpu| {
        let mut trainer = trainer(cpu, hyperparameters);
        assert_eq!(trainer.parameters.optimizer.constants.clip, 0.25);
        for iteration in 0..3 {
            let VarStep { rate, decay, .. } = step(&mut trainer, cpu, iteration, &microbatch());
            assert_eq!(rate, schedule.learning_rate(iteration));
            assert_eq!(decay, schedule.weight_decay(iteration));
        }
        let plain = moments(cpu, hyperparameters, &SingleProcess, &[microbatch()]);
        let smooth = VarHyperparameters { smoothing: 0.5, ..hyperparameters };
        assert!(
            moments(cpu, smooth, &SingleProcess, &[microbatch()]) != plain,
            "smoothing is ignored"
        );
        // The log has the cross-entropy itself.
        let logged = |hyperparameters| {
            let mut trainer = self::trainer(cpu, hyperparameters);
            learn(&mut trainer, cpu, &SingleProcess, 0, &[microbatch()], true)
                .accumulator
                .unwrap()
                .report()
        };
        assert_eq!(logged(smooth), logged(hyperparameters), "smoothing is logged");
    });
}
