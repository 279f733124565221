//! A backend that computes nothing: it checks shapes, counts multiply-adds, and by running a model
//! in an [`Arena`](crate::arena::Arena) of lengths finds out how much memory the model wants.

mod judge;

use core::cell::Cell;
use core::convert::Infallible;
use core::marker::PhantomData;

use crate::memory::{Device, Floats};
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
use crate::remote::Places;

/// The memory of a dry run's arena: lengths without numbers, without a limit.
pub type Lengths = [(); usize::MAX];

/// Stands in for a backend and reports its scratch sizes; its runs are lengths, or places too.
pub struct Dry<'b, B, S: ?Sized = [()]> {
    backend: &'b B,
    multiply_adds: Cell<u64>,
    runs: PhantomData<fn(&S)>,
}

/// A weight matrix that is only a number of weights.
#[derive(Clone, Copy, Debug)]
pub struct DryMatrix(pub usize);

impl<'b, B: Backend> Dry<'b, B> {
    /// A dry run for `backend`.
    pub fn new(backend: &'b B) -> Self {
        Self { backend, multiply_adds: Cell::new(0), runs: PhantomData }
    }
}

impl<'b, B: Backend> Dry<'b, B, Places> {
    /// The same where it can be told where each run lies.
    pub fn with_places(backend: &'b B) -> Self {
        Self { backend, multiply_adds: Cell::new(0), runs: PhantomData }
    }
}

impl<B, S: ?Sized> Dry<'_, B, S> {
    /// Multiply-adds of all products so far, by their formulas: half the FLOP count.
    pub fn multiply_adds(&self) -> u64 {
        self.multiply_adds.get()
    }

    fn count(&self, multiply_adds: u64) -> Result<(), Infallible> {
        self.multiply_adds.set(self.multiply_adds.get() + multiply_adds);
        Ok(())
    }
}

impl<B: Backend, S: Floats + ?Sized + 'static> Device for Dry<'_, B, S> {
    type Slice = S;
    type Tokens = S;
    type Matrix<'a> = DryMatrix;
    type Error = Infallible;

    fn upload(&self, to: &mut S, from: &[f32]) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "upload: lengths differ");
        Ok(())
    }

    fn download(&self, to: &mut [f32], from: &S) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "download: lengths differ");
        Ok(())
    }

    fn upload_pictures(&self, to: &mut S, from: &[u8]) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "upload: lengths differ");
        Ok(())
    }

    fn download_pictures(&self, to: &mut [u8], from: &S) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "download: lengths differ");
        Ok(())
    }

    fn tokens_in(run: &mut S) -> &mut S {
        run
    }

    fn upload_tokens(&self, to: &mut S, from: &[u32]) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "upload: lengths differ");
        Ok(())
    }

    fn download_tokens(&self, to: &mut [u32], from: &S) -> Result<(), Infallible> {
        assert_eq!(to.len(), from.len(), "download: lengths differ");
        to.fill(0);
        Ok(())
    }

    fn kept_len(&self, numbers: usize) -> usize {
        self.backend.kept_len(numbers)
    }

    fn pictures_together(&self) -> usize {
        self.backend.pictures_together()
    }
}

impl<B: Backend, S: Floats + ?Sized + 'static> Attention for Dry<'_, B, S> {
    fn attention(
        &self,
        out: &mut S,
        q: &S,
        k: &S,
        v: &S,
        _scale: f32,
        mask: Mask<'_>,
        d: attention::Dims,
    ) -> Result<(), Infallible> {
        let numbers = d.batch * d.capacity * d.heads * d.head_width;
        let [k, v] = [k, v].map(|kept| self.kept_numbers(kept.len(), numbers));
        d.check(out.len(), q.len(), k, v, mask);
        self.count(d.multiply_adds())
    }
}

impl<B: Backend, S: Floats + ?Sized + 'static> Combine for Dry<'_, B, S> {
    fn blend(&self, out: &mut S, a: (&S, f32), b: (&S, f32)) -> Result<(), Infallible> {
        assert_eq!([a.0.len(), b.0.len()], [out.len(); 2], "blend: lengths differ");
        Ok(())
    }

    fn add_table(&self, out: &mut S, x: &S, table: &S) -> Result<(), Infallible> {
        combine::check_table(out.len(), x.len(), table.len());
        Ok(())
    }

    fn gelu(&self, out: &mut S, x: &S) -> Result<(), Infallible> {
        assert_eq!(out.len(), x.len(), "gelu: lengths differ");
        Ok(())
    }

    fn gated(
        &self,
        out: &mut S,
        residual: &S,
        x: &S,
        gate: PerRow<'_, S>,
        width: usize,
    ) -> Result<(), Infallible> {
        combine::check_gated(out.len(), residual.len(), x.len(), gate, width);
        Ok(())
    }

    fn scale_rows(&self, out: &mut S, x: &S, factors: &S) -> Result<(), Infallible> {
        combine::check_scale_rows(out.len(), x.len(), factors.len());
        Ok(())
    }

    fn place_rows(&self, out: &mut S, x: &S, d: PlaceDims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }

    fn silu(&self, out: &mut S, x: &S) -> Result<(), Infallible> {
        assert_eq!(out.len(), x.len(), "silu: lengths differ");
        Ok(())
    }

    fn embedding(
        &self,
        out: &mut S,
        table: &S,
        indices: &[u32],
        width: usize,
    ) -> Result<(), Infallible> {
        combine::check_embedding(out.len(), table.len(), indices, width);
        Ok(())
    }

    fn codes(&self, out: &mut S, codebook: &S, tokens: &S, width: usize) -> Result<(), Infallible> {
        combine::check_codes(out.len(), codebook.len(), tokens.len(), width);
        Ok(())
    }

    fn keep_tokens(&self, tokens: &mut S, given: &[u32], kept: &[bool]) -> Result<(), Infallible> {
        combine::check_kept(tokens.len(), given.len(), kept.len());
        Ok(())
    }

    fn copy(&self, out: &mut S, x: &S) -> Result<(), Infallible> {
        assert_eq!(out.len(), x.len(), "copy: lengths differ");
        Ok(())
    }
}

impl<B: Backend, S: Floats + ?Sized + 'static> Conv2d for Dry<'_, B, S> {
    fn conv2d_scratch(&self, d: conv2d::Dims) -> usize {
        self.backend.conv2d_scratch(d)
    }

    fn conv2d(
        &self,
        out: &mut S,
        x: &S,
        weight: DryMatrix,
        bias: &S,
        residual: Option<&S>,
        _scratch: &mut S,
        d: conv2d::Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.0, bias.len(), residual.map(S::len));
        self.count(d.multiply_adds())
    }
}

impl<B: Backend, S: Floats + ?Sized + 'static> CrossEntropy for Dry<'_, B, S> {
    fn cross_entropy(
        &self,
        out: &mut S,
        logits: &S,
        targets: &[u32],
        _smoothing: f32,
    ) -> Result<(), Infallible> {
        cross_entropy::check(out.len(), logits.len(), targets);
        Ok(())
    }

    fn most_likely(&self, tokens: &mut S, logits: &S) -> Result<(), Infallible> {
        cross_entropy::check_rows(tokens.len(), logits.len());
        Ok(())
    }
}

impl<B: Backend, S: Floats + ?Sized + 'static> Draw for Dry<'_, B, S> {
    fn draw(
        &self,
        tokens: &mut S,
        mixture: Option<Mixture<'_, S>>,
        logits: &S,
        unconditional: Option<&S>,
        _settings: &Settings<'_>,
        d: draw::Dims,
    ) -> Result<(), Infallible> {
        let lengths = mixture.as_ref().map(|mixture| [mixture.out.len(), mixture.codebook.len()]);
        d.check(tokens.len(), lengths, logits.len(), unconditional.map(S::len));
        Ok(())
    }
}

impl<B: Backend, S: Floats + ?Sized + 'static> GroupNorm for Dry<'_, B, S> {
    fn group_norm(
        &self,
        out: &mut S,
        x: &S,
        weight: &S,
        bias: &S,
        _eps: f32,
        _activation: Activation,
        d: group_norm::Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.len(), bias.len());
        Ok(())
    }
}

impl<B: Backend, S: Floats + ?Sized + 'static> LayerNorm for Dry<'_, B, S> {
    fn layer_norm(
        &self,
        out: &mut S,
        x: &S,
        scale: PerRow<'_, S>,
        shift: PerRow<'_, S>,
        _eps: f32,
        d: layer_norm::Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), scale, shift);
        Ok(())
    }
}

impl<B: Backend, S: Floats + ?Sized + 'static> Linear for Dry<'_, B, S> {
    fn linear(
        &self,
        out: &mut S,
        x: &S,
        weight: DryMatrix,
        bias: Option<&S>,
        _epilogue: Epilogue<'_, S>,
        d: linear::Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.0, bias.map(S::len));
        self.count(d.multiply_adds())
    }
}

impl<B: Backend, S: Floats + ?Sized + 'static> NearestCode for Dry<'_, B, S> {
    fn nearest_code(
        &self,
        tokens: &mut S,
        x: &S,
        codebook: &S,
        _distance: Distance,
        d: nearest_code::Dims,
    ) -> Result<(), Infallible> {
        d.check(tokens.len(), x.len(), codebook.len());
        self.count(d.multiply_adds())
    }
}

impl<B: Backend, S: Floats + ?Sized + 'static> Pool for Dry<'_, B, S> {
    fn max_pool(&self, out: &mut S, x: &S, d: pool::Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }

    fn average_pool(&self, out: &mut S, x: &S, d: pool::Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }
}

impl<B: Backend + RectangularConv2d, S: Floats + ?Sized + 'static> RectangularConv2d
    for Dry<'_, B, S>
{
    fn rectangular_conv2d_scratch(&self, d: rectangular_conv2d::Dims) -> usize {
        self.backend.rectangular_conv2d_scratch(d)
    }

    fn rectangular_conv2d(
        &self,
        out: &mut S,
        x: &S,
        weight: DryMatrix,
        bias: &S,
        _activation: rectangular_conv2d::Activation,
        _scratch: &mut S,
        d: rectangular_conv2d::Dims,
    ) -> Result<(), Infallible> {
        d.check(out.len(), x.len(), weight.0, bias.len());
        self.count(d.multiply_adds())
    }
}

impl<B: Backend, S: Floats + ?Sized + 'static> Refine for Dry<'_, B, S> {
    fn refine_scratch(&self, d: refine::Dims) -> usize {
        self.backend.refine_scratch(d)
    }

    fn refine(
        &self,
        latents: &mut S,
        codes: Codes<'_, Self>,
        refinement: Refinement<'_, Self>,
        _change: Change,
        _scratch: &mut S,
        d: refine::Dims,
    ) -> Result<(), Infallible> {
        let Refinement { weight, bias, ratio } = refinement;
        d.check(latents.len(), codes.lengths(), weight.0, bias.len());
        if ratio == 0.0 { Ok(()) } else { self.count(d.convolution().multiply_adds()) }
    }
}

impl<B: Backend, S: Floats + ?Sized + 'static> Resize for Dry<'_, B, S> {
    fn bicubic(&self, out: &mut S, x: &S, d: resize::Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }

    fn area(&self, out: &mut S, x: &S, d: resize::Dims) -> Result<(), Infallible> {
        d.check(out.len(), x.len());
        Ok(())
    }
}

impl<B: Backend, S: Floats + ?Sized + 'static> SplitQkv for Dry<'_, B, S> {
    fn split_qkv(
        &self,
        q: &mut S,
        k: &mut S,
        v: &mut S,
        qkv: &S,
        biases: Option<[&S; 2]>,
        normalisation: Normalisation<'_, S>,
        d: split_qkv::Dims,
    ) -> Result<(), Infallible> {
        let scale = match normalisation {
            Normalisation::None => None,
            Normalisation::UnitLength { scale } => Some(scale.len()),
        };
        let biases = biases.map(|biases| biases.map(S::len));
        let numbers = d.batch * d.capacity * d.width();
        let kept = [k.len(), v.len()].map(|length| self.kept_numbers(length, numbers));
        d.check(q.len(), kept, qkv.len(), biases, scale);
        Ok(())
    }
}
