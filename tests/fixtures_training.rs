//! Gradients and thirty steps of the reference's trainer, number for number.

use std::collections::HashMap;

use var_host::grad::Sums;
use var_host::model::weights::transformer_tensors;
use var_host::optim::schedule::{Decay, Schedule};
use var_host::train::buckets::Overlap;
use var_host::train::transformer::{Batch, Extent, Losses, Room, learn, needs};
use var_host::train::update::{Constants, Optimizer};
use var_host::train::{Home, Layout, OnProcessor};
use var_kernel::cpu::Isa;
use var_kernel::model::{Ladder, VarConfig};

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
    recomputes: bool,
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
            recomputes: false,
        }
    }

    /// Losses and gradients of some images.
    fn learn<H: Home>(
        &self,
        device: &H::Device<'_>,
        weights: &[f32],
        images: core::ops::Range<usize>,
        scales: usize,
        smoothing: f32,
        position_weights: &[f32],
    ) -> (Losses, Vec<f32>) {
        self.learn_and_begin::<H>(
            device,
            weights,
            images,
            scales,
            smoothing,
            position_weights,
            None,
        )
    }

    /// The same, with sums that begin meanwhile.
    fn learn_and_begin<'d, H: Home>(
        &self,
        device: &H::Device<'d>,
        weights: &[f32],
        images: core::ops::Range<usize>,
        scales: usize,
        smoothing: f32,
        position_weights: &[f32],
        overlap: Option<Overlap<'_, H::Device<'d>>>,
    ) -> (Losses, Vec<f32>) {
        let VarConfig { ladder, latent, .. } = self.config;
        let (count, length) = (images.len(), position_weights.len());
        let all = ladder.length();
        let targets: Vec<u32> = images
            .clone()
            .flat_map(|image| self.tokens[image * all..image * all + length].to_vec())
            .collect();
        let input = self.input_of(images.clone());
        assert_eq!(input.len(), count * (all - 1) * latent);
        let extent = Extent { images: count, scales, factors: false, recomputes: self.recomputes };
        let needs = needs(device, self.config, extent);
        let mut working: [H::Working; 3] = Default::default();
        let lengths = [needs.values, needs.gradients, needs.scratch];
        let mut rooms = working.iter_mut().zip(lengths).map(|(working, floats)| {
            let run = H::room(device, working, floats).expect("there is room");
            device.fill(run, f32::NAN).map_err(Into::into).expect("it computes");
            run
        });
        let mut room = || rooms.next().expect("three of them");
        let room = &mut Room { values: room(), gradients: room(), scratch: room() };
        let weights = H::keep(device, &self.layout, weights.to_vec()).expect("there is room");
        let mut of_weights = H::zeros(device, self.layout.floats()).expect("there is room");
        let batch = Batch {
            labels: &self.labels[images],
            targets: &targets,
            input: &input,
            factors: None,
            scales,
            smoothing,
            recomputes: self.recomputes,
        };
        let losses = learn(
            device,
            self.config,
            &self.layout,
            &weights,
            &mut of_weights,
            room,
            batch,
            position_weights,
            true,
            overlap,
        );
        let losses = losses.map_err(Into::into).expect("it computes");
        let gradients = H::read(device, &self.layout, &of_weights).expect("it is there");
        (losses, gradients.into_owned())
    }

    /// What the quantizer makes of the tokens of some images, scale by scale.
    fn input_of(&self, images: core::ops::Range<usize>) -> Vec<f32> {
        let VarConfig { ladder, latent, .. } = self.config;
        let (count, all) = (images.len(), ladder.length());
        // One cell of nothing stands in for the first scale.
        let rows: Vec<f32> = images
            .flat_map(|image| {
                let of_image = &self.input[image * (all - 1) * latent..][..(all - 1) * latent];
                [&vec![0.0; latent][..], of_image].concat()
            })
            .collect();
        scale_major(&rows, latent, &ladder).split_off(count * latent)
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
            let (losses, gradients) = lesson.learn::<OnProcessor>(
                cpu,
                &lesson.weights,
                0..images,
                scales,
                smoothing,
                &each,
            );
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
                lesson.learn::<OnProcessor>(cpu, &lesson.weights, 0..2, scales, 0.1, &each)
            });
            let first = first.get_or_insert_with(|| gradients.clone());
            assert!(*first == gradients, "{isa:?} with {threads} threads gives other gradients");
        }
    }
}

#[test]
fn what_is_computed_anew_gives_the_same_gradients_in_less_memory() {
    let kept = Lesson::new();
    let anew = Lesson { recomputes: true, ..Lesson::new() };
    let (length, scales) = (kept.config.ladder.length(), kept.config.ladder.scales());
    let each = vec![1.0 / length as f32; length];
    with_cpu(2, Isa::best(), |cpu| {
        let [kept, anew] = [&kept, &anew].map(|lesson| {
            let recomputes = lesson.recomputes;
            let extent = Extent { images: 64, scales, factors: false, recomputes };
            let floats = needs(cpu, lesson.config, extent).values;
            (floats, lesson.learn::<OnProcessor>(cpu, &lesson.weights, 0..3, scales, 0.1, &each))
        });
        assert!(kept.1.0.losses == anew.1.0.losses, "other losses");
        assert!(kept.1.1 == anew.1.1, "other gradients");
        assert!(anew.0 * 3 < kept.0 * 2, "{} floats of {}", anew.0, kept.0);
        // Of the published model of depth 16, 256 pixels.
        let ladder = Ladder::named("256").expect("a published ladder");
        let d16 = VarConfig {
            depth: 16,
            width: 1024,
            heads: 16,
            hidden: 4096,
            classes: 1000,
            codes: 4096,
            latent: 32,
            ladder,
            unit_length: true,
            shared_modulation: false,
        };
        let [kept, anew] = [false, true].map(|recomputes| {
            needs(cpu, d16, Extent { images: 64, scales: 10, factors: true, recomputes })
        });
        println!("d16, 64 images: {kept:?} kept, {anew:?} anew");
        assert!(anew.values * 7 < kept.values * 2, "{anew:?} of {kept:?}");
        assert!(kept.gradients * 20 < kept.values, "{kept:?}");
        assert!(anew.gradients <= kept.gradients, "{anew:?} of {kept:?}");
    });
}

#[test]
fn sums_begin_when_their_gradients_are_complete() {
    let length = Lesson::new().config.ladder.length();
    let each = vec![1.0 / length as f32; length];
    for recomputes in [false, true] {
        let lesson = Lesson { recomputes, ..Lesson::new() };
        // Fewer scales than there are: some weights are not read.
        for (scales, floats) in [(lesson.config.ladder.scales(), 500), (2, 2000)] {
            let each = &each[..lesson.config.ladder.range(scales - 1).end];
            with_cpu(2, Isa::best(), |cpu| {
                let weights = &lesson.weights;
                let (_, want) = lesson.learn::<OnProcessor>(cpu, weights, 0..3, scales, 0.1, each);
                let mut begun = Vec::new();
                let mut begin = |run: &mut [f32]| {
                    begun.push((run.as_ptr().addr(), run.to_vec()));
                    Ok(())
                };
                let overlap = Some(Overlap { floats, begin: &mut begin });
                let (_, got) = lesson.learn_and_begin::<OnProcessor>(
                    cpu,
                    weights,
                    0..3,
                    scales,
                    0.1,
                    each,
                    overlap,
                );
                assert!(got == want, "other gradients");
                assert!(begun.len() > 8, "{} sums", begun.len());
                begun.sort_by_key(|(place, _)| *place);
                for pair in begun.windows(2) {
                    let (first, second) = (&pair[0], &pair[1]);
                    assert_eq!(first.0 + size_of_val(&first.1[..]), second.0, "a gap or twice");
                }
                let begun: Vec<f32> = begun.into_iter().flat_map(|(_, run)| run).collect();
                assert!(begun == want, "a sum began before its last gradient");
            });
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
        let (losses, gradients) =
            lesson.learn::<OnProcessor>(cpu, &lesson.weights, 0..images, 3, 0.0, &seeds);
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
    let mut optimizer = Optimizer::on_processor(&lesson.layout, constants);
    let mut weights = lesson.weights.clone();
    let (mut of_losses, mut norms) = (Vec::new(), Vec::new());
    with_cpu(2, Isa::best(), |cpu| {
        for step in 0..steps {
            let first = step as usize % 2 * 4;
            let scales = lesson.config.ladder.scales();
            let (losses, gradients) =
                lesson.learn::<OnProcessor>(cpu, &weights, first..first + 4, scales, 0.0, &each);
            let (rate, decay) = (schedule.learning_rate(step), schedule.weight_decay(step));
            let done = optimizer
                .update(cpu, &lesson.layout, &mut weights, &gradients, 1.0, rate, decay)
                .expect("it is on the processor");
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

#[cfg(feature = "emulator")]
mod on_cards {
    //! The same on cards.

    use var_host::parallel::Single;
    use var_host::pool::Threads;
    use var_host::train::noise::Noise;
    use var_host::train::trainer::{Lesson as Part, Trainer};
    use var_host::train::{OnCard, Precision, Recipe};
    use var_kernel::cpu::{Cpu, SCRATCH_FLOATS};
    use var_kernel::cuda;

    use super::*;
    use crate::cards::cards;

    /// `‖got − want‖ / ‖want‖`
    fn distance(got: &[f32], want: &[f32]) -> f64 {
        let square = |x: f32| f64::from(x) * f64::from(x);
        let apart: f64 = got.iter().zip(want).map(|(got, want)| square(got - want)).sum();
        (apart / want.iter().map(|x| square(*x)).sum::<f64>()).sqrt()
    }

    #[test]
    fn every_gradient_is_the_references_on_cards() {
        let (lesson, golden) = (Lesson::new(), Golden::open("gradients.safetensors"));
        let length = lesson.config.ladder.length();
        let images = lesson.labels.len();
        let each = vec![1.0 / (length * images) as f32; length];
        let scales = lesson.config.ladder.scales();
        for (name, card) in cards() {
            let precision = card.precision();
            let (losses, gradients) =
                lesson.learn::<OnCard>(&card, &lesson.weights, 0..images, scales, 0.1, &each);
            let loss = losses.losses.iter().map(|x| f64::from(*x)).sum::<f64>();
            let loss = (loss / losses.losses.len() as f64) as f32;
            let (_, want) = golden.floats("loss.ls0.1");
            if precision == cuda::Precision::F32 {
                assert_close(&name, &[loss], &want, 2e-5);
                lesson.compare(&golden, "grad.ls0.1.", &gradients);
                continue;
            }
            if precision == cuda::Precision::F16 {
                let anew = Lesson { recomputes: true, ..Lesson::new() };
                let weights = &lesson.weights;
                let (_, again) =
                    anew.learn::<OnCard>(&card, weights, 0..images, scales, 0.1, &each);
                assert!(gradients == again, "{name}: what is computed anew is other");
            }
            // 11 and 8 binary digits, over some forty products.
            let (of_loss, of_gradients) = match precision {
                cuda::Precision::Tf32 | cuda::Precision::F16 => (2e-3, 1e-2),
                _ => (1e-2, 6e-2),
            };
            assert_close(&name, &[loss], &want, of_loss);
            let (mut got, mut all) = (Vec::new(), Vec::new());
            for tensor in lesson.layout.tensors() {
                got.extend_from_slice(&gradients[tensor.range.clone()]);
                all.extend(golden.floats(&format!("grad.ls0.1.{}", tensor.name)).1);
            }
            let apart = distance(&got, &all);
            println!("{name}: gradients are off by {apart:.1e} of their length");
            assert!(apart <= of_gradients, "{name}: gradients are off by {apart}");
        }
    }

    /// The losses of some steps, and the weights after them.
    fn steps<H: Home>(home: &H, precision: Precision, smoothing: f32) -> (Vec<f64>, Vec<f32>) {
        const STEPS: u64 = 4;
        let lesson = Lesson::new();
        let schedule = Schedule {
            decay: "lin0".parse().expect("a schedule"),
            peak: 1e-3,
            start: 0.1,
            end: 0.01,
            warmup: 1,
            iterations: STEPS,
            weight_decay: 0.05,
            weight_decay_end: 0.05,
        };
        let recipe = Recipe {
            batch: 4,
            parts: 2,
            schedule,
            clip: 2.0,
            smoothing,
            precision,
            progressive: None,
            noise: Noise { classes: 0.1, depth: 0.1 },
            average: 0.9,
            seed: 1,
        };
        let threads = Threads::new(2, SCRATCH_FLOATS).expect("threads can be started");
        let device = home.device(Cpu::new(Isa::best(), &threads));
        let all = lesson.config.ladder.length();
        let parts: Vec<Part> = [0..2, 2..4]
            .map(|images: core::ops::Range<usize>| Part {
                labels: lesson.labels[images.clone()].to_vec(),
                tokens: lesson.tokens[images.start * all..images.end * all].to_vec(),
                input: lesson.input_of(images),
            })
            .into();
        let Lesson { config, layout, weights, .. } = lesson;
        let trainer = Trainer::<H>::new(&device, config, recipe, layout, weights);
        let mut trainer = trainer.expect("there is room");
        let mut losses = Vec::new();
        for iteration in 0..STEPS {
            let step = trainer.step(&device, &Single, iteration, &parts, true);
            let tally = step.expect("it computes").tally.expect("it was asked for");
            losses.push(tally.report().L_mean);
        }
        let average = trainer.average.as_ref().expect("one is kept");
        let average = H::read(&device, &trainer.layout, average).expect("it is there").into_owned();
        (losses, average)
    }

    #[test]
    fn a_card_learns_what_the_processor_does() {
        let mut on_processor = HashMap::new();
        for (name, card) in cards() {
            let (precision, of_losses, of_weights) = match card.precision() {
                cuda::Precision::F32 => (Precision::F32, 1e-5, 1e-4),
                cuda::Precision::Tf32 => (Precision::F32, 3e-3, 1e-2),
                cuda::Precision::F16 => (Precision::F16, 3e-3, 1e-2),
                cuda::Precision::Bf16 => (Precision::Bf16, 2e-2, 3e-2),
            };
            let want = on_processor
                .entry(format!("{precision:?}"))
                .or_insert_with(|| steps(&OnProcessor, precision, 0.1));
            let got = steps(&OnCard::new(card), precision, 0.1);
            println!("{name}: {:?}, on the processor {:?}", got.0, want.0);
            for (got, want) in got.0.iter().zip(&want.0) {
                assert!((got - want).abs() <= of_losses * want, "{name}: {got}, want {want}");
            }
            let apart = distance(&got.1, &want.1);
            assert!(apart <= of_weights, "{name}: weights are off by {apart} of their length");
        }
    }
}
