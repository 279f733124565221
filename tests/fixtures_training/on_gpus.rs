//! The same on GPUs.

use var_host::parallel::SingleProcess;
use var_host::pool::Threads;
use var_host::train::dropout::Dropout;
use var_host::train::teacher::TeacherInputs;
use var_host::train::trainer::Microbatch as ModelPart;
use var_host::train::{DeviceMemory, Precision, TrainError, VarHyperparameters, VarTrainer};
use var_kernel::cpu::{Cpu, SCRATCH_FLOATS};
use var_kernel::cuda;

use super::*;
use crate::gpus::gpus;

/// `‖got − want‖ / ‖want‖`
fn distance(got: &[f32], want: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let apart: f64 = got.iter().zip(want).map(|(got, want)| square(got - want)).sum();
    (apart / want.iter().map(|x| square(*x)).sum::<f64>()).sqrt()
}

#[test]
fn every_gradient_is_the_references_on_gpus() {
    let (microbatch, golden) = (Microbatch::new(), Golden::open("gradients.safetensors"));
    let length = microbatch.config.ladder.length();
    let images = microbatch.labels.len();
    let each = vec![1.0 / (length * images) as f32; length];
    let scales = microbatch.config.ladder.scales();
    for (name, gpu) in gpus() {
        let precision = gpu.precision();
        let (losses, gradients) = microbatch.forward_backward::<DeviceMemory>(
            &gpu,
            &microbatch.weights,
            0..images,
            scales,
            0.1,
            &each,
        );
        let loss = losses.losses.iter().map(|x| f64::from(*x)).sum::<f64>();
        let loss = (loss / losses.losses.len() as f64) as f32;
        let (_, want) = golden.floats("loss.ls0.1");
        if precision == cuda::Precision::F32 {
            assert_close(&name, &[loss], &want, 2e-5);
            microbatch.compare(&golden, "grad.ls0.1.", &gradients);
            continue;
        }
        if precision == cuda::Precision::F16 {
            let anew = Microbatch { recomputes: true, ..Microbatch::new() };
            let weights = &microbatch.weights;
            let (_, again) =
                anew.forward_backward::<DeviceMemory>(&gpu, weights, 0..images, scales, 0.1, &each);
            assert!(gradients == again, "{name}: what is computed anew is other");
        }
        // 11 and 8 binary digits, over some forty products.
        let (of_loss, of_gradients) = match precision {
            cuda::Precision::Tf32 | cuda::Precision::F16 => (2e-3, 1e-2),
            _ => (1e-2, 6e-2),
        };
        assert_close(&name, &[loss], &want, of_loss);
        let (mut got, mut all) = (Vec::new(), Vec::new());
        for tensor in microbatch.layout.tensors() {
            got.extend_from_slice(&gradients[tensor.range.clone()]);
            all.extend(golden.floats(&format!("grad.ls0.1.{}", tensor.name)).1);
        }
        let apart = distance(&got, &all);
        println!("{name}: gradients are off by {apart:.1e} of their length");
        assert!(apart <= of_gradients, "{name}: gradients are off by {apart}");
    }
}

/// The input of each microbatch.
struct Given<S: Storage>(Vec<S::Buffer>);

impl<S: Storage> TeacherInputs<S> for Given<S> {
    fn of(&mut self, _: &S::Device<'_>, number: usize, _: &[u32]) -> Result<&S::Slice, TrainError> {
        Ok(&self.0[number])
    }
}

/// The losses of some steps, and the weights after them.
fn steps<S: Storage>(storage: &S, precision: Precision, smoothing: f32) -> (Vec<f64>, Vec<f32>) {
    const STEPS: u64 = 4;
    let microbatch = Microbatch::new();
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
    let hyperparameters = VarHyperparameters {
        batch: 4,
        parts: 2,
        schedule,
        clip: 2.0,
        smoothing,
        precision,
        progressive: None,
        dropout: Dropout { classes: 0.1, depth: 0.1 },
        average: 0.9,
        seed: 1,
    };
    let threads = Threads::new(2, SCRATCH_FLOATS).expect("threads can be started");
    let device = storage.device(Cpu::new(Isa::best(), &threads));
    let all = microbatch.config.ladder.length();
    let halves = [0..2, 2..4];
    let mut inputs = Given::<S>(Vec::from(halves.clone().map(|images| {
        let input = microbatch.input_of(images);
        let mut given = S::zeros(&device, input.len()).expect("there is room");
        device.upload(&mut given, &input).map_err(Into::into).expect("it computes");
        given
    })));
    let Microbatch { config, layout, weights, labels, tokens, .. } = microbatch;
    let parts = halves.map(|images: core::ops::Range<usize>| ModelPart {
        labels: &labels[images.clone()],
        tokens: &tokens[images.start * all..images.end * all],
    });
    let trainer = VarTrainer::<S>::new(&device, config, hyperparameters, layout, weights);
    let mut trainer = trainer.expect("there is room");
    let mut losses = Vec::new();
    for iteration in 0..STEPS {
        let step = trainer.step(&device, &SingleProcess, iteration, &parts, &mut inputs, true);
        let accumulator = step.expect("it computes").accumulator.expect("it was asked for");
        losses.push(accumulator.report().L_mean);
    }
    let average = trainer.parameters.average.as_ref().expect("one is kept");
    let average =
        S::to_host(&device, &trainer.parameters.layout, average).expect("it is there").into_owned();
    (losses, average)
}

#[test]
fn gpu_learns_what_the_processor_does() {
    let mut on_host = HashMap::new();
    for (name, gpu) in gpus() {
        let (precision, of_losses, of_weights) = match gpu.precision() {
            cuda::Precision::F32 => (Precision::F32, 1e-5, 1e-4),
            cuda::Precision::Tf32 => (Precision::F32, 3e-3, 1e-2),
            cuda::Precision::F16 => (Precision::F16, 3e-3, 1e-2),
            cuda::Precision::Bf16 => (Precision::Bf16, 2e-2, 3e-2),
        };
        let want =
            on_host.entry(format!("{precision:?}")).or_insert_with(|| steps(&Host, precision, 0.1));
        let got = steps(&DeviceMemory::new(gpu), precision, 0.1);
        println!("{name}: {:?}, on the processor {:?}", got.0, want.0);
        for (got, want) in got.0.iter().zip(&want.0) {
            assert!((got - want).abs() <= of_losses * want, "{name}: {got}, want {want}");
        }
        let apart = distance(&got.1, &want.1);
        assert!(apart <= of_weights, "{name}: weights are off by {apart} of their length");
    }
}
