//! Kernels as text: compiled for the GPU at hand when first wanted.

use std::string::String;

use super::dtype::Precision;

/// Start of every source text.
const INCLUDE: &str = "#include \"instructions.cuh\"";

/// Text after it.
const COMMON: &str = include_str!("common.cuh");

/// Tiles of matrix products in f32 and on tensor cores, to share.
pub const PRODUCT: &str = concat!(
    include_str!("product/tile.cuh"),
    include_str!("product/operands.cuh"),
    include_str!("product/epilogue.cuh"),
    include_str!("product/fragments.cuh"),
    include_str!("product/chains.cuh"),
    include_str!("product/tf32.cuh"),
    include_str!("product/f32.cuh"),
    include_str!("product/half.cuh"),
);

/// Cubic convolution along one axis, to share.
pub const CUBIC: &str = include_str!("cubic.cuh");

/// Loads and stores of several numbers at once, to share.
pub const SOME: &str = include_str!("some.cuh");

/// Mean and deviation of groups of channels, to share; wants [`SOME`] before it.
pub const MOMENTS: &str = include_str!("moments.cuh");

/// The header of instructions that C++ has no words for, by the name that texts include it under.
pub(crate) const INSTRUCTIONS: (&str, &str) =
    ("instructions.cuh", include_str!("instructions.cuh"));

/// Some kernels that are compiled together.
#[derive(Debug)]
pub struct KernelSource {
    pub(crate) name: &'static str,
    /// Texts between [`COMMON`] and the kernels.
    shared: &'static [&'static str],
    kernels: &'static str,
}

impl KernelSource {
    /// The text of an operation's `kernel.cu`.
    pub(crate) const fn new(name: &'static str, kernels: &'static str) -> Self {
        Self { name, shared: &[], kernels }
    }

    /// The text of an operation of another crate.
    ///
    /// # Safety
    ///
    /// Its kernels must stay inside the runs they are launched with, which the launching operation has
    /// checked to be as long as the sizes among their arguments say: memory of a GPU has no other
    /// guard.
    #[allow(unsafe_code, reason = "what is promised is about a GPU's memory")]
    pub const unsafe fn of_other_crate(name: &'static str, kernels: &'static str) -> Self {
        Self::new(name, kernels)
    }

    /// The same after texts that several operations share, such as [`PRODUCT`].
    pub const fn with(self, shared: &'static [&'static str]) -> Self {
        Self { shared, ..self }
    }

    /// The operation's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it has products of f32, which TF32 changes.
    fn multiplies_f32(&self) -> bool {
        self.shared.contains(&PRODUCT)
    }

    /// Whether it has 16-bit values, and is compiled for their format.
    fn has_half(&self) -> bool {
        let mut parts = self.shared.iter().chain([&self.kernels]);
        parts.any(|part| part.contains("Half"))
    }

    /// The whole text for GPUs that compute products in `precision`; it includes `instructions.cuh`, which the
    /// compiler is given beside it.
    pub fn whole(&self, precision: Precision) -> String {
        let mut whole = String::from(match precision {
            // Others are the same text as with `f32`, and compiled once for all.
            Precision::Bf16 if self.has_half() => "#define HALF_IS_BF16 1\n",
            Precision::Tf32 if self.multiplies_f32() => "#define F32_IS_TF32 1\n",
            _ => "",
        });
        let parts = [INCLUDE, COMMON].into_iter().chain(self.shared.iter().copied());
        for part in parts.chain([self.kernels]) {
            whole.push_str(part);
            whole.push('\n');
        }
        whole
    }
}

/// One kernel: which text, which name.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// The text.
    pub(crate) source: &'static KernelSource,
    /// Its name in the text.
    pub(crate) name: &'static str,
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.source, other.source) && self.name == other.name
    }
}

impl Eq for Kernel {}

impl Kernel {
    /// The kernel `name` of `source`.
    pub const fn new(source: &'static KernelSource, name: &'static str) -> Self {
        Self { source, name }
    }
}
