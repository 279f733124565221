//! One block: attention and feed-forward network, each scaled, shifted and gated by the condition.

use crate::arena::Arena;
use crate::memory::{Device, Floats};
use crate::model::config::VarConfig;
use crate::model::weights::{Projection, Source};
use crate::ops::attention::{self, Mask};
use crate::ops::linear::Epilogue;
use crate::ops::split_qkv::{self, Normalization};
use crate::ops::{Backend, PerRow, layer_norm};

/// LayerNorm's epsilon.
pub(crate) const EPS: f32 = 1e-6;

/// Parts of a block's modulation, in the order of its projection.
#[derive(Clone, Copy)]
enum ModulationPart {
    AttentionGate,
    FeedForwardGate,
    AttentionScale,
    FeedForwardScale,
    AttentionShift,
    FeedForwardShift,
}

/// How many parts a block's modulation has.
pub(crate) const PARTS: usize = 6;

/// Which rows go through the blocks together.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    /// Sequences: one for each condition.
    pub batch: usize,
    /// Rows of each sequence in this pass.
    pub rows: usize,
    /// Rows of each sequence in the cache before.
    pub start: usize,
    /// Rows of each sequence there is room for in the cache.
    pub capacity: usize,
    /// Which rows a row sees, of those before and in this pass.
    pub mask: Mask<'a>,
}

/// A block's weights.
pub struct Block<'a, B: Device> {
    qkv: Projection<'a, B>,
    q_bias: &'a B::Slice,
    v_bias: &'a B::Slice,
    query_scale: Option<&'a B::Slice>,
    projection: Projection<'a, B>,
    expand: Projection<'a, B>,
    contract: Projection<'a, B>,
    modulation: Modulation<'a, B>,
}

/// Where a block's six parts come from.
enum Modulation<'a, B: Device> {
    /// Its own projection of the condition.
    Own(Projection<'a, B>),
    /// Its own term beside the projection all blocks share (`ada_gss`).
    Shared(&'a B::Slice),
}

impl<'a, B: Device> Block<'a, B> {
    /// Takes the weights of block `number` from `source`.
    pub(super) fn bind<W: Source<'a, B>>(
        source: &mut W,
        config: &VarConfig,
        number: usize,
    ) -> Result<Self, W::Error> {
        let VarConfig { width, heads, hidden, .. } = *config;
        let (attn, ffn) =
            (format_args!("blocks.{number}.attn"), format_args!("blocks.{number}.ffn"));
        let query_scale = if config.unit_length {
            Some(source.vector(format_args!("{attn}.scale_mul_1H11"), &[1, heads, 1, 1])?)
        } else {
            None
        };
        let modulation = if config.shared_modulation {
            let shape = [1, 1, PARTS, width];
            Modulation::Shared(source.vector(format_args!("blocks.{number}.ada_gss"), &shape)?)
        } else {
            let name = format_args!("blocks.{number}.ada_lin.1");
            Modulation::Own(Projection::bind(source, name, PARTS * width, width)?)
        };
        let qkv_weight = format_args!("{attn}.mat_qkv.weight");
        Ok(Self {
            qkv: Projection::bind_without_bias(source, qkv_weight, 3 * width, width)?,
            q_bias: source.vector(format_args!("{attn}.q_bias"), &[width])?,
            v_bias: source.vector(format_args!("{attn}.v_bias"), &[width])?,
            query_scale,
            projection: Projection::bind(source, format_args!("{attn}.proj"), width, width)?,
            expand: Projection::bind(source, format_args!("{ffn}.fc1"), hidden, width)?,
            contract: Projection::bind(source, format_args!("{ffn}.fc2"), width, hidden)?,
            modulation,
        })
    }
}

impl<B: Backend> Block<'_, B> {
    /// The six parts for each condition: `out` of `rows × PARTS·width`.
    ///
    /// `active`: SiLU of the class embeddings. `shared`: the projection all blocks share, if they do.
    pub(crate) fn modulate(
        &self,
        b: &B,
        out: &mut B::Slice,
        active: &B::Slice,
        shared: Option<&B::Slice>,
        rows: usize,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        match (&self.modulation, shared) {
            (Modulation::Own(projection), _) => {
                projection.forward(b, out, active, rows, Epilogue::None, arena)
            }
            (Modulation::Shared(own), Some(shared)) => b.add_table(out, shared, own),
            (Modulation::Shared(_), None) => {
                unreachable!("blocks and transformer are bound with one configuration")
            }
        }
    }

    /// One block.
    ///
    /// `x' = x + gate₁ · attention(LN(x)·(1 + scale₁) + shift₁)`,
    /// `out = x' + gate₂ · ffn(LN(x')·(1 + scale₂) + shift₂)`
    ///
    /// `x`, `out`: `batch × rows × width`. `cache`: keys then values, each `batch × capacity × width`
    /// numbers as the device keeps them ([`kv_len`](crate::ops::Attention::kv_len)).
    /// `modulation`: `batch × PARTS·width`.
    pub(crate) fn forward(
        &self,
        b: &B,
        out: &mut B::Slice,
        x: &B::Slice,
        cache: &mut B::Slice,
        modulation: &B::Slice,
        config: &VarConfig,
        pass: Pass<'_>,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let (channels, rows) = (config.width, pass.batch * pass.rows);
        let part = |part: ModulationPart| PerRow {
            table: modulation,
            start: part as usize * channels,
            stride: PARTS * channels,
            rows: pass.rows,
        };
        let size = layer_norm::Dims { rows, channels };
        let mut arena = arena.scope();
        let after = arena.take(x.len());
        {
            let mut arena = arena.scope();
            let attended = arena.take(x.len());
            {
                let mut arena = arena.scope();
                let normal = arena.take(x.len());
                let (scale, shift) =
                    (part(ModulationPart::AttentionScale), part(ModulationPart::AttentionShift));
                b.layer_norm(normal, x, scale, shift, EPS, size)?;
                self.attend(b, attended, normal, cache, config, pass, &mut arena)?;
            }
            let epilogue =
                Epilogue::Gated { residual: x, gate: part(ModulationPart::AttentionGate) };
            self.projection.forward(b, after, attended, rows, epilogue, &mut arena)?;
        }
        let normal = arena.take(x.len());
        let (scale, shift) =
            (part(ModulationPart::FeedForwardScale), part(ModulationPart::FeedForwardShift));
        b.layer_norm(normal, after, scale, shift, EPS, size)?;
        let hidden = arena.take(rows * config.hidden);
        self.expand.forward(b, hidden, normal, rows, Epilogue::Gelu, &mut arena)?;
        let epilogue =
            Epilogue::Gated { residual: after, gate: part(ModulationPart::FeedForwardGate) };
        self.contract.forward(b, out, hidden, rows, epilogue, &mut arena)
    }

    /// Attention of the rows of this pass over the cache and themselves, before the projection.
    fn attend(
        &self,
        b: &B,
        out: &mut B::Slice,
        x: &B::Slice,
        cache: &mut B::Slice,
        config: &VarConfig,
        pass: Pass<'_>,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let Pass { batch, rows, start, capacity, mask } = pass;
        let (heads, head_width) = (config.heads, config.head_width());
        let qkv = arena.take(3 * x.len());
        self.qkv.forward(b, qkv, x, batch * rows, Epilogue::None, arena)?;

        let (normalization, scale) = match self.query_scale {
            Some(scale) => (Normalization::UnitLength { scale }, 1.0),
            // The reference's own factor for attention that is not normalized.
            None => (Normalization::None, 0.25 / libm::sqrtf(head_width as f32)),
        };
        let q = arena.take(x.len());
        let (k, v) = cache.split_at_mut(b.kv_len(batch * capacity * config.width));
        let size = split_qkv::Dims { batch, rows, heads, head_width, start, capacity };
        b.split_qkv(q, k, v, qkv, Some([self.q_bias, self.v_bias]), normalization, size)?;

        let (queries, keys) = (rows, start + rows);
        let size = attention::Dims { batch, heads, head_width, queries, keys, capacity };
        b.attention(out, q, k, v, scale, mask, size)
    }
}
