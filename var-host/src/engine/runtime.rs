//! Weights, threads and memory, kept from one request to the next.

use var_kernel::arena::Arena;
use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS, Workers};
use var_kernel::model::{Model, VarConfig, Vqvae, VqvaeConfig};
use var_kernel::storage::Storage;

use super::error::EngineError;
use super::interrupt::Interrupt;
use super::memory::Buffer;
use super::requests::{ModelRequest, VqvaeRequest};
use super::spec::RequestShape;
#[cfg(feature = "cuda")]
use crate::gpu;
use crate::model::Weights;
use crate::pool::Threads;

/// Weights, threads and memory.
pub struct Engine<'w> {
    pub(super) weights: &'w Weights,
    workers: Box<dyn Workers + Send + Sync>,
    isa: Isa,
    interrupt: Interrupt,
    memory: Buffer,
    /// Floats of working memory that batches asked for before take.
    pub(super) planned: Vec<(RequestShape, usize)>,
    #[cfg(feature = "cuda")]
    gpu: Option<gpu::LoadedModel>,
}

/// An engine without its weights: threads, working memory, a GPU's copy of the weights.
pub(crate) struct Runtime {
    workers: Box<dyn Workers + Send + Sync>,
    isa: Isa,
    memory: Buffer,
    planned: Vec<(RequestShape, usize)>,
    #[cfg(feature = "cuda")]
    gpu: Option<gpu::LoadedModel>,
}

impl<'w> Engine<'w> {
    /// Computes with `weights` on `threads` threads with the instruction set `isa`.
    ///
    /// # Errors
    /// If the threads cannot be started.
    ///
    /// # Panics
    /// If `threads` is 0.
    pub fn new(weights: &'w Weights, threads: usize, isa: Isa) -> Result<Self, EngineError> {
        let threads = Threads::new(threads, SCRATCH_FLOATS)?;
        Ok(Self::with_workers(weights, Box::new(threads), isa))
    }

    /// Computes with `weights` on threads of the caller's.
    pub fn with_workers(
        weights: &'w Weights,
        workers: Box<dyn Workers + Send + Sync>,
        isa: Isa,
    ) -> Self {
        Self {
            weights,
            workers,
            isa,
            interrupt: Interrupt::default(),
            memory: Buffer::default(),
            planned: Vec::new(),
            #[cfg(feature = "cuda")]
            gpu: None,
        }
    }

    /// Takes working memory from `memory` from now on; none: its own again.
    pub fn lend_memory(&mut self, memory: Option<&'static mut [f32]>) {
        self.memory = memory.map_or_else(Buffer::default, Buffer::lent);
    }

    /// The same on a GPU; threads and instruction set serve the work that stays on the CPU.
    ///
    /// # Errors
    /// If the GPU cannot be used, or the weights do not fit it.
    #[cfg(feature = "cuda")]
    pub fn on_gpu(self, cuda: var_kernel::cuda::Cuda) -> Result<Self, EngineError> {
        let gpu = gpu::LoadedModel::on(cuda, self.weights)?;
        Ok(Self { gpu: Some(gpu), planned: Vec::new(), ..self })
    }

    /// Lets `interrupt` end the engine's work: [`EngineError::Interrupted`].
    pub fn interrupted_by(self, interrupt: Interrupt) -> Self {
        Self { interrupt, ..self }
    }

    /// Ends the engine, keeping all that does not borrow the weights.
    pub(crate) fn into_runtime(self) -> Runtime {
        Runtime {
            workers: self.workers,
            isa: self.isa,
            memory: self.memory,
            planned: self.planned,
            #[cfg(feature = "cuda")]
            gpu: self.gpu,
        }
    }

    /// Goes on with `runtime`, which must be of an engine of the same `weights`.
    pub(crate) fn resume(weights: &'w Weights, runtime: Runtime) -> Self {
        Self {
            weights,
            workers: runtime.workers,
            isa: runtime.isa,
            interrupt: Interrupt::default(),
            memory: runtime.memory,
            planned: runtime.planned,
            #[cfg(feature = "cuda")]
            gpu: runtime.gpu,
        }
    }

    /// The GPU it computes on, if it does.
    #[cfg(feature = "cuda")]
    pub fn gpu(&self) -> Option<&gpu::LoadedModel> {
        self.gpu.as_ref()
    }

    /// Whether it computes on a GPU.
    pub fn is_on_gpu(&self) -> bool {
        #[cfg(feature = "cuda")]
        return self.gpu.is_some();
        #[cfg(not(feature = "cuda"))]
        false
    }

    /// The processor as it is used here: this instruction set, these threads.
    pub fn cpu(&self) -> Cpu<'_> {
        Cpu::new(self.isa, &*self.workers)
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// How many threads compute.
    pub fn threads(&self) -> usize {
        self.workers.count()
    }

    /// The transformer's configuration.
    ///
    /// # Errors
    /// If the model has no transformer.
    pub fn transformer(&self) -> Result<&'w VarConfig, EngineError> {
        let half = self.weights.transformer.as_ref();
        half.map(|(_, config)| config).ok_or(EngineError::NoTransformer)
    }

    /// The VQVAE's configuration.
    ///
    /// # Errors
    /// If the model has no VQVAE.
    pub fn vqvae(&self) -> Result<&'w VqvaeConfig, EngineError> {
        let half = self.weights.vqvae.as_ref();
        half.map(|(_, config)| config).ok_or(EngineError::NoVqvae)
    }

    /// Runs `task` on the whole model with an arena of `floats`.
    pub(super) fn on_model<T: ModelRequest>(
        &mut self,
        floats: usize,
        task: T,
    ) -> Result<T::Output, EngineError> {
        let (var, var_config) =
            self.weights.transformer.as_ref().ok_or(EngineError::NoTransformer)?;
        let (vae, vae_config) = self.weights.vqvae.as_ref().ok_or(EngineError::NoVqvae)?;
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &mut self.gpu {
            let (cuda, weights, memory) = gpu.parts(floats)?;
            let mut var = weights.transformer.as_ref().ok_or(EngineError::NoTransformer)?;
            let mut vae = weights.vqvae.as_ref().ok_or(EngineError::NoVqvae)?;
            let parts = ((&mut var, *var_config), (&mut vae, *vae_config));
            let Ok(model) = Model::bind_parts(parts.0, parts.1, &mut Storage::heap());
            return Ok(task.run(cuda, &model, &mut Arena::new(memory))?);
        }
        let (mut var, mut vae) = (var, vae);
        let workers = self.interrupt.watch(&*self.workers);
        let cpu = Cpu::new(self.isa, &workers);
        let parts = ((&mut var, *var_config), (&mut vae, *vae_config));
        let Ok(model) = Model::bind_parts(parts.0, parts.1, &mut Storage::heap());
        let arena = &mut Arena::new(self.memory.at_least(floats)?);
        let Ok(output) = self.interrupt.catch(|| task.run(&cpu, &model, arena))?;
        Ok(output)
    }

    /// Runs `task` on the VQVAE with an arena of `floats`.
    pub(super) fn on_vqvae<T: VqvaeRequest>(
        &mut self,
        floats: usize,
        task: T,
    ) -> Result<T::Output, EngineError> {
        let (vae, config) = self.weights.vqvae.as_ref().ok_or(EngineError::NoVqvae)?;
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &mut self.gpu {
            let (cuda, weights, memory) = gpu.parts(floats)?;
            let mut vae = weights.vqvae.as_ref().ok_or(EngineError::NoVqvae)?;
            let Ok(vqvae) = Vqvae::bind(&mut vae, *config, &mut Storage::heap());
            return Ok(task.run(cuda, &vqvae, &mut Arena::new(memory))?);
        }
        let mut vae = vae;
        let workers = self.interrupt.watch(&*self.workers);
        let cpu = Cpu::new(self.isa, &workers);
        let Ok(vqvae) = Vqvae::bind(&mut vae, *config, &mut Storage::heap());
        let arena = &mut Arena::new(self.memory.at_least(floats)?);
        let Ok(output) = self.interrupt.catch(|| task.run(&cpu, &vqvae, arena))?;
        Ok(output)
    }
}
