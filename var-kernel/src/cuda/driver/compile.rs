//! Kernel text → machine code, by NVRTC.
#![allow(unsafe_code)]

use core::ffi::c_char;
use std::ffi::CString;
use std::string::String;
use std::vec;
use std::vec::Vec;

use cudarc::nvrtc::{result, sys};

use crate::cuda::element::Element;
use crate::cuda::error::CudaError;
use crate::cuda::text::{INSTRUCTIONS, Text};

/// Whether NVRTC is on this machine.
pub(crate) fn is_present() -> bool {
    // SAFETY: opens and closes the library, whose initialisation has no conditions.
    unsafe { sys::is_culib_present() }
}

/// NVRTC's version, (13, 0).
pub(crate) fn version() -> Option<(i32, i32)> {
    if !is_present() {
        return None;
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is there; both places are ours.
    unsafe { sys::nvrtcVersion(&mut major, &mut minor) }.result().ok()?;
    Some((major, minor))
}

/// The machine code of `text` for compute capability `capability`, with `short` as 16-bit format.
pub(crate) fn cubin(
    text: &'static Text,
    short: Element,
    capability: (u32, u32),
) -> Result<Vec<u8>, CudaError> {
    let target = std::format!("--gpu-architecture=sm_{}{}", capability.0, capability.1);
    compile(text, short, target, |program| {
        let mut size = 0;
        // SAFETY: the program is compiled; the buffer is as long as the library says.
        unsafe {
            sys::nvrtcGetCUBINSize(program, &mut size).result()?;
            let mut cubin = vec![0_u8; size];
            sys::nvrtcGetCUBIN(program, cubin.as_mut_ptr().cast::<c_char>()).result()?;
            Ok(cubin)
        }
    })
}

/// The intermediate code of `text`, for tools that report on it.
#[cfg(test)]
pub(crate) fn ptx(
    text: &'static Text,
    short: Element,
    capability: (u32, u32),
) -> Result<Vec<u8>, CudaError> {
    let target = std::format!("--gpu-architecture=compute_{}{}", capability.0, capability.1);
    compile(text, short, target, |program| {
        // SAFETY: the program is compiled.
        let ptx = unsafe { result::get_ptx(program)? };
        Ok(ptx.into_iter().map(|byte| byte as u8).take_while(|byte| *byte != 0).collect())
    })
}

fn compile(
    text: &'static Text,
    short: Element,
    target: String,
    read: impl FnOnce(sys::nvrtcProgram) -> Result<Vec<u8>, result::NvrtcError>,
) -> Result<Vec<u8>, CudaError> {
    if !is_present() {
        return Err(CudaError::NoCompiler);
    }
    let failed = |log: String| CudaError::Compile { text: text.name, log };
    let plain = |error: result::NvrtcError| failed(std::format!("{error:?}"));
    let source = CString::new(text.whole(INSTRUCTIONS, short)).expect("kernel text has no NUL");
    let name = CString::new(std::format!("{}.cu", text.name)).expect("a name has no NUL");
    let program = result::create_program(&source, Some(&name)).map_err(plain)?;
    let options = [target, "--std=c++17".into(), "--extra-device-vectorization".into()];
    // SAFETY: the program was created above and is destroyed below, once; its source and name live on.
    unsafe {
        let compiled = result::compile_program(program, &options);
        let outcome = match compiled {
            Ok(()) => read(program).map_err(plain),
            Err(error) => {
                let log = result::get_program_log(program).unwrap_or_default();
                let log: Vec<u8> = log.into_iter().map(|byte| byte as u8).collect();
                let log = String::from_utf8_lossy(&log).trim_end_matches('\0').trim().into();
                Err(failed(if log == "" { std::format!("{error:?}") } else { log }))
            }
        };
        result::destroy_program(program).map_err(plain)?;
        outcome
    }
}
