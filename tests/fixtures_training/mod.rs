//! Gradients and thirty steps of the reference's trainer, number for number.

#[cfg(feature = "cuda")]
mod on_gpus;
mod optimizer;

use std::collections::HashMap;

use var_host::grad::Sums;
use var_host::model::weights::transformer_tensors;
use var_host::optim::schedule::{Decay, Schedule};
use var_host::train::buckets::Overlap;
use var_host::train::optimizer::{Optimizer, OptimizerConfig};
use var_host::train::transformer::{
    BatchShape, TokenLosses, TrainWorkspace, TransformerBatch, forward_backward, workspace_size,
};
use var_host::train::{Host, ParameterLayout, Storage};
use var_kernel::cpu::Isa;
use var_kernel::memory::Device;
use var_kernel::model::{Ladder, VarConfig};

use crate::support::{Golden, GoldenModel, assert_close, assert_near, scale_major, with_cpu};

/// The tiny model's weights and training data.
struct Microbatch {
    config: VarConfig,
    layout: ParameterLayout,
    weights: Vec<f32>,
    tokens: Vec<u32>,
    labels: Vec<u32>,
    /// `images × (L − 1) × latent`
    input: Vec<f32>,
    recomputes: bool,
}

impl Microbatch {
    fn new() -> Self {
        let golden = Golden::open("gradients.safetensors");
        let model = GoldenModel::of(&Golden::open("tiny.safetensors"));
        let layout = ParameterLayout::new(transformer_tensors(model.var));
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
    fn forward_backward<S: Storage>(
        &self,
        device: &S::Device<'_>,
        weights: &[f32],
        images: core::ops::Range<usize>,
        scales: usize,
        smoothing: f32,
        position_weights: &[f32],
    ) -> (TokenLosses, Vec<f32>) {
        self.learn_and_begin::<S>(
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
    fn learn_and_begin<'d, S: Storage>(
        &self,
        device: &S::Device<'d>,
        weights: &[f32],
        images: core::ops::Range<usize>,
        scales: usize,
        smoothing: f32,
        position_weights: &[f32],
        overlap: Option<Overlap<'_, S::Device<'d>>>,
    ) -> (TokenLosses, Vec<f32>) {
        let VarConfig { ladder, latent, .. } = self.config;
        let (count, length) = (images.len(), position_weights.len());
        let all = ladder.length();
        let targets: Vec<u32> = images
            .clone()
            .flat_map(|image| self.tokens[image * all..image * all + length].to_vec())
            .collect();
        let input = self.input_of(images.clone());
        assert_eq!(input.len(), count * (all - 1) * latent);
        let shape =
            BatchShape { images: count, scales, factors: false, recomputes: self.recomputes };
        let workspace_size = workspace_size(device, self.config, shape);
        let mut working: [S::Workspace; 3] = Default::default();
        let lengths = [workspace_size.values, workspace_size.gradients, workspace_size.scratch];
        let mut rooms = working.iter_mut().zip(lengths).map(|(working, floats)| {
            let run = S::workspace(device, working, floats).expect("there is room");
            device.fill(run, f32::NAN).map_err(Into::into).expect("it computes");
            run
        });
        let mut workspace = || rooms.next().expect("three of them");
        let workspace = &mut TrainWorkspace {
            values: workspace(),
            gradients: workspace(),
            scratch: workspace(),
        };
        let weights = S::from_host(device, &self.layout, weights.to_vec()).expect("there is room");
        let mut given = S::zeros(device, input.len()).expect("there is room");
        device.upload(&mut given, &input).map_err(Into::into).expect("it computes");
        let mut of_weights = S::zeros(device, self.layout.floats()).expect("there is room");
        let batch = TransformerBatch {
            labels: &self.labels[images],
            targets: &targets,
            input: &*given,
            factors: None,
            scales,
            smoothing,
            recomputes: self.recomputes,
        };
        let losses = forward_backward(
            device,
            self.config,
            &self.layout,
            &weights,
            &mut of_weights,
            workspace,
            batch,
            position_weights,
            true,
            overlap,
        );
        let losses = losses.map_err(Into::into).expect("it computes");
        let gradients = S::to_host(device, &self.layout, &of_weights).expect("it is there");
        (losses, gradients.into_owned())
    }

    /// Teacher-forcing input of some images, scale by scale.
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
    let (microbatch, golden) = (Microbatch::new(), Golden::open("gradients.safetensors"));
    let length = microbatch.config.ladder.length();
    let images = microbatch.labels.len();
    with_cpu(2, Isa::best(), |cpu| {
        for (smoothing, name) in [(0.0, "ls0.0"), (0.1, "ls0.1")] {
            let each = vec![1.0 / (length * images) as f32; length];
            let scales = microbatch.config.ladder.scales();
            let (losses, gradients) = microbatch.forward_backward::<Host>(
                cpu,
                &microbatch.weights,
                0..images,
                scales,
                smoothing,
                &each,
            );
            let loss = losses.losses.iter().map(|x| f64::from(*x)).sum::<f64>();
            let (_, want) = golden.floats(&format!("loss.{name}"));
            assert_close(name, &[(loss / losses.losses.len() as f64) as f32], &want, 2e-5);
            microbatch.compare(&golden, &format!("grad.{name}."), &gradients);
        }
    });
}

#[test]
fn every_thread_count_and_instruction_set_gives_the_same_gradients() {
    let microbatch = Microbatch::new();
    let length = microbatch.config.ladder.length();
    let each = vec![1.0 / length as f32; length];
    let mut first: Option<Vec<f32>> = None;
    for isa in Isa::all() {
        for threads in [1, 3] {
            let scales = microbatch.config.ladder.scales();
            let (_, gradients) = with_cpu(threads, isa, |cpu| {
                microbatch.forward_backward::<Host>(
                    cpu,
                    &microbatch.weights,
                    0..2,
                    scales,
                    0.1,
                    &each,
                )
            });
            let first = first.get_or_insert_with(|| gradients.clone());
            assert!(*first == gradients, "{isa:?} with {threads} threads gives other gradients");
        }
    }
}

#[test]
fn recomputation_gives_the_same_gradients_in_less_memory() {
    let kept = Microbatch::new();
    let anew = Microbatch { recomputes: true, ..Microbatch::new() };
    let (length, scales) = (kept.config.ladder.length(), kept.config.ladder.scales());
    let each = vec![1.0 / length as f32; length];
    with_cpu(2, Isa::best(), |cpu| {
        let [kept, anew] = [&kept, &anew].map(|microbatch| {
            let recomputes = microbatch.recomputes;
            let shape = BatchShape { images: 64, scales, factors: false, recomputes };
            let floats = workspace_size(cpu, microbatch.config, shape).values;
            (
                floats,
                microbatch.forward_backward::<Host>(
                    cpu,
                    &microbatch.weights,
                    0..3,
                    scales,
                    0.1,
                    &each,
                ),
            )
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
            workspace_size(
                cpu,
                d16,
                BatchShape { images: 64, scales: 10, factors: true, recomputes },
            )
        });
        println!("d16, 64 images: {kept:?} kept, {anew:?} anew");
        assert!(anew.values * 7 < kept.values * 2, "{anew:?} of {kept:?}");
        assert!(kept.gradients * 20 < kept.values, "{kept:?}");
        assert!(anew.gradients <= kept.gradients, "{anew:?} of {kept:?}");
    });
}

#[test]
fn sums_begin_when_their_gradients_are_complete() {
    let length = Microbatch::new().config.ladder.length();
    let each = vec![1.0 / length as f32; length];
    for recomputes in [false, true] {
        let microbatch = Microbatch { recomputes, ..Microbatch::new() };
        // Fewer scales than there are: some weights are not read.
        for (scales, floats) in [(microbatch.config.ladder.scales(), 500), (2, 2000)] {
            let each = &each[..microbatch.config.ladder.range(scales - 1).end];
            with_cpu(2, Isa::best(), |cpu| {
                let weights = &microbatch.weights;
                let (_, want) =
                    microbatch.forward_backward::<Host>(cpu, weights, 0..3, scales, 0.1, each);
                let mut begun = Vec::new();
                let mut begin = |run: &mut [f32]| {
                    begun.push((run.as_ptr().addr(), run.to_vec()));
                    Ok(())
                };
                let overlap = Some(Overlap { floats, begin: &mut begin });
                let (_, got) = microbatch.learn_and_begin::<Host>(
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
    let (microbatch, golden) = (Microbatch::new(), Golden::open("gradients.safetensors"));
    let (ladder, images) = (microbatch.config.ladder, microbatch.labels.len());
    let newest = ladder.range(2);
    let each: Vec<f32> = (0..newest.end)
        .map(|i| if newest.contains(&i) { 0.3 } else { 1.0 } / ladder.length() as f32)
        .collect();
    let seeds: Vec<f32> = each.iter().map(|weight| weight / images as f32).collect();
    with_cpu(2, Isa::best(), |cpu| {
        let (losses, gradients) = microbatch.forward_backward::<Host>(
            cpu,
            &microbatch.weights,
            0..images,
            3,
            0.0,
            &seeds,
        );
        let (_, want) = golden.floats("progressive.loss");
        assert_close("loss", &[weighted(&losses.losses, &each, images) as f32], &want, 2e-5);
        microbatch.compare(&golden, "progressive.grad.", &gradients);
    });
}
