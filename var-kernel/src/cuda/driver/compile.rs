//! Kernel text → machine code, by NVRTC, of a text and the header of instructions that it includes.
#![allow(unsafe_code)]

use core::ffi::{c_char, c_int};
use core::ptr;
use std::ffi::CString;
use std::string::String;
use std::vec;
use std::vec::Vec;

use cudarc::nvrtc::{result, sys};

use crate::cuda::dtype::Precision;
use crate::cuda::error::CudaError;
use crate::cuda::kernel_source::{INSTRUCTIONS, KernelSource};

/// Whether NVRTC is on this machine.
pub fn is_present() -> bool {
    // SAFETY: opens and closes the library; its initialization has no conditions.
    unsafe { sys::is_culib_present() }
}

/// NVRTC's version, (13, 0).
pub fn version() -> Option<(i32, i32)> {
    if !is_present() {
        return None;
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is there; both places are ours.
    unsafe { sys::nvrtcVersion(&mut major, &mut minor) }.result().ok()?;
    Some((major, minor))
}

/// Under which name a text's machine code is kept, beside the compiler's version: the text, products'
/// precision and the GPU decide about it.
pub fn cubin_name(
    source: &'static KernelSource,
    precision: Precision,
    (major, minor): (u32, u32),
) -> String {
    // FNV-1a, 64 bits.
    let text = source.whole(precision);
    let bytes = INSTRUCTIONS.1.bytes().chain(text.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    std::format!("{}-sm_{major}{minor}-{hash:016x}", source.name)
}

/// The machine code of `source` for products in `precision`, for compute capability `capability`.
///
/// # Errors
/// As [`compile`].
pub fn cubin(
    source: &'static KernelSource,
    precision: Precision,
    capability: (u32, u32),
) -> Result<Vec<u8>, CudaError> {
    compile(source, precision, capability, None).map(|(cubin, _)| cubin)
}

/// The machine code, and the compiler's log with one more of its options.
///
/// # Errors
/// If NVRTC is not there, does not know such GPUs, or refuses the text.
pub fn compile(
    kernels: &'static KernelSource,
    precision: Precision,
    capability: (u32, u32),
    option: Option<&str>,
) -> Result<(Vec<u8>, String), CudaError> {
    let has = version().ok_or(CudaError::NoCompiler)?;
    let failed = |log: String| CudaError::Compile { source: kernels.name, log };
    let plain = |error: result::NvrtcError| failed(std::format!("{error:?}"));
    if !knows(capability).map_err(plain)? {
        return Err(CudaError::OldCompiler { has, capability });
    }
    let text = |text: &str| CString::new(text).expect("kernel text and names have no NUL");
    let source = text(&kernels.whole(precision));
    let name = text(&std::format!("{}.cu", kernels.name));
    let (header_name, header) = (text(INSTRUCTIONS.0), text(INSTRUCTIONS.1));
    let mut program = ptr::null_mut();
    // SAFETY: the place is ours; texts and names outlive the program, one header of each.
    unsafe {
        let (headers, names) = ([header.as_ptr()], [header_name.as_ptr()]);
        let (headers, names) = (headers.as_ptr(), names.as_ptr());
        sys::nvrtcCreateProgram(&mut program, source.as_ptr(), name.as_ptr(), 1, headers, names)
            .result()
            .map_err(plain)?;
    }
    let target = std::format!("--gpu-architecture=sm_{}{}", capability.0, capability.1);
    let usual = [&*target, "--std=c++17", "--extra-device-vectorization"];
    let options: Vec<String> = usual.into_iter().chain(option).map(String::from).collect();
    // SAFETY: the program was created above and is destroyed below, once; its source and name live on.
    unsafe {
        let compiled = result::compile_program(program, &options);
        let log = result::get_program_log(program).unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|byte| byte as u8).collect();
        let log = String::from_utf8_lossy(&log);
        let log = String::from(log.trim_end_matches('\0').trim());
        let outcome = match compiled {
            Ok(()) => read(program).map(|cubin| (cubin, log)).map_err(plain),
            Err(error) if log.is_empty() => Err(plain(error)),
            Err(_) => Err(failed(log)),
        };
        result::destroy_program(program).map_err(plain)?;
        outcome
    }
}

/// The machine code of a program.
///
/// # Safety
///
/// The program must have been compiled.
unsafe fn read(program: sys::nvrtcProgram) -> Result<Vec<u8>, result::NvrtcError> {
    let mut size = 0;
    // SAFETY: the program is compiled; the buffer is as long as the library says.
    unsafe {
        sys::nvrtcGetCUBINSize(program, &mut size).result()?;
        let mut cubin = vec![0_u8; size];
        sys::nvrtcGetCUBIN(program, cubin.as_mut_ptr().cast::<c_char>()).result()?;
        Ok(cubin)
    }
}

/// Whether the library compiles for such GPUs.
fn knows((major, minor): (u32, u32)) -> Result<bool, result::NvrtcError> {
    let mut count: c_int = 0;
    // SAFETY: the library is there, as the caller has found; both places are ours, the second as long
    // as the library says.
    let known = unsafe {
        sys::nvrtcGetNumSupportedArchs(&mut count).result()?;
        let mut known: Vec<c_int> = vec![0; count.max(0) as usize];
        sys::nvrtcGetSupportedArchs(known.as_mut_ptr()).result()?;
        known
    };
    Ok(known.contains(&((10 * major + minor) as c_int)))
}
