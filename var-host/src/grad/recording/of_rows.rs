//! Operations on rows, noted.

use var_kernel::ops::PerRow;
use var_kernel::ops::attention::{self, Attention, Mask};
use var_kernel::ops::combine::{Combine, PlaceDims};
use var_kernel::ops::cross_entropy::CrossEntropy;
use var_kernel::ops::draw::{self, Draw, Mixture, Settings};
use var_kernel::ops::layer_norm::{self, LayerNorm};
use var_kernel::ops::linear::{self, Epilogue, Linear};
use var_kernel::ops::nearest_code::{self, Distance, NearestCode};
use var_kernel::ops::split_qkv::{self, Normalisation, SplitQkv};

use super::{Recorded, Recording};
use crate::grad::Recordable;
use crate::grad::tape::Node;

impl<B: Recordable> Combine for Recording<'_, B> {
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

impl<B: Recordable> LayerNorm for Recording<'_, B> {
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

impl<B: Recordable> Linear for Recording<'_, B> {
    /// # Panics
    /// For an epilogue with a gradient in the sum before it, which only an arena that keeps has.
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

impl<B: Recordable> SplitQkv for Recording<'_, B> {
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

impl<B: Recordable> Attention for Recording<'_, B> {
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

impl<B: Recordable> CrossEntropy for Recording<'_, B> {
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

    fn most_likely(&self, tokens: &mut B::Tokens, logits: &B::Slice) -> Result<(), B::Error> {
        self.backend.most_likely(tokens, logits)
    }
}

impl<B: Recordable> NearestCode for Recording<'_, B> {
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

impl<B: Recordable> Draw for Recording<'_, B> {
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
