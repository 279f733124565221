//! Which instruction set to compute with: found once, at run time.
#![allow(unsafe_code)]

use core::fmt;

#[cfg(target_arch = "aarch64")]
use super::simd::Neon;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use super::simd::Portable;
use super::simd::SimdKernel;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use super::simd::Wasm;
use super::simd::dot::DotKernel;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use super::simd::dot::PlainDot;
#[cfg(target_arch = "aarch64")]
use super::simd::dot::Sdot;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use super::simd::dot::WasmDot;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
use super::simd::dot::{Madd128, Madd256, Madd512, Vnni512};
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
use super::simd::{Avx2, Avx512, Sse2};

/// An instruction set this machine has.
///
/// A value is a proof: it can be had only from [`Isa::best`], [`Isa::all`] or [`Isa::portable`],
/// which look at the processor first.
///
/// ```
/// use var_kernel::Isa;
///
/// assert!(Isa::named("portable").is_some());
/// println!("{} is the best of {}", Isa::best().name(), Isa::all().count());
/// ```
#[derive(Clone, Copy)]
pub struct Isa(Kind);

#[derive(Clone, Copy)]
enum Kind {
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    Portable(Portable),
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    Sse2(Sse2),
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    Avx2(Avx2),
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    Avx512(Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Wasm(Wasm),
}

impl Isa {
    /// Available on every machine. Without a fused multiply-add in hardware it is slow, never different.
    ///
    /// A module of WebAssembly compiled for simd128 or relaxed SIMD runs nowhere without: there it is that one.
    ///
    /// # Panics
    /// In a module compiled for relaxed SIMD, if the engine does not fuse.
    pub fn portable() -> Self {
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        let kind = Kind::Portable(Portable);
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        let kind = Kind::Wasm(Wasm::new());
        Self(kind)
    }

    /// The fastest this machine has.
    pub fn best() -> Self {
        Self::all().last().unwrap_or_else(Self::portable)
    }

    /// Every instruction set this machine has, slowest first.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
        let found = [
            Sse2::detect().map(Kind::Sse2),
            Avx2::detect().map(Kind::Avx2),
            Avx512::detect().map(Kind::Avx512),
        ];
        #[cfg(target_arch = "aarch64")]
        let found = [Neon::detect().map(Kind::Neon)];
        #[cfg(not(any(
            all(target_arch = "x86_64", target_feature = "sse2"),
            target_arch = "aarch64"
        )))]
        let found = [None];
        core::iter::once(Self::portable()).chain(found.into_iter().flatten().map(Self))
    }

    /// The instruction set called `name`, if this machine has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|isa| isa.name() == name)
    }

    /// `portable`, `sse2`, `avx2`, `avx512`, `neon`, `simd128` or `relaxed-simd`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Kind::Portable(_) => "portable",
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Sse2(_) => "sse2",
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx2(_) => "avx2",
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(_) => "neon",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Kind::Wasm(_) => Wasm::NAME,
        }
    }

    /// Runs `kernel` compiled for this instruction set.
    #[inline]
    pub fn run<K: SimdKernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Kind::Portable(simd) => kernel.run(simd),
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Sse2(simd) => kernel.run(simd),
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx2(simd) => {
                #[target_feature(enable = "avx2,fma,f16c")]
                fn inner<K: SimdKernel>(simd: Avx2, kernel: K) -> K::Output {
                    kernel.run(simd)
                }
                // SAFETY: an `Avx2` exists only where `detect` found AVX2, FMA and F16C.
                unsafe { inner(simd, kernel) }
            }
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx512(simd) => {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
                fn inner<K: SimdKernel>(simd: Avx512, kernel: K) -> K::Output {
                    kernel.run(simd)
                }
                // SAFETY: an `Avx512` exists only where `detect` found all of these.
                unsafe { inner(simd, kernel) }
            }
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(simd) => kernel.run(simd),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Kind::Wasm(simd) => kernel.run(simd),
        }
    }

    /// Runs `kernel` compiled for this instruction set and the fastest of its dot products of integers that
    /// the machine has.
    #[inline]
    pub fn run_dot<K: DotKernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Kind::Portable(simd) => kernel.run(simd, PlainDot(simd)),
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Sse2(simd) => kernel.run(simd, Madd128::of(simd)),
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx2(simd) => {
                #[target_feature(enable = "avx2,fma,f16c")]
                fn inner<K: DotKernel>(simd: Avx2, kernel: K) -> K::Output {
                    kernel.run(simd, Madd256::of(simd))
                }
                // SAFETY: an `Avx2` exists only where `detect` found AVX2, FMA and F16C.
                unsafe { inner(simd, kernel) }
            }
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx512(simd) => {
                #[target_feature(
                    enable = "avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
                )]
                fn vnni<K: DotKernel>(simd: Avx512, dot: Vnni512, kernel: K) -> K::Output {
                    kernel.run(simd, dot)
                }
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
                fn madd<K: DotKernel>(simd: Avx512, kernel: K) -> K::Output {
                    kernel.run(simd, Madd512::of(simd))
                }
                match Vnni512::of(simd) {
                    // SAFETY: an `Avx512` is the proof of the others, a `Vnni512` of AVX512-VNNI.
                    Some(dot) => unsafe { vnni(simd, dot, kernel) },
                    // SAFETY: an `Avx512` exists only where `detect` found all of these.
                    None => unsafe { madd(simd, kernel) },
                }
            }
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(simd) => match Sdot::of(simd) {
                Some(dot) => kernel.run(simd, dot),
                None => kernel.run(simd, PlainDot(simd)),
            },
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Kind::Wasm(simd) => kernel.run(simd, WasmDot),
        }
    }

    /// The same without the extensions that [`Isa::run_dot`] looks for.
    #[cfg(test)]
    pub(crate) fn without_dot_products(self) -> Self {
        Self(match self.0 {
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx512(simd) => Kind::Avx512(simd.without_vnni()),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(simd) => Kind::Neon(simd.without_dot_products()),
            other => other,
        })
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Isa {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Isa {}
