//! What the discriminator learns, and what it teaches: hinge losses (Lim and Ye, "Geometric GAN",
//! 2017) and their gradients.

use core::cell::Cell;

use var_kernel::arena::Arena;
use var_kernel::dry::{Dry, Lengths};
use var_kernel::memory::Floats;
use var_kernel::model::weights::Maps;

use super::{Discriminator, DiscriminatorConfig};
use crate::grad::{Memory, RecordedSource, Recording, TrainBackend};
use crate::model::listing::Listing;
use crate::train::parameters::Layout;
use crate::train::room::{Needs, Room};

/// What the judgements of some pictures ought to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// At least 1: `½ · mean max(0, 1 − x)`.
    Real,
    /// At most −1: `½ · mean max(0, 1 + x)`.
    Made,
    /// High, for who made them: `−mean x`.
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

/// How much memory the judgement of pictures takes with its gradients.
pub fn needs<B: TrainBackend>(b: &B, config: DiscriminatorConfig, maps: Maps) -> Needs {
    let scratch = Cell::new(0);
    let watcher = |sizes| scratch.set(scratch.get().max(Needs::scratch_of(b, sizes)));
    let dry = Dry::new(b).watched(&watcher);
    let Ok(network) = Discriminator::bind(&mut Listing::default(), config);
    let (mut lengths, kept, peak): (Lengths, _, _) = ([(); usize::MAX], Cell::new(0), Cell::new(0));
    let mut arena = Arena::keeping(&mut lengths[..], &kept).measuring(&peak);
    let pictures = arena.take(3 * maps.cells());
    let out = arena.take(config.judgements(maps));
    let Ok(()) = network.forward(&dry, out, pictures, maps, &mut arena);
    Needs { values: peak.get(), scratch: scratch.get() }
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
    pictures: (&B::Slice, Maps),
    aim: Aim,
) -> Result<f64, B::Error> {
    pass(b, config, layout, weights, Some(weight_gradients), None, room, pictures, aim)
}

/// The loss of whoever made `pictures`, `−mean x`; its gradient with respect to them overwrites
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
    pictures: (&B::Slice, Maps),
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
    (pictures, maps): (&B::Slice, Maps),
    aim: Aim,
) -> Result<f64, B::Error> {
    let recording = Recording::new(b, room.values, weights);
    let kept = Cell::new(0);
    let (input, out, judgements, data) = {
        let mut source = RecordedSource::new(&recording, layout.source(b, weights));
        let network = Discriminator::bind(&mut source, config).expect("a layout of this network");
        let mut arena = Arena::keeping(room.values, &kept);
        let input = arena.take(pictures.len());
        b.copy(input, pictures)?;
        let data = if picture_gradient.is_some() { 0 } else { kept.get() };
        let out = arena.take(config.judgements(maps));
        network.forward(&recording, out, input, maps, &mut arena)?;
        let mut judgements = vec![0.0; out.len()];
        b.download(&mut judgements, out)?;
        (recording.span(input), recording.span(out), judgements, data)
    };
    let tape = recording.into_tape();
    let (loss, slopes) = aim.mean(&judgements);
    b.fill(room.gradients.range_mut(0..kept.get()), 0.0)?;
    b.upload(out.of_mut(room.gradients), &slopes)?;
    let mut memory = Memory {
        values: room.values,
        weights,
        value_gradients: room.gradients,
        weight_gradients,
        data,
        scratch: room.scratch,
    };
    tape.backward(b, &mut memory)?;
    if let Some(gradient) = picture_gradient {
        b.copy(gradient, input.of(room.gradients))?;
    }
    Ok(loss)
}
