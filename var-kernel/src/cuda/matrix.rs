//! Weights as a card stores them.

use super::element::Element;
use crate::memory::Floats;
use crate::remote::Remote;

/// A weight matrix on a card.
///
/// A convolution's `outer × inner × 3 × 3` weights are stored `outer × 3 × 3 × inner`, channels last as
/// feature maps.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub(crate) numbers: &'a Remote,
    pub(crate) element: Element,
    pub(crate) length: usize,
}

impl<'a> Matrix<'a> {
    /// The matrix of `length` numbers of `element` in `numbers`.
    ///
    /// # Panics
    /// If the run is shorter.
    pub fn new(numbers: &'a Remote, element: Element, length: usize) -> Self {
        let wanted = element.words(length);
        assert!(numbers.len() >= wanted, "matrix: {wanted} words wanted, {} given", numbers.len());
        Self { numbers, element, length }
    }

    /// The run they lie in.
    pub fn numbers(&self) -> &'a Remote {
        self.numbers
    }

    /// The format they are in.
    pub fn element(&self) -> Element {
        self.element
    }

    /// How many weights it holds.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Where its numbers are.
    pub fn address(&self) -> u64 {
        self.numbers.address()
    }
}
