//! Where weights come from, and the two kinds of layer that hold most of them.

use core::fmt;

use crate::arena::Arena;
use crate::memory::{Device, Floats};
use crate::ops::Backend;
use crate::ops::conv2d::{self, ConvEpilogue, Grid};
use crate::ops::elementwise::Unary;
use crate::ops::linear::{self, Epilogue};
use crate::ops::quantizer_step::Phi;

/// A source of weights by name: a checkpoint, or a list of a model's tensors.
///
/// Binding a model to a source is the one place where its tensors' names and shapes are written.
///
/// ```
/// use core::{convert::Infallible, fmt};
/// use var_kernel::{Cpu, Matrix, Source};
///
/// static WEIGHTS: [f32; 1 << 16] = [0.01; 1 << 16];
///
/// /// The same value in every tensor.
/// struct Constant;
///
/// impl<'w> Source<'w, Cpu<'_>> for Constant {
///     type Error = Infallible;
///
///     fn matrix(&mut self, _: fmt::Arguments, shape: &[usize]) -> Result<Matrix<'w>, Infallible> {
///         Ok(Matrix::F32(&WEIGHTS[..shape.iter().product()]))
///     }
///
///     fn vector(&mut self, _: fmt::Arguments, shape: &[usize]) -> Result<&'w [f32], Infallible> {
///         Ok(&WEIGHTS[..shape.iter().product()])
///     }
/// }
/// ```
pub trait Source<'a, B: Device> {
    /// A missing or unusable tensor.
    type Error;

    /// The tensor `name` as a matrix in its stored format; all dimensions but the first are one row.
    ///
    /// # Errors
    /// If it is missing or of another shape.
    fn matrix(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<B::Matrix<'a>, Self::Error>;

    /// The tensor `name` as `f32`.
    ///
    /// # Errors
    /// If it is missing or of another shape.
    fn vector(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<&'a B::Slice, Self::Error>;
}

/// A linear layer.
pub struct Projection<'a, B: Device> {
    weight: B::Matrix<'a>,
    bias: Option<&'a B::Slice>,
    inner: usize,
    outer: usize,
}

impl<'a, B: Device> Projection<'a, B> {
    /// `name.weight` of `outer × inner` and `name.bias`.
    pub(crate) fn bind<W: Source<'a, B>>(
        source: &mut W,
        name: fmt::Arguments<'_>,
        outer: usize,
        inner: usize,
    ) -> Result<Self, W::Error> {
        let bias = Some(source.vector(format_args!("{name}.bias"), &[outer])?);
        Ok(Self {
            bias,
            ..Self::bind_without_bias(source, format_args!("{name}.weight"), outer, inner)?
        })
    }

    /// The tensor `weight` of `outer × inner`.
    pub(crate) fn bind_without_bias<W: Source<'a, B>>(
        source: &mut W,
        weight: fmt::Arguments<'_>,
        outer: usize,
        inner: usize,
    ) -> Result<Self, W::Error> {
        Ok(Self { weight: source.matrix(weight, &[outer, inner])?, bias: None, inner, outer })
    }
}

impl<B: Backend> Projection<'_, B> {
    /// `out = epilogue(x · weightᵀ + bias)`; see [`Linear::linear`](crate::ops::Linear::linear).
    ///
    /// Where runs are kept, the sum is written by itself before GELU or gate: their gradients want it.
    pub(crate) fn forward(
        &self,
        b: &B,
        out: &mut B::Slice,
        x: &B::Slice,
        rows: usize,
        epilogue: Epilogue<'_, B::Slice>,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let d = linear::Dims { rows, inner: self.inner, outer: self.outer };
        match epilogue {
            Epilogue::Gelu if arena.keeps() => {
                let mut arena = arena.scope();
                let sum = arena.take(out.len());
                b.linear(sum, x, self.weight, self.bias, Epilogue::None, d)?;
                b.map(out, sum, Unary::Gelu)
            }
            Epilogue::Gated { residual, gate } if arena.keeps() => {
                let mut arena = arena.scope();
                let sum = arena.take(out.len());
                b.linear(sum, x, self.weight, self.bias, Epilogue::None, d)?;
                b.gated(out, residual, sum, gate, self.outer)
            }
            _ => b.linear(out, x, self.weight, self.bias, epilogue, d),
        }
    }
}

/// A convolution layer.
pub struct Convolution<'a, B: Device> {
    weight: B::Matrix<'a>,
    bias: &'a B::Slice,
    inner: usize,
    outer: usize,
    kernel: usize,
}

/// How many images, and the sides of their grid.
#[derive(Clone, Copy, Debug)]
pub struct FeatureShape {
    /// Images.
    pub batch: usize,
    /// Rows of each.
    pub height: usize,
    /// Columns of each.
    pub width: usize,
}

impl FeatureShape {
    /// Cells of all maps.
    pub fn cells(self) -> usize {
        self.batch * self.height * self.width
    }
}

impl<'a, B: Device> Convolution<'a, B> {
    /// `name.weight` of `outer × inner × kernel × kernel` and `name.bias`.
    ///
    /// # Errors
    /// The source's, if one is missing or of another shape.
    pub fn bind<W: Source<'a, B>>(
        source: &mut W,
        name: fmt::Arguments<'_>,
        outer: usize,
        inner: usize,
        kernel: usize,
    ) -> Result<Self, W::Error> {
        let shape = [outer, inner, kernel, kernel];
        let weight = source.matrix(format_args!("{name}.weight"), &shape)?;
        let bias = source.vector(format_args!("{name}.bias"), &[outer])?;
        Ok(Self { weight, bias, inner, outer, kernel })
    }

    /// Channels that come out.
    pub fn outer(&self) -> usize {
        self.outer
    }

    /// It as the φ of a quantizer, of which `ratio` is taken.
    pub(crate) fn phi(&self, ratio: f32) -> Phi<'a, B> {
        Phi { weight: self.weight, bias: self.bias, ratio }
    }

    /// The sizes of this layer on these maps.
    pub fn dims(&self, grid: Grid, maps: FeatureShape) -> conv2d::Dims {
        let FeatureShape { batch, height, width } = maps;
        let Self { inner, outer, .. } = *self;
        let kernel = [self.kernel; 2];
        conv2d::Dims { batch, height, width, inner, outer, kernel, grid, into: None }
    }
}

impl<B: Backend> Convolution<'_, B> {
    /// `out = conv(x) + bias (+ residual)`; see [`crate::ops::Conv2d::conv2d`].
    ///
    /// # Errors
    /// Only the device's own.
    ///
    /// # Panics
    /// If a slice is not as large as `maps` says.
    pub fn forward(
        &self,
        b: &B,
        out: &mut B::Slice,
        x: &B::Slice,
        residual: Option<&B::Slice>,
        grid: Grid,
        maps: FeatureShape,
        arena: &mut Arena<'_, B::Slice>,
    ) -> Result<(), B::Error> {
        let d = self.dims(grid, maps);
        let scratch = arena.scope().into_scratch(b.conv2d_scratch(d));
        let epilogue = ConvEpilogue::adding(residual);
        b.conv2d(out, x, self.weight, self.bias, epilogue, scratch, d)
    }
}
