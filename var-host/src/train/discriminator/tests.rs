//! The discriminator against finite differences.

use super::*;
use crate::grad::testing::random;
use crate::pool::Threads;
use crate::train::initialize;
use crate::train::layout::ParameterLayout;
use crate::train::workspace::TrainWorkspace;
use var_kernel::cpu::{Isa, SCRATCH_FLOATS};

const CONFIG: DiscriminatorConfig = DiscriminatorConfig { channels: 8, halvings: 2 };
const MAPS: FeatureShape = FeatureShape { batch: 2, height: 8, width: 12 };

/// Runs `work` with a discriminator's layout and weights, and room for its gradients.
fn with<R>(
    work: impl FnOnce(&Cpu<'_>, &ParameterLayout, &mut [f32], &mut TrainWorkspace<'_, [f32]>) -> R,
) -> R {
    let threads = Threads::new(2, SCRATCH_FLOATS).unwrap();
    let cpu = Cpu::new(Isa::best(), &threads);
    let layout = ParameterLayout::new(tensors(CONFIG));
    let mut weights = vec![0.0; layout.floats()];
    initialize::convolutional(&mut weights, &layout, 1.0, 5);
    let workspace_size = workspace_size(&cpu, CONFIG, MAPS);
    let mut memory = [workspace_size.values, workspace_size.gradients, workspace_size.scratch]
        .map(|n| vec![f32::NAN; n]);
    let [values, gradients, scratch] = &mut memory;
    work(&cpu, &layout, &mut weights, &mut TrainWorkspace { values, gradients, scratch })
}

/// Fails unless `slope` is how fast `loss` changes along `direction`.
#[track_caller]
fn assert_slope(slope: f64, mut loss: impl FnMut(f32) -> f64) {
    const STEP: f32 = 2e-3;
    let difference = (loss(STEP) - loss(-STEP)) / (2.0 * f64::from(STEP));
    let error = (slope - difference).abs();
    assert!(error < 0.01 * slope.abs() + 1e-4, "the gradient says {slope}, the loss {difference}");
    assert!(slope.abs() > 1e-3, "a slope that could be told from none");
}

fn along(x: &[f32], direction: &[f32], step: f32) -> Vec<f32> {
    x.iter().zip(direction).map(|(x, d)| x + step * d).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[test]
fn weights_learn_along_their_gradient() {
    let pictures = random(3 * MAPS.cells(), 1);
    for target in [GanTarget::Real, GanTarget::Made] {
        with(|cpu, layout, weights, workspace| {
            let mut gradients = vec![0.0; weights.len()];
            let mut loss = |weights: &[f32], gradients: &mut [f32]| {
                let pictures = (&pictures[..], MAPS);
                let Ok(loss) = discriminator_loss(
                    cpu, CONFIG, layout, weights, gradients, workspace, pictures, target,
                );
                loss
            };
            loss(weights, &mut gradients);
            let norm = dot(&gradients, &gradients).sqrt() as f32;
            let direction: Vec<f32> = gradients.iter().map(|x| x / norm).collect();
            let mut spare = vec![0.0; weights.len()];
            assert_slope(dot(&gradients, &direction), |step| {
                loss(&along(weights, &direction, step), &mut spare)
            });
        });
    }
}

#[test]
fn pictures_mislead_along_their_gradient() {
    let pictures = random(3 * MAPS.cells(), 2);
    with(|cpu, layout, weights, workspace| {
        let mut gradient = vec![f32::NAN; pictures.len()];
        let weights = &*weights;
        let mut loss = |pictures: &[f32], gradient: &mut [f32]| {
            let pictures = (pictures, MAPS);
            let Ok(loss) =
                generator_loss(cpu, CONFIG, layout, weights, gradient, workspace, pictures);
            loss
        };
        loss(&pictures, &mut gradient);
        let norm = dot(&gradient, &gradient).sqrt() as f32;
        let direction: Vec<f32> = gradient.iter().map(|x| x / norm).collect();
        let mut spare = vec![0.0; pictures.len()];
        assert_slope(dot(&gradient, &direction), |step| {
            loss(&along(&pictures, &direction, step), &mut spare)
        });
    });
}

#[test]
fn patches_are_as_fine_as_the_pictures_allow() {
    let of = |side| DiscriminatorConfig::for_side(64, side).halvings;
    assert_eq!([8, 16, 32, 64, 256].map(of), [1, 1, 2, 3, 3]);
    assert_eq!(DiscriminatorConfig::for_side(64, 32).judgments(MAPS), 2 * 2 * 3);
}
