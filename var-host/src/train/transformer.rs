//! Loss and gradients of one batch of the transformer.

use core::cell::Cell;

use var_kernel::arena::Arena;
use var_kernel::dry::{Dry, Lengths};
use var_kernel::memory::Floats;
use var_kernel::model::transformer::Conditions;
use var_kernel::model::{Transformer, VarConfig};
use var_kernel::ops::Backend;

use super::parameters::Layout;
pub use super::room::{Needs, Room};
use crate::grad::{Memory, RecordedSource, Recording, TrainBackend};
use crate::model::assemble::TransformerLayers;
use crate::model::listing::Listing;

/// Some images to learn from.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The class of each, or the null class.
    pub labels: &'a [u32],
    /// For each image the tokens of the first `scales` scales.
    pub targets: &'a [u32],
    /// What the quantizer makes of the tokens before each scale:
    /// [`Quantizer::teacher_input`](var_kernel::model::Quantizer::teacher_input), at least of those
    /// scales.
    pub input: &'a [f32],
    /// Stochastic depth: `depth × images × 6` factors, if any.
    pub factors: Option<&'a [f32]>,
    /// How many scales are learnt.
    pub scales: usize,
    /// Label smoothing, 0 to 1.
    pub smoothing: f32,
    /// Whether blocks give away what they compute, and compute it anew on the way back: the same numbers
    /// for less memory and more work.
    pub recomputes: bool,
}

/// What a batch came to.
#[derive(Clone, Debug)]
pub struct Losses {
    /// The cross-entropy of each target in nats, image by image, labels smoothed.
    pub losses: Vec<f32>,
    /// The same without smoothing, if there was any and a report was asked for.
    pub without_smoothing: Option<Vec<f32>>,
    /// The most likely token of each position, the first of equals, if a report was asked for.
    pub predicted: Option<Vec<u32>>,
}

impl Losses {
    /// The cross-entropy of each target without smoothing.
    pub fn plain(&self) -> &[f32] {
        self.without_smoothing.as_ref().unwrap_or(&self.losses)
    }
}

/// The forward pass of `batch`: the loss of each target, and the logits.
///
/// `placed` is called once when all data is in the arena.
fn forward<'m, B: Backend>(
    b: &B,
    transformer: &Transformer<'_, '_, B>,
    batch: Batch<'_>,
    arena: &mut Arena<'m, B::Slice>,
    placed: impl FnOnce(),
) -> Result<[&'m mut B::Slice; 3], B::Error> {
    let config = &transformer.config;
    let (images, ladder) = (batch.labels.len(), &config.ladder);
    let (length, first) = (ladder.range(batch.scales - 1).end, ladder.cells(0));
    let wanted = images * (length - first) * config.latent;
    let input = arena.take(wanted);
    b.upload(input, &batch.input[..wanted])?;
    let factors = match batch.factors {
        None => None,
        Some(factors) => {
            let run = arena.take(factors.len());
            b.upload(run, factors)?;
            Some(&*run)
        }
    };
    placed();
    let mut conditions = Conditions::new(b, transformer, batch.labels, false, arena)?;
    if let Some(factors) = factors {
        conditions = conditions.with_drop_path(b, factors, arena)?;
    }
    let logits = arena.take(images * length * config.codes);
    transformer.teacher_forced(b, logits, input, &conditions, batch.scales, arena)?;
    let losses = arena.take(images * length);
    b.cross_entropy(losses, logits, batch.targets, batch.smoothing)?;
    // Room for the losses without smoothing, which a report wants.
    let plain = arena.take(images * length);
    Ok([losses, logits, plain])
}

/// How much memory learning from `images` images of the first `scales` scales takes, if blocks give away
/// what they compute (`recomputes`) or not.
pub fn needs<B: TrainBackend>(
    b: &B,
    config: VarConfig,
    images: usize,
    scales: usize,
    recomputes: bool,
) -> Needs {
    let scratch = Cell::new(0);
    let watcher = |sizes| scratch.set(scratch.get().max(Needs::scratch_of(b, sizes)));
    let dry = Dry::new(b).watched(&watcher);
    let (mut lengths, kept, of_turn): (Lengths, _, _) =
        ([(); usize::MAX], Cell::new(0), Cell::new(0));
    let arena = keeping(&mut lengths[..], &kept, recomputes.then_some(&of_turn));
    Needs { values: values(&dry, config, images, scales, arena), scratch: scratch.get() }
}

/// Floats of values that judging `images` images of the first `scales` scales takes.
pub fn needs_to_judge<B: Backend>(b: &B, config: VarConfig, images: usize, scales: usize) -> usize {
    let mut lengths: Lengths = [(); usize::MAX];
    values(&Dry::new(b), config, images, scales, Arena::new(&mut lengths[..]))
}

/// An arena that keeps; in turns if there is a place for that.
fn keeping<'m, S: Floats + ?Sized>(
    memory: &'m mut S,
    kept: &'m Cell<usize>,
    of_turn: Option<&'m Cell<usize>>,
) -> Arena<'m, S> {
    let arena = Arena::keeping(memory, kept);
    match of_turn {
        Some(of_turn) => arena.in_turns(of_turn),
        None => arena,
    }
}

/// Floats that a forward pass takes in `arena`.
fn values<B: Backend>(
    dry: &Dry<'_, B>,
    config: VarConfig,
    images: usize,
    scales: usize,
    arena: Arena<'_, [()]>,
) -> usize {
    let mut listing = Listing::default();
    let Ok(layers) = TransformerLayers::bind(&mut listing, config);
    let Ok(transformer) = layers.assemble(&mut listing);
    let length = config.ladder.range(scales - 1).end;
    let batch = Batch {
        labels: &vec![0; images],
        targets: &vec![0; images * length],
        input: &vec![0.0; images * length * config.latent],
        factors: Some(&vec![0.0; config.depth * images * 6]),
        scales,
        smoothing: 0.0,
        recomputes: false,
    };
    let peak = Cell::new(0);
    let Ok(_) = forward(dry, &transformer, batch, &mut arena.measuring(&peak), || ());
    peak.get()
}

/// The losses of `batch`, and their gradient **added** to `weight_gradients`.
///
/// `position_weights`: of the loss at each of the first scales' positions, the same for all images.
/// `weights`: as `layout` says, what the network computes with.
///
/// # Errors
/// Only the device's own.
///
/// # Panics
/// If a slice's length is not the configuration's or there is too little room.
pub fn learn<B: TrainBackend>(
    b: &B,
    config: VarConfig,
    layout: &Layout,
    weights: &B::Slice,
    weight_gradients: &mut B::Slice,
    room: &mut Room<'_, B::Slice>,
    batch: Batch<'_>,
    position_weights: &[f32],
    with_report: bool,
) -> Result<Losses, B::Error> {
    let recording = Recording::new(b, room.values, weights);
    let (kept, of_turn, data) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let (span, losses) = {
        let mut source = RecordedSource::new(&recording, layout.source(b, weights));
        let layers = TransformerLayers::bind(&mut source, config).expect("a layout of this model");
        let transformer = layers.assemble(&mut source).expect("a layout of this model");
        let mut arena = keeping(room.values, &kept, batch.recomputes.then_some(&of_turn));
        let placed = || data.set(kept.get());
        let [losses, logits, plain] = forward(&recording, &transformer, batch, &mut arena, placed)?;
        (recording.span(losses), read(b, losses, logits, plain, batch, with_report)?)
    };
    let tape = recording.into_tape();
    assert_eq!(span.length % position_weights.len(), 0, "a weight for each position");
    b.fill(room.gradients.range_mut(0..kept.get()), 0.0)?;
    let seed: Vec<f32> = position_weights.iter().copied().cycle().take(span.length).collect();
    b.upload(span.of_mut(room.gradients), &seed)?;
    let mut memory = Memory {
        values: room.values,
        weights,
        value_gradients: room.gradients,
        weight_gradients: Some(weight_gradients),
        data: data.get(),
        scratch: room.scratch,
    };
    // The same operations on the same memory in every step: a card makes a graph of them.
    b.section(&mut || tape.backward(b, &mut memory))?;
    Ok(losses)
}

/// The losses of `batch` without gradients, in an arena that reuses its memory.
///
/// # Errors
/// Only the device's own.
///
/// # Panics
/// As [`learn`].
pub fn judge<B: TrainBackend>(
    b: &B,
    config: VarConfig,
    layout: &Layout,
    weights: &B::Slice,
    values: &mut B::Slice,
    batch: Batch<'_>,
) -> Result<Losses, B::Error> {
    let mut source = layout.source(b, weights);
    let layers = TransformerLayers::<B>::bind(&mut source, config).expect("a layout of this model");
    let transformer = layers.assemble(&mut source).expect("a layout of this model");
    let mut arena = Arena::new(values);
    let [losses, logits, plain] = forward(b, &transformer, batch, &mut arena, || ())?;
    read(b, losses, logits, plain, batch, true)
}

/// Rows of logits that come from the device at once.
const READ_TOGETHER: usize = 512;

fn read<B: Backend>(
    b: &B,
    losses: &B::Slice,
    logits: &B::Slice,
    plain: &mut B::Slice,
    batch: Batch<'_>,
    with_report: bool,
) -> Result<Losses, B::Error> {
    let rows = batch.targets.len();
    let mut of_rows = vec![0.0; rows];
    b.download(&mut of_rows, losses)?;
    if !with_report {
        return Ok(Losses { losses: of_rows, without_smoothing: None, predicted: None });
    }
    let without_smoothing = if batch.smoothing == 0.0 {
        None
    } else {
        b.cross_entropy(plain, logits, batch.targets, 0.0)?;
        let mut of_rows = vec![0.0; rows];
        b.download(&mut of_rows, plain)?;
        Some(of_rows)
    };
    let codes = logits.len() / rows;
    let mut some = Vec::new();
    let mut predicted = Vec::with_capacity(rows);
    for first in (0..rows).step_by(READ_TOGETHER) {
        let range = first * codes..rows.min(first + READ_TOGETHER) * codes;
        some.resize(range.len(), 0.0);
        b.download(&mut some, logits.range(range))?;
        predicted.extend(some.chunks_exact(codes).map(|row| first_greatest(row) as u32));
    }
    Ok(Losses { losses: of_rows, without_smoothing, predicted: Some(predicted) })
}

/// The place of the greatest number, the first of equals.
fn first_greatest(row: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, x) in row.iter().enumerate() {
        if *x > best.1 {
            best = (i, *x);
        }
    }
    best.0
}
