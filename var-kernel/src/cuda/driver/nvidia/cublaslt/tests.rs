//! Products by a fake of the library that computes as its documentation says, under a fake driver with
//! host memory.

use std::vec;
use std::vec::Vec;

use crate::cpu::Matrix;
use crate::cuda::driver::nvidia::fakes::under_fakes;
use crate::cuda::element::{Element, Precision};
use crate::cuda::gemm::{Finish, Product, Products, Shape};
use crate::cuda::{Cuda, Memory, Options};
use crate::memory::{Device, Floats};
use crate::ops::testing::{assert_close, coarse};

fn card(precision: Precision, products: Products) -> Cuda {
    Cuda::open(Options { precision, products, ..Options::default() }).unwrap()
}

/// `values` on the card as `element`.
fn put(cuda: &Cuda, values: &[f32], element: Element) -> Memory {
    cuda.upload_matrix(Matrix::F32(values), &[values.len()], element).unwrap()
}

/// Values on the GPU stored as `element`.
fn read(cuda: &Cuda, run: &Memory, numbers: usize, element: Element) -> Vec<f32> {
    let mut words = vec![0; run.len()];
    cuda.download_tokens(&mut words, run).unwrap();
    let bytes: &[u8] = bytemuck::cast_slice(&words);
    let number = |bytes: &[u8]| match element {
        Element::F32 => f32::from_le_bytes(bytes.try_into().unwrap()),
        Element::F16 => half::f16::from_le_bytes(bytes.try_into().unwrap()).to_f32(),
        Element::Bf16 => half::bf16::from_le_bytes(bytes.try_into().unwrap()).to_f32(),
    };
    bytes.chunks_exact(element.bytes()).take(numbers).map(number).collect()
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
            match shape.finish {
                Finish::Plain => y,
                Finish::Bias => y + f64::from(bias[c]),
                Finish::Gelu => gelu(y),
                Finish::BiasGelu => gelu(y + f64::from(bias[c])),
                Finish::Adds => y + f64::from(before[i]),
            }
        })
        .collect();
    let lying = |matrix: &[f32], rows, is_turned| {
        if is_turned { turned(matrix, rows) } else { matrix.to_vec() }
    };
    let left = put(cuda, &lying(&left, rows, shape.left_turned), shape.operands);
    let right = put(cuda, &lying(&right, columns, shape.right_turned), shape.operands);
    let bias = put(cuda, &bias, shape.out);
    let mut out = put(cuda, &before, shape.out);
    let with_bias = matches!(shape.finish, Finish::Bias | Finish::BiasGelu);
    let product = Product::new(shape, left.address(), right.address());
    cuda.multiply(&mut out, product.with_bias(with_bias.then_some(bias.address()))).unwrap();
    let got = read(cuda, &out, want.len(), shape.out);
    let rounding = match shape.out {
        Element::F32 => 1e-6,
        Element::F16 => 1.0 / 2048.0,
        Element::Bf16 => 1.0 / 256.0,
    };
    let largest = want.iter().fold(1.0_f64, |largest, y| largest.max(y.abs()));
    assert_close(&got, &want, rounding * largest);
}

/// A product just large enough for a card of one multiprocessor, and of no tile's size.
const SIZES: [usize; 3] = [264, 248, 264];

fn shape(operands: Element, out: Element, finish: Finish) -> Shape {
    let [rows, columns, depth] = SIZES;
    let (left_turned, right_turned) = (false, false);
    Shape { rows, columns, depth, left_turned, right_turned, operands, out, finish }
}

#[test]
fn products_are_what_the_documentation_says() {
    if !under_fakes(module_path!(), "products_are_what_the_documentation_says", "small") {
        return;
    }
    for (precision, element) in [
        (Precision::Tf32, Element::F32),
        (Precision::F16, Element::F16),
        (Precision::Bf16, Element::Bf16),
    ] {
        let cuda = card(precision, Products::Library);
        assert_eq!(cuda.library().unwrap(), "cuBLASLt 13.1");
        for finish in [Finish::Plain, Finish::Bias, Finish::Gelu, Finish::BiasGelu, Finish::Adds] {
            compare(&cuda, shape(element, Element::F32, finish));
        }
        compare(&cuda, shape(element, element, Finish::Plain));
        compare(&cuda, shape(element, element, Finish::BiasGelu));
        for left_turned in [false, true] {
            let plain = shape(element, Element::F32, Finish::Adds);
            compare(&cuda, Shape { left_turned, right_turned: true, ..plain });
        }
    }
}

#[test]
fn what_is_small_or_not_to_be_had_is_computed_here() {
    if !under_fakes(module_path!(), "what_is_small_or_not_to_be_had_is_computed_here", "small") {
        return;
    }
    let prefers = |cuda: &Cuda, shape: Shape| cuda.prefers_library(&shape, &[256, 512]);
    let plain = shape(Element::F16, Element::F32, Finish::Plain);
    let cuda = card(Precision::F16, Products::Library);
    assert!(prefers(&cuda, plain));
    assert!(!cuda.prefers_library(&plain, &[256, 520]), "an address that is not aligned");
    assert!(!prefers(&cuda, Shape { rows: 8, ..plain }), "a small product");
    assert!(!prefers(&cuda, Shape { columns: 1023, ..plain }), "rows that are not aligned");
    let single = card(Precision::F32, Products::Library);
    assert!(!prefers(&single, Shape { operands: Element::F32, ..plain }), "singles");
    assert!(!prefers(&cuda, Shape { depth: 4096, ..plain }), "one the library does not compute");
    let own = card(Precision::F16, Products::Own);
    assert!(own.library().is_none() && !prefers(&own, plain));
}

#[test]
fn a_library_that_is_too_old_is_left_alone() {
    if under_fakes(module_path!(), "a_library_that_is_too_old_is_left_alone", "old-library") {
        assert_eq!(card(Precision::F16, Products::Library).library(), None);
    }
}

#[test]
fn a_library_that_does_not_start_is_left_alone() {
    if under_fakes(module_path!(), "a_library_that_does_not_start_is_left_alone", "broken-library")
    {
        assert_eq!(card(Precision::F16, Products::Library).library(), None);
    }
}
