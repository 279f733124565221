//! A model's weights on a GPU.

use core::convert::Infallible;
use core::fmt;
use core::ops::Range;
use std::collections::HashMap;

use var_kernel::cpu::{self, Cpu};
use var_kernel::cuda::{Cuda, CudaError, CudaMatrix, Dtype, Memory, Remote};
use var_kernel::memory::{Device, Floats};
use var_kernel::model::weights::Source;

use crate::model::listing::Wanted;
use crate::model::weights::{transformer_tensors, vqvae_tensors};
use crate::model::{ModelPart, Weights};

/// Tensors begin at multiples of this many words (256 bytes).
const ALIGNED: usize = 64;

/// The largest number half precision holds.
const LARGEST_F16: f32 = 65_504.0;

/// Why a model's weights are not on a GPU.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The GPU's own.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// A weight overflows half precision.
    #[error(
        "{tensor}: the weight {value} is beyond f16, whose largest is 65504: compute in bf16 or f32"
    )]
    BeyondF16 {
        /// The tensor.
        tensor: String,
        /// The weight.
        value: f32,
    },
}

/// A model's weights on a GPU.
pub struct GpuWeights {
    /// The transformer's.
    pub transformer: Option<GpuPart>,
    /// The VQVAE's.
    pub vqvae: Option<GpuPart>,
}

/// One half's weights: tensors one behind the other.
pub struct GpuPart {
    memory: Memory,
    tensors: HashMap<String, GpuTensor>,
}

struct GpuTensor {
    /// Its words.
    range: Range<usize>,
    dtype: Dtype,
    /// Its numbers.
    length: usize,
}

impl GpuWeights {
    /// Uploads both halves of `weights`, as far as they are there.
    ///
    /// # Errors
    /// If they do not fit the GPU's memory, or a weight does not fit its format.
    pub fn upload(cuda: &Cuda, weights: &Weights) -> Result<Self, GpuError> {
        let upload = |part: &ModelPart, wanted| GpuPart::upload(cuda, part, wanted);
        let transformer = weights.transformer.as_ref();
        let transformer =
            transformer.map(|(part, config)| upload(part, transformer_tensors(*config)));
        let vqvae = weights.vqvae.as_ref();
        let vqvae = vqvae.map(|(part, config)| upload(part, vqvae_tensors(*config)));
        Ok(Self { transformer: transformer.transpose()?, vqvae: vqvae.transpose()? })
    }
}

impl GpuPart {
    fn upload(cuda: &Cuda, part: &ModelPart, wanted: Vec<Wanted>) -> Result<Self, GpuError> {
        let mut words = 0;
        let places: Vec<(Wanted, GpuTensor)> = wanted
            .into_iter()
            .map(|wanted| {
                let length = wanted.shape.iter().product();
                let dtype = dtype(cuda, &wanted);
                let range = words..words + dtype.words(length);
                words = range.end.next_multiple_of(ALIGNED);
                (wanted, GpuTensor { range, dtype, length })
            })
            .collect();
        let mut memory = cuda.memory(words)?;
        let mut tensors = HashMap::new();
        for (wanted, tensor) in places {
            let run = memory.range_mut(tensor.range.clone());
            let mut source = part;
            let name = format_args!("{}", wanted.name);
            if wanted.matrix {
                let Ok(from) = Source::<Cpu<'_>>::matrix(&mut source, name, &wanted.shape);
                refuse_beyond(&wanted.name, from, tensor.dtype)?;
                cuda.store(run, from, &wanted.shape, tensor.dtype)?;
            } else {
                let Ok(from) = Source::<Cpu<'_>>::vector(&mut source, name, &wanted.shape);
                cuda.upload(run, from)?;
            }
            let _ = tensors.insert(wanted.name, tensor);
        }
        Ok(Self { memory, tensors })
    }

    fn find(&self, name: fmt::Arguments<'_>) -> (&Remote, &GpuTensor) {
        let name = name.to_string();
        let tensor = self.tensors.get(&name).expect("every tensor that is wanted was uploaded");
        (self.memory.range(tensor.range.clone()), tensor)
    }
}

/// Format of a tensor on the GPU: matrices in the precision's, except where their products decide
/// tokens or are small.
fn dtype(cuda: &Cuda, wanted: &Wanted) -> Dtype {
    let exact = wanted.name.starts_with("quantize.") || wanted.name.starts_with("word_embed.");
    if wanted.matrix && !exact { cuda.precision().dtype() } else { Dtype::F32 }
}

/// Refuses weights that half precision cannot hold.
fn refuse_beyond(name: &str, from: cpu::Matrix<'_>, dtype: Dtype) -> Result<(), GpuError> {
    let cpu::Matrix::F16(_) = from else {
        if dtype != Dtype::F16 {
            return Ok(());
        }
        let beyond = (0..from.len()).map(|index| from.at(index)).find(|x| x.abs() > LARGEST_F16);
        return match beyond {
            None => Ok(()),
            Some(value) => Err(GpuError::BeyondF16 { tensor: name.to_owned(), value }),
        };
    };
    Ok(())
}

impl<'a> Source<'a, Cuda> for &'a GpuPart {
    type Error = Infallible;

    fn matrix(
        &mut self,
        name: fmt::Arguments<'_>,
        _: &[usize],
    ) -> Result<CudaMatrix<'a>, Infallible> {
        let part: &'a GpuPart = self;
        let (run, tensor) = part.find(name);
        Ok(CudaMatrix::new(run, tensor.dtype, tensor.length))
    }

    fn vector(&mut self, name: fmt::Arguments<'_>, _: &[usize]) -> Result<&'a Remote, Infallible> {
        let part: &'a GpuPart = self;
        Ok(part.find(name).0)
    }
}
