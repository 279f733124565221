//! softmax(q·kᵀ)·v for each head.

pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dry;
#[cfg(test)]
mod tests;

use crate::memory::Device;

/// Greatest head width: a block of keys of this width fills one thread's scratch memory.
pub const WIDEST_HEAD: usize = 1024;

/// Sizes of an [`Attention::attention`].
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    /// Independent sequences.
    pub batch: usize,
    /// Heads, side by side in a row.
    pub heads: usize,
    /// Width of a head, at most [`WIDEST_HEAD`].
    pub head_width: usize,
    /// Rows of `q` in each sequence.
    pub queries: usize,
    /// Rows of `k` and `v` in use in each sequence.
    pub keys: usize,
    /// Rows of `k` and `v` there is room for in each sequence, at least `keys`.
    pub capacity: usize,
}

/// Which keys a query sees.
#[derive(Clone, Copy, Debug)]
pub enum Mask<'a> {
    /// All of them.
    None,
    /// Keys of its own scale and those before: query i sees keys `0..end`, `end` the first entry
    /// above i. Entries ascend; the last is both `queries` and `keys`.
    UpToScale(&'a [usize]),
}

/// Scaled dot-product attention.
pub trait Attention: Device {
    /// Floats of memory that hold `values` keys or values: as many, or fewer where a device keeps
    /// them in a shorter format.
    fn kv_len(&self, values: usize) -> usize {
        values
    }

    /// As how many keys or values a run of `length` floats counts where `values` are wanted: as many if
    /// it is [`Attention::kv_len`] long.
    fn kv_values(&self, length: usize, values: usize) -> usize {
        if length == self.kv_len(values) { values } else { length }
    }

    /// Averages values by how well their keys match a query.
    ///
    /// `out[i] = Σⱼ pᵢⱼ · v[j]`, `pᵢⱼ = softmaxⱼ(scale · q[i]·k[j])` over the keys the mask lets
    /// query i see, separately for each sequence and head.
    ///
    /// `q`, `out`: `batch × queries × heads·head_width`. `k`, `v`: `batch × capacity ×
    /// heads·head_width`, of which the first `keys` rows of each sequence are read.
    /// On the CPU keys are taken in blocks of a fixed size with a running maximum (Milakov and
    /// Gimelshein, "Online normalizer calculation for softmax", 2018), so that a row's result depends
    /// on the number of keys it sees and on nothing else.
    ///
    /// # Panics
    /// If a slice's length disagrees with `d`, or the head is wider than [`WIDEST_HEAD`].
    ///
    /// # Errors
    /// Only the device's own; never on the CPU.
    fn attention(
        &self,
        out: &mut Self::Slice,
        q: &Self::Slice,
        k: &Self::Slice,
        v: &Self::Slice,
        scale: f32,
        mask: Mask<'_>,
        d: Dims,
    ) -> Result<(), Self::Error>;
}

impl Mask<'_> {
    /// How many keys query `query` sees of `keys`.
    pub fn visible(self, query: usize, keys: usize) -> usize {
        match self {
            Self::None => keys,
            Self::UpToScale(ends) => ends[ends.partition_point(|end| *end <= query)],
        }
    }
}

impl Dims {
    /// Multiply-adds of both products, without a mask.
    pub fn multiply_adds(self) -> u64 {
        2 * (self.batch * self.heads * self.head_width) as u64 * (self.queries * self.keys) as u64
    }

    /// Panics unless every operand has the length these sizes give.
    #[track_caller]
    pub(crate) fn check(self, out: usize, q: usize, k: usize, v: usize, mask: Mask<'_>) {
        let width = self.heads * self.head_width;
        let whole = self.batch * self.queries * width;
        assert!(
            (1..=WIDEST_HEAD).contains(&self.head_width),
            "attention: a head is {} wide, which is not in 1..={WIDEST_HEAD}",
            self.head_width
        );
        assert!(
            (1..=self.capacity).contains(&self.keys),
            "attention: {} keys are not in 1..={}",
            self.keys,
            self.capacity
        );
        assert_eq!(out, whole, "attention: out is not batch × queries × width");
        assert_eq!(q, whole, "attention: q is not batch × queries × width");
        let kept = self.batch * self.capacity * width;
        assert_eq!(k, kept, "attention: k is not batch × capacity × width");
        assert_eq!(v, kept, "attention: v is not batch × capacity × width");
        if let Mask::UpToScale(ends) = mask {
            assert_eq!(self.queries, self.keys, "attention: a mask wants as many queries as keys");
            assert_eq!(ends.last(), Some(&self.keys), "attention: the mask's last end is not keys");
        }
    }
}
