//! Gradients and thirty steps of the reference's trainer, number for number.

use std::collections::HashMap;

use var_host::model::weights::transformer_tensors;
use var_host::optim::schedule::{Decay, Schedule};
use var_host::train::Layout;
use var_host::train::transformer::{Batch, Losses, Room, learn, needs};
use var_host::train::update::{Constants, Optimizer};
use var_kernel::cpu::{Cpu, Isa};
use var_kernel::model::VarConfig;

use crate::support::{Golden, GoldenModel, assert_close, assert_near, scale_major, with_cpu};

/// The tiny model's weights, and what it learns from.
struct Lesson {
    config: VarConfig,
    layout: Layout,
    weights: Vec<f32>,
    tokens: Vec<u32>,
    labels: Vec<u32>,
    /// `images × (L − 1) × latent`
    input: Vec<f32>,
}

impl Lesson {
    fn new() -> Self {
        let golden = Golden::open("gradients.safetensors");
        let model = GoldenModel::of(&Golden::open("tiny.safetensors"));
        let layout = Layout::new(transformer_tensors(model.var));
        let mut weights = vec![0.0; layout.floats()];
        for tensor in layout.tensors() {
            weights[tensor.range.clone()].copy_from_slice(model.var_weight(&tensor.name));
        }
        Self {
            config: model.var,
            layout,
            weights,
            tokens: golden.integers("tokens"),
            labels: golden.integers("labels"),
            input: golden.floats("teacher_input").1,
        }
    }

    /// Losses and gradients of some images.
    fn learn(
        &self,
        cpu: &Cpu<'_>,
        weights: &[f32],
        images: core::ops::Range<usize>,
        scales: usize,
        smoothing: f32,
        position_weights: &[f32],
    ) -> (Losses, Vec<f32>) {
        let VarConfig { ladder, latent, .. } = self.config;
        let (count, length) = (images.len(), position_weights.len());
        let all = ladder.length();
        let targets: Vec<u32> = images
            .clone()
            .flat_map(|image| self.tokens[image * all..image * all + length].to_vec())
            .collect();
        // The inputs lie scale by scale; one cell of nothing stands in for the first scale.
        let rows: Vec<f32> = images
            .clone()
            .flat_map(|image| {
                let of_image = &self.input[image * (all - 1) * latent..][..(all - 1) * latent];
                [&vec![0.0; latent][..], of_image].concat()
            })
            .collect();
        let input = scale_major(&rows, latent, &ladder).split_off(count * latent);
        let needs = needs(cpu, self.config, count, scales);
        let mut values = vec![f32::NAN; needs.values];
        let mut gradients = vec![f32::NAN; needs.values];
        let mut scratch = vec![f32::NAN; needs.scratch];
        let mut of_weights = vec![0.0; self.layout.floats()];
        let batch = Batch {
            labels: &self.labels[images],
            targets: &targets,
            input: &input,
            factors: None,
            scales,
            smoothing,
        };
        let room = &mut Room {
            values: &mut values[..],
            gradients: &mut gradients[..],
            scratch: &mut scratch[..],
        };
        let Ok(losses) = learn(
            cpu,
            self.config,
            &self.layout,
            weights,
            &mut of_weights,
            room,
            batch,
            position_weights,
            true,
        );
        (losses, of_weights)
    }

    fn compare(&self, golden: &Golden, prefix: &str, got: &[f32]) {
        let names = golden.names(prefix);
        assert!(!names.is_empty(), "{prefix} is in the fixture");
        for name in names {
            let (_, want) = golden.floats(&name);
            let tensor = self.layout.tensor(&name[prefix.len()..]).expect("a known tensor");
            assert_near(&name, &got[tensor.range.clone()], &want, 1e-4, 1e-6);
        }
    }
}

fn weighted(losses: &[f32], position_weights: &[f32], images: usize) -> f64 {
    let each = losses.iter().zip(position_weights.iter().cycle());
    each.map(|(loss, weight)| f64::from(*loss) * f64::from(*weight)).sum::<f64>() / images as f64
}

#[test]
fn every_gradient_is_the_references() {
    let (lesson, golden) = (Lesson::new(), Golden::open("gradients.safetensors"));
    let length = lesson.config.ladder.length();
    let images = lesson.labels.len();
    with_cpu(2, Isa::best(), |cpu| {
        for (smoothing, name) in [(0.0, "ls0.0"), (0.1, "ls0.1")] {
            let each = vec![1.0 / (length * images) as f32; length];
            let scales = lesson.config.ladder.scales();
            let (losses, gradients) =
                lesson.learn(cpu, &lesson.weights, 0..images, scales, smoothing, &each);
            let loss = losses.losses.iter().map(|x| f64::from(*x)).sum::<f64>();
            let (_, want) = golden.floats(&format!("loss.{name}"));
            assert_close(name, &[(loss / losses.losses.len() as f64) as f32], &want, 2e-5);
            lesson.compare(&golden, &format!("grad.{name}."), &gradients);
        }
    });
}

#[test]
fn every_thread_count_and_instruction_set_gives_the_same_gradients() {
    let lesson = Lesson::new();
    let length = lesson.config.ladder.length();
    let each = vec![1.0 / length as f32; length];
    let mut first: Option<Vec<f32>> = None;
    for isa in Isa::all() {
        for threads in [1, 3] {
            let scales = lesson.config.ladder.scales();
            let (_, gradients) = with_cpu(threads, isa, |cpu| {
                lesson.learn(cpu, &lesson.weights, 0..2, scales, 0.1, &each)
            });
            let first = first.get_or_insert_with(|| gradients.clone());
            assert!(*first == gradients, "{isa:?} with {threads} threads gives other gradients");
        }
    }
}

#[test]
fn progressive_training_learns_the_first_scales() {
    let (lesson, golden) = (Lesson::new(), Golden::open("gradients.safetensors"));
    let (ladder, images) = (lesson.config.ladder, lesson.labels.len());
    let newest = ladder.range(2);
    let each: Vec<f32> = (0..newest.end)
        .map(|i| if newest.contains(&i) { 0.3 } else { 1.0 } / ladder.length() as f32)
        .collect();
    let seeds: Vec<f32> = each.iter().map(|weight| weight / images as f32).collect();
    with_cpu(2, Isa::best(), |cpu| {
        let (losses, gradients) = lesson.learn(cpu, &lesson.weights, 0..images, 3, 0.0, &seeds);
        let (_, want) = golden.floats("progressive.loss");
        assert_close("loss", &[weighted(&losses.losses, &each, images) as f32], &want, 2e-5);
        lesson.compare(&golden, "progressive.grad.", &gradients);
    });
}

#[test]
fn thirty_steps_are_the_references() {
    let (lesson, golden) = (Lesson::new(), Golden::open("adamw_trajectory.safetensors"));
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
    for tensor in lesson.layout.tensors() {
        let decays = var_host::optim::groups::decays(&tensor.name, tensor.shape.len());
        assert_eq!(decays, !kept.contains_key(tensor.name.as_str()), "{}", tensor.name);
    }
    let length = lesson.config.ladder.length();
    let each = vec![1.0 / (4 * length) as f32; length];
    let constants = Constants { clip: number("clip"), ..Constants::TRANSFORMER };
    let mut optimizer = Optimizer::new(&lesson.layout, constants);
    let mut weights = lesson.weights.clone();
    let (mut of_losses, mut norms) = (Vec::new(), Vec::new());
    with_cpu(2, Isa::best(), |cpu| {
        for step in 0..steps {
            let first = step as usize % 2 * 4;
            let scales = lesson.config.ladder.scales();
            let (losses, gradients) =
                lesson.learn(cpu, &weights, first..first + 4, scales, 0.0, &each);
            let (rate, decay) = (schedule.learning_rate(step), schedule.weight_decay(step));
            let done =
                optimizer.update(cpu, &lesson.layout, &mut weights, &gradients, 1.0, rate, decay);
            of_losses.push(losses.losses.iter().sum::<f32>() / losses.losses.len() as f32);
            norms.push(done.norm as f32);
        }
    });
    assert_close("loss", &of_losses, &golden.floats("loss").1, 1e-4);
    assert_close("norm", &norms, &golden.floats("grad_norm_before_clip").1, 5e-3);
    for name in golden.names("final.") {
        let tensor = lesson.layout.tensor(&name["final.".len()..]).expect("a known tensor");
        assert_near(&name, &weights[tensor.range.clone()], &golden.floats(&name).1, 1e-3, 0.0);
    }
}
