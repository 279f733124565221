//! The digest of named tensors: by it a model or a VQVAE is known in whatever file it is.
//!
//! It is BLAKE3 over a line for each tensor, in the order of the names' bytes:
//!
//! ```text
//! NAME DTYPE [D0, D1, …] BLAKE3 OF ITS LITTLE-ENDIAN ELEMENTS\n
//! ```
//!
//! so that neither the order of a file nor the prefix of a part matters, and tensors are hashed apart.

use core::fmt;
use core::num::NonZero;
use core::str::FromStr;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use super::{Checkpoint, Dtype, Tensor};

/// Key in the metadata and prefix of the tensors of each part of a model file that has a digest.
pub const PARTS: [(&str, &str); 2] = [("var_digest", "var."), ("vae_digest", "vae.")];

/// Stands for the digits while the tensors are written.
pub(super) const OPEN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Suffixes of buffers: tensors that a checkpoint may hold and no forward pass reads.
const BUFFERS: [&str; 4] =
    ["lvl_1L", "attn_bias_for_masking", ".attn.zero_k_bias", "quantize.ema_vocab_hit_SV"];
/// Digits of the short form.
const SHORT: usize = 12;
/// Fewest bytes that are worth threads of their own.
const WORTH_THREADS: usize = 1 << 20;
/// The most threads that hash: memory is not faster than these.
const MAX_THREADS: usize = 16;

/// BLAKE3 of named tensors; displayed as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no digest of 64 hexadecimal digits")]
pub struct NoDigest(String);

impl Digest {
    /// The digest of `bytes` that are no tensors.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        blake3::hash(bytes).into()
    }

    /// The first twelve digits, for messages.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(SHORT);
        text
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(hash.into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let parsed = blake3::Hash::from_hex(text).ok().filter(|_| lower);
        parsed.map(Self::from).ok_or_else(|| NoDigest(text.to_owned()))
    }
}

/// The lines of tensors that come one after the other, in any order.
#[derive(Debug, Default)]
pub(crate) struct TensorDigests(BTreeMap<String, String>);

impl TensorDigests {
    pub(crate) fn add(&mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) {
        self.0.insert(name.to_owned(), line(name, dtype, shape, bytes));
    }

    pub(crate) fn digest(self) -> Digest {
        Digest::of_bytes(String::from_iter(self.0.into_values()).as_bytes())
    }
}

fn line(name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) -> String {
    format!("{name} {dtype} {shape:?} {}\n", blake3::hash(bytes))
}

/// The digest of `tensors`, hashed by as many threads as there are cores.
pub fn of_tensors(tensors: &[(&str, Tensor<'_>)]) -> Digest {
    let all: usize = tensors.iter().map(|(_, tensor)| tensor.bytes.len()).sum();
    let cores = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
    let threads = if all < WORTH_THREADS { 1 } else { cores };
    let (next, digests) = (AtomicUsize::new(0), Mutex::new(TensorDigests::default()));
    let work = || {
        while let Some((name, tensor)) = tensors.get(next.fetch_add(1, Ordering::Relaxed)) {
            let line = line(name, tensor.dtype, tensor.shape, tensor.bytes);
            let mut digests = digests.lock().expect("nothing panics while it is held");
            digests.0.insert((*name).to_owned(), line);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    digests.into_inner().expect("nothing panics while it is held").digest()
}

impl Checkpoint {
    /// The digest of all tensors.
    pub fn digest(&self) -> Digest {
        let names: Vec<&str> = self.tensors().map(|tensor| tensor.name).collect();
        let tensors = names.into_iter().filter_map(|name| Some((name, self.tensor(name)?)));
        of_tensors(&tensors.collect::<Vec<_>>())
    }
}

/// Whether a tensor of a part, its prefix left out, is a buffer that no forward pass reads: it is not
/// in the digest.
pub(crate) fn is_buffer(name: &str) -> bool {
    BUFFERS.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor<'a>(shape: &'a [usize], bytes: &'a [u8]) -> Tensor<'a> {
        Tensor { dtype: Dtype::U8, shape, bytes }
    }

    #[test]
    fn digest_is_its_definition() {
        // b3sum's digests of "abc" and of nothing.
        const ABC: &str = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
        const NONE: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        let text = format!("a U8 [3] {ABC}\nb U8 [0, 2] {NONE}\n");
        let tensors = [("b", tensor(&[0, 2], b"")), ("a", tensor(&[3], b"abc"))];
        assert_eq!(of_tensors(&tensors), Digest::of_bytes(text.as_bytes()));
        assert_eq!(Digest::of_bytes(b"abc").to_string(), ABC);
        assert_eq!(Digest::of_bytes(b"abc").short(), "6437b3ac3846");
        assert_eq!(ABC.parse(), Ok(Digest::of_bytes(b"abc")));
        for text in ["", &ABC[1..], &ABC.to_uppercase(), &ABC.replace('6', "g")] {
            assert_eq!(text.parse::<Digest>(), Err(NoDigest(text.to_owned())));
        }
    }

    #[test]
    fn names_shapes_types_and_bytes_count_and_threads_do_not() {
        let bytes: Vec<u8> = (0..WORTH_THREADS + 7).map(|i| (i * 31 % 251) as u8).collect();
        let shape = [bytes.len()];
        let plain = of_tensors(&[("a", tensor(&shape, &bytes)), ("b", tensor(&[2], &[1, 2]))]);
        let mut one = TensorDigests::default();
        one.add("b", Dtype::U8, &[2], &[1, 2]);
        one.add("a", Dtype::U8, &shape, &bytes);
        assert_eq!(plain, one.digest());
        let mut other_bytes = bytes.clone();
        other_bytes[777] ^= 1;
        let two = |name: &str, shape: &[usize], bytes: &[u8], dtype| {
            let b = Tensor { dtype, shape: &[2], bytes: &[1, 2] };
            of_tensors(&[(name, tensor(shape, bytes)), ("b", b)])
        };
        assert_eq!(two("a", &shape, &bytes, Dtype::U8), plain);
        assert_ne!(two("c", &shape, &bytes, Dtype::U8), plain);
        assert_ne!(two("a", &[1, bytes.len()], &bytes, Dtype::U8), plain);
        assert_ne!(two("a", &shape, &other_bytes, Dtype::U8), plain);
        assert_ne!(two("a", &shape, &bytes, Dtype::I8), plain);
    }
}
