//! A GPU that only records its commands, for tests of launches.

use std::boxed::Box;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use super::{Card, Driver, Graph, Mark};
use crate::cuda::command::{Command, Launch};
use crate::cuda::error::CudaError;
use crate::cuda::gemm::{Products, Shape};
use crate::cuda::text::Kernel;

/// A recorded command.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are commands")]
pub(crate) enum Asked {
    /// One command.
    Issue(Command),
    /// A graph of so many commands was made.
    Capture(usize),
    /// A graph was launched with this mail.
    Launch(Vec<u8>),
    /// Bytes were copied to the card.
    Upload(u64, Vec<u8>),
    /// Bytes were copied from the card.
    Download(u64, usize),
}

/// A kernel that was launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// Its name.
    pub kernel: &'static str,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory of a block, in bytes.
    pub shared: u32,
}

/// The GPU; clones share their record.
#[derive(Clone)]
pub struct Recording {
    card: Card,
    products: Products,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Bytes the card has left.
    left: Arc<Mutex<u64>>,
}

impl Recording {
    pub(crate) fn with_memory(bytes: u64, products: Products) -> Self {
        let card = Card {
            name: "recording card".into(),
            capability: (8, 0),
            multiprocessors: 108,
            shared: 163 << 10,
        };
        Self { card, products, asked: Arc::default(), left: Arc::new(Mutex::new(bytes)) }
    }

    /// The kernels launched since the last call, one by one or in graphs that were made.
    pub fn launched(&self) -> Vec<Launched> {
        self.launched_and_multiplied().0
    }

    /// The same, and the products that the library was asked for.
    pub fn launched_and_multiplied(&self) -> (Vec<Launched>, Vec<Shape>) {
        let (mut launched, mut multiplied) = (Vec::new(), Vec::new());
        for asked in self.take() {
            match asked {
                Asked::Issue(Command::Launch(Launch { kernel, grid, threads, shared, .. })) => {
                    launched.push(Launched { kernel: kernel.name, grid, threads, shared });
                }
                Asked::Issue(Command::Multiply(product)) => multiplied.push(product.shape),
                _ => {}
            }
        }
        (launched, multiplied)
    }

    /// Bytes that are not taken.
    pub fn left(&self) -> u64 {
        *self.left.lock().unwrap()
    }

    /// The commands since the last call.
    pub(crate) fn take(&self) -> Vec<Asked> {
        core::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn note(&self, asked: Asked) {
        self.asked.lock().unwrap().push(asked);
    }
}

impl Driver for Recording {
    fn card(&self) -> &Card {
        &self.card
    }

    fn allocate(&self, bytes: u64) -> Result<u64, CudaError> {
        let mut left = self.left.lock().unwrap();
        match left.checked_sub(bytes) {
            Some(rest) => {
                *left = rest.next_multiple_of(256) - if rest.is_multiple_of(256) { 0 } else { 256 };
                Ok(*left + 256)
            }
            None => Err(CudaError::OutOfMemory { asked: bytes, free: *left, total: *left }),
        }
    }

    fn free(&self, _: u64) {}

    fn memory(&self) -> Result<(u64, u64), CudaError> {
        let left = *self.left.lock().unwrap();
        Ok((left, left))
    }

    fn upload(&self, to: u64, from: &[u8]) -> Result<(), CudaError> {
        self.note(Asked::Upload(to, from.to_vec()));
        Ok(())
    }

    fn download(&self, to: &mut [u8], from: u64) -> Result<(), CudaError> {
        self.note(Asked::Download(from, to.len()));
        Ok(())
    }

    unsafe fn issue(&self, command: &Command) -> Result<(), CudaError> {
        self.note(Asked::Issue(command.clone()));
        Ok(())
    }

    unsafe fn capture(
        &self,
        commands: &[Command],
        _: u64,
        _: usize,
    ) -> Result<Box<dyn Graph>, CudaError> {
        self.note(Asked::Capture(commands.len()));
        Ok(Box::new(self.clone()))
    }

    fn wait(&self) -> Result<(), CudaError> {
        Ok(())
    }

    fn forget_marks(&self) {}

    fn mark(&self) -> Result<Mark, CudaError> {
        Ok(Mark(0))
    }

    fn elapsed(&self, _: Mark, _: Mark) -> Result<f32, CudaError> {
        Ok(0.0)
    }

    fn multiplies(&self, shape: &Shape) -> bool {
        self.products == Products::Library && shape.is_large(self.card.multiprocessors)
    }

    fn prepare(&self, _: Kernel) -> Result<(), CudaError> {
        Ok(())
    }
}

impl Graph for Recording {
    fn launch(&mut self, mail: &[u8]) -> Result<(), CudaError> {
        self.note(Asked::Launch(mail.to_vec()));
        Ok(())
    }
}
