//! A GPU's memory.
//!
//! Tensors have the order of the GPU's operations there: a convolution's weights
//! `outer × height × width × inner`. So have their gradients and averages, which are updated element by
//! element.

use std::borrow::Cow;

use var_kernel::cpu::Cpu;
use var_kernel::cuda::{Cuda, Dtype, Memory, Remote};
use var_kernel::memory::{Device, Floats};

use super::{Layout, Precision, Storage, TrainError};
use crate::gpu;
use crate::grad::Sums;
use crate::train::all_reduce::Nccl;

/// A GPU's memory.
pub struct DeviceMemory(Cuda);

impl DeviceMemory {
    /// Trains on `cuda`, in its precision.
    pub fn new(cuda: Cuda) -> Self {
        Self(cuda)
    }
}

impl Storage for DeviceMemory {
    type Slice = Remote;
    type Buffer = Memory;
    type Workspace = Option<Memory>;
    type AllReduce = Nccl;
    type Device<'d> = Cuda;
    type Handle<'d> = &'d Cuda;

    fn device<'d>(&'d self, _: Cpu<'d>) -> &'d Cuda {
        &self.0
    }

    fn zeros(cuda: &Cuda, floats: usize) -> Result<Memory, TrainError> {
        let mut memory = cuda.memory(floats)?;
        cuda.fill(&mut memory, 0.0)?;
        Ok(memory)
    }

    fn from_host(cuda: &Cuda, layout: &Layout, elements: Vec<f32>) -> Result<Memory, TrainError> {
        assert_eq!(elements.len(), layout.floats(), "elements are not as long as their layout");
        let mut memory = cuda.memory(elements.len())?;
        cuda.upload(&mut memory, &reordered(layout, &elements, Order::OfTheCard))?;
        Ok(memory)
    }

    fn to_host<'n>(
        cuda: &Cuda,
        layout: &Layout,
        elements: &'n Memory,
    ) -> Result<Cow<'n, [f32]>, TrainError> {
        let mut there = vec![0.0; elements.len()];
        cuda.download(&mut there, elements)?;
        Ok(Cow::Owned(reordered(layout, &there, Order::OfTheFile)))
    }

    fn workspace<'m>(
        cuda: &Cuda,
        working: &'m mut Option<Memory>,
        floats: usize,
    ) -> Result<&'m mut Remote, TrainError> {
        Ok(gpu::at_least(cuda, working, floats)?.range_mut(0..floats))
    }

    fn round(
        cuda: &Cuda,
        precision: Precision,
        layout: &Layout,
        weights: &Remote,
        computed: &mut Remote,
    ) -> Result<(), TrainError> {
        let half = precision.on_card().dtype();
        for tensor in layout.tensors() {
            let from = weights.range(tensor.range.clone());
            let to = computed.range_mut(tensor.range.clone());
            cuda.convert(to, from, if tensor.is_rounded() { half } else { Dtype::F32 })?;
        }
        Ok(())
    }

    fn free(cuda: &Cuda) -> Option<u64> {
        cuda.free_and_total().ok().map(|(free, _)| free)
    }
}

/// In which order a convolution's weights lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// `outer × height × width × inner`
    OfTheCard,
    /// `outer × inner × height × width`
    OfTheFile,
}

/// The numbers with convolutions' weights brought into the order `wanted` from the other.
fn reordered(layout: &Layout, numbers: &[f32], wanted: Order) -> Vec<f32> {
    let mut all = numbers.to_vec();
    for tensor in layout.tensors() {
        let [_, inner, height, width] = tensor.shape[..] else { continue };
        let (taps, from) = (height * width, &numbers[tensor.range.clone()]);
        let outers = all[tensor.range.clone()].chunks_exact_mut(inner * taps);
        for (to, from) in outers.zip(from.chunks_exact(inner * taps)) {
            for i in 0..inner {
                for tap in 0..taps {
                    let (of_file, of_card) = (i * taps + tap, tap * inner + i);
                    match wanted {
                        Order::OfTheCard => to[of_card] = from[of_file],
                        Order::OfTheFile => to[of_file] = from[of_card],
                    }
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::listing::Wanted;

    #[test]
    fn convolutions_go_there_and_back() {
        let wanted = |name: &str, shape: &[usize]| Wanted {
            name: name.to_owned(),
            shape: shape.to_vec(),
            matrix: true,
        };
        let layout = Layout::new(vec![wanted("a", &[3, 5]), wanted("b", &[2, 3, 2, 2])]);
        let numbers: Vec<f32> = (0..layout.floats()).map(|i| i as f32).collect();
        let there = reordered(&layout, &numbers, Order::OfTheCard);
        let of_b = layout.tensors()[1].range.start;
        assert_eq!(there[..of_b], numbers[..of_b]);
        let at = |i: usize| (of_b + i) as f32;
        assert_eq!(there[of_b..of_b + 4], [at(0), at(4), at(8), at(1)]);
        assert_eq!(reordered(&layout, &there, Order::OfTheFile), numbers);
    }
}
