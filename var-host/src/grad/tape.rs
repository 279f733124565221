//! What a forward pass did, and the way back.

use core::ops::Range;

use var_kernel::memory::Floats;
use var_kernel::ops::attention::{self, Mask};
use var_kernel::ops::combine::PlaceDims;
use var_kernel::ops::group_norm::{self, Activation};
use var_kernel::ops::split_qkv::{self, Normalisation};
use var_kernel::ops::{PerRow, conv2d, feature_distance, layer_norm, linear, max_pool, resize};

use super::combine::Part;
use super::group_norm::Forward;
use super::memory::{Gradients, Memory};
use super::span::{Region, Span};
use super::{TrainBackend, sums};

/// A part of a table that some rows share: [`PerRow`] with a place for its table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) span: Span,
    pub(crate) part: Part,
}

impl Table {
    pub(super) fn over<S: ?Sized>(self, table: &S) -> PerRow<'_, S> {
        let Part { start, stride, rows } = self.part;
        PerRow { table, start, stride, rows }
    }
}

/// One operation: what it read and wrote.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// Each operand with its factor; also a copy, with one operand.
    Blend {
        out: Span,
        operands: Vec<(Span, f32)>,
    },
    AddTable {
        out: Span,
        x: Span,
        table: Span,
    },
    Gelu {
        out: Span,
        x: Span,
    },
    Silu {
        out: Span,
        x: Span,
    },
    Gated {
        out: Span,
        residual: Span,
        x: Span,
        gate: Table,
        width: usize,
    },
    ScaleRows {
        out: Span,
        x: Span,
        factors: Span,
    },
    PlaceRows {
        out: Span,
        x: Span,
        d: PlaceDims,
    },
    Embedding {
        out: Span,
        table: Span,
        indices: Vec<u32>,
        width: usize,
    },
    LayerNorm {
        out: Span,
        x: Span,
        scale: Table,
        shift: Table,
        eps: f32,
        d: layer_norm::Dims,
    },
    Linear {
        out: Span,
        x: Span,
        weight: Span,
        bias: Option<Span>,
        table: Option<Span>,
        d: linear::Dims,
    },
    SplitQkv {
        outs: [Span; 3],
        qkv: Span,
        biases: Option<[Span; 2]>,
        scale: Option<Span>,
        d: split_qkv::Dims,
    },
    Attention {
        out: Span,
        operands: [Span; 3],
        scale: f32,
        /// Ends of the scales of [`Mask::UpToScale`].
        ends: Option<Vec<usize>>,
        d: attention::Dims,
    },
    CrossEntropy {
        out: Span,
        logits: Span,
        targets: Vec<u32>,
        smoothing: f32,
    },
    /// The gradient goes to the first operand; then the other features, then the weights.
    FeatureDistance {
        out: Span,
        operands: [Span; 3],
        d: feature_distance::Dims,
    },
    LeakyRelu {
        out: Span,
        x: Span,
        slope: f32,
    },
    MaxPool {
        out: Span,
        x: Span,
        d: max_pool::Dims,
    },
    Conv2d {
        out: Span,
        x: Span,
        weight: Span,
        bias: Span,
        residual: Option<Span>,
        d: conv2d::Dims,
    },
    GroupNorm {
        out: Span,
        x: Span,
        weight: Span,
        bias: Span,
        eps: f32,
        activation: Activation,
        d: group_norm::Dims,
    },
    Bicubic {
        out: Span,
        x: Span,
        d: resize::Dims,
    },
    Area {
        out: Span,
        x: Span,
        d: resize::Dims,
    },
}

impl Node {
    /// What it wrote whole.
    fn outs(&self) -> &[Span] {
        match self {
            Self::Blend { out, .. }
            | Self::AddTable { out, .. }
            | Self::Gelu { out, .. }
            | Self::Silu { out, .. }
            | Self::Gated { out, .. }
            | Self::ScaleRows { out, .. }
            | Self::Embedding { out, .. }
            | Self::LayerNorm { out, .. }
            | Self::Linear { out, .. }
            | Self::Attention { out, .. }
            | Self::CrossEntropy { out, .. }
            | Self::Conv2d { out, .. }
            | Self::GroupNorm { out, .. }
            | Self::Bicubic { out, .. }
            | Self::Area { out, .. }
            | Self::FeatureDistance { out, .. }
            | Self::LeakyRelu { out, .. }
            | Self::MaxPool { out, .. } => core::slice::from_ref(out),
            Self::SplitQkv { outs, .. } => outs,
            // Several fill one output, each its columns.
            Self::PlaceRows { .. } => &[],
        }
    }
}

/// The operations of a forward pass, in their order.
#[derive(Debug, Default)]
pub struct Tape {
    pub(super) nodes: Vec<Node>,
    turns: Vec<Turn>,
}

/// A stretch of operations whose results are given away when it is done.
#[derive(Clone, Debug)]
struct Turn {
    /// Its operations.
    nodes: Range<usize>,
    /// What it writes from this place on is given away.
    start: usize,
}

impl Turn {
    /// Whether a turn's result is given away.
    fn gives_away(&self, out: &Span) -> bool {
        out.region == Region::Values && out.start >= self.start
    }
}

impl Tape {
    pub(super) fn begin_turn(&mut self, start: usize) {
        let next = self.nodes.len();
        self.turns.push(Turn { nodes: next..next, start });
    }

    /// # Panics
    /// If none has begun.
    pub(super) fn end_turn(&mut self) {
        let next = self.nodes.len();
        self.turns.last_mut().expect("a turn has begun").nodes.end = next;
    }

    /// Refuses a forward pass that wrote over what an operation had written and had not given away.
    pub(super) fn check(&self) {
        let given_away = |number: usize, out: &Span| {
            let turn = self.turns.iter().find(|turn| turn.nodes.contains(&number));
            turn.is_some_and(|turn| turn.gives_away(out))
        };
        let kept = self.nodes.iter().enumerate();
        let kept = kept.flat_map(|(number, node)| node.outs().iter().map(move |out| (number, out)));
        check_apart(kept.filter(|(number, out)| !given_away(*number, out)).map(|(_, out)| *out));
        for turn in &self.turns {
            check_apart(self.nodes[turn.nodes.clone()].iter().flat_map(Node::outs).copied());
        }
    }

    /// Floats of scratch memory that [`Tape::backward`] wants.
    pub fn scratch<B: TrainBackend>(&self, b: &B) -> usize {
        let of = |node: &Node| match node {
            Node::Attention { d, .. } => b.attention_backward_scratch(*d),
            Node::Conv2d { d, .. } => b.conv2d_backward_scratch(*d),
            Node::GroupNorm { d, .. } => b.group_norm_backward_sums(*d),
            _ => 0,
        };
        self.nodes.iter().map(of).max().unwrap_or(0)
    }

    /// Adds to `into` the gradient of the weight of the convolution that wrote `out`, alone, if that of
    /// `out` were `dout`.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If no convolution wrote `out`, or a slice is of another length.
    pub(crate) fn convolution_weight_gradient<B: TrainBackend>(
        &self,
        b: &B,
        out: Span,
        values: &B::Slice,
        dout: &B::Slice,
        into: &mut B::Slice,
        scratch: &mut B::Slice,
    ) -> Result<(), B::Error> {
        let of = |node: &Node| match *node {
            Node::Conv2d { out: written, x, d, .. } if written == out => Some((x, d)),
            _ => None,
        };
        let (x, d) = self.nodes.iter().find_map(of).expect("a convolution wrote it");
        b.conv2d_backward_weight(into, dout, x.of(values), scratch, d)
    }

    /// Adds the gradients of everything that led to the outputs whose gradients are set, last
    /// operation first.
    ///
    /// Before, the gradients of values must be 0 but for those outputs'; those of weights are added to.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If the memory is not what the tape was recorded over.
    pub fn backward<B: TrainBackend>(
        &self,
        b: &B,
        memory: &mut Memory<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        assert_eq!(memory.values.len(), memory.value_gradients.len(), "gradients mirror values");
        let wanted = self.scratch(b);
        assert!(memory.scratch.len() >= wanted, "tape: {wanted} floats of scratch memory wanted");
        let mut turns = self.turns.iter().rev().peekable();
        for number in (0..self.nodes.len()).rev() {
            if let Some(turn) = turns.next_if(|turn| turn.nodes.end == number + 1) {
                self.restore(b, turn, memory)?;
            }
            self.nodes[number].backward(b, memory)?;
        }
        Ok(())
    }

    /// Computes anew what a turn has given away; its gradients are 0 again.
    fn restore<B: TrainBackend>(
        &self,
        b: &B,
        turn: &Turn,
        memory: &mut Memory<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        for node in &self.nodes[turn.nodes.clone()] {
            let mut given_away = node.outs().iter().filter(|out| turn.gives_away(out)).peekable();
            if given_away.peek().is_some() {
                node.replay(b, memory.values, memory.weights)?;
            }
            for out in given_away {
                b.fill(out.of_mut(memory.value_gradients), 0.0)?;
            }
        }
        Ok(())
    }
}

/// Refuses spans that overlap.
fn check_apart(spans: impl Iterator<Item = Span>) {
    let mut spans = Vec::from_iter(spans);
    spans.sort_by_key(|span| span.start);
    for pair in spans.windows(2) {
        let [first, second] = pair else { unreachable!("windows of two") };
        assert!(first.end() <= second.start, "{second:?} was written over {first:?}");
    }
}

impl Node {
    fn backward<B: TrainBackend>(
        &self,
        b: &B,
        m: &mut Memory<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        match *self {
            Self::Blend { out, ref operands } => {
                for (x, factor) in operands {
                    add(b, m, *x, out, *factor)?;
                }
                Ok(())
            }
            Self::AddTable { out, x, table } => {
                add(b, m, x, out, 1.0)?;
                add_rows(b, m, table, out)
            }
            Self::Gelu { out, x } => match m.gradients([x], out) {
                Some(Gradients { out, inputs: [dx], read, .. }) => {
                    b.gelu_backward(dx, out, read.of(x))
                }
                None => Ok(()),
            },
            Self::Silu { out, x } => match m.gradients([x], out) {
                Some(Gradients { out, inputs: [dx], read, .. }) => {
                    b.silu_backward(dx, out, read.of(x))
                }
                None => Ok(()),
            },
            Self::Gated { out, residual, x, gate, width } => {
                add(b, m, residual, out, 1.0)?;
                if let Some(Gradients { out, inputs: [dx], read, .. }) = m.gradients([x], out) {
                    b.gated_backward_x(dx, out, gate.over(read.of(gate.span)), width)?;
                }
                match m.gradients([gate.span], out) {
                    Some(Gradients { out, inputs: [dgate], read, .. }) => {
                        b.gated_backward_gate(dgate, out, read.of(x), gate.part, width)
                    }
                    None => Ok(()),
                }
            }
            Self::ScaleRows { out, x, factors } => match m.gradients([x], out) {
                Some(Gradients { out, inputs: [dx], read, .. }) => {
                    b.scale_rows_backward(dx, out, read.of(factors))
                }
                None => Ok(()),
            },
            Self::PlaceRows { out, x, d } => match m.gradients([x], out) {
                Some(Gradients { out, inputs: [dx], .. }) => b.place_rows_backward(dx, out, d),
                None => Ok(()),
            },
            Self::Embedding { out, table, ref indices, width } => match m.gradients([table], out) {
                Some(Gradients { out, inputs: [dtable], .. }) => {
                    b.embedding_backward(dtable, out, indices, width)
                }
                None => Ok(()),
            },
            Self::LayerNorm { out, x, scale, shift, eps, d } => {
                if let Some(Gradients { out, inputs: [dx], read, .. }) = m.gradients([x], out) {
                    let scale = scale.over(read.of(scale.span));
                    b.layer_norm_backward_x(dx, out, read.of(x), scale, eps, d)?;
                }
                if let Some(g) = m.gradients([scale.span], out) {
                    let [dscale] = g.inputs;
                    b.layer_norm_backward_scale(dscale, g.out, g.read.of(x), scale.part, eps, d)?;
                }
                match m.gradients([shift.span], out) {
                    Some(Gradients { out, inputs: [dshift], .. }) => {
                        b.layer_norm_backward_shift(dshift, out, shift.part, d)
                    }
                    None => Ok(()),
                }
            }
            Self::Linear { out, x, weight, bias, table, d } => {
                if let Some(Gradients { out, inputs: [dx], read, .. }) = m.gradients([x], out) {
                    b.linear_backward_x(dx, out, b.matrix_of(read.of(weight)), d)?;
                }
                if let Some(g) = m.gradients([weight], out) {
                    let [dweight] = g.inputs;
                    b.linear_backward_weight(dweight, g.out, g.read.of(x), d)?;
                }
                for added in [bias, table].into_iter().flatten() {
                    add_rows(b, m, added, out)?;
                }
                Ok(())
            }
            Self::SplitQkv { outs, qkv, biases, scale, d } => {
                if let Some((gradients, dqkv, read)) = m.gradients_of_outs(qkv, outs) {
                    let query_bias = biases.map(|[bias, _]| read.of(bias));
                    let normalisation = match scale {
                        Some(scale) => Normalisation::UnitLength { scale: read.of(scale) },
                        None => Normalisation::None,
                    };
                    let qkv = read.of(qkv);
                    b.split_qkv_backward(dqkv, gradients, qkv, query_bias, normalisation, d)?;
                }
                let (rows, width) = (d.batch * d.rows, d.width());
                for (part, bias) in [(0, biases.map(|b| b[0])), (2, biases.map(|b| b[1]))] {
                    let Some(bias) = bias else { continue };
                    if let Some(Gradients { out, inputs: [dbias], .. }) = m.gradients([bias], qkv) {
                        let d = sums::Dims { rows, stride: 3 * width, start: part * width };
                        b.sum_rows(dbias, out, d)?;
                    }
                }
                let Some(scale) = scale else { return Ok(()) };
                match m.gradients([scale], outs[0]) {
                    Some(Gradients { out, inputs: [dscale], read, .. }) => {
                        let (q, scale) = (read.of(outs[0]), read.of(scale));
                        b.split_qkv_backward_scale(dscale, out, q, scale, d)
                    }
                    None => Ok(()),
                }
            }
            Self::Attention { out, operands, scale, ref ends, d } => {
                let Some(g) = m.gradients(operands, out) else { return Ok(()) };
                let [q, k, v] = operands.map(|operand| g.read.of(operand));
                let mask = ends.as_ref().map_or(Mask::None, |ends| Mask::UpToScale(ends));
                b.attention_backward(g.inputs, g.out, q, k, v, scale, mask, g.scratch, d)
            }
            Self::CrossEntropy { out, logits, ref targets, smoothing } => {
                match m.gradients([logits], out) {
                    Some(Gradients { out, inputs: [dlogits], read, .. }) => {
                        let logits = read.of(logits);
                        b.cross_entropy_backward(dlogits, out, logits, targets, smoothing)
                    }
                    None => Ok(()),
                }
            }
            Self::FeatureDistance { out, operands, d } => match m.gradients([operands[0]], out) {
                Some(Gradients { out, inputs: [da], read, .. }) => {
                    let [a, other, weights] = operands.map(|operand| read.of(operand));
                    b.feature_distance_backward(da, out, a, other, weights, d)
                }
                None => Ok(()),
            },
            Self::LeakyRelu { out, x, slope } => match m.gradients([x], out) {
                Some(Gradients { out, inputs: [dx], read, .. }) => {
                    b.leaky_relu_backward(dx, out, read.of(x), slope)
                }
                None => Ok(()),
            },
            Self::MaxPool { out, x, d } => match m.gradients([x], out) {
                Some(Gradients { out, inputs: [dx], read, .. }) => {
                    b.max_pool_backward(dx, out, read.of(x), d)
                }
                None => Ok(()),
            },
            Self::Conv2d { out, x, weight, bias, residual, d } => {
                if let Some(g) = m.gradients([x], out) {
                    let ([dx], weight) = (g.inputs, b.matrix_of(g.read.of(weight)));
                    b.conv2d_backward_x(dx, g.out, weight, g.scratch, d)?;
                }
                if let Some(g) = m.gradients([weight], out) {
                    let [dweight] = g.inputs;
                    b.conv2d_backward_weight(dweight, g.out, g.read.of(x), g.scratch, d)?;
                }
                add_rows(b, m, bias, out)?;
                match residual {
                    Some(residual) => add(b, m, residual, out, 1.0),
                    None => Ok(()),
                }
            }
            Self::GroupNorm { out, x, weight, bias, eps, activation, d } => {
                {
                    let (of_out, dx, read, sums) = match m.gradients([x], out) {
                        Some(Gradients { out, inputs: [dx], read, scratch }) => {
                            (out, Some(dx), read, scratch)
                        }
                        None => {
                            let Gradients { out, inputs: [], read, scratch } = m.of_out(out);
                            (out, None, read, scratch)
                        }
                    };
                    let of = Forward {
                        x: read.of(x),
                        weight: read.of(weight),
                        bias: read.of(bias),
                        eps,
                        activation,
                    };
                    b.group_norm_backward_x(dx, sums, of_out, of, d)?;
                }
                match m.gradients([weight, bias], out) {
                    Some(g) => b.group_norm_backward_parameters(g.inputs, g.scratch, d),
                    None => Ok(()),
                }
            }
            Self::Bicubic { out, x, d } => match m.gradients([x], out) {
                Some(Gradients { out, inputs: [dx], .. }) => b.bicubic_backward(dx, out, d),
                None => Ok(()),
            },
            Self::Area { out, x, d } => match m.gradients([x], out) {
                Some(Gradients { out, inputs: [dx], .. }) => b.area_backward(dx, out, d),
                None => Ok(()),
            },
        }
    }
}

/// `dx += factor · dout`
fn add<B: TrainBackend>(
    b: &B,
    m: &mut Memory<'_, B::Slice>,
    x: Span,
    out: Span,
    factor: f32,
) -> Result<(), B::Error> {
    match m.gradients([x], out) {
        Some(Gradients { out, inputs: [dx], .. }) => b.add_scaled(dx, out, factor),
        None => Ok(()),
    }
}

/// The gradient of what was added to every row, or to every run of rows: `dx += Σᵣ dout[r]`.
fn add_rows<B: TrainBackend>(
    b: &B,
    m: &mut Memory<'_, B::Slice>,
    x: Span,
    out: Span,
) -> Result<(), B::Error> {
    match m.gradients([x], out) {
        Some(Gradients { out, inputs: [dx], .. }) => {
            let d = sums::Dims { rows: out.len() / x.length, stride: x.length, start: 0 };
            b.sum_rows(dx, out, d)
        }
        None => Ok(()),
    }
}
