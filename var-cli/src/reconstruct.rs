//! stub
use anyhow::Result;
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}
pub(crate) fn run(_: &Options, _: &crate::args::Session) -> Result<()> {
    Ok(())
}
