//! A GPU as a device.

use core::cell::RefCell;
use std::sync::Arc;
use std::vec::Vec;

use super::command::{Command, Launch, bytes};
use super::conversion_cache::ConversionCache;
use super::driver::nvidia::Nvidia;
use super::driver::{Driver, Event, GpuProperties};
use super::dtype::{Dtype, Precision};
use super::dtype_map::DtypeMap;
use super::error::CudaError;
use super::matrix::CudaMatrix;
use super::memory::Memory;
use super::options::Options;
use super::queue::Queue;
use super::scratch::Scratch;
use crate::capture::{Capture, Segments};
use crate::memory::{Device, Floats};
use crate::remote::{Remote, WORD};
use crate::transfer::{ImageTransfer, TokenTransfer};

/// A GPU.
pub struct Cuda {
    /// First, so that graphs go before the driver they belong to.
    pub(super) queue: RefCell<Queue>,
    pub(super) driver: Arc<dyn Driver>,
    precision: Precision,
    dtypes: RefCell<DtypeMap>,
    pub(super) scratch: RefCell<Scratch>,
    pub(super) conversions: RefCell<ConversionCache>,
}

impl Cuda {
    /// Opens a GPU.
    ///
    /// # Errors
    /// If there is no driver or no such GPU, one of them is too old, or the GPU is out of memory.
    pub fn open(options: Options) -> Result<Self, CudaError> {
        let Options { precision, graphs, warn, .. } = options;
        Self::warning(Arc::new(Nvidia::open(options)?), precision, graphs, warn)
    }

    #[cfg(test)]
    pub(crate) fn on(
        driver: Arc<dyn Driver>,
        precision: Precision,
        graphs: bool,
    ) -> Result<Self, CudaError> {
        Self::warning(driver, precision, graphs, |_| ())
    }

    fn warning(
        driver: Arc<dyn Driver>,
        precision: Precision,
        graphs: bool,
        warn: fn(&str),
    ) -> Result<Self, CudaError> {
        let queue = RefCell::new(Queue::new(Arc::clone(&driver), graphs, warn)?);
        let (dtypes, scratch) = (RefCell::default(), RefCell::default());
        Ok(Self { driver, precision, dtypes, queue, scratch, conversions: RefCell::default() })
    }

    /// Properties of the GPU.
    pub fn properties(&self) -> &GpuProperties {
        self.driver.properties()
    }

    /// Precision of products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Free and total bytes of the GPU's memory.
    ///
    /// # Errors
    /// Only the GPU's own.
    pub fn free_and_total(&self) -> Result<(u64, u64), CudaError> {
        self.driver.memory()
    }

    /// `words` words of new memory, contents unspecified.
    ///
    /// # Errors
    /// If the GPU has not as much.
    pub fn memory(&self, words: usize) -> Result<Memory, CudaError> {
        let memory = Memory::new(Arc::clone(&self.driver), words)?;
        // The contents of memory at this address before are gone.
        self.record(memory.address(), bytes(&memory).max(WORD), Dtype::F32);
        Ok(memory)
    }

    /// A mark in the stream, for [`Cuda::milliseconds`].
    ///
    /// # Errors
    /// Only the GPU's own.
    pub fn record_event(&self) -> Result<Event, CudaError> {
        self.driver.record_event()
    }

    /// Milliseconds of the GPU's time between two marks.
    ///
    /// # Errors
    /// Only the GPU's own.
    pub fn milliseconds(&self, begin: Event, end: Event) -> Result<f32, CudaError> {
        self.driver.elapsed(begin, end)
    }

    /// Asks for a kernel that writes `outs`, each in its format.
    pub fn launch<const N: usize>(
        &self,
        launch: Launch,
        outs: [(&Remote, Dtype); N],
    ) -> Result<(), CudaError> {
        for (out, dtype) in outs {
            self.record(out.address(), bytes(out), dtype);
        }
        self.queue.borrow_mut().enqueue(Command::Launch(launch))
    }

    /// Asks for a kernel that writes scratch memory only.
    pub fn launch_to_scratch(&self, launch: Launch) -> Result<(), CudaError> {
        self.queue.borrow_mut().enqueue(Command::Launch(launch))
    }

    /// Copies a run whole, in whatever format its numbers are.
    pub fn copy_slice(&self, out: &mut Remote, x: &Remote) -> Result<(), CudaError> {
        let dtype = self.dtype_of(x);
        let bytes = bytes(x);
        self.record(out.address(), bytes, dtype);
        let (to, from) = (out.address(), x.address());
        self.queue.borrow_mut().enqueue(Command::Copy { to, from, bytes })
    }

    /// Sends words to the GPU; returns their address there, good for the operation at hand.
    pub fn send(&self, words: &[u32]) -> Result<u64, CudaError> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.queue.borrow_mut().send(&bytes)
    }

    /// In which format the numbers of `run` are.
    pub fn dtype_of(&self, run: &Remote) -> Dtype {
        self.dtypes.borrow().of(run.address())
    }

    /// Notes that bytes from `address` on are overwritten with numbers of `dtype`.
    pub(super) fn record(&self, address: u64, bytes: u64, dtype: Dtype) {
        self.dtypes.borrow_mut().record(address, bytes, dtype);
        let mut conversions = self.conversions.borrow_mut();
        if let Some((of, _)) = &conversions.of
            && of.start < address + bytes
            && address < of.end
        {
            conversions.of = None;
        }
    }

    /// The format of activations inside a block.
    pub fn inner(&self) -> Dtype {
        self.precision.dtype()
    }
}

impl Device for Cuda {
    type Slice = Remote;
    type Tokens = Remote;
    type Matrix<'a> = CudaMatrix<'a>;
    type Error = CudaError;

    fn upload(&self, to: &mut Remote, from: &[f32]) -> Result<(), CudaError> {
        assert_eq!(to.len(), from.len(), "upload: lengths differ");
        self.upload_bytes(to, bytemuck::cast_slice(from))
    }

    /// # Panics
    /// Also within a [`Capture::capture`].
    fn download(&self, to: &mut [f32], from: &Remote) -> Result<(), CudaError> {
        assert_eq!(to.len(), from.len(), "download: lengths differ");
        self.fresh_scratch();
        let from = self.operand_f32(from, to.len())?;
        self.download_bytes(bytemuck::cast_slice_mut(to), from)
    }

    fn wait(&self) -> Result<(), CudaError> {
        self.driver.wait()?;
        if !self.queue.borrow().in_capture() {
            self.scratch.borrow_mut().outgrown.clear();
        }
        Ok(())
    }
}

impl ImageTransfer for Cuda {
    fn upload_images(&self, to: &mut Remote, from: &[u8]) -> Result<(), CudaError> {
        self.read_pictures(to, from)
    }

    /// # Panics
    /// Also within a [`Capture::capture`].
    fn download_images(&self, to: &mut [u8], from: &Remote) -> Result<(), CudaError> {
        self.show_pictures(to, from)
    }

    fn images_together(&self) -> usize {
        PICTURES_TOGETHER
    }
}

impl TokenTransfer for Cuda {
    fn tokens_in(run: &mut Remote) -> &mut Remote {
        run
    }

    fn upload_tokens(&self, to: &mut Remote, from: &[u32]) -> Result<(), CudaError> {
        assert_eq!(to.len(), from.len(), "upload: lengths differ");
        self.upload_bytes(to, bytemuck::cast_slice(from))
    }

    /// # Panics
    /// Also within a [`Capture::capture`].
    fn download_tokens(&self, to: &mut [u32], from: &Remote) -> Result<(), CudaError> {
        assert_eq!(to.len(), from.len(), "download: lengths differ");
        self.download_bytes(bytemuck::cast_slice_mut(to), from.address())
    }
}

impl Capture for Cuda {
    fn capture(&self, work: &mut dyn FnMut() -> Result<(), CudaError>) -> Result<(), CudaError> {
        if !self.queue.borrow_mut().begin() {
            return work();
        }
        let outcome = work();
        let mut queue = self.queue.borrow_mut();
        match outcome {
            Ok(()) => queue.end(),
            Err(error) => {
                queue.forget();
                // Conversions of the section have not run.
                self.conversions.borrow_mut().of = None;
                Err(error)
            }
        }
    }
}

impl Segments for Cuda {}

/// Images that are decoded together: enough to fill a GPU, 170 MB each at 256 × 256.
const PICTURES_TOGETHER: usize = 16;

impl Cuda {
    pub(super) fn upload_bytes(&self, to: &mut Remote, from: &[u8]) -> Result<(), CudaError> {
        self.record(to.address(), bytes(to), Dtype::F32);
        if from.is_empty() {
            return Ok(());
        }
        let mut queue = self.queue.borrow_mut();
        if queue.in_capture() {
            let (to, bytes) = (to.address(), from.len() as u64);
            let from = queue.send(from)?;
            queue.enqueue(Command::Copy { to, from, bytes })
        } else {
            self.driver.upload(to.address(), from)
        }
    }

    #[track_caller]
    pub(super) fn download_bytes(&self, to: &mut [u8], from: u64) -> Result<(), CudaError> {
        assert!(!self.queue.borrow().in_capture(), "a section reads nothing back");
        if to.is_empty() {
            return Ok(());
        }
        self.driver.download(to, from)
    }
}
