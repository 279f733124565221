//! Identity of a run's inputs.

use serde_json::{Map, Value};

use super::dataset::DataSet;
use crate::checkpoint::Digest;
use crate::model::Weights;
use crate::run::{CONTENTS_DIGEST, DIGEST};

/// Digests of the inputs by the options that name them: of folders those of listing and contents, of
/// tokens and of the VQVAE of `given` that of their tensors.
///
/// # Panics
/// If `given` has no VQVAE.
pub fn input_digests(
    given: &Weights,
    training: &DataSet,
    validation: Option<&DataSet>,
) -> Map<String, Value> {
    let (mut digests, mut listings) = (Map::new(), String::new());
    let mut contents = String::new();
    let mut note = |option: &str, digest: Digest| {
        digests.insert(format!("{option}{DIGEST}"), digest.to_string().into());
    };
    note("vae", given.identities()[1].expect("a model with a VQVAE").digest);
    let validation = validation.map(|set| ("val-tokens", set));
    for (option, set) in [("tokens", training)].into_iter().chain(validation) {
        match set {
            DataSet::Tokens(set) => note(option, set.digest()),
            DataSet::Images { folder, .. } => {
                listings += &format!("{option} {}\n", folder.listing_digest());
                contents += &format!("{option} {}\n", folder.contents_digest());
            }
        }
    }
    if !listings.is_empty() {
        note("data", Digest::of_bytes(listings.as_bytes()));
        let contents = Digest::of_bytes(contents.as_bytes()).to_string();
        digests.insert(format!("data{CONTENTS_DIGEST}"), contents.into());
    }
    digests
}
