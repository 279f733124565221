//! The gradients of each operation on the tape.

use var_kernel::memory::Floats;
use var_kernel::ops::attention::Mask;
use var_kernel::ops::split_qkv::Normalisation;

use super::node::Node;
use crate::grad::group_norm::Forward;
use crate::grad::memory::{Gradients, Here};
use crate::grad::span::Span;
use crate::grad::{TrainBackend, sums};

impl Node {
    /// Accumulates the gradients of its inputs, given that of its output.
    pub(super) fn backward<B: TrainBackend>(
        &self,
        b: &B,
        m: &mut Here<'_, '_, B::Slice>,
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
    m: &mut Here<'_, '_, B::Slice>,
    x: Span,
    out: Span,
    factor: f32,
) -> Result<(), B::Error> {
    match m.gradients([x], out) {
        Some(Gradients { out, inputs: [dx], .. }) => b.add_scaled(dx, out, factor),
        None => Ok(()),
    }
}

/// The gradient of a bias of every row, or a table of every run of rows: `dx += Σᵣ dout[r]`.
fn add_rows<B: TrainBackend>(
    b: &B,
    m: &mut Here<'_, '_, B::Slice>,
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
