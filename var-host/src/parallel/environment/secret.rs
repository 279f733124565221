//! The secret of a job, which its ranks prove to each other to know.

use core::fmt;

use super::variables::{EnvironmentError, Variables};

const NAME: &str = "VAR_RANKS_SECRET";

/// A secret shorter than this could be guessed from one greeting that was overheard.
const SHORTEST: usize = 16;

/// Context of the key: another program's keys of the same secret are others.
const CONTEXT: &str = "var 2026-11 key of the ranks of a job";

/// The value of `VAR_RANKS_SECRET`, if it is set. It is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Option<String>);

impl Secret {
    /// The secret in the environment.
    pub(super) fn read(variables: &Variables) -> Result<Self, EnvironmentError> {
        let secret = variables.text(NAME);
        match secret.map(str::len) {
            Some(has) if has < SHORTEST => {
                Err(EnvironmentError::ShortSecret { name: NAME, has, wants: SHORTEST })
            }
            _ => Ok(Self(secret.map(str::to_owned))),
        }
    }

    /// Whether there is none.
    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// The key of the ranks of `job`.
    pub(super) fn key(&self, job: &str) -> [u8; blake3::KEY_LEN] {
        let mut key = blake3::Hasher::new_derive_key(CONTEXT);
        let secret = self.0.as_deref().unwrap_or_default();
        // The length keeps secret and job apart.
        key.update(&(secret.len() as u64).to_le_bytes());
        key.update(secret.as_bytes());
        key.update(job.as_bytes());
        *key.finalize().as_bytes()
    }
}

#[cfg(test)]
impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self(Some(secret.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_none() { "Secret(none)" } else { "Secret(set)" })
    }
}
