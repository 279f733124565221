//! A model's weights on a card.

use core::convert::Infallible;
use core::fmt;
use core::ops::Range;
use std::collections::HashMap;

use var_kernel::cpu::{self, Cpu};
use var_kernel::cuda::{Cuda, CudaError, Element, Matrix, Memory, Remote};
use var_kernel::memory::{Device, Floats};
use var_kernel::model::weights::Source;

use crate::model::listing::Wanted;
use crate::model::weights::{transformer_tensors, vqvae_tensors};
use crate::model::{Part, Weights};

/// Tensors begin at multiples of this many words (256 bytes).
const ALIGNED: usize = 64;

/// The largest number half precision holds.
const LARGEST_F16: f32 = 65_504.0;

/// Why a model's weights are not on a card.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// The card's own.
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

/// A model's weights on a card.
pub struct CardWeights {
    /// The transformer's.
    pub transformer: Option<Half>,
    /// The VQVAE's.
    pub vqvae: Option<Half>,
}

/// One half's weights: tensors one behind the other.
pub struct Half {
    memory: Memory,
    tensors: HashMap<String, Tensor>,
}

struct Tensor {
    /// Its words.
    range: Range<usize>,
    element: Element,
    /// Its numbers.
    length: usize,
}

impl CardWeights {
    /// Uploads both halves of `weights`, as far as they are there.
    ///
    /// # Errors
    /// If they do not fit the card's memory, or a weight does not fit its format.
    pub fn upload(cuda: &Cuda, weights: &Weights) -> Result<Self, CardError> {
        let upload = |part: &Part, wanted| Half::upload(cuda, part, wanted);
        let transformer = weights.transformer.as_ref();
        let transformer =
            transformer.map(|(part, config)| upload(part, transformer_tensors(*config)));
        let vqvae = weights.vqvae.as_ref();
        let vqvae = vqvae.map(|(part, config)| upload(part, vqvae_tensors(*config)));
        Ok(Self { transformer: transformer.transpose()?, vqvae: vqvae.transpose()? })
    }
}

impl Half {
    fn upload(cuda: &Cuda, part: &Part, wanted: Vec<Wanted>) -> Result<Self, CardError> {
        let mut words = 0;
        let places: Vec<(Wanted, Tensor)> = wanted
            .into_iter()
            .map(|wanted| {
                let length = wanted.shape.iter().product();
                let element = element(cuda, &wanted);
                let range = words..words + element.words(length);
                words = range.end.next_multiple_of(ALIGNED);
                (wanted, Tensor { range, element, length })
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
                refuse_beyond(&wanted.name, from, tensor.element)?;
                cuda.store(run, from, &wanted.shape, tensor.element)?;
            } else {
                let Ok(from) = Source::<Cpu<'_>>::vector(&mut source, name, &wanted.shape);
                cuda.upload(run, from)?;
            }
            let _ = tensors.insert(wanted.name, tensor);
        }
        Ok(Self { memory, tensors })
    }

    fn find(&self, name: fmt::Arguments<'_>) -> (&Remote, &Tensor) {
        let name = name.to_string();
        let tensor = self.tensors.get(&name).expect("every tensor that is wanted was uploaded");
        (self.memory.range(tensor.range.clone()), tensor)
    }
}

/// Format of a tensor on the GPU: matrices in the precision's, except where their products decide
/// tokens or are small.
fn element(cuda: &Cuda, wanted: &Wanted) -> Element {
    let exact = wanted.name.starts_with("quantize.") || wanted.name.starts_with("word_embed.");
    if wanted.matrix && !exact { cuda.precision().element() } else { Element::F32 }
}

/// Refuses weights that half precision cannot hold.
fn refuse_beyond(name: &str, from: cpu::Matrix<'_>, element: Element) -> Result<(), CardError> {
    let cpu::Matrix::F16(_) = from else {
        if element != Element::F16 {
            return Ok(());
        }
        let beyond = (0..from.len()).map(|index| from.at(index)).find(|x| x.abs() > LARGEST_F16);
        return match beyond {
            None => Ok(()),
            Some(value) => Err(CardError::BeyondF16 { tensor: name.to_owned(), value }),
        };
    };
    Ok(())
}

impl<'a> Source<'a, Cuda> for &'a Half {
    type Error = Infallible;

    fn matrix(&mut self, name: fmt::Arguments<'_>, _: &[usize]) -> Result<Matrix<'a>, Infallible> {
        let half: &'a Half = self;
        let (run, tensor) = half.find(name);
        Ok(Matrix::new(run, tensor.element, tensor.length))
    }

    fn vector(&mut self, name: fmt::Arguments<'_>, _: &[usize]) -> Result<&'a Remote, Infallible> {
        let half: &'a Half = self;
        Ok(half.find(name).0)
    }
}
