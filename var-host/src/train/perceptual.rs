//! LPIPS as a loss: the distances of reconstructed images from the originals, and their gradient.

use core::cell::Cell;

use var_kernel::arena::Arena;
use var_kernel::cpu::Cpu;
use var_kernel::dry::{Dry, Lengths};
use var_kernel::memory::Floats;
use var_kernel::model::weights::FeatureShape;

use super::layout::ParameterLayout;
use super::workspace::{TrainWorkspace, WorkspaceSize, dry_memory};
use crate::grad::{
    GradientPlan, Memory, Recordable, RecordedSource, Recording, Span, Tape, TrainBackend,
};
use crate::lpips::{Channels, Lpips, LpipsNetwork};
use crate::model::listing::Listing;

/// LPIPS's network with frozen weights.
pub struct Perceptual {
    channels: Channels,
    /// Where its tensors lie in flat memory.
    pub layout: ParameterLayout,
    /// Their numbers.
    pub weights: Vec<f32>,
}

/// Distances on the tape.
struct RecordedDistances {
    tape: Tape,
    plan: GradientPlan,
    pictures: Span,
    distances: Span,
    /// Floats of values it took.
    values: usize,
}

impl Perceptual {
    /// The network with the weights of `lpips`, in `f32`.
    pub fn new(lpips: &Lpips) -> Self {
        let channels = lpips.channels();
        let mut listing = Listing::default();
        let Ok(_) = LpipsNetwork::<Dry<'_, Cpu<'_>>>::bind(&mut listing, channels);
        let layout = ParameterLayout::new(listing.wanted);
        let mut weights = vec![0.0; layout.floats()];
        for tensor in layout.tensors() {
            weights[tensor.range.clone()].copy_from_slice(&lpips.numbers(&tensor.name));
        }
        Self { channels, layout, weights }
    }

    /// How much memory [`Perceptual::forward_backward`] takes.
    pub fn workspace_size<B: TrainBackend>(&self, b: &B, maps: FeatureShape) -> WorkspaceSize {
        let [weights, values] = dry_memory(&self.layout);
        let (pictures, values) = values.split_at_mut(3 * maps.cells());
        let both = [&*pictures; 2];
        let Ok(judged) = self.record(&Dry::with_addresses(b), weights, values, both, maps);
        WorkspaceSize::of(b, judged.values, &judged.tape, &judged.plan)
    }

    /// Records the distances of `pictures` from `originals`.
    fn record<B: Recordable>(
        &self,
        b: &B,
        weights: &B::Slice,
        values: &mut B::Slice,
        [pictures, originals]: [&B::Slice; 2],
        maps: FeatureShape,
    ) -> Result<RecordedDistances, B::Error> {
        let recording = Recording::new(b, values, weights);
        let (kept, peak) = <(Cell<_>, Cell<_>)>::default();
        let (input, out, data) = {
            let mut plain = self.layout.source(b, weights);
            let network =
                LpipsNetwork::<B>::bind(&mut plain, self.channels).expect("its own layout");
            let mut source = RecordedSource::new(&recording, self.layout.source(b, weights));
            let recorded = LpipsNetwork::bind(&mut source, self.channels).expect("its own layout");
            let mut arena = Arena::keeping(values, &kept).measuring(&peak);
            let mut others = network.room_for_features(maps, &mut arena);
            b.capture(&mut || {
                detached_features(b, &network, &mut others, originals, maps, &mut arena)
            })?;
            let data = kept.get();
            let input = arena.take(pictures.len());
            b.copy(input, pictures)?;
            let mut features = recorded.room_for_features(maps, &mut arena);
            b.capture(&mut || {
                recorded.features(&recording, &mut features, input, maps, &mut arena)
            })?;
            let out = arena.take(maps.batch);
            b.capture(&mut || {
                recorded.distance(&recording, out, &features, &others, maps, &mut arena)
            })?;
            (recording.span(input), recording.span(out), data)
        };
        let tape = recording.into_tape();
        let plan = tape.plan(data, &[out], &[input]);
        Ok(RecordedDistances { tape, plan, pictures: input, distances: out, values: peak.get() })
    }

    /// The distance of each of `pictures` from its original; `factor` times the gradient of their sum
    /// with respect to `pictures` is **added** to `gradient`.
    ///
    /// `weights`: [`Perceptual::weights`] on the device. `pictures`, `originals`, `gradient`: `batch ×
    /// height × width × 3`.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If a slice is not as large as `maps` says, a side is under
    /// [`SHORTEST_SIDE`](crate::lpips::SHORTEST_SIDE), or there is too little room.
    pub fn forward_backward<B: TrainBackend>(
        &self,
        b: &B,
        weights: &B::Slice,
        workspace: &mut TrainWorkspace<'_, B::Slice>,
        [pictures, originals]: [&B::Slice; 2],
        maps: FeatureShape,
        gradient: &mut B::Slice,
        factor: f32,
    ) -> Result<Vec<f32>, B::Error> {
        let judged = self.record(b, weights, workspace.values, [pictures, originals], maps)?;
        let RecordedDistances { tape, plan, .. } = &judged;
        let mut distances = vec![0.0; maps.batch];
        b.download(&mut distances, judged.distances.of(workspace.values))?;
        plan.begin(b, workspace.gradients)?;
        b.fill(plan.of(judged.distances).of_mut(workspace.gradients), factor)?;
        let mut memory = Memory {
            values: workspace.values,
            weights,
            value_gradients: workspace.gradients,
            plan,
            weight_gradients: None,
            scratch: workspace.scratch,
        };
        b.capture(&mut || tape.backward(b, &mut memory))?;
        b.add_scaled(gradient, plan.of(judged.pictures).of(workspace.gradients), 1.0)?;
        Ok(distances)
    }
}

/// Features that no gradient passes through, in memory that is free again after.
fn detached_features<B: var_kernel::ops::PerceptualBackend>(
    b: &B,
    network: &LpipsNetwork<'_, B>,
    out: &mut crate::lpips::LpipsFeatures<'_, B::Slice>,
    pictures: &B::Slice,
    maps: FeatureShape,
    arena: &mut Arena<'_, B::Slice>,
) -> Result<(), B::Error> {
    let peak = Cell::new(0);
    {
        let mut lengths: Lengths = [(); usize::MAX];
        let dry = Dry::new(b);
        let Ok(measured) = LpipsNetwork::bind(&mut Listing::default(), network.channels());
        let given = [(); usize::MAX];
        let given = given.range(0..pictures.len());
        let mut arena = Arena::measured(&mut lengths[..], &peak);
        let mut kept: Lengths = [(); usize::MAX];
        let mut features = measured.room_for_features(maps, &mut Arena::new(&mut kept[..]));
        let Ok(()) = measured.features(&dry, &mut features, given, maps, &mut arena);
    }
    let aside = arena.scope().into_scratch(peak.get());
    network.features(b, out, pictures, maps, &mut Arena::new(aside))
}

#[cfg(test)]
mod tests {
    use var_kernel::cpu::{Isa, SCRATCH_FLOATS};

    use super::*;
    use crate::lpips::tests::{narrow, picture};
    use crate::pool::Threads;

    #[test]
    fn distances_are_lpips_and_fall_against_their_gradient() {
        const SIDE: usize = 24;
        let threads = Threads::new(2, SCRATCH_FLOATS).unwrap();
        let cpu = Cpu::new(Isa::best(), &threads);
        let lpips = narrow();
        let perceptual = Perceptual::new(&lpips);
        let maps = FeatureShape { batch: 2, height: SIDE, width: SIDE };
        let workspace_size = perceptual.workspace_size(&cpu, maps);
        let mut memory = [workspace_size.values, workspace_size.gradients, workspace_size.scratch]
            .map(|n| vec![f32::NAN; n]);
        let [values, gradients, scratch] = &mut memory;
        let mut workspace = TrainWorkspace { values: &mut values[..], gradients, scratch };
        let pairs = [1, 999, 5, 70].map(|seed| picture(seed, SIDE));
        let as_values = |chosen: [usize; 2]| {
            let mut values = vec![0.0; 2 * 3 * SIDE * SIDE];
            for (values, number) in values.chunks_exact_mut(3 * SIDE * SIDE).zip(chosen) {
                pairs[number].to_values(values);
            }
            values
        };
        let (pictures, originals) = (as_values([0, 2]), as_values([1, 3]));
        let mut forward_backward = |pictures: &[f32], gradient: &mut [f32], factor| {
            let (weights, both) = (&perceptual.weights[..], [pictures, &originals[..]]);
            let learned = perceptual.forward_backward(
                &cpu,
                weights,
                &mut workspace,
                both,
                maps,
                gradient,
                factor,
            );
            let Ok(distances) = learned;
            distances
        };
        let mut gradient = vec![0.0; pictures.len()];
        let distances = forward_backward(&pictures, &mut gradient, 2.0);
        for (number, distance) in distances.iter().enumerate() {
            let want = lpips.distance(&cpu, &pairs[2 * number], &pairs[2 * number + 1]).unwrap();
            assert!((distance - want).abs() < 1e-6 * want, "{distance} {want}");
        }

        let squares: f64 = gradient.iter().map(|x| f64::from(*x).powi(2)).sum();
        let mut at = |step: f32| {
            let moved: Vec<f32> = (pictures.iter().zip(&gradient))
                .map(|(x, d)| x + step * d / squares.sqrt() as f32)
                .collect();
            let mut spare = vec![0.0; moved.len()];
            2.0 * forward_backward(&moved, &mut spare, 1.0).into_iter().map(f64::from).sum::<f64>()
        };
        const STEP: f32 = 1e-3;
        let slope = (at(STEP) - at(-STEP)) / (2.0 * f64::from(STEP));
        assert!((slope - squares.sqrt()).abs() < 0.01 * slope, "{slope} {}", squares.sqrt());
    }
}
