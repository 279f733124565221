//! Offsets of a network's tensors in flat memory; gradients and the optimizer's state have the same.

use core::fmt;
use core::ops::Range;
use std::collections::HashMap;

use var_kernel::arena::ALIGNMENT;
use var_kernel::cpu::Cpu;
use var_kernel::memory::{Device, Floats};
use var_kernel::model::weights::Source;

use crate::grad::Addressable;
use crate::model::ModelPart;
use crate::model::listing::Wanted;

/// Where each tensor lies.
#[derive(Clone, Debug)]
pub struct ParameterLayout {
    tensors: Vec<LayoutTensor>,
    numbers: HashMap<String, usize>,
    floats: usize,
}

/// One tensor of a [`ParameterLayout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutTensor {
    /// Its name in a checkpoint.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its floats.
    pub range: Range<usize>,
    /// Whether it is a matrix that a product may read in another format.
    pub matrix: bool,
}

impl LayoutTensor {
    /// Whether 16-bit training rounds it: the matrices of the blocks (MODEL.md, section 7).
    pub fn is_rounded(&self) -> bool {
        self.matrix && self.name.starts_with("blocks.")
    }
}

impl ParameterLayout {
    /// Concatenated tensors, each at the start of a cache line; the padding is 0 and stays so.
    pub fn new(wanted: Vec<Wanted>) -> Self {
        let mut floats = 0;
        let tensors: Vec<LayoutTensor> = wanted
            .into_iter()
            .map(|Wanted { name, shape, matrix }| {
                let range = floats..floats + shape.iter().product::<usize>();
                floats = range.end.next_multiple_of(ALIGNMENT);
                LayoutTensor { name, shape, range, matrix }
            })
            .collect();
        let numbers = tensors.iter().map(|tensor| tensor.name.clone()).zip(0..).collect();
        Self { tensors, numbers, floats }
    }

    /// All tensors, in order.
    pub fn tensors(&self) -> &[LayoutTensor] {
        &self.tensors
    }

    /// The tensor `name`.
    pub fn tensor(&self, name: &str) -> Option<&LayoutTensor> {
        self.numbers.get(name).map(|number| &self.tensors[*number])
    }

    /// Floats of all tensors, padding included.
    pub fn floats(&self) -> usize {
        self.floats
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.range.len()).sum()
    }

    /// All tensors of a transformer or VQVAE in its file, in `f32`.
    ///
    /// # Panics
    /// If the file's half is of another configuration.
    pub fn flatten(&self, part: &ModelPart) -> Vec<f32> {
        let mut memory = vec![0.0; self.floats];
        for tensor in &self.tensors {
            self.copy_from(part, tensor, &mut memory[tensor.range.clone()]);
        }
        memory
    }

    /// Copies one tensor of a file's half to `to`.
    ///
    /// # Panics
    /// If the half's tensor is of another length.
    pub fn copy_from(&self, part: &ModelPart, tensor: &LayoutTensor, to: &mut [f32]) {
        let (mut part, name) = (part, &tensor.name);
        if tensor.matrix {
            let Ok(matrix) =
                Source::<Cpu<'_>>::matrix(&mut part, format_args!("{name}"), &tensor.shape);
            assert_eq!(matrix.len(), to.len(), "{name} is of another configuration");
            to.iter_mut().enumerate().for_each(|(index, to)| *to = matrix.at(index));
        } else {
            let Ok(vector) =
                Source::<Cpu<'_>>::vector(&mut part, format_args!("{name}"), &tensor.shape);
            to.copy_from_slice(vector);
        }
    }

    /// The tensors in `memory` of the device `b`, as a source of weights.
    ///
    /// A network is bound anew in every step: the optimizer writes the weights that a bound one borrows.
    /// So the source hands out tensors by their number, not by name: a layout has the order in which
    /// the same code asks for them. Binding a d16 took 26 µs by name.
    ///
    /// # Panics
    /// If `memory` is not [`ParameterLayout::floats`] long.
    pub fn source<'a, B: Device>(&'a self, b: &'a B, memory: &'a B::Slice) -> FlatSource<'a, B> {
        assert_eq!(memory.len(), self.floats, "weights are not as long as their layout");
        FlatSource { tensors: self.tensors.iter(), b, memory }
    }
}

/// Weights out of flat memory, in the order of their layout.
pub struct FlatSource<'a, B: Device> {
    /// Those not yet asked for.
    tensors: core::slice::Iter<'a, LayoutTensor>,
    b: &'a B,
    memory: &'a B::Slice,
}

/// A network wants a tensor that its layout does not have next, or has in another shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the layout's next tensor is not {name} of shape {shape:?}")]
pub struct NotInLayout {
    name: String,
    shape: Vec<usize>,
}

impl<'a, B: Device> FlatSource<'a, B> {
    fn next(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<&'a B::Slice, NotInLayout> {
        match self.tensors.next() {
            Some(tensor) if tensor.shape == shape => {
                debug_assert_eq!(tensor.name, name.to_string(), "the layout of another network");
                Ok(self.memory.range(tensor.range.clone()))
            }
            _ => Err(NotInLayout { name: name.to_string(), shape: shape.to_vec() }),
        }
    }
}

impl<'a, B: Addressable> Source<'a, B> for FlatSource<'a, B> {
    type Error = NotInLayout;

    fn matrix(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<B::Matrix<'a>, NotInLayout> {
        self.next(name, shape).map(|weights| self.b.matrix_of(weights))
    }

    fn vector(
        &mut self,
        name: fmt::Arguments<'_>,
        shape: &[usize],
    ) -> Result<&'a B::Slice, NotInLayout> {
        self.next(name, shape)
    }
}
