//! The library's products as plain loops.
#![allow(unsafe_code)]

use core::ffi::c_void;
use core::ptr;

use half::{bf16, f16};

use crate::cuda::dtype::Dtype;
use crate::cuda::gemm::{GemmEpilogue, Product, Shape};

/// Computes one product: each sum is one chain of fused multiply-adds in order of k.
///
/// # Safety
///
/// Its addresses must be those of memory as long as its shape says.
pub(super) unsafe fn multiply(product: &Product) {
    let Product { shape, left, right, bias, out } = *product;
    let Shape { rows, columns, depth, a_transposed, b_transposed, operands, .. } = shape;
    // SAFETY: the caller promises so many numbers there.
    let read = |address: u64, i: usize, dtype: Dtype| unsafe { read(address, i, dtype) };
    for r in 0..rows {
        for c in 0..columns {
            let sum = (0..depth).fold(0.0, |sum, k| {
                let of_left = if a_transposed { k * rows + r } else { r * depth + k };
                let of_right = if b_transposed { k * columns + c } else { c * depth + k };
                read(left, of_left, operands).mul_add(read(right, of_right, operands), sum)
            });
            let bias = bias.map_or(0.0, |bias| read(bias, c, shape.out));
            let i = r * columns + c;
            let finished = match shape.epilogue {
                GemmEpilogue::Plain | GemmEpilogue::Bias => sum + bias,
                GemmEpilogue::Gelu | GemmEpilogue::BiasGelu => gelu(sum + bias),
                GemmEpilogue::Adds => sum + read(out, i, shape.out),
            };
            // SAFETY: as above.
            unsafe { write(out, i, shape.out, finished) };
        }
    }
}

/// The host's memory at an address of the emulated GPU's.
pub(super) fn pointer(address: u64) -> *mut u8 {
    ptr::with_exposed_provenance_mut::<c_void>(address as usize).cast()
}

/// Number `i` of a run.
///
/// # Safety
///
/// The run must be as long.
unsafe fn read(address: u64, i: usize, dtype: Dtype) -> f32 {
    let place = pointer(address + (i * dtype.bytes()) as u64);
    // SAFETY: the caller promises the number there.
    unsafe {
        match dtype {
            Dtype::F32 => place.cast::<f32>().read_unaligned(),
            Dtype::F16 => place.cast::<f16>().read_unaligned().to_f32(),
            Dtype::Bf16 => place.cast::<bf16>().read_unaligned().to_f32(),
        }
    }
}

/// Overwrites number `i` of a run.
///
/// # Safety
///
/// The run must be as long.
unsafe fn write(address: u64, i: usize, dtype: Dtype, x: f32) {
    let place = pointer(address + (i * dtype.bytes()) as u64);
    // SAFETY: the caller promises the number there.
    unsafe {
        match dtype {
            Dtype::F32 => place.cast::<f32>().write_unaligned(x),
            Dtype::F16 => place.cast::<f16>().write_unaligned(f16::from_f32(x)),
            Dtype::Bf16 => place.cast::<bf16>().write_unaligned(bf16::from_f32(x)),
        }
    }
}

/// GELU in its tanh form.
fn gelu(x: f32) -> f32 {
    let x = f64::from(x);
    let u = (2.0 / core::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    (0.5 * x * (1.0 + u.tanh())) as f32
}
