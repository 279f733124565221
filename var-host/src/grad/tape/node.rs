//! One operation on the tape.

use var_kernel::ops::combine::PlaceDims;
use var_kernel::ops::group_norm::{self, Activation};
use var_kernel::ops::{
    PerRow, attention, conv2d, feature_distance, layer_norm, linear, max_pool, resize, split_qkv,
};

use crate::grad::combine::Part;
use crate::grad::span::Span;

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

/// One operation: its inputs and outputs.
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
    /// Outputs written whole.
    pub(super) fn outs(&self) -> &[Span] {
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

    /// Outputs, written whole or in part.
    pub(super) fn written(&self) -> &[Span] {
        match self {
            Self::PlaceRows { out, .. } => core::slice::from_ref(out),
            _ => self.outs(),
        }
    }

    /// Inputs that receive a gradient.
    pub(super) fn inputs(&self) -> Vec<Span> {
        match *self {
            Self::Blend { ref operands, .. } => operands.iter().map(|(x, _)| *x).collect(),
            Self::AddTable { x, table, .. } => vec![x, table],
            Self::Gated { residual, x, gate, .. } => vec![residual, x, gate.span],
            Self::Embedding { table, .. } => vec![table],
            Self::LayerNorm { x, scale, shift, .. } => vec![x, scale.span, shift.span],
            Self::Linear { x, weight, bias, table, .. } => {
                [Some(x), Some(weight), bias, table].into_iter().flatten().collect()
            }
            Self::SplitQkv { qkv, biases, scale, .. } => [Some(qkv), scale]
                .into_iter()
                .flatten()
                .chain(biases.into_iter().flatten())
                .collect(),
            Self::Attention { operands, .. } => operands.to_vec(),
            Self::CrossEntropy { logits, .. } => vec![logits],
            Self::FeatureDistance { operands: [a, ..], .. } => vec![a],
            Self::Conv2d { x, weight, bias, residual, .. } => {
                [Some(x), Some(weight), Some(bias), residual].into_iter().flatten().collect()
            }
            Self::GroupNorm { x, weight, bias, .. } => vec![x, weight, bias],
            Self::Gelu { x, .. }
            | Self::Silu { x, .. }
            | Self::ScaleRows { x, .. }
            | Self::PlaceRows { x, .. }
            | Self::LeakyRelu { x, .. }
            | Self::MaxPool { x, .. }
            | Self::Bicubic { x, .. }
            | Self::Area { x, .. } => vec![x],
        }
    }
}
