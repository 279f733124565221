//! Gradients of group normalization on a GPU: images in chunks of positions, sums in the chunks' order.
//!
//! Mean and deviation are recomputed from x, which the gradient reads anyway.

use var_kernel::cuda::{Cuda, CudaError, Dtype, Remote};
use var_kernel::memory::Floats;
use var_kernel::ops::group_norm::{Activation, Dims};
use var_kernel::parts::{Kernel, Launch, MOMENTS, SOME};

use super::{Forward, GroupNormBackward};
use crate::grad::kernel_sources::kernel_source;
use crate::grad::sums::{self, Sums};

kernel_source!("group_norm", "kernel.cu", SOME, MOMENTS);

const THREADS: usize = 256;

/// Groups of a block of `merge` and `means`: one a warp.
const GROUPS: usize = 8;

/// Bytes that one access moves at most.
const ACCESS: u64 = 16;

/// Positions of a chunk: small maps have chunks for many blocks too.
const CHUNK: usize = 32;

/// The most chunks of an image.
const MAX_CHUNKS: usize = 1024;

impl GroupNormBackward for Cuda {
    fn group_norm_backward_sums(&self, d: Dims) -> usize {
        d.batch * 2 * d.channels
    }

    fn group_norm_backward_x(
        &self,
        dx: Option<&mut Remote>,
        sums: &mut Remote,
        dout: &Remote,
        of: Forward<'_, Remote>,
        d: Dims,
    ) -> Result<(), CudaError> {
        let whole = d.batch * d.positions * d.channels;
        let lengths = [dout.len(), of.x.len(), of.weight.len(), of.bias.len()];
        let wanted = [whole, whole, d.channels, d.channels];
        assert_eq!(lengths, wanted, "group_norm's gradient: not the sizes of the forward pass");
        if let Some(dx) = &dx {
            assert_eq!(dx.len(), whole, "group_norm's gradient: dx is not like x");
        }
        let sums = sums.range_mut(0..self.group_norm_backward_sums(d));
        if whole == 0 {
            return self.fill(sums, 0.0);
        }
        let pass = GroupNormPass::of(self, dx.as_deref(), dout, of, d)?;
        let normal = pass.normal()?;
        pass.sum(sums, normal)?;
        match dx {
            None => Ok(()),
            Some(dx) => pass.add(dx, sums, normal),
        }
    }

    fn group_norm_backward_parameters(
        &self,
        [dweight, dbias]: [&mut Remote; 2],
        sums: &Remote,
        d: Dims,
    ) -> Result<(), CudaError> {
        assert_eq!([dweight.len(), dbias.len()], [d.channels; 2], "group_norm: not channels");
        let sums = sums.range(0..d.batch * 2 * d.channels);
        let part = |start| sums::Dims { rows: d.batch, stride: 2 * d.channels, start };
        self.sum_rows(dbias, sums, part(0))?;
        self.sum_rows(dweight, sums, part(d.channels))
    }
}

/// One backward pass: where its operands are, and how the images are cut.
struct GroupNormPass<'a> {
    cuda: &'a Cuda,
    dout: u64,
    x: u64,
    of: Forward<'a, Remote>,
    /// Whether four numbers are loaded at once.
    by_four: bool,
    /// Positions of a chunk.
    chunk: usize,
    chunks: usize,
    d: Dims,
}

impl<'a> GroupNormPass<'a> {
    fn of(
        cuda: &'a Cuda,
        dx: Option<&Remote>,
        dout: &Remote,
        of: Forward<'a, Remote>,
        d: Dims,
    ) -> Result<Self, CudaError> {
        cuda.fresh_scratch();
        let (dout, x) = (cuda.operand_f32(dout, dout.len())?, cuda.operand_f32(of.x, of.x.len())?);
        let dx = dx.map_or(0, Remote::address);
        let by_four = d.channels.is_multiple_of(4)
            && [dout, x, dx, of.weight.address(), of.bias.address()]
                .iter()
                .all(|address| address.is_multiple_of(ACCESS));
        let chunk = d.positions.div_ceil(MAX_CHUNKS).max(CHUNK);
        let chunks = d.positions.div_ceil(chunk);
        Ok(Self { cuda, dout, x, of, by_four, chunk, chunks, d })
    }

    /// `by_four` or `by_one` with a block for each chunk.
    fn launch(&self, [by_four, by_one]: [&'static str; 2]) -> Launch {
        let kernel = Kernel::new(&SOURCE, if self.by_four { by_four } else { by_one });
        Launch::new(kernel, [self.d.batch * self.chunks, 1, 1], THREADS as u32)
    }

    /// Bytes of shared memory of `of_each` sums a channel and row of a block.
    fn shared(&self, of_each: usize) -> usize {
        let pieces = self.d.channels / if self.by_four { 4 } else { 1 };
        let rows = if pieces <= THREADS { THREADS / pieces } else { 1 };
        size_of::<f32>() * of_each * rows * self.d.channels
    }

    /// `name` with a warp for each group.
    fn for_groups(&self, name: &'static str) -> Launch {
        let blocks = (self.d.batch * self.d.groups).div_ceil(GROUPS);
        Launch::new(Kernel::new(&SOURCE, name), [blocks, 1, 1], THREADS as u32)
    }

    /// Where each channel's mean and 1/deviation are.
    fn normal(&self) -> Result<u64, CudaError> {
        let GroupNormPass { chunk, chunks, d, .. } = *self;
        let moments = self.cuda.scratch(2 * d.batch * chunks * d.groups)?;
        let normal = self.cuda.scratch(2 * d.batch * d.channels)?;
        let means = size_of::<f32>() * d.groups;
        let launch = self.launch(["measure_4", "measure_1"]).sharing(self.shared(1) + means);
        let launch = launch.address(moments).address(self.x).size(d.positions).size(d.channels);
        self.cuda.launch_to_scratch(launch.size(d.groups).size(chunk).size(chunks))?;
        let launch = self.for_groups("merge").address(normal).address(moments).float(self.of.eps);
        let launch = launch.size(d.positions).size(d.channels).size(d.groups);
        self.cuda.launch_to_scratch(launch.size(chunk).size(chunks).size(d.batch * d.groups))?;
        Ok(normal)
    }

    /// Leaves each channel's sums of dy and dy · n.
    fn sum(&self, sums: &mut Remote, normal: u64) -> Result<(), CudaError> {
        let GroupNormPass { chunk, chunks, d, .. } = *self;
        let columns = 2 * d.channels;
        let parts = match chunks {
            1 => sums.address(),
            _ => self.cuda.scratch(d.batch * chunks * columns)?,
        };
        let launch = self.launch(["sum_4", "sum_1"]).sharing(self.shared(2)).address(parts);
        let launch =
            launch.address(self.dout).address(self.x).address(normal).slice(self.of.weight);
        let launch =
            launch.slice(self.of.bias).size(self.silu()).size(d.positions).size(d.channels);
        let launch = launch.size(chunk).size(chunks);
        if chunks == 1 {
            return self.cuda.launch(launch, [(sums, Dtype::F32)]);
        }
        self.cuda.launch_to_scratch(launch)?;
        let kernel = Kernel::new(&SOURCE, "add_chunks");
        let launch = Launch::new(kernel, [d.batch * columns.div_ceil(32), 1, 1], THREADS as u32);
        let launch = launch.slice(sums).address(parts).size(chunks).size(columns);
        self.cuda.launch(launch, [(sums, Dtype::F32)])
    }

    /// Adds the input's gradient, given the sums.
    fn add(&self, dx: &mut Remote, sums: &Remote, normal: u64) -> Result<(), CudaError> {
        let GroupNormPass { chunk, chunks, d, .. } = *self;
        let means = self.cuda.scratch(2 * d.batch * d.channels)?;
        let launch = self.for_groups("means").address(means).slice(sums).slice(self.of.weight);
        let launch = launch.size(d.positions).size(d.channels).size(d.groups);
        self.cuda.launch_to_scratch(launch.size(d.batch * d.groups))?;
        let launch = self.launch(["add_4", "add_1"]).slice(dx).address(self.dout).address(self.x);
        let launch =
            launch.address(normal).address(means).slice(self.of.weight).slice(self.of.bias);
        let launch = launch.size(self.silu()).size(d.positions).size(d.channels);
        self.cuda.launch(launch.size(chunk).size(chunks), [(dx, Dtype::F32)])
    }

    fn silu(&self) -> usize {
        (self.of.activation == Activation::Silu).into()
    }
}
