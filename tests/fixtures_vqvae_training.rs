//! The quantizer's training forward and a whole step of the VQVAE, with every gradient, number for
//! number.

use core::cell::Cell;

use var_host::grad::{Memory, RecordedSource, Recording};
use var_host::model::weights::vqvae_tensors;
use var_host::train::ParameterLayout;
use var_host::train::quantizer::{self, COMMITMENT};
use var_host::train::vqvae::{ForwardPass, workspace_size};
use var_host::train::workspace::TrainWorkspace;
use var_kernel::arena::Arena;
use var_kernel::cpu::{Cpu, Isa};
use var_kernel::model::{Vqvae, VqvaeConfig};
use var_kernel::storage::Storage;

use crate::support::{Golden, GoldenModel, assert_close, with_cpu};

/// The tiny VQVAE's weights.
struct Microbatch {
    config: VqvaeConfig,
    layout: ParameterLayout,
    weights: Vec<f32>,
}

impl Microbatch {
    fn new() -> Self {
        let model = GoldenModel::of(&Golden::open("tiny.safetensors"));
        let layout = ParameterLayout::new(vqvae_tensors(model.vae));
        let mut weights = vec![0.0; layout.floats()];
        for tensor in layout.tensors() {
            weights[tensor.range.clone()].copy_from_slice(model.vae_weight(&tensor.name));
        }
        Self { config: model.vae, layout, weights }
    }

    /// The gradient of the tensor `name`.
    fn of<'g>(&self, gradients: &'g [f32], name: &str) -> &'g [f32] {
        let tensor = self.layout.tensor(name).expect("a known tensor");
        &gradients[tensor.range.clone()]
    }

    /// The loss `mse(reconstruction, images) + quantizer loss`, the reconstruction, and all
    /// gradients.
    fn learn(
        &self,
        cpu: &Cpu<'_>,
        pictures: &[f32],
        images: usize,
    ) -> (ForwardPass, f64, Vec<f32>, Vec<f32>) {
        let workspace_size = workspace_size(cpu, self.config, images);
        let mut values = vec![f32::NAN; workspace_size.values];
        let mut gradients = vec![f32::NAN; workspace_size.gradients];
        let mut scratch = vec![f32::NAN; workspace_size.scratch];
        let mut of_weights = vec![0.0; self.layout.floats()];
        let mut workspace = TrainWorkspace {
            values: &mut values[..],
            gradients: &mut gradients[..],
            scratch: &mut scratch[..],
        };
        let (config, weights) = (self.config, &self.weights[..]);
        let Ok(step) =
            ForwardPass::forward(cpu, config, &self.layout, weights, &mut workspace, pictures);
        let (got, gradient) = step.pictures(&mut workspace);
        let reconstruction = got.to_vec();
        let mut squares = 0.0;
        for ((gradient, got), want) in gradient.iter_mut().zip(got).zip(pictures) {
            assert_eq!(*gradient, 0.0, "the images' gradient begins at 0");
            *gradient = 2.0 * (got - want) / pictures.len() as f32;
            squares += f64::from(got - want).powi(2);
        }
        let loss = squares / pictures.len() as f64 + step.quantizer_loss();
        let Ok(()) =
            step.backward(cpu, &self.layout, weights, &mut of_weights, &mut workspace, 1.0, None);
        (step, loss, reconstruction, of_weights)
    }
}

/// Compares numbers with a tolerance relative to the largest.
fn assert_relative(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    let largest = want.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    assert_close(what, got, want, tolerance * largest);
}

#[test]
fn quantizers_gradients_are_the_references() {
    let (microbatch, golden) = (Microbatch::new(), Golden::open("quantizer_training.safetensors"));
    assert_eq!(golden.about["beta"].as_f64(), Some(f64::from(COMMITMENT)));
    let (latents, upstream) = (golden.channels_last("f"), golden.channels_last("upstream"));
    let mut values = vec![f32::NAN; 1 << 16];
    let mut of_weights = vec![0.0; microbatch.layout.floats()];
    let weights = &microbatch.weights[..];
    with_cpu(2, Isa::best(), |cpu| {
        let recording = Recording::new(cpu, &values, weights);
        let kept = Cell::new(0);
        let (given, sums, out, errors, fhat) = {
            let mut source =
                RecordedSource::new(&recording, microbatch.layout.source(cpu, weights));
            let vqvae = Vqvae::bind(&mut source, microbatch.config, &mut Storage::heap());
            let vqvae = vqvae.expect("a layout");
            let mut arena = Arena::keeping(&mut values[..], &kept);
            let given = arena.take(latents.len());
            given.copy_from_slice(&latents);
            let quantized = quantizer::forward(
                &recording,
                &vqvae.quantizer,
                microbatch.config,
                given,
                &mut arena,
            );
            let Ok(quantized) = quantized;
            let Ok(errors) = quantizer::mean_squares(cpu, &quantized.sums, given);
            let sums: Vec<_> = quantized.sums.iter().map(|sum| recording.span(sum)).collect();
            let out = recording.span(quantized.out);
            (recording.span(given), sums, out, errors, quantized.out.to_vec())
        };
        let tape = recording.into_tape();
        let plan = tape.plan(0, &[&sums[..], &[given, out]].concat(), &[given]);
        assert_close("fhat", &fhat, &golden.channels_last("fhat"), 1e-5);
        let loss = quantizer::loss(&errors) as f32;
        assert_close("vq_loss", &[loss], &golden.floats("vq_loss").1, 1e-5);
        let mut gradients = vec![f32::NAN; plan.floats()];
        let Ok(()) = plan.begin(cpu, &mut gradients[..]);
        plan.of(out).of_mut(&mut gradients[..]).copy_from_slice(&upstream);
        let into = &mut gradients[..];
        let Ok(()) = quantizer::loss_backward(cpu, into, &plan, &values, &sums, given, 1.0);
        let mut scratch = vec![f32::NAN; tape.scratch(cpu)];
        let mut memory = Memory {
            values: &mut values[..],
            weights,
            value_gradients: &mut gradients[..],
            weight_gradients: Some(&mut of_weights[..]),
            plan: &plan,
            scratch: &mut scratch[..],
        };
        let Ok(()) = tape.backward(cpu, &mut memory);
        let of_latents = plan.of(given).of(&gradients[..]);
        assert_relative("grad.f", of_latents, &golden.channels_last("grad.f"), 1e-4);
        for name in golden.names("grad.") {
            if name == "grad.f" {
                continue;
            }
            let got = microbatch.of(&of_weights, &format!("quantize.{}", &name["grad.".len()..]));
            assert_relative(&name, got, &golden.floats(&name).1, 1e-4);
        }
    });
}

#[test]
fn every_gradient_of_a_step_is_the_references() {
    let (microbatch, golden) = (Microbatch::new(), Golden::open("vqvae_training.safetensors"));
    let tiny = Golden::open("tiny.safetensors");
    let (shape, _) = tiny.floats("vae.image");
    let pictures = tiny.channels_last("vae.image");
    let (step, loss, reconstruction, gradients) =
        with_cpu(2, Isa::best(), |cpu| microbatch.learn(cpu, &pictures, shape[0]));
    assert_close("reconstruction", &reconstruction, &golden.channels_last("reconstruction"), 2e-4);
    let quantizer_loss = step.quantizer_loss() as f32;
    assert_close("vq_loss", &[quantizer_loss], &golden.floats("vq_loss").1, 1e-5);
    assert_close("loss", &[loss as f32], &golden.floats("loss").1, 1e-5);
    let names = golden.names("grad_norm.");
    assert_eq!(names.len(), microbatch.layout.tensors().len(), "a gradient for each tensor");
    for name in names {
        let name = &name["grad_norm.".len()..];
        let got = microbatch.of(&gradients, name);
        let norm = got.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
        let (_, want) = golden.floats(&format!("grad_norm.{name}"));
        // The biases that group normalization takes away again have a gradient of 0 but for rounding
        // (norms of at most 2e-7 in the fixture, of at least 2e-3 else).
        let close = |what: &str, got: &[f32], want: &[f32], size: f32| {
            assert_close(what, got, want, (1e-3 * size).max(1e-6));
        };
        close(name, &[norm], &want, want[0]);
        let (_, head) = golden.floats(&format!("grad_head.{name}"));
        let each = want[0] / (got.len() as f32).sqrt();
        let size = head.iter().fold(each, |most, x| most.max(x.abs()));
        close(name, &got[..head.len()], &head, size);
    }
}

#[test]
fn every_thread_count_and_instruction_set_gives_the_same_step() {
    let (microbatch, tiny) = (Microbatch::new(), Golden::open("tiny.safetensors"));
    let pictures = tiny.channels_last("vae.image");
    let images = tiny.floats("vae.image").0[0];
    let mut first: Option<(Vec<f32>, Vec<f32>)> = None;
    for isa in Isa::all() {
        for threads in [1, 3] {
            let (_, _, reconstruction, gradients) =
                with_cpu(threads, isa, |cpu| microbatch.learn(cpu, &pictures, images));
            let got = (reconstruction, gradients);
            let first = first.get_or_insert_with(|| got.clone());
            assert!(*first == got, "{isa:?} with {threads} threads gives another step");
        }
    }
}
