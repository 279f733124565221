//! Where the elements of a tensor lie in a file, and how they are brought into order.

use core::ops::Range;
use std::sync::OnceLock;

use crate::checkpoint::aligned::AlignedBytes;
use crate::checkpoint::float8::Float8;
use crate::checkpoint::{Dtype, Tensor};

/// A strided view into a file, checked to lie inside it.
pub(super) struct TensorEntry {
    dtype: Dtype,
    /// The type in the file, where it is one of eight bits that is read as `dtype`.
    float8: Option<Float8>,
    shape: Vec<usize>,
    place: ElementLayout,
    /// Which of a checkpoint's sources the place is in.
    source: usize,
    /// The elements in order, made on first use where the file's own bytes do not serve.
    gathered: OnceLock<AlignedBytes>,
}

enum ElementLayout {
    /// Row-major, without gaps.
    Contiguous(Range<usize>),
    /// Element `i` of dimension `d` lies `i * strides[d]` elements after `start` (in bytes).
    Strided { start: usize, strides: Vec<usize> },
}

impl TensorEntry {
    /// A contiguous tensor; `bytes` must fit shape and type.
    pub(super) fn contiguous(dtype: Dtype, shape: Vec<usize>, bytes: Range<usize>) -> Self {
        Self::new(dtype, shape, ElementLayout::Contiguous(bytes))
    }

    fn new(dtype: Dtype, shape: Vec<usize>, place: ElementLayout) -> Self {
        Self { dtype, float8: None, shape, place, source: 0, gathered: OnceLock::new() }
    }

    /// The same bytes, which must be those of [`Dtype::U8`], read as `float8`.
    pub(super) fn of_float8(self, float8: Float8) -> Self {
        Self { dtype: Dtype::F16, float8: Some(float8), ..self }
    }

    /// The same in another source.
    pub(super) fn in_source(self, source: usize) -> Self {
        Self { source, ..self }
    }

    /// Which of a checkpoint's sources it lies in.
    pub(super) fn source(&self) -> usize {
        self.source
    }

    /// A view of `shape` and `strides` (in elements) from byte `start` on.
    ///
    /// The caller has checked that the product of `shape`, in bytes, fits a `usize`, and that the
    /// last element reached lies inside the file.
    pub(super) fn strided(
        dtype: Dtype,
        shape: Vec<usize>,
        start: usize,
        strides: Vec<usize>,
    ) -> Self {
        let place = if is_row_major(&shape, &strides) {
            let length = shape.iter().product::<usize>() * dtype.size();
            ElementLayout::Contiguous(start..start + length)
        } else {
            ElementLayout::Strided { start, strides }
        };
        Self::new(dtype, shape, place)
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.dtype
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes of the elements in order.
    pub(super) fn size(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// Whether [`tensor`](Self::tensor) has to copy.
    pub(super) fn needs_gathering(&self, file: &[u8]) -> bool {
        self.borrow(file).is_none()
    }

    pub(super) fn tensor<'a>(&'a self, file: &'a [u8]) -> Tensor<'a> {
        let bytes = self
            .borrow(file)
            .unwrap_or_else(|| self.gathered.get_or_init(|| self.gather(file)).as_slice());
        Tensor { dtype: self.dtype, shape: &self.shape, bytes }
    }

    fn borrow<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        if self.float8.is_some() {
            return None;
        }
        let ElementLayout::Contiguous(range) = &self.place else { return None };
        let bytes = &file[range.clone()];
        let aligned = bytes.as_ptr().addr().is_multiple_of(self.dtype.size());
        (bytes.is_empty() || aligned).then_some(bytes)
    }

    fn gather(&self, file: &[u8]) -> AlignedBytes {
        let dtype = if self.float8.is_some() { Dtype::U8 } else { self.dtype };
        let gathered = match &self.place {
            ElementLayout::Contiguous(range) => AlignedBytes::copy_of(&file[range.clone()]),
            ElementLayout::Strided { start, strides } => {
                let length = self.shape.iter().product::<usize>() * dtype.size();
                let mut gathered = AlignedBytes::zeroed(length);
                let source = &file[*start..];
                gather_strided(gathered.as_mut_slice(), source, &self.shape, strides, dtype);
                gathered
            }
        };
        match self.float8 {
            Some(float8) => float8.widened(gathered.as_slice()),
            None => gathered,
        }
    }
}

/// Whether `strides` are those of a row-major tensor of `shape`; a dimension of one element, or
/// any dimension of an empty tensor, may have any stride.
fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    if shape.contains(&0) {
        return true;
    }
    let mut wants = 1;
    shape.iter().zip(strides).rev().all(|(&dimension, &stride)| {
        let fits = dimension == 1 || stride == wants;
        wants *= dimension;
        fits
    })
}

/// Walks the view in row-major order; `shape` has at least one dimension and no zero.
fn gather_strided(out: &mut [u8], source: &[u8], shape: &[usize], strides: &[usize], dtype: Dtype) {
    let size = dtype.size();
    let (&columns, outer) = shape.split_last().expect("a scalar is contiguous");
    let (&step, outer_strides) = strides.split_last().expect("as many strides as dimensions");
    let mut index = vec![0; outer.len()];
    for row in out.chunks_exact_mut(columns * size) {
        let first: usize = index.iter().zip(outer_strides).map(|(i, stride)| i * stride).sum();
        for (column, element) in row.chunks_exact_mut(size).enumerate() {
            let at = (first + column * step) * size;
            element.copy_from_slice(&source[at..at + size]);
        }
        for (i, &dimension) in index.iter_mut().zip(outer).rev() {
            *i += 1;
            if *i < dimension {
                break;
            }
            *i = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Element `[i, j, k]` of a view, straight from the definition.
    fn naive(file: &[u8], start: usize, shape: [usize; 3], strides: [usize; 3]) -> Vec<u8> {
        let mut out = Vec::new();
        for i in 0..shape[0] {
            for j in 0..shape[1] {
                for k in 0..shape[2] {
                    let at = start + 2 * (i * strides[0] + j * strides[1] + k * strides[2]);
                    out.extend_from_slice(&file[at..at + 2]);
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn gathering_matches_naive(
            start in 0_usize..9,
            shape in prop::array::uniform3(0_usize..5),
            strides in prop::array::uniform3(0_usize..30),
        ) {
            let file: Vec<u8> = (0..1000_u32).map(|i| (i * 7 % 251) as u8).collect();
            let entry = TensorEntry::strided(Dtype::I16, shape.to_vec(), start, strides.to_vec());
            prop_assert_eq!(entry.tensor(&file).bytes, naive(&file, start, shape, strides));
            prop_assert_eq!(entry.tensor(&file).len(), shape.iter().product::<usize>());
        }
    }

    #[test]
    fn misaligned_bytes_are_copied_and_aligned_ones_are_not() {
        let file = AlignedBytes::copy_of(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        let file = file.as_slice();
        let aligned = TensorEntry::contiguous(Dtype::F32, vec![2], 4..12);
        assert_eq!(aligned.tensor(file).bytes.as_ptr(), file[4..].as_ptr());
        let misaligned = TensorEntry::contiguous(Dtype::F32, vec![2], 5..13);
        assert!(misaligned.needs_gathering(file));
        assert_eq!(misaligned.tensor(file).bytes, &file[5..13]);
        assert_eq!(misaligned.tensor(file).as_f32().unwrap().len(), 2);
    }
}
