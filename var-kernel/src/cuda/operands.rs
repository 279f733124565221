//! Scratch memory of an operation, and its operands in the format it wants.

use super::command::{Launch, bytes};
use super::conversion_cache::ConversionCache;
use super::kernel_source::{Kernel, KernelSource};
use super::scratch::{SCRATCH_ALIGNED, SCRATCH_STEP};
use super::{Cuda, CudaError, Dtype, Remote};
use crate::memory::Floats;
use crate::remote::WORD;

impl Cuda {
    /// Launches `kernel` on as many threads as `length` says, if any; `arguments` adds its arguments, with
    /// scratch memory of its own. The output is `f32`, or words.
    pub(crate) fn launch_elements(
        &self,
        kernel: Kernel,
        out: &Remote,
        length: usize,
        arguments: impl FnOnce(Launch) -> Result<Launch, CudaError>,
    ) -> Result<(), CudaError> {
        if length == 0 {
            return Ok(());
        }
        self.fresh_scratch();
        let launch = arguments(Launch::for_each(kernel, length))?;
        self.launch(launch, [(out, Dtype::F32)])
    }

    /// Begins an operation's use of scratch memory: that of the last one is free again.
    pub fn fresh_scratch(&self) {
        self.scratch.borrow_mut().taken = 0;
    }

    /// `words` words of scratch memory, good for the operation at hand.
    pub fn scratch(&self, words: usize) -> Result<u64, CudaError> {
        let mut scratch = self.scratch.borrow_mut();
        let needed = scratch.taken + words.next_multiple_of(SCRATCH_ALIGNED);
        let has = scratch.current.as_ref().map_or(0, |memory| memory.len());
        if has < needed {
            let memory = self.memory(needed.next_multiple_of(SCRATCH_STEP))?;
            // Scratch of this operation stays where it is.
            scratch.taken = 0;
            if let Some(small) = scratch.current.replace(memory) {
                scratch.outgrown.push(small);
            }
        }
        let start = scratch.taken;
        scratch.taken += words.next_multiple_of(SCRATCH_ALIGNED);
        let memory = scratch.current.as_ref().expect("it was made above");
        Ok(memory.address() + WORD * start as u64)
    }

    /// Reads words of the scratch memory of the operation at hand, at an address in it.
    ///
    /// # Panics
    /// If they are not all in it; also within a [`Capture::capture`](crate::capture::Capture::capture).
    pub fn download_scratch(&self, to: &mut [u32], from: u64) -> Result<(), CudaError> {
        let scratch = self.scratch.borrow();
        let current = scratch
            .current
            .as_deref()
            .map_or(0..0, |run| run.address()..run.address() + WORD * scratch.taken as u64);
        let end = from + WORD * to.len() as u64;
        assert!(current.start <= from && end <= current.end, "these words are not scratch memory");
        self.download_bytes(bytemuck::cast_slice_mut(to), from)
    }

    /// Writes the numbers of `x` to `out`, a run as long, as `dtype`.
    ///
    /// # Errors
    /// Only the GPU's own.
    ///
    /// # Panics
    /// If the lengths differ, or both formats are 16-bit ones.
    pub fn convert(&self, out: &mut Remote, x: &Remote, dtype: Dtype) -> Result<(), CudaError> {
        assert_eq!(out.len(), x.len(), "convert: lengths differ");
        match self.dtype_of(x) {
            _ if out.is_empty() => Ok(()),
            has if has == dtype => self.copy_slice(out, x),
            has => {
                let launch = conversion(out.address(), dtype, x.address(), has, x.len());
                self.launch(launch, [(out, dtype)])
            }
        }
    }

    /// The address of the first `numbers` numbers of `run` as `wanted`: its own, or that of a converted
    /// copy in scratch memory.
    pub fn operand(&self, run: &Remote, numbers: usize, wanted: Dtype) -> Result<u64, CudaError> {
        if numbers == 0 {
            return Ok(run.address());
        }
        self.operand_as(run.address(), numbers, self.dtype_of(run), wanted)
    }

    /// The same of `numbers` numbers of format `has` at an address.
    pub fn operand_as(
        &self,
        from: u64,
        numbers: usize,
        has: Dtype,
        wanted: Dtype,
    ) -> Result<u64, CudaError> {
        if has == wanted || numbers == 0 {
            return Ok(from);
        }
        let to = self.scratch(wanted.words(numbers))?;
        self.launch_to_scratch(conversion(to, wanted, from, has, numbers))?;
        Ok(to)
    }

    /// As [`Cuda::operand`] of a whole run; the copy is kept until the run is written or another one's
    /// is wanted, so that operations that read it in a row share it.
    pub fn operand_cached(&self, run: &Remote, wanted: Dtype) -> Result<u64, CudaError> {
        let has = self.dtype_of(run);
        if has == wanted || run.is_empty() {
            return Ok(run.address());
        }
        let of = (run.address()..run.address() + bytes(run), wanted);
        let ConversionCache { memory, of: has_of } = self.conversions.take();
        let words = wanted.words(run.len());
        let memory = match memory {
            Some(memory) if memory.len() >= words => memory,
            small => {
                self.scratch.borrow_mut().outgrown.extend(small);
                self.memory(words.next_multiple_of(SCRATCH_STEP))?
            }
        };
        let to = memory.address();
        if has_of.as_ref() != Some(&of) {
            self.launch_to_scratch(conversion(to, wanted, run.address(), has, run.len()))?;
        }
        self.conversions.replace(ConversionCache { memory: Some(memory), of: Some(of) });
        Ok(to)
    }

    /// The address of the first `numbers` numbers of `run` as `f32`.
    pub fn operand_f32(&self, run: &Remote, numbers: usize) -> Result<u64, CudaError> {
        self.operand(run, numbers, Dtype::F32)
    }
}

/// Writes `numbers` numbers of format `has` at `from` to `to` as `wanted`.
///
/// # Panics
/// If both are 16-bit formats.
fn conversion(to: u64, wanted: Dtype, from: u64, has: Dtype, numbers: usize) -> Launch {
    let kernel = match (has, wanted) {
        (Dtype::F32, _) => NARROW,
        (_, Dtype::F32) => WIDEN,
        _ => panic!("a run of {has:?} where {wanted:?} is wanted: two precisions on one GPU"),
    };
    let launch = Launch::new(kernel, [numbers.div_ceil(NUMBERS_OF_A_BLOCK), 1, 1], 256);
    launch.address(to).address(from).length(numbers)
}

pub(crate) static FORMATS: KernelSource = KernelSource::new("formats", include_str!("formats.cu"));
/// Values converted by a block.
const NUMBERS_OF_A_BLOCK: usize = 1024;
const NARROW: Kernel = Kernel::new(&FORMATS, "narrow_run");
const WIDEN: Kernel = Kernel::new(&FORMATS, "widen_run");
