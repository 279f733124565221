//! One product's queries, keys and values → attention's operands, keys and values into a cache.

mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
#[cfg(test)]
mod tests;

use crate::memory::Device;

/// The least length a vector is divided by.
pub const SHORTEST: f32 = 1e-12;

/// ln 100: the maximum logarithm of a query's length.
pub const LONGEST_LOG: f32 = 4.605_170_2;

/// Sizes of a [`SplitQkv::split_qkv`].
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Independent sequences.
    pub batch: usize,
    /// New rows in each sequence.
    pub rows: usize,
    /// Heads, side by side in a row.
    pub heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Rows of `k` and `v` that were there before, in each sequence.
    pub start: usize,
    /// Rows of `k` and `v` there is room for in each sequence.
    pub capacity: usize,
}

/// Normalization of queries and keys.
#[derive(Debug)]
pub enum Normalization<'a, S: ?Sized> {
    /// Nothing.
    None,
    /// Each head's query and key are made unit length (`‖·‖` no less than 1e-12), and the query is
    /// multiplied by `exp(min(scale[head], ln 100))` (Henry and others, "Query-Key Normalization for
    /// Transformers", 2020).
    UnitLength {
        /// `heads`.
        scale: &'a S,
    },
}

// Derived, it would want the slice itself to be `Copy`.
impl<S: ?Sized> Clone for Normalization<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ?Sized> Copy for Normalization<'_, S> {}

/// The step between the q·k·v product and attention.
pub trait SplitQkv: Device {
    /// Splits rows into queries, keys and values, adds their biases, and appends the latter two.
    ///
    /// `q[b, i] = normalize(qkv[b, i, 0] + q_bias)`, `k[b, start + i] = normalize(qkv[b, i, 1])`,
    /// `v[b, start + i] = qkv[b, i, 2] + v_bias`
    ///
    /// `qkv`: `batch × rows × 3 × heads·head_width`. `q`: `batch × rows × heads·head_width`. `k`,
    /// `v`: `batch × capacity × heads·head_width`. `biases`: those of q and v, `heads·head_width`
    /// each; keys have none.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`, or the rows do not fit the capacity.
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn split_qkv(
        &self,
        q: &mut Self::Slice,
        k: &mut Self::Slice,
        v: &mut Self::Slice,
        qkv: &Self::Slice,
        biases: Option<[&Self::Slice; 2]>,
        normalization: Normalization<'_, Self::Slice>,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

impl Dims {
    /// Width of a row of q, k or v.
    pub fn width(self) -> usize {
        self.heads * self.head_width
    }

    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub(crate) fn check(
        self,
        q: usize,
        [k, v]: [usize; 2],
        qkv: usize,
        biases: Option<[usize; 2]>,
        scale: Option<usize>,
    ) {
        let new = self.batch * self.rows * self.width();
        let kept = self.batch * self.capacity * self.width();
        let end = self.start + self.rows;
        assert!(end <= self.capacity, "split_qkv: {end} rows in room for {}", self.capacity);
        assert_eq!(q, new, "split_qkv: q is not batch × rows × width");
        assert_eq!(qkv, 3 * new, "split_qkv: qkv is not batch × rows × 3 × width");
        assert_eq!(k, kept, "split_qkv: k is not batch × capacity × width");
        assert_eq!(v, kept, "split_qkv: v is not batch × capacity × width");
        for bias in biases.into_iter().flatten() {
            assert_eq!(bias, self.width(), "split_qkv: a bias is not width");
        }
        assert_eq!(scale.unwrap_or(self.heads), self.heads, "split_qkv: scale is not heads");
    }
}
