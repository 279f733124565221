//! How to use a GPU.

use std::boxed::Box;

use super::cubin_cache::CubinCache;
use super::dtype::Precision;
use super::gemm::{GemmProvider, LARGE_PRODUCT};

/// How to use a GPU.
pub struct Options {
    /// Which GPU, counted from 0.
    pub number: u32,
    /// Precision of products.
    pub precision: Precision,
    /// Whether work that repeats becomes a graph.
    pub graphs: bool,
    /// Provider of large products.
    pub gemm_provider: GemmProvider,
    /// Multiply-adds of a multiprocessor from which on a product is large.
    pub large_product: u64,
    /// Compiled kernels kept from one run to the next, if any.
    pub cubin_cache: Option<Box<dyn CubinCache>>,
    /// Told, once, that work goes on without graphs because one could not be made.
    pub warn: fn(&str),
}

impl Default for Options {
    fn default() -> Self {
        let (precision, gemm_provider) = (Precision::F32, GemmProvider::CublasLt);
        Self {
            number: 0,
            precision,
            graphs: true,
            gemm_provider,
            large_product: LARGE_PRODUCT,
            cubin_cache: None,
            warn: |_| (),
        }
    }
}
