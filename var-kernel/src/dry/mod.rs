//! A backend that computes nothing: it checks shapes, counts multiply-adds, and by running a model
//! in an [`Arena`](crate::arena::Arena) of lengths finds out how much memory the model wants.

mod judge;

use core::cell::Cell;
use core::convert::Infallible;

use crate::memory::Device;
use crate::ops::attention::{self, Attention, Mask};
use crate::ops::combine::{self, Combine, PlaceDims};
use crate::ops::conv2d::{self, Conv2d};
use crate::ops::cross_entropy::{self, CrossEntropy};
use crate::ops::draw::{self, Draw, Mixture, Settings};
use crate::ops::group_norm::{self, Activation, GroupNorm};
use crate::ops::layer_norm::{self, LayerNorm};
use crate::ops::linear::{self, Epilogue, Linear};
use crate::ops::nearest_code::{self, Distance, NearestCode};
use crate::ops::pool::{self, Pool};
use crate::ops::rectangular_conv2d::{self, RectangularConv2d};
use crate::ops::refine::{self, Change, Codes, Refine, Refinement};
use crate::ops::resize::{self, Resize};
use crate::ops::split_qkv::{self, Normalisation, SplitQkv};
use crate::ops::{Backend, PerRow};

/// Lengths without numbers, as many as anyone asks for: what to make a dry run's arena of.
pub type Lengths = [(); usize::MAX];

/// Stands in for a backend, whose scratch sizes it reports.
pub struct Dry<'b, B> {
    backend: &'b B,
    multiply_adds: Cell<u64>,
    watcher: Option<&'b dyn Fn(Sizes)>,
}

/// An operation whose gradient wants scratch memory.
#[derive(Clone, Copy, Debug)]
pub enum Sizes {
    /// Attention.
    Attention(attention::Dims),
    /// A convolution.
    Conv2d(conv2d::Dims),
    /// Group normalisation.
    GroupNorm(group_norm::Dims),
}

/// A weight matrix that is only a number of weights.
#[derive(Clone, Copy, Debug)]
pub struct DryMatrix(pub usize);

impl<'b, B: Backend> Dry<'b, B> {
    /// A dry run for `backend`.
    pub fn new(backend: &'b B) -> Self {
        Self { backend, multiply_adds: Cell::new(0), watcher: None }
    }

    /// Also tells `watcher` the sizes of operations whose gradients want scratch memory; keys and values
    /// take as much as numbers of `f32`, since their gradients do, which lie in memory of the same form.
    pub fn watched(self, watcher: &'b dyn Fn(Sizes)) -> Self {
        Self { watcher: Some(watcher), ..self }
    }

    fn tell(&self, sizes: Sizes) {
        if let Some(watcher) = self.watcher {
            watcher(sizes);
        }
    }

    /// Multiply-adds of all products so far, by their formulas: what a FLOP count is twice of.
    pub fn multiply_adds(&self) -> u64 {
        self.multiply_adds.get()
    }

    fn count(&self, multiply_adds: u64) -> Result<(), Infallible> {
        self.multiply_adds.set(self.multiply_adds.get() + multiply_adds);
        Ok(())
    }
}

impl<B: Backend> Device for Dry<'_, B> {
    type Slice = [()];
    type Tokens = [()];
    type Matrix<'a> = DryMatrix;
    type Error = Infallible;

    fn upload(&self, to: &mut [()], from: &[f32]) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "upload: lengths differ");
        Ok(())
    }

    fn download(&self, to: &mut [f32], from: &[()]) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "download: lengths differ");
        Ok(())
    }

    fn upload_pictures(&self, to: &mut [()], from: &[u8]) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "upload: lengths differ");
        Ok(())
    }

    fn download_pictures(&self, to: &mut [u8], from: &[()]) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "download: lengths differ");
        Ok(())
    }

    fn tokens_in(run: &mut [()]) -> &mut [()] {
        run
    }

    fn upload_tokens(&self, to: &mut [()], from: &[u32]) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "upload: lengths differ");
        Ok(())
    }

    fn download_tokens(&self, to: &mut [u32], from: &[()]) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "download: lengths differ");
        to.fill(0);
        Ok(())
    }

    fn kept_len(&self, numbers: usize) -> usize {
        if self.watcher.is_some() { numbers } else { self.backend.kept_len(numbers) }
    }

    fn pictures_together(&self) -> usize {
        self.backend.pictures_together()
    }
}

impl<B: Backend> Attention for Dry<'_, B> {
    fn attention(
        &self,
        out: &mut [()],
        q: &[()],
        k: &[()],
        v: &[()],
        _scale: f32,
        mask: Mask<'_>,
        d: attention::Dims,
    ) -> Result<(), Infallible> {
        let numbers = d.batch * d.capacity * d.heads * d.head_width;
        let [k, v] = [k, v].map(|kept| self.kept_numbers(kept.len(), numbers));
        d.check(out.len(), q.len(), k, v, mask);
        self.tell(Sizes::Attention(d));
        self.count(d.multiply_adds())
    }
}

impl<B: Backend> Combine for Dry<'_, B> {
    fn blend(&self, out: &mut [()], a: (&[()], f32), b: (&[()], f32)) -> Result<(), Infallible> {
        assert_eq!([a.0.len(), b.0.len()], [out.len(); 2], "blend: lengths differ");
        Ok(())
    }

    fn add_table(&self, out: &mut [()], x: &[()], table: &[()]) -> Result<(), Infallible> {
        combine::check_table(out.len(), x.len(), table.len());
        Ok(())
    }

    fn gelu(&self, out: &mut [()], x: &[()]) -> Result<(), Infallible> {
        assert_eq!(out.len(), x.len(), "gelu: lengths differ");
        Ok(())
    }

    fn gated(
        &self,
        out: &mut [()],
        residual: &[()],
        x: &[()],
        gate: PerRow<'_, [()]>,
        width: usize,
    ) -> Result<(), Infallible> {
        combine::check_gated(out.len(), residual.len(), x.len(), gate, width);
        Ok(())
    }

    fn scale_rows(&self, out: &mut [()], x: &[()], factors: &[()]) -> Result<(), Infallible> {
        combine::check_scale_rows(out.len(), x.len(), factors.len());
        Ok(())
    }

    fn place_rows(&self, out: &mut [()], x: &[()], d: PlaceDims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }

    fn silu(&self, out: &mut [()], x: &[()]) -> Result<(), Infallible> {
        assert_eq!(out.len(), x.len(), "silu: lengths differ");
        Ok(())
    }

    fn embedding(
        &self,
        out: &mut [()],
        table: &[()],
        indices: &[u32],
        width: usize,
    ) -> Result<(), Infallible> {
        combine::check_embedding(out.len(), table.len(), indices, width);
        Ok(())
    }

    fn codes(
        &self,
        out: &mut [()],
        codebook: &[()],
        tokens: &[()],
        width: usize,
    ) -> Result<(), Infallible> {
        combine::check_codes(out.len(), codebook.len(), tokens.len(), width);
        Ok(())
    }

    fn keep_tokens(
        &self,
        tokens: &mut [()],
        given: &[u32],
        kept: &[bool],
    ) -> Result<(), Infallible> {
        combine::check_kept(tokens.len(), given.len(), kept.len());
        Ok(())
    }

    fn copy(&self, out: &mut [()], x: &[()]) -> Result<(), Infallible> {
        assert_eq!(out.len(), x.len(), "copy: lengths differ");
        Ok(())
    }
}

impl<B: Backend> Conv2d for Dry<'_, B> {
    fn conv2d_scratch(&self, d: conv2d::Dims) -> usize {
        self.backend.conv2d_scratch(d)
    }

    fn conv2d(
        &self,
        out: &mut [()],
        x: &[()],
        weight: DryMatrix,
        bias: &[()],
        residual: Option<&[()]>,
        _scratch: &mut [()],
        d: conv2d::Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.0, bias.len(), residual.map(<[()]>::len));
        self.tell(Sizes::Conv2d(d));
        self.count(d.multiply_adds())
    }
}

impl<B: Backend> CrossEntropy for Dry<'_, B> {
    fn cross_entropy(
        &self,
        out: &mut [()],
        logits: &[()],
        targets: &[u32],
        _smoothing: f32,
    ) -> Result<(), Infallible> {
        cross_entropy::check(out.len(), logits.len(), targets);
        Ok(())
    }
}

impl<B: Backend> Draw for Dry<'_, B> {
    fn draw(
        &self,
        tokens: &mut [()],
        mixture: Option<Mixture<'_, [()]>>,
        logits: &[()],
        unconditional: Option<&[()]>,
        _settings: &Settings<'_>,
        d: draw::Dims,
    ) -> Result<(), Infallible> {
        let lengths = mixture.as_ref().map(|mixture| [mixture.out.len(), mixture.codebook.len()]);
        d.check(tokens.len(), lengths, logits.len(), unconditional.map(<[()]>::len));
        Ok(())
    }
}

impl<B: Backend> GroupNorm for Dry<'_, B> {
    fn group_norm(
        &self,
        out: &mut [()],
        x: &[()],
        weight: &[()],
        bias: &[()],
        _eps: f32,
        _activation: Activation,
        d: group_norm::Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.len(), bias.len());
        self.tell(Sizes::GroupNorm(d));
        Ok(())
    }
}

impl<B: Backend> LayerNorm for Dry<'_, B> {
    fn layer_norm(
        &self,
        out: &mut [()],
        x: &[()],
        scale: PerRow<'_, [()]>,
        shift: PerRow<'_, [()]>,
        _eps: f32,
        d: layer_norm::Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), scale, shift);
        Ok(())
    }
}

impl<B: Backend> Linear for Dry<'_, B> {
    fn linear(
        &self,
        out: &mut [()],
        x: &[()],
        weight: DryMatrix,
        bias: Option<&[()]>,
        _epilogue: Epilogue<'_, [()]>,
        d: linear::Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.0, bias.map(<[()]>::len));
        self.count(d.multiply_adds())
    }
}

impl<B: Backend> NearestCode for Dry<'_, B> {
    fn nearest_code(
        &self,
        tokens: &mut [()],
        x: &[()],
        codebook: &[()],
        _distance: Distance,
        d: nearest_code::Dims,
    ) -> Result<(), Infallible> {
        d.check(tokens.len(), x.len(), codebook.len());
        self.count(d.multiply_adds())
    }
}

impl<B: Backend> Pool for Dry<'_, B> {
    fn max_pool(&self, out: &mut [()], x: &[()], d: pool::Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }

    fn average_pool(&self, out: &mut [()], x: &[()], d: pool::Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }
}

impl<B: Backend + RectangularConv2d> RectangularConv2d for Dry<'_, B> {
    fn rectangular_conv2d_scratch(&self, d: rectangular_conv2d::Dims) -> usize {
        self.backend.rectangular_conv2d_scratch(d)
    }

    fn rectangular_conv2d(
        &self,
        out: &mut [()],
        x: &[()],
        weight: DryMatrix,
        bias: &[()],
        _activation: rectangular_conv2d::Activation,
        _scratch: &mut [()],
        d: rectangular_conv2d::Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.0, bias.len());
        self.count(d.multiply_adds())
    }
}

impl<B: Backend> Refine for Dry<'_, B> {
    fn refine_scratch(&self, d: refine::Dims) -> usize {
        self.backend.refine_scratch(d)
    }

    fn refine(
        &self,
        latents: &mut [()],
        codes: Codes<'_, Self>,
        refinement: Refinement<'_, Self>,
        _change: Change,
        _scratch: &mut [()],
        d: refine::Dims,
    ) -> Result<(), Infallible> {
        let Refinement { weight, bias, ratio } = refinement;
        d.check(latents.len(), codes.lengths(), weight.0, bias.len());
        if ratio == 0.0 { Ok(()) } else { self.count(d.convolution().multiply_adds()) }
    }
}

impl<B: Backend> Resize for Dry<'_, B> {
    fn bicubic(&self, out: &mut [()], x: &[()], d: resize::Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }

    fn area(&self, out: &mut [()], x: &[()], d: resize::Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }
}

impl<B: Backend> SplitQkv for Dry<'_, B> {
    fn split_qkv(
        &self,
        q: &mut [()],
        k: &mut [()],
        v: &mut [()],
        qkv: &[()],
        biases: Option<[&[()]; 2]>,
        normalisation: Normalisation<'_, [()]>,
        d: split_qkv::Dims,
    ) -> Result<(), Infallible> {
        let scale = match normalisation {
            Normalisation::None => None,
            Normalisation::UnitLength { scale } => Some(scale.len()),
        };
        let biases = biases.map(|biases| biases.map(<[()]>::len));
        let numbers = d.batch * d.capacity * d.width();
        let kept = [k.len(), v.len()].map(|length| self.kept_numbers(length, numbers));
        d.check(q.len(), kept, qkv.len(), biases, scale);
        Ok(())
    }
}
