//! Losses of discriminator and decoder: hinge losses (Lim and Ye, "Geometric GAN", 2017) and their
//! gradients.

use core::cell::Cell;

use var_kernel::arena::Arena;
use var_kernel::dry::Dry;
use var_kernel::memory::Floats;
use var_kernel::model::weights::FeatureShape;

use super::{Discriminator, DiscriminatorConfig, tensors};
use crate::grad::{
    GradientPlan, Memory, Recordable, RecordedSource, Recording, Span, Tape, TrainBackend,
};
use crate::train::layout::ParameterLayout;
use crate::train::workspace::{TrainWorkspace, WorkspaceSize, dry_memory};

/// Target of the discriminator's logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GanTarget {
    /// At least 1: `½ · mean max(0, 1 − x)`.
    Real,
    /// At most −1: `½ · mean max(0, 1 + x)`.
    Made,
    /// High, for the decoder: `−mean x`.
    Fooled,
}

impl GanTarget {
    /// Loss and slope of one judgment.
    fn of(self, x: f32) -> (f32, f32) {
        match self {
            Self::Real if x < 1.0 => (0.5 * (1.0 - x), -0.5),
            Self::Made if x > -1.0 => (0.5 * (1.0 + x), 0.5),
            Self::Fooled => (-x, -1.0),
            // NaN is neither above nor below, and must not be lost.
            _ => (0.0 * x, 0.0),
        }
    }

    /// The mean loss, and its gradient.
    fn mean(self, judgments: &[f32]) -> (f64, Vec<f32>) {
        let count = judgments.len() as f32;
        let each = judgments.iter().map(|x| self.of(*x));
        let (losses, slopes): (Vec<f32>, Vec<f32>) =
            each.map(|(loss, slope)| (loss, slope / count)).unzip();
        let sum: f64 = losses.into_iter().map(f64::from).sum();
        (sum / judgments.len() as f64, slopes)
    }
}

/// A judgment on the tape.
struct RecordedLogits {
    tape: Tape,
    plan: GradientPlan,
    pictures: Span,
    judgments: Span,
    /// Floats of values it took.
    values: usize,
}

/// Records the discriminator's logits of `pictures`, with a gradient for them or not.
fn record<B: Recordable>(
    b: &B,
    config: DiscriminatorConfig,
    layout: &ParameterLayout,
    weights: &B::Slice,
    values: &mut B::Slice,
    (pictures, maps): (&B::Slice, FeatureShape),
    wanted: bool,
) -> Result<RecordedLogits, B::Error> {
    let recording = Recording::new(b, values, weights);
    let (kept, peak) = <(Cell<_>, Cell<_>)>::default();
    let (input, out, data) = {
        let mut source = RecordedSource::new(&recording, layout.source(b, weights));
        let network = Discriminator::bind(&mut source, config).expect("a layout of this network");
        let mut arena = Arena::keeping(values, &kept).measuring(&peak);
        let input = arena.take(pictures.len());
        b.copy(input, pictures)?;
        let data = if wanted { 0 } else { kept.get() };
        let out = arena.take(config.judgments(maps));
        b.capture(&mut || network.forward(&recording, out, input, maps, &mut arena))?;
        (recording.span(input), recording.span(out), data)
    };
    let tape = recording.into_tape();
    let plan = tape.plan(data, &[out], if wanted { core::slice::from_ref(&input) } else { &[] });
    Ok(RecordedLogits { tape, plan, pictures: input, judgments: out, values: peak.get() })
}

/// How much memory the judgment of images takes with its gradients.
pub fn workspace_size<B: TrainBackend>(
    b: &B,
    config: DiscriminatorConfig,
    maps: FeatureShape,
) -> WorkspaceSize {
    let layout = ParameterLayout::new(tensors(config));
    let dry = Dry::with_addresses(b);
    // That of the images takes more than that of the weights.
    let [of_weights, of_images] = [false, true].map(|wanted| {
        let [weights, values] = dry_memory(&layout);
        let (pictures, values) = values.split_at_mut(3 * maps.cells());
        let pictures = (&*pictures, maps);
        let Ok(judged) = record(&dry, config, &layout, weights, values, pictures, wanted);
        WorkspaceSize::of(b, judged.values, &judged.tape, &judged.plan)
    });
    WorkspaceSize { gradients: of_weights.gradients.max(of_images.gradients), ..of_images }
}

/// The loss of judging `pictures` with this aim; its gradient is **added** to `weight_gradients`.
///
/// # Errors
/// Only the device's own.
///
/// # Panics
/// If a slice's length is not the configuration's or there is too little room.
pub fn discriminator_loss<B: TrainBackend>(
    b: &B,
    config: DiscriminatorConfig,
    layout: &ParameterLayout,
    weights: &B::Slice,
    weight_gradients: &mut B::Slice,
    workspace: &mut TrainWorkspace<'_, B::Slice>,
    pictures: (&B::Slice, FeatureShape),
    target: GanTarget,
) -> Result<f64, B::Error> {
    pass(b, config, layout, weights, Some(weight_gradients), None, workspace, pictures, target)
}

/// The decoder's loss on its `pictures`, `−mean x`; its gradient with respect to them overwrites
/// `gradient`. The weights stay as they are.
///
/// # Errors
/// Only the device's own.
///
/// # Panics
/// As [`discriminator_loss`].
pub fn generator_loss<B: TrainBackend>(
    b: &B,
    config: DiscriminatorConfig,
    layout: &ParameterLayout,
    weights: &B::Slice,
    gradient: &mut B::Slice,
    workspace: &mut TrainWorkspace<'_, B::Slice>,
    pictures: (&B::Slice, FeatureShape),
) -> Result<f64, B::Error> {
    pass(b, config, layout, weights, None, Some(gradient), workspace, pictures, GanTarget::Fooled)
}

fn pass<B: TrainBackend>(
    b: &B,
    config: DiscriminatorConfig,
    layout: &ParameterLayout,
    weights: &B::Slice,
    weight_gradients: Option<&mut B::Slice>,
    picture_gradient: Option<&mut B::Slice>,
    workspace: &mut TrainWorkspace<'_, B::Slice>,
    (pictures, maps): (&B::Slice, FeatureShape),
    target: GanTarget,
) -> Result<f64, B::Error> {
    let wanted = picture_gradient.is_some();
    let judged = record(b, config, layout, weights, workspace.values, (pictures, maps), wanted)?;
    let RecordedLogits { tape, plan, .. } = &judged;
    let mut judgments = vec![0.0; judged.judgments.length];
    b.download(&mut judgments, judged.judgments.of(workspace.values))?;
    let (loss, slopes) = target.mean(&judgments);
    plan.begin(b, workspace.gradients)?;
    b.upload(plan.of(judged.judgments).of_mut(workspace.gradients), &slopes)?;
    let mut memory = Memory {
        values: workspace.values,
        weights,
        value_gradients: workspace.gradients,
        plan,
        weight_gradients,
        scratch: workspace.scratch,
    };
    b.capture(&mut || tape.backward(b, &mut memory))?;
    if let Some(gradient) = picture_gradient {
        b.copy(gradient, plan.of(judged.pictures).of(workspace.gradients))?;
    }
    Ok(loss)
}

#[cfg(test)]
mod tests {
    use super::GanTarget;

    #[test]
    fn hinge_loss_ends_at_its_margins() {
        let of = |target: GanTarget, x| target.of(x);
        assert_eq!(
            [of(GanTarget::Real, 0.5), of(GanTarget::Real, 1.5)],
            [(0.25, -0.5), (0.0, 0.0)]
        );
        assert_eq!(
            [of(GanTarget::Made, -0.5), of(GanTarget::Made, -1.5)],
            [(0.25, 0.5), (0.0, 0.0)]
        );
        assert_eq!(
            [of(GanTarget::Fooled, 2.0), of(GanTarget::Fooled, -2.0)],
            [(-2.0, -1.0), (2.0, -1.0)]
        );
    }
}
