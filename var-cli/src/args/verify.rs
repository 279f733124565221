//! `--no-verify`: the checksums of model files.

use clap::Args;

#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct VerifyOptions {
    /// Do not compare the checksums of model files that have one: for files that have changed since they
    /// were written; no faster, as their digests are computed anew
    #[arg(long)]
    pub(crate) no_verify: bool,
}
