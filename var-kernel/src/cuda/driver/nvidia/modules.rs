//! Kernels on the card: compiled or found in store, loaded once.
#![allow(unsafe_code)]

use core::ffi::c_void;
use std::ffi::CString;
use std::string::String;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use super::{Nvidia, call, reason};
use crate::cuda::driver::compile;
use crate::cuda::error::CudaError;
use crate::cuda::text::{INSTRUCTIONS, Kernel, Text};

impl Nvidia {
    /// The function of a kernel, compiled and loaded if it is the first of its text.
    pub(super) fn function(&self, kernel: Kernel) -> Result<sys::CUfunction, CudaError> {
        let key = (kernel.text.name, kernel.name);
        if let Some(function) = self.loaded().functions.get(&key) {
            return Ok(*function);
        }
        let module = self.module(kernel.text)?;
        let name = CString::new(kernel.name).expect("a name has no NUL");
        // SAFETY: the module is loaded and never unloaded before `drop`.
        let function = unsafe { result::module::get_function(module, name) }
            .map_err(|error| CudaError::Launch { kernel: kernel.name, reason: reason(error) })?;
        let _ = self.loaded().functions.insert(key, function);
        Ok(function)
    }

    fn module(&self, text: &'static Text) -> Result<sys::CUmodule, CudaError> {
        if let Some(module) = self.loaded().modules.get(text.name) {
            return Ok(*module);
        }
        let key = self.key(text);
        let kept = self.cubins.as_ref().and_then(|cubins| cubins.load(&key));
        let module = match kept.and_then(|cubin| load(&cubin).ok()) {
            Some(module) => module,
            None => {
                let cubin = compile::cubin(text, self.precision, self.card.capability)?;
                let module = load(&cubin).map_err(call("loading kernels"))?;
                if let Some(cubins) = &self.cubins {
                    cubins.store(&key, &cubin);
                }
                module
            }
        };
        let _ = self.loaded().modules.insert(text.name, module);
        Ok(module)
    }

    /// Under which name a text's machine code is kept: it depends on the text, the card and the
    /// compiler.
    fn key(&self, text: &'static Text) -> String {
        let whole = text.whole(INSTRUCTIONS, self.precision);
        // FNV-1a, 64 bits.
        let hash = whole.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let (major, minor) = self.card.capability;
        let (nvrtc, _) = compile::version().unwrap_or((0, 0));
        std::format!("{}-sm_{major}{minor}-nvrtc{nvrtc}-{hash:016x}.cubin", text.name)
    }
}

fn load(cubin: &[u8]) -> Result<sys::CUmodule, DriverError> {
    // SAFETY: the driver copies the image, whose header says how long it is.
    unsafe { result::module::load_data(cubin.as_ptr().cast::<c_void>()) }
}
