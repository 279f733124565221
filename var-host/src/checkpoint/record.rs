//! A tensor to be written.

use std::borrow::Cow;

use thiserror::Error;

use crate::checkpoint::Dtype;

/// A tensor to be written.
pub struct Record<'a> {
    /// Full name.
    pub name: String,
    /// Element type in the file.
    pub dtype: Dtype,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Makes the elements, `product(shape) * dtype.size()` little-endian bytes; called once, when
    /// their turn comes.
    pub bytes: Box<dyn FnOnce() -> Result<Cow<'a, [u8]>, QuantizeError> + 'a>,
}

/// A value that the target type cannot hold.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum QuantizeError {
    /// Infinite or not a number.
    #[error("{tensor}: element {index} is {value}")]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// Index of the element in row-major order.
        index: usize,
        /// The value.
        value: f32,
    },
    /// Beyond the largest finite value of the target type.
    #[error("{tensor}: element {index} is {value}, which does not fit {target}")]
    TooLarge {
        /// The tensor.
        tensor: String,
        /// Index of the element in row-major order.
        index: usize,
        /// The value.
        value: f32,
        /// The target type.
        target: &'static str,
    },
}
