//! Identity of a model's halves: digests, as files keep them.

use crate::checkpoint::Digest;
use crate::checkpoint::digest::{NoDigest, PARTS};

/// Keys in a model file's metadata of the source digests of its halves.
pub(super) const SOURCES: [&str; 2] = ["var_source", "vae_source"];

/// The digest of a half of a model, and that of its source before conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Of its tensors as a model file of ours stores them: vectors in `f32`, matrices and tables as
    /// they are, but for those of double precision, which are narrowed.
    pub digest: Digest,
    /// Of the weights it was converted from, in whatever precision; its own where it was not.
    pub source: Digest,
}

impl Identity {
    /// Of weights that were converted from no others.
    pub fn of(digest: Digest) -> Self {
        Self { digest, source: digest }
    }

    /// The VQVAE's identity in metadata: the keys `vae_digest` and `vae_source`.
    ///
    /// # Errors
    /// If one is there that is no digest.
    pub fn of_vqvae_in<'m>(
        get: impl Fn(&str) -> Option<&'m String>,
    ) -> Result<Option<Self>, NoDigest> {
        let read = |key| get(key).map(|text| text.parse::<Digest>()).transpose();
        let (digest, source) = (read(PARTS[1].0)?, read(SOURCES[1])?);
        Ok(digest.map(|digest| Self { digest, source: source.unwrap_or(digest) }))
    }

    /// The metadata of [`of_vqvae_in`](Self::of_vqvae_in).
    pub fn as_vqvae(&self) -> [(&'static str, String); 2] {
        [(PARTS[1].0, self.digest.to_string()), (SOURCES[1], self.source.to_string())]
    }

    /// Whether both come from the same weights, though maybe in different precisions.
    pub fn has_source_of(&self, other: &Self) -> bool {
        self.source == other.source
    }
}
