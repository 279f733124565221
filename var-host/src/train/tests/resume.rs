//! A run that goes on has the state of the one that was saved.

use super::*;
use crate::checkpoint::{Checkpoint, save};
use crate::model::settings::{Settings, VarSettings};
use crate::model::{Weights, convert};
use crate::optim::LossScale;
use crate::train::state::{self, Counter, Described, Progress, Snapshot};

/// Writes `trainer` and `progress`, and reads both into another trainer of `hyperparameters`.
fn through_a_file(
    cpu: &Cpu<'_>,
    trainer: &mut VarTrainer,
    progress: &Progress,
    hyperparameters: VarHyperparameters,
) -> (VarTrainer, Progress) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let file = "../fixtures/fashion_reference.safetensors";
    let given = Weights::open(file.as_ref(), &Default::default()).unwrap();
    let given = Weights { transformer: None, ..given };
    let var = Some(VarSettings::from(&trainer.config));
    let settings = Settings { var, ..convert::settings(&given) };
    let described = Described { settings, frozen: Some(&given) };
    let snapshot = Snapshot::read::<Host>(cpu, trainer.state(), described).unwrap();
    let (records, metadata) = snapshot.records(progress);
    save(&path, records, &metadata, true).unwrap();
    let mut resumed = self::trainer(cpu, hyperparameters);
    let checkpoint = Checkpoint::open(&path).unwrap();
    let state = resumed.state();
    let progress = state::restore::<Host>(cpu, state, &checkpoint, &path).unwrap();
    (resumed, progress)
}

#[test]
fn average_of_weights_is_judged_and_saved() {
    let hyperparameters = VarHyperparameters { average: 0.9, ..hyperparameters() };
    with_cpu(|cpu| {
        let mut trainer = trainer(cpu, hyperparameters);
        for iteration in 0..3 {
            step(&mut trainer, cpu, iteration, &microbatch());
        }
        let (mut resumed, _) =
            through_a_file(cpu, &mut trainer, &Progress::default(), hyperparameters);
        assert!(
            resumed.parameters.average == trainer.parameters.average
                && resumed.parameters.weights == trainer.parameters.weights
        );
        let judge = |trainer: &mut VarTrainer| {
            let config = config();
            let mut accumulator =
                crate::train::metrics::MetricAccumulator::new(config.ladder, config.codes);
            let images = microbatch();
            trainer.evaluate(cpu, images.microbatch(), &images.input, &mut accumulator).unwrap();
            accumulator.report()
        };
        let of_average = judge(&mut trainer);
        resumed.parameters.weights = resumed.parameters.average.take().unwrap();
        assert_eq!(judge(&mut resumed), of_average);
        resumed.parameters.weights = trainer.parameters.weights.clone();
        assert_ne!(judge(&mut resumed), of_average);
    });
}

#[test]
fn resume_keeps_optimizer_steps_after_refused_updates() {
    with_cpu(|cpu| {
        let mut unbroken = trainer(cpu, hyperparameters());
        for iteration in 0..5 {
            let microbatch = if iteration == 2 { broken_lesson() } else { microbatch() };
            step(&mut unbroken, cpu, iteration, &microbatch);
        }
        assert_eq!(unbroken.parameters.optimizer.steps, 4);
        let progress = Progress { iterations: 5, refused_in_all: 1, ..Progress::default() };
        let (mut resumed, found) = through_a_file(cpu, &mut unbroken, &progress, hyperparameters());
        assert_eq!((found.iterations, found.refused_in_all), (5, 1));
        assert_eq!(found.counters["updates"], Counter::Count(4));
        assert_eq!(resumed.parameters.optimizer.steps, 4);
        for trainer in [&mut unbroken, &mut resumed] {
            step(trainer, cpu, 5, &microbatch());
        }
        assert!(
            unbroken.parameters.weights == resumed.parameters.weights,
            "other weights after the resume"
        );
        assert!(unbroken.parameters.optimizer.m == resumed.parameters.optimizer.m);
        assert!(unbroken.parameters.optimizer.v == resumed.parameters.optimizer.v);
    });
}

#[test]
fn resume_keeps_the_loss_scale_and_its_good_steps() {
    let hyperparameters = VarHyperparameters { precision: Precision::F16, ..hyperparameters() };
    with_cpu(|cpu| {
        let mut trainer = trainer(cpu, hyperparameters);
        step(&mut trainer, cpu, 0, &broken_lesson());
        for iteration in 1..4 {
            step(&mut trainer, cpu, iteration, &microbatch());
        }
        let scale = LossScale { factor: 1024.0, good_steps: 3 };
        assert_eq!(trainer.loss_scale, Some(scale));
        let (resumed, _) = through_a_file(cpu, &mut trainer, &Progress::default(), hyperparameters);
        assert_eq!(resumed.loss_scale, Some(scale));
    });
}

#[test]
fn resume_keeps_the_best_validation_and_the_refused_updates() {
    with_cpu(|cpu| {
        let mut trainer = trainer(cpu, hyperparameters());
        let progress = Progress {
            iterations: 9,
            refused: 2,
            refused_in_all: 3,
            best: Some(4.25),
            ..Progress::default()
        };
        let (_, found) = through_a_file(cpu, &mut trainer, &progress, hyperparameters());
        let counters = [("updates".to_owned(), Counter::Count(0))].into();
        assert_eq!(found, Progress { version: state::VERSION, counters, ..progress });
    });
}

#[test]
fn resumed_state_of_rank_0_is_that_of_all() {
    let hyperparameters = VarHyperparameters { average: 0.25, ..hyperparameters() };
    let work = |ranks: crate::parallel::ThreadGroup| {
        with_cpu(|cpu| {
            let mut trainer = self::trainer(cpu, hyperparameters);
            let mut progress = Progress::default();
            if ranks.rank() == 0 {
                (0..3)
                    .for_each(|iteration| drop(step(&mut trainer, cpu, iteration, &microbatch())));
                progress.iterations = 3;
            }
            let state = trainer.state();
            let progress = state::share::<Host>(cpu, state, progress, &ranks).unwrap();
            let TrainParameters { weights, average, optimizer, .. } = trainer.parameters;
            (progress, optimizer.steps, [weights, average.unwrap(), optimizer.m, optimizer.v])
        })
    };
    let work = &work;
    let all: Vec<_> = std::thread::scope(|scope| {
        let ranks = crate::parallel::ThreadGroup::new(2).into_iter();
        let threads: Vec<_> = ranks.map(|ranks| scope.spawn(move || work(ranks))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!((all[0].0.iterations, all[0].1), (3, 3));
    assert!(all[0] == all[1], "ranks go on from other states");
}
