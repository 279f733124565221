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
use crate::train::layout::Layout;
use crate::train::room::{Needs, Room, nowhere};

/// Target of the discriminator's logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// At least 1: `½ · mean max(0, 1 − x)`.
    Real,
    /// At most −1: `½ · mean max(0, 1 + x)`.
    Made,
    /// High, for the decoder: `−mean x`.
    Fooled,
}

impl Aim {
    /// Loss and slope of one judgement.
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
    fn mean(self, judgements: &[f32]) -> (f64, Vec<f32>) {
        let count = judgements.len() as f32;
        let each = judgements.iter().map(|x| self.of(*x));
        let (losses, slopes): (Vec<f32>, Vec<f32>) =
            each.map(|(loss, slope)| (loss, slope / count)).unzip();
        let sum: f64 = losses.into_iter().map(f64::from).sum();
        (sum / judgements.len() as f64, slopes)
    }
}

/// A judgement on the tape.
struct Judged {
    tape: Tape,
    plan: GradientPlan,
    pictures: Span,
    judgements: Span,
    /// Floats of values it took.
    values: usize,
}

/// Records the discriminator's logits of `pictures`, with a gradient for them or not.
fn record<B: Recordable>(
    b: &B,
    config: DiscriminatorConfig,
    layout: &Layout,
    weights: &B::Slice,
    values: &mut B::Slice,
    (pictures, maps): (&B::Slice, FeatureShape),
    wanted: bool,
) -> Result<Judged, B::Error> {
    let recording = Recording::new(b, values, weights);
    let (kept, peak) = <(Cell<_>, Cell<_>)>::default();
    let (input, out, data) = {
        let mut source = RecordedSource::new(&recording, layout.source(b, weights));
        let network = Discriminator::bind(&mut source, config).expect("a layout of this network");
        let mut arena = Arena::keeping(values, &kept).measuring(&peak);
        let input = arena.take(pictures.len());
        b.copy(input, pictures)?;
        let data = if wanted { 0 } else { kept.get() };
        let out = arena.take(config.judgements(maps));
        b.capture(&mut || network.forward(&recording, out, input, maps, &mut arena))?;
        (recording.span(input), recording.span(out), data)
    };
    let tape = recording.into_tape();
    let plan = tape.plan(data, &[out], if wanted { core::slice::from_ref(&input) } else { &[] });
    Ok(Judged { tape, plan, pictures: input, judgements: out, values: peak.get() })
}

/// How much memory the judgement of pictures takes with its gradients.
pub fn needs<B: TrainBackend>(b: &B, config: DiscriminatorConfig, maps: FeatureShape) -> Needs {
    let layout = Layout::new(tensors(config));
    let dry = Dry::with_addresses(b);
    // That of the pictures takes more than that of the weights.
    let [of_weights, of_pictures] = [false, true].map(|wanted| {
        let [weights, values] = nowhere(&layout);
        let (pictures, values) = values.split_at_mut(3 * maps.cells());
        let pictures = (&*pictures, maps);
        let Ok(judged) = record(&dry, config, &layout, weights, values, pictures, wanted);
        Needs::of(b, judged.values, &judged.tape, &judged.plan)
    });
    Needs { gradients: of_weights.gradients.max(of_pictures.gradients), ..of_pictures }
}

/// The loss of judging `pictures` with this aim; its gradient is **added** to `weight_gradients`.
///
/// # Errors
/// Only the device's own.
///
/// # Panics
/// If a slice's length is not the configuration's or there is too little room.
pub fn learn<B: TrainBackend>(
    b: &B,
    config: DiscriminatorConfig,
    layout: &Layout,
    weights: &B::Slice,
    weight_gradients: &mut B::Slice,
    room: &mut Room<'_, B::Slice>,
    pictures: (&B::Slice, FeatureShape),
    aim: Aim,
) -> Result<f64, B::Error> {
    pass(b, config, layout, weights, Some(weight_gradients), None, room, pictures, aim)
}

/// The decoder's loss on its `pictures`, `−mean x`; its gradient with respect to them overwrites
/// `gradient`. The weights stay as they are.
///
/// # Errors
/// Only the device's own.
///
/// # Panics
/// As [`learn`].
pub fn mislead<B: TrainBackend>(
    b: &B,
    config: DiscriminatorConfig,
    layout: &Layout,
    weights: &B::Slice,
    gradient: &mut B::Slice,
    room: &mut Room<'_, B::Slice>,
    pictures: (&B::Slice, FeatureShape),
) -> Result<f64, B::Error> {
    pass(b, config, layout, weights, None, Some(gradient), room, pictures, Aim::Fooled)
}

fn pass<B: TrainBackend>(
    b: &B,
    config: DiscriminatorConfig,
    layout: &Layout,
    weights: &B::Slice,
    weight_gradients: Option<&mut B::Slice>,
    picture_gradient: Option<&mut B::Slice>,
    room: &mut Room<'_, B::Slice>,
    (pictures, maps): (&B::Slice, FeatureShape),
    aim: Aim,
) -> Result<f64, B::Error> {
    let wanted = picture_gradient.is_some();
    let judged = record(b, config, layout, weights, room.values, (pictures, maps), wanted)?;
    let Judged { tape, plan, .. } = &judged;
    let mut judgements = vec![0.0; judged.judgements.length];
    b.download(&mut judgements, judged.judgements.of(room.values))?;
    let (loss, slopes) = aim.mean(&judgements);
    plan.begin(b, room.gradients)?;
    b.upload(plan.of(judged.judgements).of_mut(room.gradients), &slopes)?;
    let mut memory = Memory {
        values: room.values,
        weights,
        value_gradients: room.gradients,
        plan,
        weight_gradients,
        scratch: room.scratch,
    };
    b.capture(&mut || tape.backward(b, &mut memory))?;
    if let Some(gradient) = picture_gradient {
        b.copy(gradient, plan.of(judged.pictures).of(room.gradients))?;
    }
    Ok(loss)
}

#[cfg(test)]
mod tests {
    use super::Aim;

    #[test]
    fn hinge_loss_ends_at_its_margins() {
        let of = |aim: Aim, x| aim.of(x);
        assert_eq!([of(Aim::Real, 0.5), of(Aim::Real, 1.5)], [(0.25, -0.5), (0.0, 0.0)]);
        assert_eq!([of(Aim::Made, -0.5), of(Aim::Made, -1.5)], [(0.25, 0.5), (0.0, 0.0)]);
        assert_eq!([of(Aim::Fooled, 2.0), of(Aim::Fooled, -2.0)], [(-2.0, -1.0), (2.0, -1.0)]);
    }
}
