//! Loss and gradients of one batch of the transformer.

use core::cell::Cell;

use var_kernel::arena::{ALIGNMENT, Arena};
use var_kernel::dry::{Dry, Lengths};
use var_kernel::memory::Floats;
use var_kernel::model::transformer::Conditions;
use var_kernel::model::{AnyTensor, Transformer, VarConfig};
use var_kernel::ops::Backend;
use var_kernel::remote::DryAddresses;
use var_kernel::storage::Storage;

use super::buckets::{self, Overlap};
use super::layout::ParameterLayout;
use super::workspace::dry_memory;
pub use super::workspace::{TrainWorkspace, WorkspaceSize};
use crate::grad::{
    GradientPlan, Memory, Recordable, RecordedSource, Recording, Span, Tape, TrainBackend,
};
use crate::model::weights::transformer_tensors;

/// Some images to learn from.
pub struct TransformerBatch<'a, S: ?Sized> {
    /// The class of each, or the null class.
    pub labels: &'a [u32],
    /// For each image the tokens of the first `scales` scales.
    pub targets: &'a [u32],
    /// Teacher-forcing input from the tokens before each scale:
    /// [`Quantizer::teacher_input`](var_kernel::model::Quantizer::teacher_input), at least of those
    /// scales.
    pub input: &'a S,
    /// Stochastic depth: `depth × images × 6` factors, if any.
    pub factors: Option<&'a [f32]>,
    /// How many scales are learned.
    pub scales: usize,
    /// Label smoothing, 0 to 1.
    pub smoothing: f32,
    /// Whether blocks free their activations and the backward pass recomputes them: the same numbers for
    /// less memory and more work.
    pub recomputes: bool,
}

/// Losses of a batch.
#[derive(Clone, Debug)]
pub struct TokenLosses {
    /// The cross-entropy of each target in nats, image by image, labels smoothed.
    pub losses: Vec<f32>,
    /// The same without smoothing, if there was any and a report was asked for.
    pub without_smoothing: Option<Vec<f32>>,
    /// The most likely token of each position, the first of equals, if a report was asked for.
    pub predicted: Option<Vec<u32>>,
}

impl<S: ?Sized> Clone for TransformerBatch<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ?Sized> Copy for TransformerBatch<'_, S> {}

impl<S: ?Sized> TransformerBatch<'_, S> {
    /// Sizes that decide its memory.
    pub fn shape(&self) -> BatchShape {
        let Self { labels, factors, scales, recomputes, .. } = *self;
        BatchShape { images: labels.len(), scales, factors: factors.is_some(), recomputes }
    }
}

impl TokenLosses {
    /// The cross-entropy of each target without smoothing.
    pub fn plain(&self) -> &[f32] {
        self.without_smoothing.as_ref().unwrap_or(&self.losses)
    }
}

/// Sizes of a batch that decide its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchShape {
    /// How many images.
    pub images: usize,
    /// How many scales are learned.
    pub scales: usize,
    /// Whether there are factors of stochastic depth.
    pub factors: bool,
    /// Whether blocks free their activations.
    pub recomputes: bool,
}

/// Inputs of a forward pass besides weights, in the arena.
struct Data<'m, S: ?Sized> {
    input: &'m S,
    factors: Option<&'m S>,
}

/// Puts the data of `batch` into the arena.
fn placed<'m, B: Backend>(
    b: &B,
    config: &VarConfig,
    batch: TransformerBatch<'_, B::Slice>,
    arena: &mut Arena<'m, B::Slice>,
) -> Result<Data<'m, B::Slice>, B::Error> {
    let (images, ladder) = (batch.labels.len(), &config.ladder);
    let (length, first) = (ladder.range(batch.scales - 1).end, ladder.cells(0));
    let wanted = images * (length - first) * config.latent;
    // Beside the other values: a tape knows places in one memory.
    let input = arena.take(wanted);
    b.copy(input, batch.input.range(0..wanted))?;
    let factors = match batch.factors {
        None => None,
        Some(factors) => {
            let run = arena.take(factors.len());
            b.upload(run, factors)?;
            Some(&*run)
        }
    };
    Ok(Data { input, factors })
}

/// The forward pass of `batch`: the loss of each target, the logits, and room for the losses without
/// smoothing. It reads nothing back.
fn forward<'m, B: Backend>(
    b: &B,
    transformer: &Transformer<'_, '_, B>,
    batch: TransformerBatch<'_, B::Slice>,
    data: &Data<'m, B::Slice>,
    arena: &mut Arena<'m, B::Slice>,
) -> Result<[&'m mut B::Slice; 3], B::Error> {
    let config = &transformer.config;
    let images = batch.labels.len();
    let length = config.ladder.range(batch.scales - 1).end;
    let Data { input, factors } = *data;
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

/// A forward pass on the tape.
struct RecordedForward {
    tape: Tape,
    plan: GradientPlan,
    losses: Span,
    logits: Span,
    /// Room for the losses without smoothing.
    plain: Span,
    /// Floats of values it took.
    values: usize,
}

/// Records the forward pass of `batch`.
fn record<B: Recordable>(
    b: &B,
    config: VarConfig,
    layout: &ParameterLayout,
    weights: &B::Slice,
    values: &mut B::Slice,
    batch: TransformerBatch<'_, B::Slice>,
) -> Result<RecordedForward, B::Error> {
    let recording = Recording::new(b, values, weights);
    let (kept, segment_end, peak, data) = <(Cell<_>, Cell<_>, Cell<_>, Cell<_>)>::default();
    let [losses, logits, plain] = {
        let mut source = RecordedSource::new(&recording, layout.source(b, weights));
        let transformer = Transformer::bind(&mut source, config, &mut Storage::heap());
        let transformer = transformer.expect("a layout of this model");
        let mut arena = Arena::keeping(values, &kept).measuring(&peak);
        if batch.recomputes {
            arena = arena.in_segments(&segment_end);
        }
        let of_batch = placed(b, &config, batch, &mut arena)?;
        data.set(kept.get());
        let mut runs = None;
        // Labels, targets and ends of scales travel as mail: a GPU makes a graph of it.
        b.capture(&mut || {
            runs = Some(forward(&recording, &transformer, batch, &of_batch, &mut arena)?);
            Ok(())
        })?;
        runs.expect("a section does its work").map(|run| recording.span(run))
    };
    let tape = recording.into_tape();
    let plan = tape.plan(data.get(), &[losses], &[]);
    Ok(RecordedForward { tape, plan, losses, logits, plain, values: peak.get() })
}

/// How much memory learning from a batch takes.
pub fn workspace_size<B: TrainBackend>(
    b: &B,
    config: VarConfig,
    shape: BatchShape,
) -> WorkspaceSize {
    let layout = ParameterLayout::new(transformer_tensors(config));
    let [weights, values] = dry_memory(&layout);
    let dry = Dry::with_addresses(b);
    let input = DryAddresses::new(ALIGNMENT, usize::MAX >> 8);
    let Ok(passed) = of_nothing(config, shape, input, |batch| {
        record(&dry, config, &layout, weights, values, batch)
    });
    WorkspaceSize::of(b, passed.values, &passed.tape, &passed.plan)
}

/// Floats of values that judging `images` images of the first `scales` scales takes.
pub fn evaluation_workspace_size<B: Backend>(
    b: &B,
    config: VarConfig,
    images: usize,
    scales: usize,
) -> usize {
    let Ok(transformer) = Transformer::bind(&mut AnyTensor, config, &mut Storage::heap());
    let (mut lengths, peak): (Lengths, _) = ([(); usize::MAX], Cell::new(0));
    let mut arena = Arena::measured(&mut lengths[..], &peak);
    let shape = BatchShape { images, scales, factors: false, recomputes: false };
    let dry = Dry::new(b);
    let input = &[(); usize::MAX][..];
    let Ok(_) = of_nothing(config, shape, input, |batch| {
        let data = placed(&dry, &config, batch, &mut arena)?;
        forward(&dry, &transformer, batch, &data, &mut arena).map(drop)
    });
    peak.get()
}

/// Result of `work` on an empty batch of this extent with any input that is long enough, for a dry run.
fn of_nothing<S: ?Sized, R>(
    config: VarConfig,
    shape: BatchShape,
    input: &S,
    work: impl FnOnce(TransformerBatch<'_, S>) -> R,
) -> R {
    let BatchShape { images, scales, factors, recomputes } = shape;
    let length = config.ladder.range(scales - 1).end;
    let factors = factors.then(|| vec![0.0; config.depth * images * 6]);
    work(TransformerBatch {
        labels: &vec![0; images],
        targets: &vec![0; images * length],
        input,
        factors: factors.as_deref(),
        scales,
        smoothing: 0.0,
        recomputes,
    })
}

/// The losses of `batch`, and their gradient **added** to `weight_gradients`.
///
/// `position_weights`: of the loss at each of the first scales' positions, the same for all images.
/// `weights`: the compute weights, as `layout` says. `overlap`: whether and how the all-reduce begins
/// during the backward pass.
///
/// # Errors
/// Only the device's own.
///
/// # Panics
/// If a slice's length is not the configuration's or there is too little room.
pub fn forward_backward<B: TrainBackend>(
    b: &B,
    config: VarConfig,
    layout: &ParameterLayout,
    weights: &B::Slice,
    weight_gradients: &mut B::Slice,
    workspace: &mut TrainWorkspace<'_, B::Slice>,
    batch: TransformerBatch<'_, B::Slice>,
    position_weights: &[f32],
    with_report: bool,
    overlap: Option<Overlap<'_, B>>,
) -> Result<TokenLosses, B::Error> {
    let passed = record(b, config, layout, weights, workspace.values, batch)?;
    let RecordedForward { tape, plan, losses: span, .. } = &passed;
    let losses = {
        // In the arena the losses come after the logits, and room for others after them.
        let (before, rest) = workspace.values.split_at_mut(passed.plain.start);
        let plain = rest.range_mut(0..passed.plain.length);
        read(b, span.of(before), passed.logits.of(before), plain, batch, with_report)?
    };
    assert_eq!(span.length % position_weights.len(), 0, "a weight for each position");
    plan.begin(b, workspace.gradients)?;
    let seed: Vec<f32> = position_weights.iter().copied().cycle().take(span.length).collect();
    b.upload(plan.of(*span).of_mut(workspace.gradients), &seed)?;
    let mut memory = Memory {
        values: workspace.values,
        weights,
        value_gradients: workspace.gradients,
        plan,
        weight_gradients: Some(weight_gradients),
        scratch: workspace.scratch,
    };
    buckets::backward(b, layout, tape, &mut memory, overlap)?;
    Ok(losses)
}

/// The losses of `batch` without gradients, in an arena that reuses its memory.
///
/// # Errors
/// Only the device's own.
///
/// # Panics
/// As [`forward_backward`].
pub fn evaluate<B: TrainBackend>(
    b: &B,
    config: VarConfig,
    layout: &ParameterLayout,
    weights: &B::Slice,
    values: &mut B::Slice,
    batch: TransformerBatch<'_, B::Slice>,
) -> Result<TokenLosses, B::Error> {
    let mut source = layout.source(b, weights);
    let transformer = Transformer::bind(&mut source, config, &mut Storage::heap());
    let transformer = transformer.expect("a layout of this model");
    let mut arena = Arena::new(values);
    let data = placed(b, &config, batch, &mut arena)?;
    // No section: the operations depend on the number of classes, which seldom repeats.
    let [losses, logits, plain] = forward(b, &transformer, batch, &data, &mut arena)?;
    read(b, losses, logits, plain, batch, true)
}

fn read<B: Backend>(
    b: &B,
    losses: &B::Slice,
    logits: &B::Slice,
    plain: &mut B::Slice,
    batch: TransformerBatch<'_, B::Slice>,
    with_report: bool,
) -> Result<TokenLosses, B::Error> {
    let rows = batch.targets.len();
    let mut of_rows = vec![0.0; rows];
    b.download(&mut of_rows, losses)?;
    if !with_report {
        return Ok(TokenLosses { losses: of_rows, without_smoothing: None, predicted: None });
    }
    let without_smoothing = if batch.smoothing == 0.0 {
        None
    } else {
        b.cross_entropy(plain, logits, batch.targets, 0.0)?;
        let mut of_rows = vec![0.0; rows];
        b.download(&mut of_rows, plain)?;
        Some(of_rows)
    };
    // The losses without smoothing are read: their room is free.
    let tokens = B::tokens_in(plain);
    b.most_likely(tokens, logits)?;
    let mut predicted = vec![0; rows];
    b.download_tokens(&mut predicted, tokens)?;
    Ok(TokenLosses { losses: of_rows, without_smoothing, predicted: Some(predicted) })
}

#[cfg(test)]
mod tests;
