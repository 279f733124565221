//! The transformer: token maps so far → logits of the next.
//!
//! One forward for sampling (one scale at a time over a cache) and for scoring and training (all
//! scales in one pass under a mask): [`Transformer::predict`].

pub mod block;
pub mod condition;
mod project;
mod shared;

use crate::arena::Arena;
use crate::memory::{Device, Floats};
use crate::model::config::VarConfig;
use crate::model::weights::{Projection, Source};
use crate::ops::attention::Mask;
use crate::ops::elementwise::PlaceDims;
use crate::ops::linear::Epilogue;
use crate::ops::{Backend, layer_norm};
use crate::storage::{List, Storage};

use block::EPS;
pub use block::{Block, Pass};
pub use condition::Conditions;

/// A transformer's weights, and its forward pass.
///
/// `'l`: the list of blocks; `'w`: the weights.
pub struct Transformer<'l, 'w, B: Device> {
    /// Its sizes.
    pub config: VarConfig,
    blocks: List<'l, Block<'w, B>>,
    class_embedding: &'w B::Slice,
    start: &'w B::Slice,
    positions: &'w B::Slice,
    levels: &'w B::Slice,
    word_embedding: Projection<'w, B>,
    shared_modulation: Option<Projection<'w, B>>,
    head_modulation: Projection<'w, B>,
    head: Projection<'w, B>,
}

impl<'l, 'w, B: Device> Transformer<'l, 'w, B> {
    /// Bytes of [`Storage`] that [`Transformer::bind`] needs.
    pub fn storage_len(config: &VarConfig) -> usize {
        Storage::len_of::<Block<'_, B>>(config.depth)
    }

    /// Binds a transformer to the weights of `source`, names as in its state dict.
    ///
    /// # Errors
    /// The source's, for the first tensor that is missing or of another shape.
    ///
    /// # Panics
    /// If `storage` holds fewer bytes than [`Transformer::storage_len`].
    pub fn bind<W: Source<'w, B>>(
        source: &mut W,
        config: VarConfig,
        storage: &mut Storage<'l>,
    ) -> Result<Self, W::Error> {
        let VarConfig { depth, width, classes, codes, latent, ladder, .. } = config;
        let mut blocks = storage.list(depth);
        for number in 0..depth {
            blocks.push(Block::bind(source, &config, number)?);
        }
        let (first, length) = (ladder.cells(0), ladder.length());
        let shared_modulation = if config.shared_modulation {
            Some(Projection::bind(source, format_args!("shared_ada_lin.1"), 6 * width, width)?)
        } else {
            None
        };
        let head_modulation =
            Projection::bind(source, format_args!("head_nm.ada_lin.1"), 2 * width, width)?;
        Ok(Self {
            config,
            blocks,
            class_embedding: source
                .vector(format_args!("class_emb.weight"), &[classes + 1, width])?,
            start: source.vector(format_args!("pos_start"), &[1, first, width])?,
            positions: source.vector(format_args!("pos_1LC"), &[1, length, width])?,
            levels: source.vector(format_args!("lvl_embed.weight"), &[ladder.scales(), width])?,
            word_embedding: Projection::bind(source, format_args!("word_embed"), width, latent)?,
            shared_modulation,
            head_modulation,
            head: Projection::bind(source, format_args!("head"), codes, width)?,
        })
    }
}

impl<B: Backend> Transformer<'_, '_, B> {
    /// The embedding of no class.
    fn null_embedding(&self) -> &B::Slice {
        let (null, width) = (self.config.classes, self.config.width);
        self.class_embedding.range(null * width..(null + 1) * width)
    }

    /// Rows of the first scale, from the class alone.
    ///
    /// `out[n, i] = class[n] + start[i] + (position[i] + level[0])`
    ///
    /// `out`: `labels × cells(0) × width`.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn embed_class(
        &self,
        b: &B,
        out: &mut B::Slice,
        conditions: &Conditions<'_, B>,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let (width, rows) = (self.config.width, conditions.rows());
        let map = self.config.ladder.cells(0) * width;
        let mut arena = arena.scope();
        let table = arena.take(map);
        self.place(b, table, 0)?;
        for row in 0..rows {
            let mut arena = arena.scope();
            let started = arena.take(map);
            let class = conditions.classes.range(row * width..(row + 1) * width);
            b.add_table(started, self.start, class)?;
            b.add_table(out.range_mut(row * map..(row + 1) * map), started, table)?;
        }
        Ok(())
    }

    /// Input rows of scale `scale` > 0, from the quantizer's next input.
    ///
    /// `out[n, i] = word_embedding(input[n, i]) + (position[i] + level[scale])`
    ///
    /// `input`: `images × cells(scale) × latent`. `out`: `images × cells(scale) × width`.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn embed_tokens(
        &self,
        b: &B,
        out: &mut B::Slice,
        input: &B::Slice,
        scale: usize,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let mut arena = arena.scope();
        let table = arena.take(self.config.ladder.cells(scale) * self.config.width);
        self.place(b, table, scale)?;
        let rows = input.len() / self.config.latent;
        self.word_embedding.forward(b, out, input, rows, Epilogue::Plus { table }, &mut arena)
    }

    /// `table[i] = position[i] + level[scale]` for the cells of `scale`.
    fn place(&self, b: &B, table: &mut B::Slice, scale: usize) -> Result<(), B::Error> {
        let (width, range) = (self.config.width, self.config.ladder.range(scale));
        let positions = self.positions.range(range.start * width..range.end * width);
        b.add_table(table, positions, self.levels.range(scale * width..(scale + 1) * width))
    }

    /// All blocks: `x` in; returns the run that holds the output, `x` or one from `arena`.
    ///
    /// `x`: `batch × rows × width` as `pass` says. `cache`: [`Transformer::cache_len`] floats, in
    /// which each block keeps the keys and values of `pass.capacity` rows for each sequence.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn predict<'m>(
        &self,
        b: &B,
        x: &'m mut B::Slice,
        cache: &mut B::Slice,
        conditions: &Conditions<'_, B>,
        pass: Pass<'_>,
        arena: &mut Arena<'m, B::Slice>,
    ) -> Result<&'m mut B::Slice, B::Error> {
        let (length, kept) = (x.len(), cache.len() / self.blocks.len());
        let (mut current, mut spent) = (x, None);
        for (number, block) in self.blocks.iter().enumerate() {
            let next = match spent {
                Some(spent) => arena.instead_of(spent, length),
                None => arena.take(length),
            };
            let cache = cache.range_mut(number * kept..(number + 1) * kept);
            let modulation = conditions.of_block(number);
            let (mut segment, start) = arena.segment();
            start.into_iter().for_each(|start| b.begin_segment(start));
            block.forward(b, next, current, cache, modulation, &self.config, pass, &mut segment)?;
            start.into_iter().for_each(|_| b.end_segment());
            spent = Some(core::mem::replace(&mut current, next));
        }
        Ok(current)
    }

    /// Teacher-forced logits of every cell of the first `scales` scales in one pass, for training and
    /// scoring.
    ///
    /// `input`: scale by scale from the second on, [`Quantizer::teacher_input`], `images ×
    /// cells(scale) × latent` each. `logits`: `images × L' × codes`, L' the cells of those scales.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If a slice is of another length or there are no such scales.
    ///
    /// [`Quantizer::teacher_input`]: crate::model::Quantizer::teacher_input
    pub fn teacher_forced(
        &self,
        b: &B,
        logits: &mut B::Slice,
        input: &B::Slice,
        conditions: &Conditions<'_, B>,
        scales: usize,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let VarConfig { width, latent, ladder, .. } = self.config;
        let (images, length) = (conditions.rows(), ladder.range(scales - 1).end);
        let first = ladder.cells(0);
        assert_eq!(input.len(), images * (length - first) * latent, "input is not all scales'");
        let mut arena = arena.scope();
        let x = arena.take(images * length * width);
        for scale in 0..scales {
            let range = ladder.range(scale);
            let mut arena = arena.scope();
            let rows = arena.take(images * range.len() * width);
            if scale == 0 {
                self.embed_class(b, rows, conditions, &mut arena)?;
            } else {
                let at = |cell: usize| images * (cell - first) * latent;
                let input = input.range(at(range.start)..at(range.end));
                self.embed_tokens(b, rows, input, scale, &mut arena)?;
            }
            let (part, start) = (range.len() * width, range.start * width);
            let d = PlaceDims { rows: images, width: part, stride: length * width, start };
            b.place_rows(x, rows, d)?;
        }
        let cache = arena.take(self.cache_len(b, images, length));
        let mask = Mask::UpToScale(&ladder.ends()[..scales]);
        let pass = Pass { batch: images, rows: length, start: 0, capacity: length, mask };
        let x = self.predict(b, x, cache, conditions, pass, &mut arena)?;
        self.head(b, logits, x, conditions, length, &mut arena)
    }

    /// Logits of rows that have passed all blocks.
    ///
    /// `logits = head(LN(x)·(1 + scale) + shift)`, scale and shift from the condition.
    ///
    /// `x`: `rows × width`, `rows` a multiple of `each`, the rows that share a condition, those of
    /// the first conditions first. `logits`: `rows × codes`.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn head(
        &self,
        b: &B,
        logits: &mut B::Slice,
        x: &B::Slice,
        conditions: &Conditions<'_, B>,
        each: usize,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let channels = self.config.width;
        let rows = x.len() / channels;
        let mut arena = arena.scope();
        let normal = arena.take(x.len());
        let part = |number| conditions.of_head(number, each);
        let d = layer_norm::Dims { rows, channels };
        b.layer_norm(normal, x, part(0), part(1), EPS, d)?;
        self.head.forward(b, logits, normal, rows, Epilogue::None, &mut arena)
    }

    /// Floats of keys and values for `batch` sequences of `capacity` rows.
    pub fn cache_len(&self, b: &B, batch: usize, capacity: usize) -> usize {
        self.config.depth * 2 * b.kv_len(batch * capacity * self.config.width)
    }
}
