//! The multi-scale residual quantizer: latent ↔ token maps, and the next scale's input.

use crate::arena::Arena;
use crate::memory::{Device, Floats};
use crate::model::config::{Refinement, VqvaeConfig};
use crate::model::weights::{Convolution, FeatureShape, Source};
use crate::ops::conv2d::Grid;
use crate::ops::quantizer_step::{self, Change, Codes};
use crate::ops::{Backend, nearest_code, resize};
use crate::storage::{List, Storage};

/// The multi-scale residual quantizer: a codebook and the refinement convolutions φ (paper,
/// algorithms 1 and 2).
///
/// A latent is `images × side × side × latent` (channels last), `side` the ladder's finest. Tokens
/// lie scale by scale, within a scale image by image, within an image row by row.
///
/// `'l`: the list of refinements; `'w`: the weights.
pub struct Quantizer<'l, 'w, B: Device> {
    config: VqvaeConfig,
    /// `codes × latent`
    pub codebook: &'w B::Slice,
    refinements: List<'l, Convolution<'w, B>>,
}

impl<'l, 'w, B: Device> Quantizer<'l, 'w, B> {
    /// Bytes of [`Storage`] that [`Quantizer::bind`] needs.
    pub fn storage_len(config: &VqvaeConfig) -> usize {
        Storage::len_of::<Convolution<'_, B>>(config.refinements())
    }

    /// Binds a quantizer without its VQVAE to the weights of `source`, names as in the VQVAE's state dict.
    ///
    /// # Errors
    /// The source's, for the first tensor that is missing or of another shape.
    ///
    /// # Panics
    /// If `storage` holds fewer bytes than [`Quantizer::storage_len`].
    pub fn bind<W: Source<'w, B>>(
        source: &mut W,
        config: VqvaeConfig,
        storage: &mut Storage<'l>,
    ) -> Result<Self, W::Error> {
        let refinements = bind_refinements(source, &config, storage)?;
        Self::with_refinements(source, config, refinements)
    }

    /// Takes the codebook from `source`; the refinements are [`bind_refinements`]'s.
    pub(super) fn with_refinements<W: Source<'w, B>>(
        source: &mut W,
        config: VqvaeConfig,
        refinements: List<'l, Convolution<'w, B>>,
    ) -> Result<Self, W::Error> {
        let shape = [config.codes, config.latent];
        let codebook = source.vector(format_args!("quantize.embedding.weight"), &shape)?;
        Ok(Self { config, codebook, refinements })
    }
}

/// Takes the weights of all refinements from `source`.
pub(super) fn bind_refinements<'l, 'w, B: Device, W: Source<'w, B>>(
    source: &mut W,
    config: &VqvaeConfig,
    storage: &mut Storage<'l>,
) -> Result<List<'l, Convolution<'w, B>>, W::Error> {
    let (latent, base) = (config.latent, "quantize.quant_resi");
    let mut refinements = storage.list(config.refinements());
    for number in 0..config.refinements() {
        let mut bind = |name| Convolution::bind(source, name, latent, latent, 3);
        refinements.push(match config.refinement {
            Refinement::Shared => bind(format_args!("{base}.qresi")),
            Refinement::Partial(_) => bind(format_args!("{base}.qresi_ls.{number}")),
            Refinement::PerScale => bind(format_args!("{base}.{number}")),
        }?);
    }
    Ok(refinements)
}

/// Which of `count` refinements serves `scale` of `scales`.
///
/// The refinements stand at `count` points evenly spaced from `1/(3n)` to `1 − 1/(3n)` when n = 4,
/// else from `1/(2n)` to `1 − 1/(2n)`; a scale takes the nearest to `k/(K−1)`, the first of equals.
pub fn refinement_of(scale: usize, scales: usize, count: usize) -> usize {
    let margin = if count == 4 { 1.0 / (3.0 * 4.0) } else { 1.0 / (2.0 * count as f64) };
    let end = 1.0 - margin;
    let step = if count < 2 { 0.0 } else { (end - margin) / (count - 1) as f64 };
    let place = crate::sample::guidance::ratio(scale, scales);
    let mut best = (0, f64::INFINITY);
    for number in 0..count {
        // As NumPy's linspace has it: the last point is the end itself, not start + steps.
        let last = number + 1 == count && count > 1;
        let point = if last { end } else { margin + number as f64 * step };
        let distance = (point - place).abs();
        if distance < best.1 {
            best = (number, distance);
        }
    }
    best.0
}

impl<'w, B: Backend> Quantizer<'_, 'w, B> {
    /// Floats of the latents of `images`.
    pub fn latent_len(&self, images: usize) -> usize {
        images * self.config.ladder.cells(self.config.ladder.scales() - 1) * self.config.latent
    }

    /// Floats of [`Quantizer::teacher_input`] of `images`.
    pub fn teacher_input_len(&self, images: usize) -> usize {
        let VqvaeConfig { ladder, latent, .. } = self.config;
        images * (ladder.length() - ladder.cells(0)) * latent
    }

    /// The φ that serves `scale`.
    fn phi(&self, scale: usize) -> &Convolution<'w, B> {
        let VqvaeConfig { ladder, refinement, .. } = self.config;
        &self.refinements[match refinement {
            Refinement::Shared => 0,
            Refinement::Partial(count) => refinement_of(scale, ladder.scales(), count),
            Refinement::PerScale => scale,
        }]
    }

    /// The contribution of scale `scale` to the latent: its code map enlarged to full size, then
    /// refined; each step in memory of its own, as the backward pass needs them.
    ///
    /// `out = φ(bicubic(map))`; the last scale is not enlarged. `map`: `images × cells(scale) ×
    /// latent`. `out`: latents. The same numbers as [`Quantizer::change`].
    ///
    /// # Errors
    /// Only the device's own.
    pub fn contribution(
        &self,
        b: &B,
        out: &mut B::Slice,
        map: &B::Slice,
        scale: usize,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let VqvaeConfig { ladder, latent, refinement_ratio, .. } = self.config;
        let (side, batch) = (ladder.finest(), map.len() / (ladder.cells(scale) * latent));
        let mut arena = arena.scope();
        let enlarged = if ladder.sides()[scale] == side {
            map
        } else {
            let enlarged = arena.take(out.len());
            let size =
                resize::Dims { batch, from: ladder.sides()[scale], to: side, channels: latent };
            b.bicubic(enlarged, map, size)?;
            enlarged
        };
        if refinement_ratio == 0.0 {
            return b.copy(out, enlarged);
        }
        let refined = arena.take(out.len());
        let maps = FeatureShape { batch, height: side, width: side };
        let refinement = self.phi(scale);
        refinement.forward(b, refined, enlarged, None, Grid::Same, maps, &mut arena)?;
        b.blend(out, (enlarged, 1.0 - refinement_ratio), (refined, refinement_ratio))
    }

    /// Adds the contribution of scale `scale` to latents, or subtracts or stores it: `latents (=, +=, −=) φ(bicubic(codes))`.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn change(
        &self,
        b: &B,
        latents: &mut B::Slice,
        codes: Codes<'_, B>,
        change: Change,
        scale: usize,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let VqvaeConfig { ladder, latent, refinement_ratio, .. } = self.config;
        let batch = latents.len() / self.latent_len(1);
        let (from, to) = (ladder.sides()[scale], ladder.finest());
        let d = quantizer_step::Dims { batch, from, to, channels: latent };
        let scratch = arena.scope().into_scratch(b.quantizer_step_scratch(d));
        let refinement = self.phi(scale).phi(refinement_ratio);
        b.quantizer_step(latents, codes, refinement, change, scratch, d)
    }

    /// Adds scale `scale` to the latents so far: `latents += φ(bicubic(codes))`; scale 0 overwrites them.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn add_scale(
        &self,
        b: &B,
        latents: &mut B::Slice,
        codes: Codes<'_, B>,
        scale: usize,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let change = if scale == 0 { Change::Set } else { Change::Add };
        self.change(b, latents, codes, change, scale, arena)
    }

    /// The transformer's input for scale `scale` > 0: the latents so far, shrunk to its side.
    ///
    /// `out`: `images × cells(scale) × latent`.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn next_input(
        &self,
        b: &B,
        out: &mut B::Slice,
        latents: &B::Slice,
        scale: usize,
    ) -> Result<(), B::Error> {
        let VqvaeConfig { ladder, latent, .. } = self.config;
        let (from, to) = (ladder.finest(), ladder.sides()[scale]);
        let batch = latents.len() / (from * from * latent);
        b.area(out, latents, resize::Dims { batch, from, to, channels: latent })
    }

    /// Latents → tokens, coarsest scale first; each scale quantizes the residual of those before.
    ///
    /// `tokens`: `images · L`.
    ///
    /// # Errors
    /// Only the device's own.
    pub fn encode(
        &self,
        b: &B,
        tokens: &mut [u32],
        latents: &B::Slice,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let VqvaeConfig { ladder, latent, codes, distance, .. } = self.config;
        let images = latents.len() / self.latent_len(1);
        let mut arena = arena.scope();
        let rest = arena.take(latents.len());
        let map = arena.take(latents.len());
        let found = B::tokens_in(arena.take(tokens.len()));
        b.capture(&mut || {
            b.copy(rest, latents)?;
            for scale in 0..ladder.scales() {
                let (rows, range) = (images * ladder.cells(scale), ladder.range(scale));
                let here = found.range_mut(images * range.start..images * range.end);
                let map = map.range_mut(0..rows * latent);
                if scale + 1 == ladder.scales() {
                    b.copy(map, rest)?;
                } else {
                    self.next_input(b, map, rest, scale)?;
                }
                let size = nearest_code::Dims { rows, codes, width: latent };
                b.nearest_code(here, map, self.codebook, distance, size)?;
                let codes = Codes::Tokens { codebook: self.codebook, tokens: here };
                self.change(b, rest, codes, Change::Subtract, scale, &mut arena)?;
            }
            Ok(())
        })?;
        b.download_tokens(tokens, found)
    }

    /// Tokens of all scales → latents, telling `each` the latents after every scale.
    ///
    /// # Errors
    /// Those of the device, or of `each`.
    pub fn decode(
        &self,
        b: &B,
        latents: &mut B::Slice,
        tokens: &[u32],
        arena: &mut Arena<'_, B::Slice>,
        mut each: impl FnMut(usize, &B::Slice, &mut Arena<'_, B::Slice>) -> Result<(), B::Error>,
    ) -> Result<(), B::Error> {
        let VqvaeConfig { ladder, latent, .. } = self.config;
        let images = tokens.len() / ladder.length();
        let mut arena = arena.scope();
        let map = arena.take(images * ladder.cells(ladder.scales() - 1) * latent);
        let mut tokens = tokens;
        for scale in 0..ladder.scales() {
            let (here, later) = tokens.split_at(images * ladder.cells(scale));
            let map = map.range_mut(0..here.len() * latent);
            b.embedding(map, self.codebook, here, latent)?;
            self.add_scale(b, latents, Codes::Map(map), scale, &mut arena)?;
            each(scale, latents, &mut arena)?;
            tokens = later;
        }
        Ok(())
    }

    /// The transformer's input for all scales but the first, from the tokens of all but the last.
    ///
    /// `tokens`: `images · L`. `out`: for each scale from the second on `images × cells(scale) ×
    /// latent`, in order.
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If `out` is of another length.
    pub fn teacher_input(
        &self,
        b: &B,
        out: &mut B::Slice,
        tokens: &[u32],
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let VqvaeConfig { ladder, latent, .. } = self.config;
        let (images, first) = (tokens.len() / ladder.length(), ladder.cells(0));
        let wanted = self.teacher_input_len(images);
        assert_eq!(out.len(), wanted, "teacher input: {wanted} floats wanted");
        let at = |cell: usize| images * (cell - first) * latent;
        let mut arena = arena.scope();
        let latents = arena.take(self.latent_len(images));
        self.decode(b, latents, tokens, &mut arena, |scale, latents, _| {
            let next = scale + 1;
            if next == ladder.scales() {
                return Ok(());
            }
            let range = ladder.range(next);
            self.next_input(b, out.range_mut(at(range.start)..at(range.end)), latents, next)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::refinement_of;

    #[test]
    fn four_refinements_share_ten_scales() {
        let of = core::array::from_fn(|scale| refinement_of(scale, 10, 4));
        assert_eq!(of, [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]);
    }
}
