//! Images → features: the network on the CPU or a GPU.

use var_kernel::arena::Arena;
use var_kernel::cpu::Cpu;

use super::layout::{self, InceptionBlock};
use super::network::{InceptionFeatures, floats, forward, look};
use super::resize::resize;
use super::{CLASSES, Inception, POOLED, SIDE, SPATIAL};
use crate::engine::{Buffer, EngineError};
use crate::images::RgbImage;

/// The network at work on some device.
pub struct Forward<'a> {
    weights: &'a Inception,
    blocks: Vec<InceptionBlock>,
    memory: Buffer,
    #[cfg(feature = "cuda")]
    gpu: Option<super::InceptionGpu>,
}

impl<'a> Forward<'a> {
    /// The network with `weights`.
    pub fn new(weights: &'a Inception) -> Self {
        Self {
            weights,
            blocks: layout::blocks(),
            memory: Buffer::default(),
            #[cfg(feature = "cuda")]
            gpu: None,
        }
    }

    /// The same on a GPU; the processor resizes.
    ///
    /// # Errors
    /// If the GPU has not the memory.
    #[cfg(feature = "cuda")]
    pub fn on_gpu(self, cuda: var_kernel::cuda::Cuda) -> Result<Self, EngineError> {
        let gpu = super::InceptionGpu::new(cuda, self.weights)?;
        Ok(Self { gpu: Some(gpu), ..self })
    }

    /// Features of `pictures`, which are resized to the network's input.
    ///
    /// An image's features do not depend on the others.
    ///
    /// # Errors
    /// If there is too little memory.
    pub fn features(
        &mut self,
        cpu: &Cpu<'_>,
        pictures: &[RgbImage],
    ) -> Result<InceptionFeatures, EngineError> {
        let count = pictures.len();
        if count == 0 {
            return Ok(InceptionFeatures::default());
        }
        let input = count * SIDE * SIDE * 3;
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &mut self.gpu {
            let x = self.memory.at_least(input)?;
            resize(cpu, x, pictures);
            return Ok(gpu.features(&self.blocks, x, count)?);
        }
        let floats = floats(cpu, &self.blocks, count) + input + var_kernel::arena::ALIGNMENT;
        let mut arena = Arena::new(self.memory.at_least(floats)?);
        let x = arena.take(input);
        resize(cpu, x, pictures);
        let mut features = InceptionFeatures {
            pooled: vec![0.0; count * POOLED],
            spatial: Vec::with_capacity(count * SPATIAL),
            logits: vec![0.0; count * CLASSES],
        };
        let InceptionFeatures { pooled, spatial, logits } = &mut features;
        let mut look_at = |map: &[f32], channels: usize| {
            look(spatial, map, channels);
            Ok(())
        };
        let Ok(()) = forward(
            cpu,
            &self.blocks,
            self.weights,
            [pooled, logits],
            x,
            count,
            &mut arena,
            &mut look_at,
        );
        Ok(features)
    }
}
