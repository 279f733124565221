//! A model on a graphics card (feature `cuda`): its weights there, compiled kernels kept.

pub mod cubins;
mod weights;

use std::env;

use var_kernel::cuda::{Card, Cuda, CudaError, Memory, Options, Precision, Products};
use var_kernel::memory::Floats;

pub use weights::{CardError, CardWeights};

use crate::model::Weights;

/// Which card, and how to compute on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The card, counted from 0.
    pub number: u32,
    /// Precision of products.
    pub precision: Precision,
}

/// A card with a model's weights on it.
pub struct Loaded {
    cuda: Cuda,
    weights: CardWeights,
    /// Working memory, kept from one call to the next.
    memory: Option<Memory>,
}

impl Loaded {
    /// Opens the card and uploads `weights`.
    ///
    /// # Errors
    /// If the card cannot be used, or the weights do not fit its memory or its format.
    pub fn new(chosen: Chosen, weights: &Weights, warn: fn(&str)) -> Result<Self, CardError> {
        Self::on(open(chosen, warn)?, weights)
    }

    /// The same on a card at hand.
    ///
    /// # Errors
    /// If the weights do not fit its memory or its format.
    pub fn on(cuda: Cuda, weights: &Weights) -> Result<Self, CardError> {
        let weights = CardWeights::upload(&cuda, weights)?;
        Ok(Self { cuda, weights, memory: None })
    }

    /// The card.
    pub fn cuda(&self) -> &Cuda {
        &self.cuda
    }

    /// Properties of the GPU.
    pub fn card(&self) -> &Card {
        self.cuda.card()
    }

    /// The card, the weights on it, and at least `floats` words of working memory.
    ///
    /// # Errors
    /// If the card has not as much.
    pub fn parts(
        &mut self,
        floats: usize,
    ) -> Result<(&Cuda, &CardWeights, &mut Memory), CudaError> {
        let memory = at_least(&self.cuda, &mut self.memory, floats)?;
        Ok((&self.cuda, &self.weights, memory))
    }
}

/// At least `floats` words of memory that is kept from one call to the next.
///
/// # Errors
/// If the card has not as much.
pub(crate) fn at_least<'m>(
    cuda: &Cuda,
    memory: &'m mut Option<Memory>,
    floats: usize,
) -> Result<&'m mut Memory, CudaError> {
    if memory.as_ref().is_none_or(|memory| memory.len() < floats) {
        // The old memory goes first: the card may not have room for both.
        *memory = None;
    }
    Ok(match memory {
        Some(memory) => memory,
        None => memory.insert(cuda.memory(floats)?),
    })
}

/// Opens a card; compiled kernels are kept in the user's cache folder.
///
/// In the environment `VAR_PRODUCTS=own` keeps large products from cuBLASLt, `VAR_GRAPHS=0` asks for every kernel
/// by itself. `warn` is told, once, that this is so because a graph could not be made.
///
/// # Errors
/// If the card cannot be used.
pub fn open(chosen: Chosen, warn: fn(&str)) -> Result<Cuda, CudaError> {
    let Chosen { number, precision } = chosen;
    let folder = cubins::Folder::of_the_user();
    let cubins = folder.map(|folder| Box::new(folder) as Box<dyn var_kernel::cuda::Cubins>);
    let is = |name, value| env::var_os(name).is_some_and(|has| has == value);
    let products = if is("VAR_PRODUCTS", "own") { Products::Own } else { Products::Library };
    let graphs = !is("VAR_GRAPHS", "0");
    Cuda::open(Options { number, precision, graphs, products, cubins, warn })
}
