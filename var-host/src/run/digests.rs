//! Options with files as values: compared by digest.

/// Suffix of the names of options that are digests of files.
pub const DIGEST: &str = "-digest";

/// Suffix of the names of options that are digests of the contents of a folder, beside that of its listing.
pub const CONTENTS_DIGEST: &str = "-contents-digest";

/// The option with files that the digest `name` is of; none if `name` is no digest's.
pub fn option_of_digest(name: &str) -> Option<&str> {
    name.strip_suffix(CONTENTS_DIGEST).or_else(|| name.strip_suffix(DIGEST))
}
