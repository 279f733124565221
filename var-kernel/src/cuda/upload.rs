//! Weights converted to a GPU's formats and uploaded.

use std::vec::Vec;

use half::slice::HalfFloatSliceExt;

use super::{Cuda, CudaError, Dtype, Memory};
use crate::cpu;
use crate::memory::Floats;
use crate::remote::Remote;

impl Cuda {
    /// The bytes a GPU stores for the weights `from` of `shape` as `dtype`.
    ///
    /// # Panics
    /// If there are not as many weights as the shape says.
    pub fn stored(from: cpu::Matrix<'_>, shape: &[usize], dtype: Dtype) -> Vec<u8> {
        assert_eq!(from.len(), shape.iter().product::<usize>(), "matrix: another shape");
        let mut bytes = Vec::with_capacity(from.len() * dtype.bytes() + 2);
        match shape {
            [outer, inner, height, width] => {
                let taps = height * width;
                for o in 0..*outer {
                    for tap in 0..taps {
                        for i in 0..*inner {
                            dtype.write(from.at((o * inner + i) * taps + tap), &mut bytes);
                        }
                    }
                }
            }
            _ => (0..from.len()).for_each(|index| dtype.write(from.at(index), &mut bytes)),
        }
        bytes.resize(bytes.len().next_multiple_of(size_of::<f32>()), 0);
        bytes
    }

    /// Writes the weights `from` of `shape` as `dtype` to `to`.
    ///
    /// # Errors
    /// Only the GPU's own.
    ///
    /// # Panics
    /// If there are not as many weights as the shape says, or `to` is not as long as they want.
    pub fn store(
        &self,
        to: &mut Remote,
        from: cpu::Matrix<'_>,
        shape: &[usize],
        dtype: Dtype,
    ) -> Result<(), CudaError> {
        assert_eq!(to.len(), dtype.words(from.len()), "store: the run is not as long");
        let as_it_is: Option<&[u8]> = match (from, dtype) {
            _ if shape.len() == 4 || !from.len().is_multiple_of(2) => None,
            (cpu::Matrix::F32(values), Dtype::F32) => Some(bytemuck::cast_slice(values)),
            (cpu::Matrix::F16(values), Dtype::F16) => {
                Some(bytemuck::cast_slice(values.reinterpret_cast()))
            }
            (cpu::Matrix::Bf16(values), Dtype::Bf16) => {
                Some(bytemuck::cast_slice(values.reinterpret_cast()))
            }
            _ => None,
        };
        match as_it_is {
            Some(bytes) => self.upload_bytes(to, bytes),
            None => self.upload_bytes(to, &Self::stored(from, shape, dtype)),
        }
    }

    /// As [`Cuda::store`], to memory of its own.
    ///
    /// # Errors
    /// If the GPU is out of memory.
    ///
    /// # Panics
    /// If there are not as many weights as the shape says.
    pub fn upload_matrix(
        &self,
        from: cpu::Matrix<'_>,
        shape: &[usize],
        dtype: Dtype,
    ) -> Result<Memory, CudaError> {
        let mut memory = self.memory(dtype.words(from.len()))?;
        self.store(&mut memory, from, shape, dtype)?;
        Ok(memory)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn channels_lie_side_by_side() {
        let weights: Vec<f32> = (0..2 * 3 * 4).map(|i| i as f32).collect();
        let bytes = Cuda::stored(cpu::Matrix::F32(&weights), &[2, 3, 2, 2], Dtype::F32);
        let stored: Vec<f32> =
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        assert_eq!(stored[..6], [0.0, 4.0, 8.0, 1.0, 5.0, 9.0]);
        assert_eq!(stored[12..15], [12.0, 16.0, 20.0]);
    }

    #[test]
    fn short_numbers_fill_whole_words() {
        let bytes = Cuda::stored(cpu::Matrix::F32(&[1.0, -2.0, 0.5]), &[1, 3], Dtype::F16);
        assert_eq!(bytes, [0x00, 0x3c, 0x00, 0xc0, 0x00, 0x38, 0, 0]);
    }
}
