//! Matrix products by cuBLASLt, in the GPU's own stream.
//!
//! The library takes matrices by columns. A matrix by rows is, by columns, its transpose; so
//! `out = left · rightᵀ` is asked for as `outᵀ = right · leftᵀ`, and nothing is copied.
#![allow(unsafe_code)]

use core::ffi::{CStr, c_void};
use core::ptr;
use std::collections::HashMap;
use std::string::{String, ToString};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cudarc::cublaslt::result::CublasError;
use cudarc::cublaslt::{result, sys as lt};
use cudarc::driver::{result as driver, sys};

use super::fault::call;
use crate::cuda::dtype::Dtype;
use crate::cuda::error::CudaError;
use crate::cuda::gemm::{ALIGNED, GemmEpilogue, Product, Shape};

/// The oldest version with these structures, 12.0.
const OLDEST: usize = 120_000;

/// The library on a GPU.
pub(super) struct Library {
    handle: lt::cublasLtHandle_t,
    context: sys::CUcontext,
    stream: sys::CUstream,
    workspace: sys::CUdeviceptr,
    workspace_bytes: usize,
    /// How products of each shape are computed; none where the library does not.
    plans: Mutex<HashMap<Shape, Option<MatmulPlan>>>,
}

/// How products of one shape are computed.
struct MatmulPlan {
    description: Description,
    layouts: [Layout; 3],
    algorithm: lt::cublasLtMatmulAlgo_t,
}

// SAFETY: handle, descriptions and layouts may be used from any thread that has made the context its own;
// mutable state is behind the lock.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// The library, if it is on this machine, new enough, and has the memory it wants, for a GPU of this
    /// compute capability with its context on this thread.
    pub(super) fn open(
        context: sys::CUcontext,
        stream: sys::CUstream,
        capability: (u32, u32),
    ) -> Option<Self> {
        // SAFETY: opens and closes the library, its initialization has no conditions; it is asked for its
        // version only if it is there.
        if unsafe { !lt::is_culib_present() || lt::cublasLtGetVersion() < OLDEST } {
            return None;
        }
        // One that does not start on this GPU, or on this driver, is as good as none.
        let handle = result::create_handle().ok()?;
        let workspace_bytes = workspace_bytes(capability);
        // SAFETY: the memory is written before it is read, by the library alone.
        let Ok(workspace) = (unsafe { driver::malloc_sync(workspace_bytes) }) else {
            // SAFETY: the handle was made above.
            let _ = unsafe { result::destroy_handle(handle) };
            return None;
        };
        let plans = Mutex::default();
        Some(Self { handle, context, stream, workspace, workspace_bytes, plans })
    }

    /// Its name and version.
    pub(super) fn name(&self) -> String {
        // SAFETY: the library is there.
        let version = unsafe { lt::cublasLtGetVersion() };
        std::format!("cuBLASLt {}.{}", version / 10_000, version / 100 % 100)
    }

    /// Whether it computes products of this shape.
    pub(super) fn multiplies(&self, shape: &Shape) -> bool {
        let mut plans = self.plans();
        match plans.get(shape) {
            Some(plan) => plan.is_some(),
            None => {
                let plan = self.plan(shape).ok();
                let is_there = plan.is_some();
                let _ = plans.insert(*shape, plan);
                is_there
            }
        }
    }

    /// Asks for a product, into the GPU's stream.
    ///
    /// # Safety
    ///
    /// Its addresses must be those of memory of this GPU as long as its shape says.
    pub(super) unsafe fn multiply(&self, product: &Product) -> Result<(), CudaError> {
        let plans = self.plans();
        // Made when it was asked whether the library computes this shape.
        let Some(Some(plan)) = plans.get(&product.shape) else {
            return Err(refused(CublasError(lt::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED)));
        };
        let [a, b, d] = plan.layouts.each_ref().map(|layout| layout.0);
        let out = ptr::with_exposed_provenance_mut::<c_void>(product.out as usize);
        let place = |address: u64| ptr::with_exposed_provenance::<c_void>(address as usize);
        let (one, beta) = (1.0_f32, f32::from(product.shape.epilogue == GemmEpilogue::Adds));
        // SAFETY: the context is the GPU's; handle, description and layouts live as long as this value; the
        // caller vouches for the memory behind the addresses; the workspace is used by this stream alone,
        // in order. The library has read both factors when it returns.
        unsafe {
            driver::ctx::set_current(self.context).map_err(call("using the GPU"))?;
            if let Some(bias) = product.bias {
                let of = lt::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER;
                plan.description.set(of, &bias).map_err(refused)?;
            }
            result::matmul(
                self.handle,
                plan.description.0,
                ptr::from_ref(&one).cast(),
                ptr::from_ref(&beta).cast(),
                place(product.right),
                a,
                place(product.left),
                b,
                out,
                d,
                out,
                d,
                &plan.algorithm,
                ptr::with_exposed_provenance_mut(self.workspace as usize),
                self.workspace_bytes,
                self.stream.cast(),
            )
        }
        .map_err(refused)
    }

    fn plans(&self) -> MutexGuard<'_, HashMap<Shape, Option<MatmulPlan>>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The quickest way that the library knows for a shape, as it estimates.
    fn plan(&self, shape: &Shape) -> Result<MatmulPlan, CublasError> {
        let Shape { rows, columns, depth, a_transposed, b_transposed, operands, out, .. } = *shape;
        let numbers = |dtype| match dtype {
            Dtype::F32 => lt::cudaDataType_t::CUDA_R_32F,
            Dtype::F16 => lt::cudaDataType_t::CUDA_R_16F,
            Dtype::Bf16 => lt::cudaDataType_t::CUDA_R_16BF,
        };
        // In column-major order, a matrix with rows of `length` numbers is `length` high.
        let layout = |dtype, length: usize, count: usize| {
            let (dtype, high, wide) = (numbers(dtype), length as u64, count as u64);
            result::create_matrix_layout(dtype, high, wide, length as i64).map(Layout)
        };
        let a = if b_transposed { (columns, depth) } else { (depth, columns) };
        let b = if a_transposed { (rows, depth) } else { (depth, rows) };
        let a = layout(operands, a.0, a.1)?;
        let b = layout(operands, b.0, b.1)?;
        let d = layout(out, columns, rows)?;
        let compute = match operands {
            Dtype::F32 => lt::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            Dtype::F16 | Dtype::Bf16 => lt::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        };
        let operand_f32 = lt::cudaDataType_t::CUDA_R_32F;
        let description = Description(result::create_matmul_desc(compute, operand_f32)?);
        let epilogue = match shape.epilogue {
            GemmEpilogue::Plain | GemmEpilogue::Adds => {
                lt::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_DEFAULT
            }
            GemmEpilogue::Bias => lt::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS,
            GemmEpilogue::Gelu => lt::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_GELU,
            GemmEpilogue::BiasGelu => lt::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_GELU_BIAS,
        };
        use lt::cublasLtMatmulDescAttributes_t as Of;
        // SAFETY: each value is of its attribute's type; 1 is a transposed matrix, 0 one as it is.
        unsafe {
            description.set(Of::CUBLASLT_MATMUL_DESC_TRANSA, &i32::from(!b_transposed))?;
            description.set(Of::CUBLASLT_MATMUL_DESC_TRANSB, &i32::from(a_transposed))?;
            description.set(Of::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
        }
        let preference = Preference(result::create_matmul_pref()?);
        use lt::cublasLtMatmulPreferenceAttributes_t as Wish;
        // Parts of a sum are added in their order: the others may be added as they come.
        let reduction =
            lt::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
        let alignment = ALIGNED as u32;
        // SAFETY: each value is of its attribute's type.
        unsafe {
            let workspace = self.workspace_bytes as u64;
            preference.set(Wish::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace)?;
            preference.set(Wish::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction)?;
            for wish in [
                Wish::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                Wish::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                Wish::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                Wish::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
            ] {
                preference.set(wish, &alignment)?;
            }
        }
        let (handle, wishes) = (self.handle, preference.0);
        // SAFETY: all of these are alive.
        let found = unsafe {
            result::get_matmul_algo_heuristic(handle, description.0, a.0, b.0, d.0, d.0, wishes)?
        };
        Ok(MatmulPlan { description, layouts: [a, b, d], algorithm: found.algo })
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.plans().clear();
        // SAFETY: the GPU has been waited for, so nothing uses the workspace; both are given back once.
        unsafe {
            let _ = driver::ctx::set_current(self.context);
            let _ = driver::free_sync(self.workspace);
            let _ = result::destroy_handle(self.handle);
        }
    }
}

/// A product's description.
struct Description(lt::cublasLtMatmulDesc_t);

impl Description {
    /// Sets an attribute.
    ///
    /// # Safety
    ///
    /// The value must be of the attribute's type.
    unsafe fn set<T>(
        &self,
        attribute: lt::cublasLtMatmulDescAttributes_t,
        value: &T,
    ) -> Result<(), CublasError> {
        let (value, bytes) = (ptr::from_ref(value).cast(), size_of::<T>());
        // SAFETY: the description is alive; the caller promises the type.
        unsafe { result::set_matmul_desc_attribute(self.0, attribute, value, bytes) }
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: it was made for this value, and is destroyed once.
        let _ = unsafe { result::destroy_matmul_desc(self.0) };
    }
}

/// How a matrix lies.
struct Layout(lt::cublasLtMatrixLayout_t);

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: it was made for this value, and is destroyed once.
        let _ = unsafe { result::destroy_matrix_layout(self.0) };
    }
}

/// Constraints of the library's heuristic.
struct Preference(lt::cublasLtMatmulPreference_t);

impl Preference {
    /// Sets an attribute.
    ///
    /// # Safety
    ///
    /// The value must be of the attribute's type.
    unsafe fn set<T>(
        &self,
        attribute: lt::cublasLtMatmulPreferenceAttributes_t,
        value: &T,
    ) -> Result<(), CublasError> {
        let (value, bytes) = (ptr::from_ref(value).cast(), size_of::<T>());
        // SAFETY: the preference is alive; the caller promises the type.
        unsafe { result::set_matmul_pref_attribute(self.0, attribute, value, bytes) }
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: it was made for this value, and is destroyed once.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}

/// Bytes of the library's workspace, as its vendor recommends: 32 MiB from Hopper on, before 4.
fn workspace_bytes((major, _): (u32, u32)) -> usize {
    if major >= 9 { 32 << 20 } else { 4 << 20 }
}

/// The library's error.
fn refused(error: CublasError) -> CudaError {
    // SAFETY: the library is there; it returns a text that ends with a NUL and is never freed.
    let source = unsafe { CStr::from_ptr(lt::cublasLtGetStatusString(error.0)) };
    CudaError::Driver {
        doing: "a product by cuBLASLt",
        reason: source.to_string_lossy().to_string(),
    }
}

#[cfg(test)]
mod tests;
