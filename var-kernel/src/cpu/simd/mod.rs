//! The vector vocabulary: sixteen lanes of `f32`, whatever the machine's registers are.
//!
//! A vector is always [`LANES`] wide: one register of AVX-512, two of AVX2, four of SSE2, NEON or simd128. So a
//! kernel written over [`Simd`] has one order of additions on every machine, and gives the same
//! bytes. (Soft-float targets, as kernels of operating systems are, have no SSE2 and only the portable
//! vectors.) Every operation rounds once, to nearest; [`Simd::mul_add`] is always fused.

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod avx2;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod avx512;
pub mod dot;
#[cfg(any(
    all(target_arch = "x86_64", target_feature = "sse2"),
    all(target_arch = "wasm32", target_feature = "simd128", not(target_feature = "relaxed-simd"))
))]
mod doubles;
#[cfg(not(all(target_arch = "wasm32", target_feature = "relaxed-simd")))]
mod fused;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod portable;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod sse2;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub(crate) use self::{avx2::Avx2, avx512::Avx512, sse2::Sse2};
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) use portable::Portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) use wasm::Wasm;

use half::{bf16, f16};

/// Lanes of a vector, on every instruction set.
pub const LANES: usize = 16;

/// Code written once over [`Simd`] and compiled for each instruction set by [`super::Isa::run`].
///
/// `run` must be `#[inline(always)]`, and so must every function it hands its `Simd` to; closures
/// are not inlined early enough and must not touch vectors.
pub trait SimdKernel {
    /// The return type.
    type Output;

    /// Does the work.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// One instruction set's vectors. A value is a proof that the machine has it.
pub trait Simd: Copy + Send + Sync {
    /// Sixteen `f32`.
    type F32: Copy;

    /// Rows of the product tile that fits this machine's registers.
    const MR: usize;

    /// Vectors in a row of that tile.
    const NR_VECTORS: usize;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F32;

    /// Sixteen neighbors.
    fn load(self, from: &[f32; LANES]) -> Self::F32;

    /// Writes sixteen neighbors.
    fn store(self, v: Self::F32, to: &mut [f32; LANES]);

    /// `a + b`
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// `a - b`
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// `a · b`
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// `a / b`
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// `a · b + c`, rounded once.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;

    /// Whether [`Simd::chains`] is faster than one [`Simd::mul_add`] after the other.
    const CHAINS: bool = false;

    /// A tile's chains of [`Simd::mul_add`] all at once: `sums[r][v] += Σₖ a[k · MR + r] · b[v][k]` in
    /// order of k.
    #[inline(always)]
    fn chains<const ROWS: usize, const VECTORS: usize>(
        self,
        sums: &mut [[Self::F32; VECTORS]; ROWS],
        a: &[f32],
        b: [&[[f32; LANES]]; VECTORS],
    ) {
        for (k, a) in a.chunks_exact(Self::MR).enumerate() {
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    sums[r][v] = self.mul_add(self.load(&b[v][k]), self.splat(a[r]), sums[r][v]);
                }
            }
        }
    }

    /// The lesser of each lane; unspecified where one is NaN.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// The greater of each lane; unspecified where one is NaN.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;

    /// `√a`
    fn sqrt(self, a: Self::F32) -> Self::F32;

    /// `then` where `a < b`, else `otherwise`.
    fn where_less(
        self,
        a: Self::F32,
        b: Self::F32,
        then: Self::F32,
        otherwise: Self::F32,
    ) -> Self::F32;

    /// `2ⁿ` for lanes that hold `1.5·2²³ + n`, n in −126 ..= 127: the low bits moved to the exponent.
    fn exp2_of_shifted(self, a: Self::F32) -> Self::F32;

    /// Sixteen half-precision neighbors, widened exactly.
    fn load_f16(self, from: &[f16; LANES]) -> Self::F32;

    /// Sixteen bfloat16 neighbors, widened exactly.
    fn load_bf16(self, from: &[bf16; LANES]) -> Self::F32;

    /// Sixteen integers, converted exactly.
    fn load_i8(self, from: &[i8; LANES]) -> Self::F32;

    /// The bits of sixteen neighboring words of four bytes.
    #[inline(always)]
    fn load_bytes(self, from: &[i8; 4 * LANES]) -> Self::F32 {
        self.load(&bytemuck::cast(*from))
    }

    /// Writes sixteen integers of −128 ..= 127.
    #[inline(always)]
    fn store_i8(self, v: Self::F32, to: &mut [i8; LANES]) {
        let mut lanes = [0.0; LANES];
        self.store(v, &mut lanes);
        *to = lanes.map(|x| x as i8);
    }

    /// Asks for the numbers that `from` begins with to be brought near; where the machine has no way
    /// to ask, nothing.
    #[inline(always)]
    fn prefetch<T>(self, _from: &[T]) {}

    /// Lane `i` of vector `j` becomes lane `j` of vector `i`.
    #[inline(always)]
    fn transpose(self, rows: [Self::F32; LANES]) -> [Self::F32; LANES] {
        let mut from = [[0.0; LANES]; LANES];
        for i in 0..LANES {
            self.store(rows[i], &mut from[i]);
        }
        let mut columns = rows;
        for i in 0..LANES {
            let mut column = [0.0; LANES];
            for j in 0..LANES {
                column[j] = from[j][i];
            }
            columns[i] = self.load(&column);
        }
        columns
    }

    /// The sum of the lanes: halves are added until one is left (lane i with i+8, then i+4, …).
    #[inline(always)]
    fn sum(self, v: Self::F32) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(v, &mut lanes);
        let mut half = LANES / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
            half /= 2;
        }
        lanes[0]
    }

    /// The greatest lane; unspecified if one is NaN.
    #[inline(always)]
    fn greatest(self, v: Self::F32) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(v, &mut lanes);
        let mut half = LANES / 2;
        while half > 0 {
            for i in 0..half {
                if lanes[i + half] > lanes[i] {
                    lanes[i] = lanes[i + half];
                }
            }
            half /= 2;
        }
        lanes[0]
    }

    /// The first `from.len()` ≤ 16 lanes from memory, `fill` in the others.
    #[inline(always)]
    fn load_or(self, from: &[f32], fill: f32) -> Self::F32 {
        match from.try_into() {
            Ok(whole) => self.load(whole),
            Err(_) => {
                let mut lanes = [fill; LANES];
                lanes[..from.len()].copy_from_slice(from);
                self.load(&lanes)
            }
        }
    }

    /// Writes the first `to.len()` ≤ 16 lanes.
    #[inline(always)]
    fn store_part(self, v: Self::F32, to: &mut [f32]) {
        if let Ok(whole) = (&mut *to).try_into() {
            return self.store(v, whole);
        }
        let mut lanes = [0.0; LANES];
        self.store(v, &mut lanes);
        let length = to.len();
        to.copy_from_slice(&lanes[..length]);
    }
}

#[cfg(test)]
mod tests;
