//! Kernels on the GPU: compiled or found in store, loaded once.
#![allow(unsafe_code)]

use core::ffi::c_void;
use std::ffi::CString;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use super::fault::{call, reason};
use super::{ModuleFunction, Nvidia, USUAL_SHARED};
use crate::cuda::command::MAX_ARGUMENTS;
use crate::cuda::driver::compile;
use crate::cuda::error::CudaError;
use crate::cuda::kernel_source::{Kernel, KernelSource};

impl Nvidia {
    /// The function of a kernel, compiled and loaded if it is the first of its text.
    pub(super) fn function(&self, kernel: Kernel) -> Result<ModuleFunction, CudaError> {
        let key = (kernel.source.name, kernel.name);
        if let Some(function) = self.loaded().functions.get(&key) {
            return Ok(*function);
        }
        let module = self.module(kernel.source)?;
        let name = CString::new(kernel.name).expect("a name has no NUL");
        let refused = |error| CudaError::Launch { kernel: kernel.name, reason: reason(error) };
        // SAFETY: the module is loaded and never unloaded before `drop`.
        let handle = unsafe { result::module::get_function(module, name) }.map_err(refused)?;
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES;
        // SAFETY: the function is loaded.
        let declared = unsafe { result::function::get_function_attribute(handle, attribute) }
            .map_err(refused)?
            .max(0) as u32;
        let allowed = USUAL_SHARED.saturating_sub(declared);
        let function = ModuleFunction { handle, allowed, parameters: parameters(handle) };
        let _ = self.loaded().functions.insert(key, function);
        Ok(function)
    }

    fn module(&self, source: &'static KernelSource) -> Result<sys::CUmodule, CudaError> {
        if let Some(module) = self.loaded().modules.get(source.name) {
            return Ok(*module);
        }
        let module = match self.conversions(source) {
            Some(module) => module,
            None => self.compiled(source)?,
        };
        let _ = self.loaded().modules.insert(source.name, module);
        Ok(module)
    }

    /// The module of machine code that was kept, by the newest compiler first, none older than the one at hand.
    fn conversions(&self, source: &'static KernelSource) -> Option<sys::CUmodule> {
        let cubin_cache = self.cubin_cache.as_ref()?;
        let name = compile::cubin_name(source, self.precision, self.gpu.capability);
        let at_hand = compile::version().unwrap_or((0, 0));
        let mut versions = cubin_cache.versions(&name);
        versions.retain(|version| *version >= at_hand);
        versions.sort_unstable_by(|a, b| b.cmp(a));
        versions.into_iter().find_map(|version| load(&cubin_cache.load(&name, version)?).ok())
    }

    /// The module compiled now, and kept.
    fn compiled(&self, source: &'static KernelSource) -> Result<sys::CUmodule, CudaError> {
        let cubin = compile::cubin(source, self.precision, self.gpu.capability)?;
        let module = load(&cubin).map_err(call("loading kernels"))?;
        if let (Some(cubin_cache), Some(version)) = (&self.cubin_cache, compile::version()) {
            let name = compile::cubin_name(source, self.precision, self.gpu.capability);
            cubin_cache.store(&name, version, &cubin);
        }
        Ok(module)
    }
}

/// How many parameters a function has; none if the driver does not know.
fn parameters(handle: sys::CUfunction) -> Option<usize> {
    let (mut offset, mut size) = (0, 0);
    let mut has = |index: usize| {
        // SAFETY: the function is loaded; both places are ours.
        let found = unsafe { sys::cuFuncGetParamInfo(handle, index, &mut offset, &mut size) };
        found == sys::CUresult::CUDA_SUCCESS
    };
    (0..=MAX_ARGUMENTS).take_while(|index| has(*index)).last().map(|last| last + 1)
}

fn load(cubin: &[u8]) -> Result<sys::CUmodule, DriverError> {
    // SAFETY: the driver copies the image; its header holds its length.
    unsafe { result::module::load_data(cubin.as_ptr().cast::<c_void>()) }
}
