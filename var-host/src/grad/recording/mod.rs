//! A backend that runs another one's operations and records their operands and results.
//!
//! Each operation's recording is in its folder, `record.rs`.

mod unrecorded;

use core::cell::RefCell;
use core::fmt;

use var_kernel::capture::{Capture, Segments};
use var_kernel::memory::{Device, Floats};
use var_kernel::model::weights::Source;
use var_kernel::ops::{Backend, PerRow};
use var_kernel::transfer::{ImageTransfer, TokenTransfer};

use super::backend::{Addressable, Recordable};
use super::elementwise;
use super::operations::Node;
use super::span::{Region, Span};
use super::table::{TableSlice, TableSpan};
use super::tape::Tape;

/// Runs the operations of `B` and writes them on a tape.
///
/// Operands and results must lie in the values' memory, which must come from an arena
/// that keeps, or in the weights'. Operations that choose tokens ([`NearestCode`](var_kernel::ops::NearestCode), [`SampleTokens`](var_kernel::ops::SampleTokens)) are run
/// and not noted: no gradient passes through a choice.
pub struct Recording<'r, B: Device> {
    pub(super) backend: &'r B,
    values: RegionAddress,
    weights: RegionAddress,
    tape: RefCell<Tape>,
}

/// Where a region's memory lies.
#[derive(Clone, Copy, Debug)]
struct RegionAddress {
    start: usize,
    length: usize,
}

impl RegionAddress {
    fn of<B: Addressable>(memory: &B::Slice) -> Self {
        Self { start: B::place(memory), length: memory.len() }
    }

    /// Where a slice that starts at `place` lies in here.
    fn offset(self, place: usize, length: usize) -> Option<usize> {
        let offset = place.checked_sub(self.start)?;
        (offset + length <= self.length).then_some(offset)
    }
}

/// A weight matrix and where it lies among the weights.
pub struct RecordedMatrix<'a, B: Device> {
    pub(super) matrix: B::Matrix<'a>,
    pub(super) span: Span,
}

// Derived, it would want the backend itself to be `Copy`.
impl<'a, B: Device> Clone for RecordedMatrix<'a, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<'a, B: Device> Copy for RecordedMatrix<'a, B> {}

impl<'r, B: Recordable> Recording<'r, B> {
    /// Records the operations of `backend` over `values`, the memory of the arena, and `weights`.
    pub fn new(backend: &'r B, values: &B::Slice, weights: &B::Slice) -> Self {
        let (values, weights) = (RegionAddress::of::<B>(values), RegionAddress::of::<B>(weights));
        Self { backend, values, weights, tape: RefCell::default() }
    }

    /// The recorded tape.
    ///
    /// # Panics
    /// If an operation wrote over another's result: the arena does not keep.
    pub fn into_tape(self) -> Tape {
        let tape = self.tape.into_inner();
        tape.check();
        tape.reordered()
    }

    /// Where `slice` lies.
    ///
    /// # Panics
    /// If it lies in neither region.
    #[track_caller]
    pub fn span(&self, slice: &B::Slice) -> Span {
        let (place, length) = (B::place(slice), slice.len());
        let found = |region, memory: RegionAddress| {
            memory.offset(place, length).map(|start| Span { region, start, length })
        };
        found(Region::Values, self.values)
            .or_else(|| found(Region::Weights, self.weights))
            .expect("what is recorded lies among the values or the weights")
    }

    pub(super) fn table(&self, of: PerRow<'_, B::Slice>) -> TableSpan {
        let PerRow { table, start, stride, rows } = of;
        TableSpan { span: self.span(table), part: TableSlice { start, stride, rows } }
    }

    /// Appends an operation to the tape.
    pub(super) fn push(&self, node: impl Into<Node>) {
        self.tape.borrow_mut().nodes.push(node.into());
    }
}

/// A backend that can compute without a gradient.
pub trait Detach: Backend {
    /// The same device without a record.
    type Plain: Backend<Slice = Self::Slice, Error = Self::Error>;

    /// The backend for operations without a gradient.
    fn detached(&self) -> &Self::Plain;

    /// `out = value`, but out's gradient is `x`'s (the straight-through estimator: Bengio, Léonard and
    /// Courville, "Estimating or propagating gradients through stochastic neurons", 2013).
    ///
    /// # Panics
    /// If the lengths differ.
    ///
    /// # Errors
    /// Only the device's own.
    fn straight_through(
        &self,
        out: &mut Self::Slice,
        value: &Self::Slice,
        x: &Self::Slice,
    ) -> Result<(), Self::Error>;
}

impl<B: Recordable> Detach for Recording<'_, B> {
    type Plain = B;

    fn detached(&self) -> &B {
        self.backend
    }

    fn straight_through(
        &self,
        out: &mut B::Slice,
        value: &B::Slice,
        x: &B::Slice,
    ) -> Result<(), B::Error> {
        assert_eq!(out.len(), x.len(), "straight_through: lengths differ");
        let operands = vec![(self.span(x), 1.0)];
        self.push(elementwise::node::Node::Blend { out: self.span(out), operands });
        self.backend.copy(out, value)
    }
}

impl<B: Device> Device for Recording<'_, B> {
    type Slice = B::Slice;
    type Tokens = B::Tokens;
    type Matrix<'a> = RecordedMatrix<'a, B>;
    type Error = B::Error;

    fn upload(&self, to: &mut B::Slice, from: &[f32]) -> Result<(), B::Error> {
        self.backend.upload(to, from)
    }

    fn download(&self, to: &mut [f32], from: &B::Slice) -> Result<(), B::Error> {
        self.backend.download(to, from)
    }
}

impl<B: ImageTransfer> ImageTransfer for Recording<'_, B> {
    fn upload_images(&self, to: &mut B::Slice, from: &[u8]) -> Result<(), B::Error> {
        self.backend.upload_images(to, from)
    }

    fn download_images(&self, to: &mut [u8], from: &B::Slice) -> Result<(), B::Error> {
        self.backend.download_images(to, from)
    }
}

impl<B: TokenTransfer> TokenTransfer for Recording<'_, B> {
    fn tokens_in(run: &mut B::Slice) -> &mut B::Tokens {
        B::tokens_in(run)
    }

    fn upload_tokens(&self, to: &mut B::Tokens, from: &[u32]) -> Result<(), B::Error> {
        self.backend.upload_tokens(to, from)
    }

    fn download_tokens(&self, to: &mut [u32], from: &B::Tokens) -> Result<(), B::Error> {
        self.backend.download_tokens(to, from)
    }
}

impl<B: Capture> Capture for Recording<'_, B> {
    fn capture(&self, work: &mut dyn FnMut() -> Result<(), B::Error>) -> Result<(), B::Error> {
        self.backend.capture(work)
    }
}

impl<B: Device> Segments for Recording<'_, B> {
    fn begin_segment(&self, start: usize) {
        self.tape.borrow_mut().begin_segment(start);
    }

    fn end_segment(&self) {
        self.tape.borrow_mut().end_segment();
    }
}

/// Flat weights by name, for a recording.
pub struct RecordedSource<'r, 'a, B: Device, W> {
    /// Where in the weights' memory each tensor lies, and the tensor.
    pub source: W,
    recording: &'r Recording<'r, B>,
    weights: core::marker::PhantomData<&'a ()>,
}

impl<'r, 'a, B: Device, W> RecordedSource<'r, 'a, B, W> {
    /// Takes the tensors of `source`, which lie in the recorded weights.
    pub fn new(recording: &'r Recording<'r, B>, source: W) -> Self {
        Self { source, recording, weights: core::marker::PhantomData }
    }
}

impl<'a, 'q, B: Recordable, W: Source<'a, B>> Source<'a, Recording<'q, B>>
    for RecordedSource<'_, 'a, B, W>
{
    type Error = W::Error;

    fn matrix(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<RecordedMatrix<'a, B>, W::Error> {
        let weights = self.source.vector(name, shape)?;
        Ok(RecordedMatrix {
            matrix: self.recording.backend.matrix_of(weights),
            span: self.recording.span(weights),
        })
    }

    fn vector(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<&'a B::Slice, W::Error> {
        self.source.vector(name, shape)
    }
}
