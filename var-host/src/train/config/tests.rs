use super::*;

/// The recipe of a configuration, in epochs of 6 iterations.
fn hyperparameters(config: &TrainConfig) -> VarHyperparameters {
    let model = VarConfig {
        depth: 2,
        width: 64,
        heads: 1,
        hidden: 256,
        classes: 2,
        codes: 16,
        latent: 4,
        ladder: var_kernel::model::Ladder::new(&[1, 2]).unwrap(),
        unit_length: true,
        shared_modulation: false,
    };
    config.hyperparameters(6, &model, 1).unwrap()
}

#[test]
fn peak_rate_is_that_of_the_global_batch_in_any_microbatches() {
    for microbatches in [1, 2, 4] {
        let config =
            TrainConfig { batch: 512, base_rate: 3e-4, microbatches, ..Default::default() };
        let peak = hyperparameters(&config).schedule.peak;
        assert!((peak - 6e-4).abs() < 1e-15, "{microbatches} microbatches: {peak}");
    }
}

#[test]
fn progressive_schedule_is_that_of_the_published_trainer() {
    let config = TrainConfig {
        batch: 256,
        base_rate: 1e-4,
        iterations: Some(15),
        warmup: 0.25,
        progressive: 0.6,
        progressive_first: 0,
        progressive_warmup: 0.4,
        ..Default::default()
    };
    let hyperparameters = hyperparameters(&config);
    let Some(stages) = hyperparameters.progressive else { panic!("no progressive training") };
    // 0.6 of 15 iterations, 0.25 and 0.4 epochs of 6: fractions stay.
    assert!((stages.complete - 9.0).abs() < 1e-12 && stages.warmup == 1.5, "{stages:?}");
    assert!((stages.rise - 2.4).abs() < 1e-12, "{stages:?}");
    // The learning rate's warm-up is rounded, a half to the even number: to 2.
    let Schedule { warmup, iterations, decay, .. } = hyperparameters.schedule;
    assert_eq!((warmup, iterations, decay), (2, 15, Decay::Bent { at: 0.6 }));
    // utils/lr_control.py's `lin0.6` with wp0 = 0.005, wpe = 0.01.
    let rate = |i: f64| {
        let passed = (i - 2.0) / 12.0;
        let middle = (1.0 + 0.01 + 0.99 * 0.4) / 2.0;
        1e-4 * match i {
            _ if i < 2.0 => 0.005 + 0.995 * i / 2.0,
            _ if passed < 0.6 => 1.0 + (middle - 1.0) * passed / 0.6,
            _ => 0.01 + (middle - 0.01) * (1.0 - passed) / 0.4,
        }
    };
    for i in 0..15_u32 {
        let (got, want) = (hyperparameters.schedule.learning_rate(i.into()), rate(i.into()));
        assert!((got - want).abs() <= 1e-9 * want, "iteration {i}: {got}, want {want}");
    }
}

#[test]
fn train_config_is_read_as_it_is_written() {
    let config = TrainConfig {
        precision: Precision::Bf16,
        decay: "lin0.8".parse().unwrap(),
        drop_path: Some(0.25),
        balance: Some(0.5),
        no_shuffle: true,
        ..Default::default()
    };
    let text = serde_json::to_string(&config).unwrap();
    assert!(text.contains("\"fp16\":2,") && text.contains("\"sche\":\"lin0.8\""), "{text}");
    assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), config);
    assert_eq!(serde_json::from_str::<TrainConfig>("{}").unwrap(), TrainConfig::default());
}
