//! What was typed, and what it means. Options of one command are with that command.

mod model;
mod sampling;
mod session;
pub(crate) mod values;

use core::fmt;

use clap::{Parser, Subcommand};

use crate::{bench, convert, decode, edit, encode, info, reconstruct, sample, score};

pub(crate) use model::{Model, ModelOptions};
pub(crate) use sampling::SamplingOptions;
pub(crate) use session::{CommonOptions, Session, result};

/// Images by next-scale prediction: sample, edit, score and convert VAR models on the CPU.
#[derive(Debug, Parser)]
#[command(name = "var", version, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Convert(convert::Options),
    Info(info::Options),
    Sample(sample::Options),
    Encode(encode::Options),
    Decode(decode::Options),
    Reconstruct(reconstruct::Options),
    Edit(edit::Options),
    Score(score::Options),
    Bench(bench::Options),
}

/// Options that do not go together, or not with the environment: exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Usage {}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn options_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }
}
