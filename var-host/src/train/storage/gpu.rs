//! A GPU's memory.
//!
//! Tensors have the order of the GPU's operations there: a convolution's weights
//! `outer × height × width × inner`. So have their gradients and averages, which are updated element by
//! element.

use core::time::Duration;
use std::borrow::Cow;
use std::thread;
use std::time::Instant;

use var_kernel::cpu::Cpu;
use var_kernel::cuda::{Communicator, Cuda, Dtype, Memory, Remote};
use var_kernel::memory::{Device, Floats};

use super::{AllReduce, ParameterLayout, Precision, Storage, TrainError};
use crate::gpu;
use crate::grad::Sums;
use crate::parallel::ProcessGroup;

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

    fn from_host(
        cuda: &Cuda,
        layout: &ParameterLayout,
        elements: Vec<f32>,
    ) -> Result<Memory, TrainError> {
        assert_eq!(elements.len(), layout.floats(), "elements are not as long as their layout");
        let mut memory = cuda.memory(elements.len())?;
        cuda.upload(&mut memory, &reordered(layout, &elements, WeightOrder::OfTheGpu))?;
        Ok(memory)
    }

    fn to_host<'n>(
        cuda: &Cuda,
        layout: &ParameterLayout,
        elements: &'n Memory,
    ) -> Result<Cow<'n, [f32]>, TrainError> {
        let mut there = vec![0.0; elements.len()];
        cuda.download(&mut there, elements)?;
        Ok(Cow::Owned(reordered(layout, &there, WeightOrder::OfTheFile)))
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
        layout: &ParameterLayout,
        weights: &Remote,
        computed: &mut Remote,
    ) -> Result<(), TrainError> {
        let half = precision.on_gpu().dtype();
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

/// Floats that are sent over the host at once: 16 MiB.
const SENT_TOGETHER: usize = 1 << 22;

/// Time between two looks whether sums are done.
const BETWEEN_LOOKS: Duration = Duration::from_micros(50);

/// Time that sums may take to their end after another rank has left.
const AFTER_ANOTHER: Duration = Duration::from_secs(5);

/// The communicator of the GPUs of all ranks; none where they do not reach each other.
#[derive(Default)]
pub struct Nccl(Option<Communicator>);

impl AllReduce<DeviceMemory> for Nccl {
    fn join(
        &mut self,
        cuda: &Cuda,
        ranks: &dyn ProcessGroup,
    ) -> Result<Option<&'static str>, TrainError> {
        let (rank, size) = (ranks.rank(), ranks.size());
        let mut able = [if Communicator::can_be() { 1.0 } else { 0.0 }];
        ranks.sum(&mut able)?;
        if size == 1 {
            return Ok(None);
        }
        if able[0] < size as f32 {
            return Ok(Some(
                "gradients are added up over the host, which takes longer: NCCL (libnccl.so.2) is not \
                 where each rank runs; put its folder into LD_LIBRARY_PATH",
            ));
        }
        let mut unique_id =
            if rank == 0 { Communicator::unique_id()?.to_vec() } else { Vec::new() };
        ranks.broadcast(&mut unique_id)?;
        let unique_id = unique_id.try_into().expect("the first rank's");
        self.0 = Some(Communicator::join(cuda, &unique_id, rank, size)?);
        Ok(None)
    }

    fn sum(
        &mut self,
        cuda: &Cuda,
        ranks: &dyn ProcessGroup,
        elements: &mut Remote,
    ) -> Result<(), TrainError> {
        if ranks.size() == 1 {
            return Ok(());
        }
        if self.0.is_some() {
            self.begin(cuda, elements)?;
            return self.end(ranks);
        }
        let (length, mut on_host) = (elements.len(), Vec::new());
        for start in (0..length).step_by(SENT_TOGETHER) {
            let slice = elements.range_mut(start..length.min(start + SENT_TOGETHER));
            on_host.resize(slice.len(), 0.0);
            cuda.download(&mut on_host, slice)?;
            ranks.sum(&mut on_host)?;
            cuda.upload(slice, &on_host)?;
        }
        Ok(())
    }

    fn overlaps(&self) -> bool {
        self.0.is_some()
    }

    fn begin<'d>(
        &mut self,
        _: &<DeviceMemory as Storage>::Device<'d>,
        elements: &mut Remote,
    ) -> Result<(), <<DeviceMemory as Storage>::Device<'d> as Device>::Error> {
        self.0.as_mut().expect("GPUs that have joined").begin_sum(elements)
    }

    fn end(&mut self, ranks: &dyn ProcessGroup) -> Result<(), TrainError> {
        let Some(group) = &mut self.0 else { return Ok(()) };
        // A rank that is gone never joins in: only the ranks themselves hear of it. One that has left may
        // only have seen the end of the sums first.
        let mut left = None;
        while !group.is_done()? {
            ranks.check()?;
            if let Err(error) = ranks.check_none_left()
                && left.get_or_insert_with(Instant::now).elapsed() > AFTER_ANOTHER
            {
                return Err(error.into());
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        Ok(group.end_sums()?)
    }
}

/// In which order a convolution's weights lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WeightOrder {
    /// `outer × height × width × inner`
    OfTheGpu,
    /// `outer × inner × height × width`
    OfTheFile,
}

/// The numbers with convolutions' weights brought into the order `wanted` from the other.
fn reordered(layout: &ParameterLayout, numbers: &[f32], wanted: WeightOrder) -> Vec<f32> {
    let mut all = numbers.to_vec();
    for tensor in layout.tensors() {
        let [_, inner, height, width] = tensor.shape[..] else { continue };
        let (taps, from) = (height * width, &numbers[tensor.range.clone()]);
        let outers = all[tensor.range.clone()].chunks_exact_mut(inner * taps);
        for (to, from) in outers.zip(from.chunks_exact(inner * taps)) {
            for i in 0..inner {
                for tap in 0..taps {
                    let (of_file, of_gpu) = (i * taps + tap, tap * inner + i);
                    match wanted {
                        WeightOrder::OfTheGpu => to[of_gpu] = from[of_file],
                        WeightOrder::OfTheFile => to[of_file] = from[of_gpu],
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
        let layout = ParameterLayout::new(vec![wanted("a", &[3, 5]), wanted("b", &[2, 3, 2, 2])]);
        let numbers: Vec<f32> = (0..layout.floats()).map(|i| i as f32).collect();
        let there = reordered(&layout, &numbers, WeightOrder::OfTheGpu);
        let of_b = layout.tensors()[1].range.start;
        assert_eq!(there[..of_b], numbers[..of_b]);
        let at = |i: usize| (of_b + i) as f32;
        assert_eq!(there[of_b..of_b + 4], [at(0), at(4), at(8), at(1)]);
        assert_eq!(reordered(&layout, &there, WeightOrder::OfTheFile), numbers);
    }
}
