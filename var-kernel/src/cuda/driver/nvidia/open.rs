//! Opening a GPU: a missing, old or busy part is named.
#![allow(unsafe_code)]

use core::ffi::c_int;
use std::sync::{Mutex, OnceLock};

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use super::Nvidia;
use super::fault::call;
use crate::cuda::driver::GpuProperties;
use crate::cuda::error::CudaError;
use crate::cuda::options::Options;

/// The oldest driver that has all calls.
const OLDEST_DRIVER: u32 = 12_080;

/// The oldest GPU with the instructions the kernels use.
const OLDEST_GPU: (u32, u32) = (8, 0);

impl Nvidia {
    /// The GPU that the options name.
    pub(crate) fn open(options: Options) -> Result<Self, CudaError> {
        let Options { number, precision, gemm_provider, large_product, cubin_cache, .. } = options;
        // SAFETY: opens and closes the library; its initialization has no conditions.
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaError::NoDriver);
        }
        match result::init() {
            Ok(()) => {}
            Err(DriverError(sys::CUresult::CUDA_ERROR_STUB_LIBRARY)) => {
                return Err(CudaError::StubDriver);
            }
            Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => {
                return Err(CudaError::NoDevice { asked: number, found: 0 });
            }
            Err(error) => return Err(call("starting the NVIDIA driver")(error)),
        }
        let mut version: c_int = 0;
        // SAFETY: the library is there, and the place is ours.
        unsafe { sys::cuDriverGetVersion(&mut version) }
            .result()
            .map_err(call("asking for the driver's version"))?;
        let has = version.max(0) as u32;
        if has < OLDEST_DRIVER {
            return Err(CudaError::OldDriver { has, wants: OLDEST_DRIVER });
        }
        let found = result::device::get_count().map_err(call("counting GPUs"))?.max(0) as u32;
        if number >= found {
            return Err(CudaError::NoDevice { asked: number, found });
        }
        let device = result::device::get(number as c_int).map_err(call("choosing the GPU"))?;
        let gpu = describe(device)?;
        if gpu.capability < OLDEST_GPU {
            let GpuProperties { name, capability, .. } = gpu;
            return Err(CudaError::OldGpu { name, capability, wants: OLDEST_GPU });
        }
        // SAFETY: the device comes from `device::get`.
        let context =
            unsafe { result::primary_ctx::retain(device) }.map_err(call("using the GPU"))?;
        // SAFETY: the context was retained above.
        unsafe { result::ctx::set_current(context) }.map_err(call("using the GPU"))?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .map_err(call("making a stream"))?;
        let (library, loaded) = (OnceLock::new(), Mutex::default());
        Ok(Self {
            gpu,
            device,
            context,
            stream,
            precision,
            cubin_cache,
            gemm_provider,
            large_product,
            library,
            loaded,
        })
    }
}

fn describe(device: sys::CUdevice) -> Result<GpuProperties, CudaError> {
    use sys::CUdevice_attribute as Attribute;
    let attribute = |attribute: Attribute| {
        // SAFETY: the device comes from `device::get`.
        let value = unsafe { result::device::get_attribute(device, attribute) };
        value.map(|value| value.max(0) as u32).map_err(call("asking what the GPU is"))
    };
    Ok(GpuProperties {
        name: result::device::get_name(device).map_err(call("asking what the GPU is"))?,
        capability: (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
    })
}
