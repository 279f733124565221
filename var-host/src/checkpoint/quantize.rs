//! Narrower weights: half precision, bfloat16, and 8-bit blocks ("q8").
//!
//! q8 cuts every row into blocks of [`BLOCK`] values with one half-precision scale each:
//! `scale = f16(max|x| / 127)`, `q = round_half_even(x / scale)`, and back `x ≈ q * scale` with
//! `|x - q * scale| <= scale / 2`. In a file the tensor `NAME` holds `q` as `I8` in its own shape,
//! and `NAME.scale` the scales as `F16` `[rows, columns / 32]`.

use std::borrow::Cow;

use bytemuck::NoUninit;
use half::{bf16, f16};

use crate::checkpoint::{Dtype, Record, Tensor};

pub use crate::checkpoint::record::QuantizeError;

/// Values that share one scale.
pub const BLOCK: usize = var_kernel::cpu::matrix::Q8_BLOCK;

/// Appended to the name of a q8 tensor for the name of its scales.
pub const SCALE_SUFFIX: &str = ".scale";

/// How the weights of a model file are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightDtype {
    /// SingleProcess precision.
    F32,
    /// Half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// 8-bit integers with a half-precision scale for every [`BLOCK`] of them.
    Q8,
}

/// Integers and scales of a matrix in q8.
#[derive(Clone, Debug, PartialEq)]
pub struct Q8 {
    /// One for each value, row-major.
    pub integers: Vec<i8>,
    /// One for each [`BLOCK`] of values.
    pub scales: Vec<f16>,
}

/// Rounds `values` to half precision, to nearest even.
///
/// # Errors
///
/// [`QuantizeError`] with the name `tensor` for the first value that has no finite counterpart.
pub fn to_f16(tensor: &str, values: &[f32]) -> Result<Vec<f16>, QuantizeError> {
    round(tensor, values, "F16", |x| Some(f16::from_f32(x)).filter(|y| y.is_finite()))
}

/// Rounds `values` to bfloat16, to nearest even.
///
/// # Errors
///
/// [`QuantizeError`] with the name `tensor` for the first value that has no finite counterpart.
pub fn to_bf16(tensor: &str, values: &[f32]) -> Result<Vec<bf16>, QuantizeError> {
    round(tensor, values, "BF16", |x| Some(bf16::from_f32(x)).filter(|y| y.is_finite()))
}

/// Quantizes `values`, rows of a multiple of [`BLOCK`] columns, to q8.
///
/// # Errors
///
/// [`QuantizeError`] with the name `tensor` for the first value that is not finite, or that is
/// so large that its block's scale is not.
///
/// # Panics
///
/// If `values` is not a whole number of blocks.
#[track_caller]
pub fn to_q8(tensor: &str, values: &[f32]) -> Result<Q8, QuantizeError> {
    let (blocks, []) = values.as_chunks::<BLOCK>() else {
        panic!("{tensor}: {} values are not whole blocks of {BLOCK}", values.len())
    };
    let mut integers = Vec::with_capacity(values.len());
    let mut scales = Vec::with_capacity(blocks.len());
    for (i, block) in blocks.iter().enumerate() {
        let scale = block_scale(tensor, block, i * BLOCK)?;
        let step = scale.to_f32();
        integers.extend(block.iter().map(|&x| {
            if step == 0.0 { 0 } else { (x / step).round_ties_even().clamp(-127.0, 127.0) as i8 }
        }));
        scales.push(scale);
    }
    Ok(Q8 { integers, scales })
}

/// The values that q8 stands for: `integers[i] * scales[i / BLOCK]`.
///
/// # Panics
///
/// If there is not one scale for every [`BLOCK`] of integers.
#[track_caller]
pub fn from_q8(integers: &[i8], scales: &[f16]) -> Vec<f32> {
    assert_eq!(integers.len(), scales.len() * BLOCK, "a scale for every {BLOCK} integers");
    let value = |(i, &q): (usize, &i8)| f32::from(q) * scales[i / BLOCK].to_f32();
    integers.iter().enumerate().map(value).collect()
}

/// The records that store `tensor` under `name` in `precision`: two for q8, otherwise one.
///
/// Tensors that are not floating-point numbers are stored as they are, and so is a tensor that
/// has the wanted type already. A last dimension that is no multiple of [`BLOCK`] falls back from
/// q8 to half precision. SingleProcess precision may hold values that are not finite.
pub fn records<'a>(name: &str, tensor: Tensor<'a>, precision: WeightDtype) -> Vec<Record<'a>> {
    let columns = tensor.shape.last().copied().unwrap_or(0);
    let dtype = match precision {
        _ if !tensor.dtype.is_float() => tensor.dtype,
        WeightDtype::F32 => Dtype::F32,
        WeightDtype::F16 => Dtype::F16,
        WeightDtype::Bf16 => Dtype::Bf16,
        WeightDtype::Q8 if columns == 0 || !columns.is_multiple_of(BLOCK) => Dtype::F16,
        WeightDtype::Q8 => Dtype::I8,
    };
    if dtype == tensor.dtype {
        return vec![Record::borrowed(name, dtype, tensor.shape, tensor.bytes)];
    }
    let record = |suffix: &str, dtype, shape: Vec<usize>, encode: Encode| Record {
        name: format!("{name}{suffix}"),
        dtype,
        shape,
        bytes: {
            let name = name.to_owned();
            Box::new(move || encode(&name, tensor).map(Cow::Owned))
        },
    };
    let shape = tensor.shape.to_vec();
    match dtype {
        Dtype::F16 => vec![record("", dtype, shape, |n, t| Ok(bytes(&to_f16(n, &t.to_f32())?)))],
        Dtype::Bf16 => vec![record("", dtype, shape, |n, t| Ok(bytes(&to_bf16(n, &t.to_f32())?)))],
        Dtype::I8 => {
            let scales = vec![tensor.len() / columns, columns / BLOCK];
            vec![
                record("", dtype, shape, |n, t| Ok(bytes(&to_q8(n, &t.to_f32())?.integers))),
                record(SCALE_SUFFIX, Dtype::F16, scales, |n, t| {
                    Ok(bytes(&to_q8(n, &t.to_f32())?.scales))
                }),
            ]
        }
        _ => vec![record("", dtype, shape, |_, t| Ok(bytes(&t.to_f32())))],
    }
}

/// Makes the bytes of one record from the tensor's name and the tensor.
type Encode = fn(&str, Tensor<'_>) -> Result<Vec<u8>, QuantizeError>;

fn bytes<T: NoUninit>(values: &[T]) -> Vec<u8> {
    bytemuck::cast_slice(values).to_vec()
}

fn round<T>(
    tensor: &str,
    values: &[f32],
    target: &'static str,
    convert: impl Fn(f32) -> Option<T>,
) -> Result<Vec<T>, QuantizeError> {
    let rounded = values
        .iter()
        .enumerate()
        .map(|(index, &value)| convert(value).ok_or_else(|| unfit(tensor, index, value, target)));
    rounded.collect()
}

/// `max|x| / 127` in half precision; `first` is the index of the block's first value.
fn block_scale(tensor: &str, block: &[f32; BLOCK], first: usize) -> Result<f16, QuantizeError> {
    let mut largest = 0;
    for (i, x) in block.iter().enumerate() {
        if !x.is_finite() {
            return Err(unfit(tensor, first + i, *x, "q8"));
        }
        if x.abs() > block[largest].abs() {
            largest = i;
        }
    }
    let max = block[largest].abs();
    let scale = f16::from_f32(max / 127.0);
    if !scale.is_finite() {
        return Err(unfit(tensor, first + largest, block[largest], "q8"));
    }
    // Below 2^-14 half precision is coarse, and the nearest scale may be too small for `max`.
    Ok(if max > 127.5 * scale.to_f32() { f16::from_bits(scale.to_bits() + 1) } else { scale })
}

fn unfit(tensor: &str, index: usize, value: f32, target: &'static str) -> QuantizeError {
    let tensor = tensor.to_owned();
    if value.is_finite() {
        QuantizeError::TooLarge { tensor, index, value, target }
    } else {
        QuantizeError::NotFinite { tensor, index, value }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Half a scale, and the rounding of `x / scale` and of `q * scale` (one each).
        #[test]
        fn q8_is_within_half_a_scale(
            block in prop::collection::vec(-1.0_f32..1.0, BLOCK),
            exponent in -40_i32..22,
        ) {
            let values: Vec<f32> = block.iter().map(|x| x * 2_f32.powi(exponent)).collect();
            let q8 = to_q8("w", &values).unwrap();
            let scale = q8.scales[0].to_f32();
            let max = values.iter().fold(0_f32, |max, x| max.max(x.abs()));
            prop_assert!(scale <= max / 127.0 * (1.0 + 2_f32.powi(-11)) + 2_f32.powi(-24));
            for (x, y) in values.iter().zip(from_q8(&q8.integers, &q8.scales)) {
                prop_assert!((x - y).abs() <= 0.50002 * scale, "{x} became {y}, scale {scale}");
            }
        }

        #[test]
        fn f16_and_bf16_are_within_half_a_unit(x in -60000_f32..60000.0) {
            let half = to_f16("w", &[x]).unwrap()[0].to_f32();
            prop_assert!((half - x).abs() <= x.abs() * 2_f32.powi(-11) + 2_f32.powi(-25));
            let brain = to_bf16("w", &[x]).unwrap()[0].to_f32();
            prop_assert!((brain - x).abs() <= x.abs() * 2_f32.powi(-8));
        }
    }

    #[test]
    fn q8_of_multiples_is_exact() {
        let mut block = [0_f32; 2 * BLOCK];
        for (i, x) in block.iter_mut().enumerate() {
            *x = 0.25 * (i as f32 - 40.0);
        }
        block[0] = 127.0 * 0.25;
        block[BLOCK] = -127.0 * 0.25;
        let q8 = to_q8("w", &block).unwrap();
        assert_eq!(q8.scales, [f16::from_f32(0.25); 2]);
        assert_eq!(q8.integers[..3], [127, -39, -38]);
        assert_eq!(from_q8(&q8.integers, &q8.scales), block);
    }

    #[test]
    fn q8_rounds_halves_to_even() {
        let mut block = [0_f32; BLOCK];
        block[..6].copy_from_slice(&[127.0, 0.5, 1.5, 2.5, -0.5, -1.5]);
        assert_eq!(to_q8("w", &block).unwrap().integers[..6], [127, 0, 2, 2, 0, -2]);
    }

    #[test]
    fn zeros_stay_zeros() {
        let q8 = to_q8("w", &[0.0; BLOCK]).unwrap();
        assert_eq!((q8.integers, q8.scales), (vec![0; BLOCK], vec![f16::ZERO]));
    }

    #[test]
    fn values_that_do_not_fit_are_named() {
        let mut block = [1_f32; BLOCK];
        block[3] = f32::NEG_INFINITY;
        let infinite =
            QuantizeError::NotFinite { tensor: "w".into(), index: 3, value: f32::NEG_INFINITY };
        assert_eq!(to_q8("w", &block).unwrap_err(), infinite);
        assert_eq!(to_f16("w", &block).unwrap_err(), infinite);
        assert_eq!(to_bf16("w", &block).unwrap_err(), infinite);
        block[3] = 1e7;
        let too_large = |target| {
            let tensor = "w".to_owned();
            QuantizeError::TooLarge { tensor, index: 3, value: 1e7, target }
        };
        assert_eq!(to_q8("w", &block).unwrap_err(), too_large("q8"));
        assert_eq!(to_f16("w", &block).unwrap_err(), too_large("F16"));
        block[3] = f32::NAN;
        assert!(matches!(to_q8("w", &block), Err(QuantizeError::NotFinite { index: 3, .. })));
    }
}
