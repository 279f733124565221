//! A backend that runs another one's operations and notes what they read and wrote.

use core::cell::RefCell;
use core::convert::Infallible;
use core::fmt;

use var_kernel::dry::Dry;
use var_kernel::memory::{Device, Floats};
use var_kernel::model::weights::Source;
use var_kernel::ops::attention::{self, Attention, Mask};
use var_kernel::ops::combine::{Combine, PlaceDims};
use var_kernel::ops::conv2d::{self, Conv2d};
use var_kernel::ops::cross_entropy::CrossEntropy;
use var_kernel::ops::draw::{self, Draw, Mixture, Settings};
use var_kernel::ops::feature_distance::{self, FeatureDistance};
use var_kernel::ops::group_norm::{self, Activation, GroupNorm};
use var_kernel::ops::layer_norm::{self, LayerNorm};
use var_kernel::ops::leaky_relu::LeakyRelu;
use var_kernel::ops::linear::{self, Epilogue, Linear};
use var_kernel::ops::max_pool::{self, MaxPool};
use var_kernel::ops::nearest_code::{self, Distance, NearestCode};
use var_kernel::ops::resize::{self, Resize};
use var_kernel::ops::split_qkv::{self, Normalisation, SplitQkv};
use var_kernel::ops::{Backend, PerRow};

use super::combine::Part;
use super::span::{Region, Span};
use super::tape::{Node, Table, Tape};
use super::{Mirrored, TrainBackend};

/// Runs the operations of `B` and writes them on a tape.
///
/// What an operation reads and writes must lie in the values' memory, which must come from an arena
/// that keeps, or in the weights'. Operations that choose tokens ([`NearestCode`], [`Draw`]) are run
/// and not noted: no gradient passes through a choice.
pub struct Recording<'r, B: Device> {
    backend: &'r B,
    values: Place,
    weights: Place,
    tape: RefCell<Tape>,
}

/// Where a region's memory lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: usize,
    length: usize,
}

impl Place {
    fn of<B: Mirrored>(memory: &B::Slice) -> Self {
        Self { start: B::place(memory), length: memory.len() }
    }

    /// Where a slice that starts at `place` lies in here.
    fn offset(self, place: usize, length: usize) -> Option<usize> {
        let offset = place.checked_sub(self.start)?;
        (offset + length <= self.length).then_some(offset)
    }
}

/// A weight matrix and where it lies among the weights.
pub struct Recorded<'a, B: Device> {
    matrix: B::Matrix<'a>,
    span: Span,
}

// Derived, it would want the backend itself to be `Copy`.
impl<'a, B: Device> Clone for Recorded<'a, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<'a, B: Device> Copy for Recorded<'a, B> {}

impl<'r, B: TrainBackend> Recording<'r, B> {
    /// Records what `backend` does over `values`, the memory of the arena, and `weights`.
    pub fn new(backend: &'r B, values: &B::Slice, weights: &B::Slice) -> Self {
        let (values, weights) = (Place::of::<B>(values), Place::of::<B>(weights));
        Self { backend, values, weights, tape: RefCell::default() }
    }

    /// What has been noted.
    ///
    /// # Panics
    /// If an operation wrote over what another had written: the arena does not keep.
    pub fn into_tape(self) -> Tape {
        let tape = self.tape.into_inner();
        tape.check();
        tape
    }

    /// Where `slice` lies.
    ///
    /// # Panics
    /// If it lies in neither region.
    #[track_caller]
    pub fn span(&self, slice: &B::Slice) -> Span {
        let (place, length) = (B::place(slice), slice.len());
        let found = |region, memory: Place| {
            memory.offset(place, length).map(|start| Span { region, start, length })
        };
        found(Region::Values, self.values)
            .or_else(|| found(Region::Weights, self.weights))
            .expect("what is recorded lies among the values or the weights")
    }

    fn table(&self, of: PerRow<'_, B::Slice>) -> Table {
        let PerRow { table, start, stride, rows } = of;
        Table { span: self.span(table), part: Part { start, stride, rows } }
    }

    fn note(&self, node: Node) {
        self.tape.borrow_mut().nodes.push(node);
    }
}

/// A backend that can compute without a gradient.
pub trait Detach: Backend {
    /// The same device without a record.
    type Plain: Backend<Slice = Self::Slice, Error = Self::Error>;

    /// Computes what no gradient passes through.
    fn detached(&self) -> &Self::Plain;

    /// `out = value`, but out's gradient is `x`'s (the straight-through estimator: Bengio, Léonard and
    /// Courville, "Estimating or propagating gradients through stochastic neurons", 2013).
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own.
    fn straight_through(
        &self,
        out: &mut Self::Slice,
        value: &Self::Slice,
        x: &Self::Slice,
    ) -> Result<(), Self::Error>;
}

impl<B: TrainBackend> Detach for Recording<'_, B> {
    type Plain = B;

    fn detached(&self) -> &B {
        self.backend
    }

    fn straight_through(
        &self,
        out: &mut B::Slice,
        value: &B::Slice,
        x: &B::Slice,
    ) -> Result<(), B::Error> {
        assert_eq!(out.len(), x.len(), "straight_through: lengths differ");
        let operands = vec![(self.span(x), 1.0)];
        self.note(Node::Blend { out: self.span(out), operands });
        self.backend.copy(out, value)
    }
}

impl<B: Backend> Detach for Dry<'_, B> {
    type Plain = Self;

    fn detached(&self) -> &Self {
        self
    }

    fn straight_through(&self, out: &mut [()], value: &[()], x: &[()]) -> Result<(), Infallible> {
        assert_eq!(out.len(), x.len(), "straight_through: lengths differ");
        self.copy(out, value)
    }
}

impl<B: Device> Device for Recording<'_, B> {
    type Slice = B::Slice;
    type Tokens = B::Tokens;
    type Matrix<'a> = Recorded<'a, B>;
    type Error = B::Error;

    fn upload(&self, to: &mut B::Slice, from: &[f32]) -> Result<(), B::Error> {
        self.backend.upload(to, from)
    }

    fn download(&self, to: &mut [f32], from: &B::Slice) -> Result<(), B::Error> {
        self.backend.download(to, from)
    }

    fn tokens_in(run: &mut B::Slice) -> &mut B::Tokens {
        B::tokens_in(run)
    }

    fn upload_tokens(&self, to: &mut B::Tokens, from: &[u32]) -> Result<(), B::Error> {
        self.backend.upload_tokens(to, from)
    }

    fn download_tokens(&self, to: &mut [u32], from: &B::Tokens) -> Result<(), B::Error> {
        self.backend.download_tokens(to, from)
    }

    fn begin_turn(&self, start: usize) {
        self.tape.borrow_mut().begin_turn(start);
    }

    fn end_turn(&self) {
        self.tape.borrow_mut().end_turn();
    }
}

/// Flat weights by name, for a recording.
pub struct RecordedSource<'r, 'a, B: Device, W> {
    /// Where in the weights' memory each tensor lies, and the tensor.
    pub source: W,
    recording: &'r Recording<'r, B>,
    weights: core::marker::PhantomData<&'a ()>,
}

impl<'r, 'a, B: Device, W> RecordedSource<'r, 'a, B, W> {
    /// Takes the tensors of `source`, which lie in the recorded weights.
    pub fn new(recording: &'r Recording<'r, B>, source: W) -> Self {
        Self { source, recording, weights: core::marker::PhantomData }
    }
}

impl<'a, 'q, B: TrainBackend, W: Source<'a, B>> Source<'a, Recording<'q, B>>
    for RecordedSource<'_, 'a, B, W>
{
    type Error = W::Error;

    fn matrix(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<Recorded<'a, B>, W::Error> {
        let weights = self.source.vector(name, shape)?;
        Ok(Recorded {
            matrix: self.recording.backend.matrix_of(weights),
            span: self.recording.span(weights),
        })
    }

    fn vector(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<&'a B::Slice, W::Error> {
        self.source.vector(name, shape)
    }
}

impl<B: TrainBackend> Combine for Recording<'_, B> {
    fn blend(
        &self,
        out: &mut B::Slice,
        a: (&B::Slice, f32),
        b: (&B::Slice, f32),
    ) -> Result<(), B::Error> {
        let operands = vec![(self.span(a.0), a.1), (self.span(b.0), b.1)];
        self.note(Node::Blend { out: self.span(out), operands });
        self.backend.blend(out, a, b)
    }

    fn add_table(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        table: &B::Slice,
    ) -> Result<(), B::Error> {
        let (of_x, of_table) = (self.span(x), self.span(table));
        self.note(Node::AddTable { out: self.span(out), x: of_x, table: of_table });
        self.backend.add_table(out, x, table)
    }

    fn gelu(&self, out: &mut B::Slice, x: &B::Slice) -> Result<(), B::Error> {
        self.note(Node::Gelu { out: self.span(out), x: self.span(x) });
        self.backend.gelu(out, x)
    }

    fn gated(
        &self,
        out: &mut B::Slice,
        residual: &B::Slice,
        x: &B::Slice,
        gate: PerRow<'_, B::Slice>,
        width: usize,
    ) -> Result<(), B::Error> {
        self.note(Node::Gated {
            out: self.span(out),
            residual: self.span(residual),
            x: self.span(x),
            gate: self.table(gate),
            width,
        });
        self.backend.gated(out, residual, x, gate, width)
    }

    fn scale_rows(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        factors: &B::Slice,
    ) -> Result<(), B::Error> {
        let (of_x, of_factors) = (self.span(x), self.span(factors));
        self.note(Node::ScaleRows { out: self.span(out), x: of_x, factors: of_factors });
        self.backend.scale_rows(out, x, factors)
    }

    fn place_rows(&self, out: &mut B::Slice, x: &B::Slice, d: PlaceDims) -> Result<(), B::Error> {
        self.note(Node::PlaceRows { out: self.span(out), x: self.span(x), d });
        self.backend.place_rows(out, x, d)
    }

    fn silu(&self, out: &mut B::Slice, x: &B::Slice) -> Result<(), B::Error> {
        self.note(Node::Silu { out: self.span(out), x: self.span(x) });
        self.backend.silu(out, x)
    }

    fn embedding(
        &self,
        out: &mut B::Slice,
        table: &B::Slice,
        indices: &[u32],
        width: usize,
    ) -> Result<(), B::Error> {
        let (of_out, of_table) = (self.span(out), self.span(table));
        let indices_of_tape = indices.to_vec();
        self.note(Node::Embedding {
            out: of_out,
            table: of_table,
            indices: indices_of_tape,
            width,
        });
        self.backend.embedding(out, table, indices, width)
    }

    fn codes(
        &self,
        out: &mut B::Slice,
        codebook: &B::Slice,
        tokens: &B::Tokens,
        width: usize,
    ) -> Result<(), B::Error> {
        // No gradient passes through a choice.
        self.backend.codes(out, codebook, tokens, width)
    }

    fn keep_tokens(
        &self,
        tokens: &mut B::Tokens,
        given: &[u32],
        kept: &[bool],
    ) -> Result<(), B::Error> {
        self.backend.keep_tokens(tokens, given, kept)
    }

    fn copy(&self, out: &mut B::Slice, x: &B::Slice) -> Result<(), B::Error> {
        let operands = vec![(self.span(x), 1.0)];
        self.note(Node::Blend { out: self.span(out), operands });
        self.backend.copy(out, x)
    }
}

impl<B: TrainBackend> LayerNorm for Recording<'_, B> {
    fn layer_norm(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        scale: PerRow<'_, B::Slice>,
        shift: PerRow<'_, B::Slice>,
        eps: f32,
        d: layer_norm::Dims,
    ) -> Result<(), B::Error> {
        self.note(Node::LayerNorm {
            out: self.span(out),
            x: self.span(x),
            scale: self.table(scale),
            shift: self.table(shift),
            eps,
            d,
        });
        self.backend.layer_norm(out, x, scale, shift, eps, d)
    }
}

impl<B: TrainBackend> Linear for Recording<'_, B> {
    /// # Panics
    /// For an epilogue whose gradient wants the sum before it, which only an arena that keeps has.
    fn linear(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        weight: Recorded<'_, B>,
        bias: Option<&B::Slice>,
        epilogue: Epilogue<'_, B::Slice>,
        d: linear::Dims,
    ) -> Result<(), B::Error> {
        let table = match epilogue {
            Epilogue::None => None,
            Epilogue::Plus { table } => Some(self.span(table)),
            Epilogue::Gelu | Epilogue::Gated { .. } => {
                panic!("a recorded forward pass wants an arena that keeps")
            }
        };
        self.note(Node::Linear {
            out: self.span(out),
            x: self.span(x),
            weight: weight.span,
            bias: bias.map(|bias| self.span(bias)),
            table,
            d,
        });
        self.backend.linear(out, x, weight.matrix, bias, epilogue, d)
    }
}

impl<B: TrainBackend> SplitQkv for Recording<'_, B> {
    fn split_qkv(
        &self,
        q: &mut B::Slice,
        k: &mut B::Slice,
        v: &mut B::Slice,
        qkv: &B::Slice,
        biases: Option<[&B::Slice; 2]>,
        normalisation: Normalisation<'_, B::Slice>,
        d: split_qkv::Dims,
    ) -> Result<(), B::Error> {
        let scale = match normalisation {
            Normalisation::None => None,
            Normalisation::UnitLength { scale } => Some(self.span(scale)),
        };
        self.note(Node::SplitQkv {
            outs: [self.span(q), self.span(k), self.span(v)],
            qkv: self.span(qkv),
            biases: biases.map(|biases| biases.map(|bias| self.span(bias))),
            scale,
            d,
        });
        self.backend.split_qkv(q, k, v, qkv, biases, normalisation, d)
    }
}

impl<B: TrainBackend> Attention for Recording<'_, B> {
    fn attention(
        &self,
        out: &mut B::Slice,
        q: &B::Slice,
        k: &B::Slice,
        v: &B::Slice,
        scale: f32,
        mask: Mask<'_>,
        d: attention::Dims,
    ) -> Result<(), B::Error> {
        let ends = match mask {
            Mask::None => None,
            Mask::UpToScale(ends) => Some(ends.to_vec()),
        };
        let operands = [self.span(q), self.span(k), self.span(v)];
        self.note(Node::Attention { out: self.span(out), operands, scale, ends, d });
        self.backend.attention(out, q, k, v, scale, mask, d)
    }
}

impl<B: TrainBackend> CrossEntropy for Recording<'_, B> {
    fn cross_entropy(
        &self,
        out: &mut B::Slice,
        logits: &B::Slice,
        targets: &[u32],
        smoothing: f32,
    ) -> Result<(), B::Error> {
        let (of_out, of_logits) = (self.span(out), self.span(logits));
        let targets_of_tape = targets.to_vec();
        self.note(Node::CrossEntropy {
            out: of_out,
            logits: of_logits,
            targets: targets_of_tape,
            smoothing,
        });
        self.backend.cross_entropy(out, logits, targets, smoothing)
    }
}

impl<B: TrainBackend> FeatureDistance for Recording<'_, B> {
    fn feature_distance(
        &self,
        out: &mut B::Slice,
        a: &B::Slice,
        b: &B::Slice,
        weights: &B::Slice,
        d: feature_distance::Dims,
    ) -> Result<(), B::Error> {
        let operands = [self.span(a), self.span(b), self.span(weights)];
        self.note(Node::FeatureDistance { out: self.span(out), operands, d });
        self.backend.feature_distance(out, a, b, weights, d)
    }
}

impl<B: TrainBackend> LeakyRelu for Recording<'_, B> {
    fn leaky_relu(&self, out: &mut B::Slice, x: &B::Slice, slope: f32) -> Result<(), B::Error> {
        self.note(Node::LeakyRelu { out: self.span(out), x: self.span(x), slope });
        self.backend.leaky_relu(out, x, slope)
    }
}

impl<B: TrainBackend> MaxPool for Recording<'_, B> {
    fn max_pool(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        d: max_pool::Dims,
    ) -> Result<(), B::Error> {
        self.note(Node::MaxPool { out: self.span(out), x: self.span(x), d });
        self.backend.max_pool(out, x, d)
    }
}

impl<B: TrainBackend> NearestCode for Recording<'_, B> {
    fn nearest_code(
        &self,
        tokens: &mut B::Tokens,
        x: &B::Slice,
        codebook: &B::Slice,
        distance: Distance,
        d: nearest_code::Dims,
    ) -> Result<(), B::Error> {
        self.backend.nearest_code(tokens, x, codebook, distance, d)
    }
}

impl<B: TrainBackend> Draw for Recording<'_, B> {
    fn draw(
        &self,
        tokens: &mut B::Tokens,
        mixture: Option<Mixture<'_, B::Slice>>,
        logits: &B::Slice,
        unconditional: Option<&B::Slice>,
        settings: &Settings<'_>,
        d: draw::Dims,
    ) -> Result<(), B::Error> {
        self.backend.draw(tokens, mixture, logits, unconditional, settings, d)
    }
}

impl<B: TrainBackend> Conv2d for Recording<'_, B> {
    fn conv2d_scratch(&self, d: conv2d::Dims) -> usize {
        self.backend.conv2d_scratch(d)
    }

    fn conv2d(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        weight: Recorded<'_, B>,
        bias: &B::Slice,
        residual: Option<&B::Slice>,
        scratch: &mut B::Slice,
        d: conv2d::Dims,
    ) -> Result<(), B::Error> {
        self.note(Node::Conv2d {
            out: self.span(out),
            x: self.span(x),
            weight: weight.span,
            bias: self.span(bias),
            residual: residual.map(|residual| self.span(residual)),
            d,
        });
        self.backend.conv2d(out, x, weight.matrix, bias, residual, scratch, d)
    }
}

impl<B: TrainBackend> GroupNorm for Recording<'_, B> {
    fn group_norm(
        &self,
        out: &mut B::Slice,
        x: &B::Slice,
        weight: &B::Slice,
        bias: &B::Slice,
        eps: f32,
        activation: Activation,
        d: group_norm::Dims,
    ) -> Result<(), B::Error> {
        self.note(Node::GroupNorm {
            out: self.span(out),
            x: self.span(x),
            weight: self.span(weight),
            bias: self.span(bias),
            eps,
            activation,
            d,
        });
        self.backend.group_norm(out, x, weight, bias, eps, activation, d)
    }
}

impl<B: TrainBackend> Resize for Recording<'_, B> {
    fn bicubic(&self, out: &mut B::Slice, x: &B::Slice, d: resize::Dims) -> Result<(), B::Error> {
        self.note(Node::Bicubic { out: self.span(out), x: self.span(x), d });
        self.backend.bicubic(out, x, d)
    }

    fn area(&self, out: &mut B::Slice, x: &B::Slice, d: resize::Dims) -> Result<(), B::Error> {
        self.note(Node::Area { out: self.span(out), x: self.span(x), d });
        self.backend.area(out, x, d)
    }
}
