//! A model on a GPU (feature `cuda`): its weights there, compiled kernels kept.

pub mod cubin_cache;
mod weights;

use std::env;

use var_kernel::cuda::{Cuda, CudaError, GemmProvider, GpuProperties, Memory, Options, Precision};
use var_kernel::memory::Floats;

pub use weights::{GpuError, GpuWeights};

use crate::model::Weights;

/// Which GPU, and how to compute on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuOptions {
    /// The GPU, counted from 0.
    pub number: u32,
    /// Precision of products.
    pub precision: Precision,
}

/// A GPU with a model's weights on it.
pub struct LoadedModel {
    cuda: Cuda,
    weights: GpuWeights,
    /// Working memory, kept from one call to the next.
    memory: Option<Memory>,
}

impl LoadedModel {
    /// Opens the GPU and uploads `weights`.
    ///
    /// # Errors
    /// If the GPU cannot be used, or the weights do not fit its memory or its format.
    pub fn new(chosen: GpuOptions, weights: &Weights, warn: fn(&str)) -> Result<Self, GpuError> {
        Self::on(open(chosen, warn)?, weights)
    }

    /// The same on a GPU at hand.
    ///
    /// # Errors
    /// If the weights do not fit its memory or its format.
    pub fn on(cuda: Cuda, weights: &Weights) -> Result<Self, GpuError> {
        let weights = GpuWeights::upload(&cuda, weights)?;
        Ok(Self { cuda, weights, memory: None })
    }

    /// The GPU.
    pub fn cuda(&self) -> &Cuda {
        &self.cuda
    }

    /// Properties of the GPU.
    pub fn properties(&self) -> &GpuProperties {
        self.cuda.properties()
    }

    /// The GPU, the weights on it, and at least `floats` words of working memory.
    ///
    /// # Errors
    /// If the GPU has not as much.
    pub fn parts(&mut self, floats: usize) -> Result<(&Cuda, &GpuWeights, &mut Memory), CudaError> {
        let memory = at_least(&self.cuda, &mut self.memory, floats)?;
        Ok((&self.cuda, &self.weights, memory))
    }
}

/// At least `floats` words of memory that is kept from one call to the next.
///
/// # Errors
/// If the GPU has not as much.
pub(crate) fn at_least<'m>(
    cuda: &Cuda,
    memory: &'m mut Option<Memory>,
    floats: usize,
) -> Result<&'m mut Memory, CudaError> {
    if memory.as_ref().is_none_or(|memory| memory.len() < floats) {
        // The old memory goes first: the GPU may not have room for both.
        *memory = None;
    }
    Ok(match memory {
        Some(memory) => memory,
        None => memory.insert(cuda.memory(floats)?),
    })
}

/// Opens a GPU; compiled kernels are kept in the user's cache folder.
///
/// In the environment `VAR_PRODUCTS=own` keeps large products from cuBLASLt, `VAR_GRAPHS=0` asks for every kernel
/// by itself. `warn` is told, once, that this is so because a graph could not be made.
///
/// # Errors
/// If the GPU cannot be used.
pub fn open(chosen: GpuOptions, warn: fn(&str)) -> Result<Cuda, CudaError> {
    let GpuOptions { number, precision } = chosen;
    let folder = cubin_cache::CubinFolder::of_the_user();
    let cubin_cache =
        folder.map(|folder| Box::new(folder) as Box<dyn var_kernel::cuda::CubinCache>);
    let is = |name, value| env::var_os(name).is_some_and(|has| has == value);
    let gemm_provider =
        if is("VAR_PRODUCTS", "own") { GemmProvider::Builtin } else { GemmProvider::CublasLt };
    let graphs = !is("VAR_GRAPHS", "0");
    Cuda::open(Options {
        number,
        precision,
        graphs,
        gemm_provider,
        cubin_cache,
        warn,
        ..Options::default()
    })
}
