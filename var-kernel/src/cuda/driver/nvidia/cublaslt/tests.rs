//! Products by a fake of the library that computes as its documentation says, under a fake driver with
//! host memory.

use std::vec;
use std::vec::Vec;

use crate::cpu::Matrix;
use crate::cuda::driver::nvidia::fakes::under_fakes;
use crate::cuda::dtype::{Dtype, Precision};
use crate::cuda::gemm::{GemmEpilogue, GemmProvider, Product, Shape};
use crate::cuda::{Cuda, Memory, Options};
use crate::memory::Floats;
use crate::ops::testing::{assert_close, coarse};
use crate::transfer::TokenTransfer;

fn gpu(precision: Precision, gemm_provider: GemmProvider) -> Cuda {
    Cuda::open(Options { precision, gemm_provider, ..Options::default() }).unwrap()
}

/// `values` on the GPU as `dtype`.
fn put(cuda: &Cuda, values: &[f32], dtype: Dtype) -> Memory {
    cuda.upload_matrix(Matrix::F32(values), &[values.len()], dtype).unwrap()
}

/// Values on the GPU stored as `dtype`.
fn read(cuda: &Cuda, run: &Memory, numbers: usize, dtype: Dtype) -> Vec<f32> {
    let mut words = vec![0; run.len()];
    cuda.download_tokens(&mut words, run).unwrap();
    let bytes: &[u8] = bytemuck::cast_slice(&words);
    let number = |bytes: &[u8]| match dtype {
        Dtype::F32 => f32::from_le_bytes(bytes.try_into().unwrap()),
        Dtype::F16 => half::f16::from_le_bytes(bytes.try_into().unwrap()).to_f32(),
        Dtype::Bf16 => half::bf16::from_le_bytes(bytes.try_into().unwrap()).to_f32(),
    };
    bytes.chunks_exact(dtype.bytes()).take(numbers).map(number).collect()
}

/// `matrix`, which has `rows` rows, with its columns as rows.
fn turned(matrix: &[f32], rows: usize) -> Vec<f32> {
    let columns = matrix.len() / rows;
    (0..matrix.len()).map(|i| matrix[i % rows * columns + i / rows]).collect()
}

fn compare(cuda: &Cuda, shape: Shape) {
    let Shape { rows, columns, depth, .. } = shape;
    let (left, right) = (coarse(rows * depth, 1), coarse(columns * depth, 2));
    let (bias, before) = (coarse(columns, 3), coarse(rows * columns, 4));
    let want: Vec<f64> = (0..rows * columns)
        .map(|i| {
            let (r, c) = (i / columns, i % columns);
            let sum = (0..depth).map(|k| f64::from(left[r * depth + k] * right[c * depth + k]));
            let y = sum.sum::<f64>();
            let gelu = |y: f64| {
                let u = (2.0 / core::f64::consts::PI).sqrt() * (y + 0.044715 * y * y * y);
                0.5 * y * (1.0 + u.tanh())
            };
            match shape.epilogue {
                GemmEpilogue::Plain => y,
                GemmEpilogue::Bias => y + f64::from(bias[c]),
                GemmEpilogue::Gelu => gelu(y),
                GemmEpilogue::BiasGelu => gelu(y + f64::from(bias[c])),
                GemmEpilogue::Adds => y + f64::from(before[i]),
            }
        })
        .collect();
    let lying = |matrix: &[f32], rows, is_turned| {
        if is_turned { turned(matrix, rows) } else { matrix.to_vec() }
    };
    let left = put(cuda, &lying(&left, rows, shape.a_transposed), shape.operands);
    let right = put(cuda, &lying(&right, columns, shape.b_transposed), shape.operands);
    let bias = put(cuda, &bias, shape.out);
    let mut out = put(cuda, &before, shape.out);
    let with_bias = matches!(shape.epilogue, GemmEpilogue::Bias | GemmEpilogue::BiasGelu);
    let product = Product::new(shape, left.address(), right.address());
    cuda.multiply(&mut out, product.with_bias(with_bias.then_some(bias.address()))).unwrap();
    let got = read(cuda, &out, want.len(), shape.out);
    let rounding = match shape.out {
        Dtype::F32 => 1e-6,
        Dtype::F16 => 1.0 / 2048.0,
        Dtype::Bf16 => 1.0 / 256.0,
    };
    let largest = want.iter().fold(1.0_f64, |largest, y| largest.max(y.abs()));
    assert_close(&got, &want, rounding * largest);
}

/// A product just large enough for a GPU of one multiprocessor, and of no tile's size.
const SIZES: [usize; 3] = [264, 248, 264];

fn shape(operands: Dtype, out: Dtype, epilogue: GemmEpilogue) -> Shape {
    let [rows, columns, depth] = SIZES;
    let (a_transposed, b_transposed) = (false, false);
    Shape { rows, columns, depth, a_transposed, b_transposed, operands, out, epilogue }
}

#[test]
fn products_are_what_the_documentation_says() {
    if !under_fakes(module_path!(), "products_are_what_the_documentation_says", "small") {
        return;
    }
    for (precision, dtype) in [
        (Precision::Tf32, Dtype::F32),
        (Precision::F16, Dtype::F16),
        (Precision::Bf16, Dtype::Bf16),
    ] {
        let cuda = gpu(precision, GemmProvider::CublasLt);
        assert_eq!(cuda.library().unwrap(), "cuBLASLt 13.1");
        for epilogue in [
            GemmEpilogue::Plain,
            GemmEpilogue::Bias,
            GemmEpilogue::Gelu,
            GemmEpilogue::BiasGelu,
            GemmEpilogue::Adds,
        ] {
            compare(&cuda, shape(dtype, Dtype::F32, epilogue));
        }
        compare(&cuda, shape(dtype, dtype, GemmEpilogue::Plain));
        compare(&cuda, shape(dtype, dtype, GemmEpilogue::BiasGelu));
        for a_transposed in [false, true] {
            let plain = shape(dtype, Dtype::F32, GemmEpilogue::Adds);
            compare(&cuda, Shape { a_transposed, b_transposed: true, ..plain });
        }
    }
}

#[test]
fn products_that_are_small_or_not_to_be_had_are_computed_here() {
    if !under_fakes(
        module_path!(),
        "products_that_are_small_or_not_to_be_had_are_computed_here",
        "small",
    ) {
        return;
    }
    let prefers = |cuda: &Cuda, shape: Shape| cuda.prefers_cublaslt(&shape, &[256, 512]);
    let plain = shape(Dtype::F16, Dtype::F32, GemmEpilogue::Plain);
    let cuda = gpu(Precision::F16, GemmProvider::CublasLt);
    assert!(prefers(&cuda, plain));
    assert!(!cuda.prefers_cublaslt(&plain, &[256, 520]), "an address that is not aligned");
    assert!(!prefers(&cuda, Shape { rows: 8, ..plain }), "a small product");
    assert!(!prefers(&cuda, Shape { columns: 1023, ..plain }), "rows that are not aligned");
    let operand_f32 = gpu(Precision::F32, GemmProvider::CublasLt);
    assert!(!prefers(&operand_f32, Shape { operands: Dtype::F32, ..plain }), "singles");
    assert!(!prefers(&cuda, Shape { depth: 4096, ..plain }), "one the library does not compute");
    let own = gpu(Precision::F16, GemmProvider::Builtin);
    assert!(own.library().is_none() && !prefers(&own, plain));
}

#[test]
fn library_that_is_too_old_is_left_alone() {
    if under_fakes(module_path!(), "library_that_is_too_old_is_left_alone", "old-library") {
        assert_eq!(gpu(Precision::F16, GemmProvider::CublasLt).library(), None);
    }
}

#[test]
fn library_that_does_not_start_is_left_alone() {
    if under_fakes(module_path!(), "library_that_does_not_start_is_left_alone", "broken-library") {
        assert_eq!(gpu(Precision::F16, GemmProvider::CublasLt).library(), None);
    }
}
