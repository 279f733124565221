//! The network on a GPU: its weights there, and the forward pass.

use std::collections::HashMap;

use var_kernel::arena::Arena;
use var_kernel::cpu;
use var_kernel::cuda::{Cuda, CudaError, CudaMatrix, Dtype, Memory, Remote};
use var_kernel::memory::{Device, Floats};

use super::layout::{Conv, InceptionBlock};
use super::network::{self, FoldedWeights, InceptionFeatures};
use super::weights::convs;
use super::{CLASSES, Inception, POOLED, SIDE};
use crate::gpu;

/// A GPU that computes the network in its own precision.
pub struct InceptionGpu {
    cuda: Cuda,
    convs: HashMap<String, GpuConv>,
    logits: Memory,
    /// Working memory, kept from one call to the next.
    memory: Option<Memory>,
}

struct GpuConv {
    weight: Memory,
    weights: usize,
    bias: Memory,
}

impl InceptionGpu {
    /// Uploads the weights.
    ///
    /// # Errors
    /// If the GPU has not the memory.
    pub fn new(cuda: Cuda, inception: &Inception) -> Result<Self, CudaError> {
        let dtype = cuda.precision().dtype();
        let mut on_gpu = HashMap::new();
        for Conv { name, inner, outer, kernel: [rows, columns], .. } in convs() {
            let folded = inception.conv(&name);
            let shape = [outer, inner, rows, columns];
            let weight = cpu::Matrix::F32(&folded.weight);
            let mut bias = cuda.memory(outer)?;
            cuda.upload(&mut bias, &folded.bias)?;
            let (weights, weight) = (weight.len(), cuda.upload_matrix(weight, &shape, dtype)?);
            let _ = on_gpu.insert(name, GpuConv { weight, weights, bias });
        }
        let logits = cpu::Matrix::F32(inception.logits());
        let logits = cuda.upload_matrix(logits, &[CLASSES, POOLED], dtype)?;
        Ok(Self { cuda, convs: on_gpu, logits, memory: None })
    }

    /// The GPU.
    pub fn cuda(&self) -> &Cuda {
        &self.cuda
    }

    /// Features of `pictures` images from the network's input `x`.
    pub(super) fn features(
        &mut self,
        blocks: &[InceptionBlock],
        x: &[f32],
        pictures: usize,
    ) -> Result<InceptionFeatures, CudaError> {
        let floats = network::floats(&self.cuda, blocks, pictures) + x.len();
        // Every run in the arena begins at a whole number of cache lines.
        let floats = floats + pictures * (POOLED + CLASSES) + 4 * var_kernel::arena::ALIGNMENT;
        let mut memory = self.memory.take();
        let run = gpu::at_least(&self.cuda, &mut memory, floats)?;
        let features = self.forward(blocks, x, pictures, run);
        self.memory = memory;
        features
    }

    fn forward(
        &self,
        blocks: &[InceptionBlock],
        x: &[f32],
        pictures: usize,
        memory: &mut Remote,
    ) -> Result<InceptionFeatures, CudaError> {
        let cuda = &self.cuda;
        let mut arena = Arena::new(memory);
        let input = arena.take(x.len());
        cuda.upload(input, x)?;
        assert_eq!(x.len(), pictures * SIDE * SIDE * 3, "one input for each image");
        let (pooled, logits) = (arena.take(pictures * POOLED), arena.take(pictures * CLASSES));
        let mut features = InceptionFeatures::default();
        let spatial = &mut features.spatial;
        let mut look = |map: &Remote, channels: usize| {
            let mut there = vec![0.0; map.len()];
            cuda.download(&mut there, map)?;
            network::look(spatial, &there, channels);
            Ok(())
        };
        let out = [&mut *pooled, &mut *logits];
        network::forward(cuda, blocks, self, out, input, pictures, &mut arena, &mut look)?;
        for (to, from) in [(&mut features.pooled, pooled), (&mut features.logits, logits)] {
            to.resize(from.len(), 0.0);
            cuda.download(to, from)?;
        }
        Ok(features)
    }
}

impl FoldedWeights<Cuda> for InceptionGpu {
    fn conv(&self, conv: &Conv) -> (CudaMatrix<'_>, &Remote) {
        let GpuConv { weight, weights, bias } = &self.convs[&conv.name];
        (CudaMatrix::new(weight, self.dtype(), *weights), bias)
    }

    fn logits(&self) -> CudaMatrix<'_> {
        CudaMatrix::new(&self.logits, self.dtype(), CLASSES * POOLED)
    }
}

impl InceptionGpu {
    fn dtype(&self) -> Dtype {
        self.cuda.precision().dtype()
    }
}
