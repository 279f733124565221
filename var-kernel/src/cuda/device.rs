//! A GPU as a device.

use core::cell::RefCell;
use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

use super::command::{Command, Launch, bytes};
use super::contents::Contents;
use super::conversion_cache::Kept;
use super::cubins::Cubins;
use super::driver::nvidia::Nvidia;
use super::driver::{Card, Driver, Mark};
use super::element::{Element, Precision};
use super::error::CudaError;
use super::gemm::Products;
use super::matrix::Matrix;
use super::memory::Memory;
use super::queue::Queue;
use super::scratch::Scratch;
use crate::memory::{Device, Floats};
use crate::remote::{Remote, WORD};

/// How to use a card.
pub struct Options {
    /// Which card, counted from 0.
    pub number: u32,
    /// Precision of products.
    pub precision: Precision,
    /// Whether work that repeats becomes a graph.
    pub graphs: bool,
    /// Provider of large products.
    pub products: Products,
    /// Compiled kernels kept from one run to the next, if any.
    pub cubins: Option<Box<dyn Cubins>>,
    /// Told, once, that work goes on without graphs because one could not be made.
    pub warn: fn(&str),
}

impl Default for Options {
    fn default() -> Self {
        let (precision, products) = (Precision::F32, Products::Library);
        Self { number: 0, precision, graphs: true, products, cubins: None, warn: |_| () }
    }
}

/// A card.
pub struct Cuda {
    /// First, so that graphs go before the driver they belong to.
    pub(super) queue: RefCell<Queue>,
    pub(super) driver: Arc<dyn Driver>,
    precision: Precision,
    contents: RefCell<Contents>,
    pub(super) scratch: RefCell<Scratch>,
    pub(super) kept: RefCell<Kept>,
}

impl Cuda {
    /// Opens a card.
    ///
    /// # Errors
    /// If there is no driver or no such card, one of them is too old, or the card is out of memory.
    pub fn open(options: Options) -> Result<Self, CudaError> {
        let Options { number, precision, graphs, products, cubins, warn } = options;
        let driver = Nvidia::open(number, precision, products, cubins)?;
        Self::warning(Arc::new(driver), precision, graphs, warn)
    }

    /// A card emulated on the processor, kernels compiled by g++, the library as plain loops: for tests.
    ///
    /// # Errors
    /// [`CudaError::NoCompiler`] if there is no g++.
    #[cfg(feature = "emulator")]
    pub fn emulated(
        precision: Precision,
        graphs: bool,
        products: Products,
    ) -> Result<Self, CudaError> {
        let driver = super::driver::emulated::Emulated::open(precision, products)?;
        Self::on(Arc::new(driver), precision, graphs)
    }

    #[cfg(any(test, feature = "emulator"))]
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
        let (contents, scratch) = (RefCell::default(), RefCell::default());
        Ok(Self { driver, precision, contents, queue, scratch, kept: RefCell::default() })
    }

    /// Properties of the GPU.
    pub fn card(&self) -> &Card {
        self.driver.card()
    }

    /// Precision of products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Free and total bytes of the card's memory.
    ///
    /// # Errors
    /// Only the card's own.
    pub fn free_and_total(&self) -> Result<(u64, u64), CudaError> {
        self.driver.memory()
    }

    /// `words` words of new memory, contents unspecified.
    ///
    /// # Errors
    /// If the card has not as much.
    pub fn memory(&self, words: usize) -> Result<Memory, CudaError> {
        let memory = Memory::new(Arc::clone(&self.driver), words)?;
        // The contents of memory at this address before are gone.
        self.note(memory.address(), bytes(&memory).max(WORD), Element::F32);
        Ok(memory)
    }

    /// A mark in the stream, for [`Cuda::milliseconds`].
    ///
    /// # Errors
    /// Only the card's own.
    pub fn mark(&self) -> Result<Mark, CudaError> {
        self.driver.mark()
    }

    /// Milliseconds of the card's time between two marks.
    ///
    /// # Errors
    /// Only the card's own.
    pub fn milliseconds(&self, begin: Mark, end: Mark) -> Result<f32, CudaError> {
        self.driver.elapsed(begin, end)
    }

    /// Asks for a kernel that writes `outs`, each in its format.
    pub fn launch<const N: usize>(
        &self,
        launch: Launch,
        outs: [(&Remote, Element); N],
    ) -> Result<(), CudaError> {
        for (out, element) in outs {
            self.note(out.address(), bytes(out), element);
        }
        self.queue.borrow_mut().ask(Command::Launch(launch))
    }

    /// Asks for a kernel that writes scratch memory only.
    pub fn launch_between(&self, launch: Launch) -> Result<(), CudaError> {
        self.queue.borrow_mut().ask(Command::Launch(launch))
    }

    /// Copies a run whole, in whatever format its numbers are.
    pub fn copy_run(&self, out: &mut Remote, x: &Remote) -> Result<(), CudaError> {
        let element = self.element_of(x);
        let bytes = bytes(x);
        self.note(out.address(), bytes, element);
        let (to, from) = (out.address(), x.address());
        self.queue.borrow_mut().ask(Command::Copy { to, from, bytes })
    }

    /// Sends words to the card; returns their address there, good for the operation at hand.
    pub fn send(&self, words: &[u32]) -> Result<u64, CudaError> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.queue.borrow_mut().send(&bytes)
    }

    /// In which format the numbers of `run` are.
    pub fn element_of(&self, run: &Remote) -> Element {
        self.contents.borrow().of(run.address())
    }

    /// Notes that bytes from `address` on are overwritten with numbers of `element`.
    pub(super) fn note(&self, address: u64, bytes: u64, element: Element) {
        self.contents.borrow_mut().note(address, bytes, element);
        let mut kept = self.kept.borrow_mut();
        if let Some((of, _)) = &kept.of
            && of.start < address + bytes
            && address < of.end
        {
            kept.of = None;
        }
    }

    /// The format of activations inside a block.
    pub fn inner(&self) -> Element {
        self.precision.element()
    }
}

impl Device for Cuda {
    type Slice = Remote;
    type Tokens = Remote;
    type Matrix<'a> = Matrix<'a>;
    type Error = CudaError;

    fn upload(&self, to: &mut Remote, from: &[f32]) -> Result<(), CudaError> {
        assert_eq!(to.len(), from.len(), "upload: lengths differ");
        self.upload_bytes(to, bytemuck::cast_slice(from))
    }

    /// # Panics
    /// Also within a [`Device::section`].
    fn download(&self, to: &mut [f32], from: &Remote) -> Result<(), CudaError> {
        assert_eq!(to.len(), from.len(), "download: lengths differ");
        self.fresh_scratch();
        let from = self.single(from, to.len())?;
        self.download_bytes(bytemuck::cast_slice_mut(to), from)
    }

    fn upload_pictures(&self, to: &mut Remote, from: &[u8]) -> Result<(), CudaError> {
        self.read_pictures(to, from)
    }

    /// # Panics
    /// Also within a [`Device::section`].
    fn download_pictures(&self, to: &mut [u8], from: &Remote) -> Result<(), CudaError> {
        self.show_pictures(to, from)
    }

    fn tokens_in(run: &mut Remote) -> &mut Remote {
        run
    }

    fn upload_tokens(&self, to: &mut Remote, from: &[u32]) -> Result<(), CudaError> {
        assert_eq!(to.len(), from.len(), "upload: lengths differ");
        self.upload_bytes(to, bytemuck::cast_slice(from))
    }

    /// # Panics
    /// Also within a [`Device::section`].
    fn download_tokens(&self, to: &mut [u32], from: &Remote) -> Result<(), CudaError> {
        assert_eq!(to.len(), from.len(), "download: lengths differ");
        self.download_bytes(bytemuck::cast_slice_mut(to), from.address())
    }

    fn kept_len(&self, numbers: usize) -> usize {
        self.inner().words(numbers)
    }

    fn pictures_together(&self) -> usize {
        PICTURES_TOGETHER
    }

    fn wait(&self) -> Result<(), CudaError> {
        self.driver.wait()?;
        if !self.queue.borrow().in_section() {
            self.scratch.borrow_mut().outgrown.clear();
        }
        Ok(())
    }

    fn section(&self, work: &mut dyn FnMut() -> Result<(), CudaError>) -> Result<(), CudaError> {
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
                self.kept.borrow_mut().of = None;
                Err(error)
            }
        }
    }
}

/// Pictures that are decoded together: enough to fill a card, 170 MB each at 256 × 256.
const PICTURES_TOGETHER: usize = 16;

impl Cuda {
    pub(super) fn upload_bytes(&self, to: &mut Remote, from: &[u8]) -> Result<(), CudaError> {
        self.note(to.address(), bytes(to), Element::F32);
        if from.is_empty() {
            return Ok(());
        }
        let mut queue = self.queue.borrow_mut();
        if queue.in_section() {
            let (to, bytes) = (to.address(), from.len() as u64);
            let from = queue.send(from)?;
            queue.ask(Command::Copy { to, from, bytes })
        } else {
            self.driver.upload(to.address(), from)
        }
    }

    #[track_caller]
    pub(super) fn download_bytes(&self, to: &mut [u8], from: u64) -> Result<(), CudaError> {
        assert!(!self.queue.borrow().in_section(), "a section reads nothing back");
        if to.is_empty() {
            return Ok(());
        }
        self.driver.download(to, from)
    }
}
