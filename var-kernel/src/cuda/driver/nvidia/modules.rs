//! Kernels on the card: compiled or found in store, loaded once.
#![allow(unsafe_code)]

use core::ffi::c_void;
use std::ffi::CString;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use super::fault::{call, reason};
use super::{Function, Nvidia, USUAL_SHARED};
use crate::cuda::driver::compile;
use crate::cuda::error::CudaError;
use crate::cuda::text::{Kernel, Text};

impl Nvidia {
    /// The function of a kernel, compiled and loaded if it is the first of its text.
    pub(super) fn function(&self, kernel: Kernel) -> Result<Function, CudaError> {
        let key = (kernel.text.name, kernel.name);
        if let Some(function) = self.loaded().functions.get(&key) {
            return Ok(*function);
        }
        let module = self.module(kernel.text)?;
        let name = CString::new(kernel.name).expect("a name has no NUL");
        let refused = |error| CudaError::Launch { kernel: kernel.name, reason: reason(error) };
        // SAFETY: the module is loaded and never unloaded before `drop`.
        let handle = unsafe { result::module::get_function(module, name) }.map_err(refused)?;
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES;
        // SAFETY: the function is loaded.
        let declared = unsafe { result::function::get_function_attribute(handle, attribute) }
            .map_err(refused)?
            .max(0) as u32;
        let function = Function { handle, allowed: USUAL_SHARED.saturating_sub(declared) };
        let _ = self.loaded().functions.insert(key, function);
        Ok(function)
    }

    fn module(&self, text: &'static Text) -> Result<sys::CUmodule, CudaError> {
        if let Some(module) = self.loaded().modules.get(text.name) {
            return Ok(*module);
        }
        let module = match self.kept(text) {
            Some(module) => module,
            None => self.compiled(text)?,
        };
        let _ = self.loaded().modules.insert(text.name, module);
        Ok(module)
    }

    /// The module of machine code that was kept, by the newest compiler first, none older than the one at hand.
    fn kept(&self, text: &'static Text) -> Option<sys::CUmodule> {
        let cubins = self.cubins.as_ref()?;
        let name = compile::name(text, self.precision, self.card.capability);
        let at_hand = compile::version().unwrap_or((0, 0));
        let mut versions = cubins.versions(&name);
        versions.retain(|version| *version >= at_hand);
        versions.sort_unstable_by(|a, b| b.cmp(a));
        versions.into_iter().find_map(|version| load(&cubins.load(&name, version)?).ok())
    }

    /// The module compiled now, and kept.
    fn compiled(&self, text: &'static Text) -> Result<sys::CUmodule, CudaError> {
        let cubin = compile::cubin(text, self.precision, self.card.capability)?;
        let module = load(&cubin).map_err(call("loading kernels"))?;
        if let (Some(cubins), Some(version)) = (&self.cubins, compile::version()) {
            let name = compile::name(text, self.precision, self.card.capability);
            cubins.store(&name, version, &cubin);
        }
        Ok(module)
    }
}

fn load(cubin: &[u8]) -> Result<sys::CUmodule, DriverError> {
    // SAFETY: the driver copies the image; its header holds its length.
    unsafe { result::module::load_data(cubin.as_ptr().cast::<c_void>()) }
}
