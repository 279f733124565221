//! The limit on a file's weights.

use half::f16;
use var_kernel::cpu::Matrix;

/// Weights of trained models are below 1e4; the square of a row of greater ones than this, which every
/// norm takes, is no longer finite in `f32`.
pub(super) const LARGEST_WEIGHT: f32 = 1e9;

/// The first element that is not a number, infinite, or above [`LARGEST_WEIGHT`]; of these one that is
/// not finite, if there is any.
pub(super) fn too_large(numbers: Matrix<'_>) -> Option<(usize, f32)> {
    // A first look at blocks, without a branch for each number, keeps this at the speed of memory.
    fn search<T: Copy>(
        numbers: &[T],
        limit: f32,
        to_f32: impl Fn(T) -> f32,
    ) -> Option<(usize, f32)> {
        let bad = |x: T| to_f32(x).abs() > limit || to_f32(x).is_nan();
        let block = 4096;
        let (number, _) = numbers
            .chunks(block)
            .enumerate()
            .find(|(_, part)| part.iter().fold(false, |any, x| any | bad(*x)))?;
        let index = number * block + numbers[number * block..].iter().position(|x| bad(*x))?;
        Some((index, to_f32(numbers[index])))
    }
    let search = |limit| match numbers {
        Matrix::F32(numbers) => search(numbers, limit, |x| x),
        Matrix::F16(numbers) => search(numbers, limit, finite_f16),
        Matrix::Bf16(numbers) => search(numbers, limit, half::bf16::to_f32),
        Matrix::Q8 { scales, .. } => search(scales, limit, finite_f16),
    };
    let first = search(LARGEST_WEIGHT)?;
    Some(search(f32::MAX).unwrap_or(first))
}

/// A half-precision number's class without the cost of widening it.
fn finite_f16(x: f16) -> f32 {
    if x.to_bits() & 0x7c00 == 0x7c00 { x.to_f32() } else { 0.0 }
}
