//! AdamW's steps as the reference takes them.

use super::*;

/// A gradient as small as eps halves a step: of `torch.optim.AdamW(eps=1e-8)`, the reference's, the first
/// moves by `rate · g / (g + 1e-8)`.
#[test]
fn eps_decides_the_step_of_tiny_gradients() {
    let microbatch = Microbatch::new();
    for constants in [OptimizerConfig::TRANSFORMER, var_host::train::vae::trainer::OPTIMIZER_CONFIG]
    {
        for gradient in [1e-8_f64, 1e-7, -1e-6] {
            let mut optimizer = Optimizer::on_host(&microbatch.layout, constants);
            let mut weights = vec![0.0; microbatch.layout.floats()];
            let gradients = vec![gradient as f32; weights.len()];
            with_cpu(1, Isa::best(), |cpu| {
                optimizer
                    .update(cpu, &microbatch.layout, &mut weights, &gradients, 1.0, 1.0, 0.0)
                    .expect("it is on the processor");
            });
            let want = -gradient / (gradient.abs() + 1e-8);
            let far = |weight: f32| (f64::from(weight) - want).abs() > 1e-3 * want.abs();
            for tensor in microbatch.layout.tensors() {
                let off = weights[tensor.range.clone()].iter().find(|weight| far(**weight));
                assert_eq!(off, None, "{gradient:e}, {}: want {want}", tensor.name);
            }
        }
    }
}

#[test]
fn thirty_steps_are_the_references() {
    let (microbatch, golden) = (Microbatch::new(), Golden::open("adamw_trajectory.safetensors"));
    let about = &golden.about;
    let number = |key: &str| about[key].as_f64().expect("a number");
    let steps = number("steps") as u64;
    let schedule = Schedule {
        decay: "lin0".parse::<Decay>().expect("a schedule"),
        peak: number("peak_lr"),
        start: number("wp0"),
        end: number("wpe"),
        warmup: number("warmup") as u64,
        iterations: steps,
        weight_decay: number("wd"),
        weight_decay_end: number("wd"),
    };
    let kept: HashMap<&str, ()> = about["not_decayed"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|name| (name.as_str().expect("a name"), ()))
        .collect();
    for tensor in microbatch.layout.tensors() {
        let decays = var_host::optim::groups::decays(&tensor.name, tensor.shape.len());
        assert_eq!(decays, !kept.contains_key(tensor.name.as_str()), "{}", tensor.name);
    }
    let length = microbatch.config.ladder.length();
    let each = vec![1.0 / (4 * length) as f32; length];
    let constants = OptimizerConfig { clip: number("clip"), ..OptimizerConfig::TRANSFORMER };
    let mut optimizer = Optimizer::on_host(&microbatch.layout, constants);
    let mut weights = microbatch.weights.clone();
    let (mut of_losses, mut norms) = (Vec::new(), Vec::new());
    with_cpu(2, Isa::best(), |cpu| {
        for step in 0..steps {
            let first = step as usize % 2 * 4;
            let scales = microbatch.config.ladder.scales();
            let (losses, gradients) = microbatch.forward_backward::<Host>(
                cpu,
                &weights,
                first..first + 4,
                scales,
                0.0,
                &each,
            );
            let (rate, decay) = (schedule.learning_rate(step), schedule.weight_decay(step));
            let done = optimizer
                .update(cpu, &microbatch.layout, &mut weights, &gradients, 1.0, rate, decay)
                .expect("it is on the processor");
            of_losses.push(losses.losses.iter().sum::<f32>() / losses.losses.len() as f32);
            norms.push(done.norm as f32);
        }
    });
    assert_close("loss", &of_losses, &golden.floats("loss").1, 1e-4);
    assert_close("norm", &norms, &golden.floats("grad_norm_before_clip").1, 5e-3);
    for name in golden.names("final.") {
        let tensor = microbatch.layout.tensor(&name["final.".len()..]).expect("a known tensor");
        assert_near(&name, &weights[tensor.range.clone()], &golden.floats(&name).1, 1e-3, 0.0);
    }
}
