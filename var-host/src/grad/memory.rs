//! Memory of a backward pass.

use var_kernel::memory::Floats;

use super::GradientPlan;
use super::span::{Region, Span, disjoint};

/// The two regions, their gradients, and scratch memory.
pub struct Memory<'m, S: ?Sized> {
    /// Values of the forward pass in its arena; freed ones are recomputed into it.
    pub values: &'m mut S,
    /// The weights it computed with.
    pub weights: &'m S,
    /// Gradients of the values, where `plan` says.
    pub value_gradients: &'m mut S,
    /// Where they lie.
    pub plan: &'m GradientPlan,
    /// Gradients of the weights, as long as `weights`; none if they are frozen.
    pub weight_gradients: Option<&'m mut S>,
    /// As much as [`super::Tape::scratch`] says; contents unspecified.
    pub scratch: &'m mut S,
}

/// The gradient of an operation's output, to read, and those of some of its inputs, to add to.
pub(crate) struct Gradients<'g, S: ?Sized, const N: usize> {
    /// The output's.
    pub(crate) out: &'g S,
    /// The inputs'.
    pub(crate) inputs: [&'g mut S; N],
    /// Operands and results of the forward pass.
    pub(crate) read: Read<'g, S>,
    /// Scratch memory.
    pub(crate) scratch: &'g mut S,
}

/// Operands and results of the forward pass.
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

/// The memory as one operation's gradients see it.
pub(crate) struct NodeContext<'h, 'm, S: ?Sized> {
    pub(crate) memory: &'h mut Memory<'m, S>,
    /// The operation's number on the tape.
    pub(crate) number: usize,
}

impl<S: Floats + ?Sized> NodeContext<'_, '_, S> {
    /// Whether the gradient of `span` is wanted.
    fn wants(&self, span: Span) -> bool {
        match span.region {
            Region::Values => self.memory.plan.wants(span),
            Region::Weights => self.memory.weight_gradients.is_some(),
        }
    }

    /// Where the gradients of values lie.
    fn placed<const N: usize>(&self, spans: [Span; N]) -> [Span; N] {
        spans.map(|span| self.memory.plan.of_node(self.number, span))
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
        let [out] = self.placed([out]);
        if inputs[0].region == Region::Weights {
            let memory = &mut *self.memory;
            let read = Read { values: memory.values, weights: memory.weights };
            let inputs = disjoint(memory.weight_gradients.as_deref_mut()?, inputs);
            let (out, scratch) = (out.of(memory.value_gradients), &mut *memory.scratch);
            return Some(Gradients { out, inputs, read, scratch });
        }
        let inputs = self.placed(inputs);
        let memory = &mut *self.memory;
        let read = Read { values: memory.values, weights: memory.weights };
        // The output may lie between the inputs: those on either side of it are cut from their side.
        let (before, rest) = memory.value_gradients.split_at_mut(out.start);
        let (out_grad, after) = rest.split_at_mut(out.length);
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
        Some(Gradients { out: out_grad, inputs, read, scratch: memory.scratch })
    }

    /// The gradient of an operation's output, and no input's.
    pub(crate) fn out_grad(&mut self, out: Span) -> Gradients<'_, S, 0> {
        let [out] = self.placed([out]);
        let memory = &mut *self.memory;
        Gradients {
            out: out.of(memory.value_gradients),
            inputs: [],
            read: Read { values: memory.values, weights: memory.weights },
            scratch: memory.scratch,
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
        let outs = self.placed(outs);
        if input.region == Region::Weights {
            let memory = &mut *self.memory;
            let read = Read { values: memory.values, weights: memory.weights };
            let into = input.of_mut(memory.weight_gradients.as_deref_mut()?);
            let gradients = &*memory.value_gradients;
            return Some((outs.map(|out| out.of(gradients)), into, read));
        }
        let [input] = self.placed([input]);
        let memory = &mut *self.memory;
        let read = Read { values: memory.values, weights: memory.weights };
        let (before, rest) = memory.value_gradients.split_at_mut(input.start);
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
