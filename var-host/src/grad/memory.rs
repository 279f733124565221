//! What a backward pass reads and writes.

use var_kernel::memory::Floats;

use super::span::{Region, Span, disjoint};

/// The two regions, the gradients that mirror them, and scratch memory.
pub struct Memory<'m, S: ?Sized> {
    /// What the forward pass left in its arena; what it gave away is written here again.
    pub values: &'m mut S,
    /// The weights it computed with.
    pub weights: &'m S,
    /// Gradients of the values, as long as `values`.
    pub value_gradients: &'m mut S,
    /// Gradients of the weights, as long as `weights`; none if they are frozen.
    pub weight_gradients: Option<&'m mut S>,
    /// Values before this place are data: no gradient is wanted for them.
    pub data: usize,
    /// As much as [`super::Tape::scratch`] says; contents unspecified.
    pub scratch: &'m mut S,
}

/// The gradient of an operation's output, to read, and those of some of its inputs, to add to.
pub(crate) struct Gradients<'g, S: ?Sized, const N: usize> {
    /// The output's.
    pub(crate) out: &'g S,
    /// The inputs'.
    pub(crate) inputs: [&'g mut S; N],
    /// What the forward pass read and wrote.
    pub(crate) read: Read<'g, S>,
    /// Scratch memory.
    pub(crate) scratch: &'g mut S,
}

/// What the forward pass read and wrote.
pub(crate) struct Read<'g, S: ?Sized> {
    values: &'g S,
    weights: &'g S,
}

// Derived, it would want the slice itself to be `Copy`.
impl<S: ?Sized> Clone for Read<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ?Sized> Copy for Read<'_, S> {}

impl<'g, S: Floats + ?Sized> Read<'g, S> {
    /// The numbers of `span`.
    pub(crate) fn of(self, span: Span) -> &'g S {
        match span.region {
            Region::Values => span.of(self.values),
            Region::Weights => span.of(self.weights),
        }
    }
}

impl<S: Floats + ?Sized> Memory<'_, S> {
    /// Whether the gradient of `span` is wanted.
    pub(crate) fn wants(&self, span: Span) -> bool {
        match span.region {
            Region::Values => span.start >= self.data,
            Region::Weights => self.weight_gradients.is_some(),
        }
    }

    /// The gradients of an operation that wrote `out` from `inputs`, which lie in one region; none
    /// unless all of them are wanted.
    ///
    /// # Panics
    /// If the spans overlap.
    pub(crate) fn gradients<const N: usize>(
        &mut self,
        inputs: [Span; N],
        out: Span,
    ) -> Option<Gradients<'_, S, N>> {
        if !inputs.iter().all(|input| self.wants(*input)) {
            return None;
        }
        let read = Read { values: self.values, weights: self.weights };
        let scratch = &mut *self.scratch;
        if inputs[0].region == Region::Weights {
            let inputs = disjoint(self.weight_gradients.as_deref_mut()?, inputs);
            return Some(Gradients { out: out.of(self.value_gradients), inputs, read, scratch });
        }
        // The output may lie between the inputs: those on either side of it are cut from their side.
        let (before, rest) = self.value_gradients.split_at_mut(out.start);
        let (of_out, after) = rest.split_at_mut(out.length);
        let low = inputs.map(|input| if input.start < out.start { input } else { EMPTY });
        let high = inputs.map(|input| match input.start.checked_sub(out.end()) {
            Some(start) => Span { start, ..input },
            None => EMPTY,
        });
        let mut low = disjoint(before, low).map(Some);
        let mut high = disjoint(after, high).map(Some);
        let inputs = core::array::from_fn(|i| {
            let side = if inputs[i].start < out.start { &mut low } else { &mut high };
            let view = side[i].take().expect("every view is taken once");
            assert_eq!(view.len(), inputs[i].length, "an input overlaps the output");
            view
        });
        Some(Gradients { out: of_out, inputs, read, scratch })
    }

    /// The gradient of what an operation wrote, and no input's.
    pub(crate) fn of_out(&mut self, out: Span) -> Gradients<'_, S, 0> {
        Gradients {
            out: out.of(self.value_gradients),
            inputs: [],
            read: Read { values: self.values, weights: self.weights },
            scratch: self.scratch,
        }
    }

    /// The gradients of an operation that wrote several `outs` from `input`.
    ///
    /// # Panics
    /// If the spans overlap.
    pub(crate) fn gradients_of_outs<const N: usize>(
        &mut self,
        input: Span,
        outs: [Span; N],
    ) -> Option<([&S; N], &mut S, Read<'_, S>)> {
        if !self.wants(input) {
            return None;
        }
        let read = Read { values: self.values, weights: self.weights };
        if input.region == Region::Weights {
            let into = input.of_mut(self.weight_gradients.as_deref_mut()?);
            let gradients = &*self.value_gradients;
            return Some((outs.map(|out| out.of(gradients)), into, read));
        }
        let (before, rest) = self.value_gradients.split_at_mut(input.start);
        let (into, after) = rest.split_at_mut(input.length);
        let (before, after) = (&*before, &*after);
        let outs = outs.map(|out| match out.start.checked_sub(input.end()) {
            Some(start) => Span { start, ..out }.of(after),
            None => out.of(before),
        });
        Some((outs, into, read))
    }
}

/// A span that overlaps nothing.
const EMPTY: Span = Span { region: Region::Values, start: 0, length: 0 };
