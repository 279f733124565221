//! The command line `var`.
//!
//! | file | holds |
//! |---|---|
//! | [`args`] | options that several commands share, and what they mean |
//! | [`classes`] | `--class`: numbers, ranges and names |
//! | [`built_in`] | the model that is used when none is given |
//! | [`convert`], [`info`], [`sample`], [`encode`], [`decode`], [`reconstruct`], [`edit`], [`score`], [`tokenize`], [`train`], [`train_vae`], [`validate`], [`plot`], [`pack`], [`statistics`], [`mod@evaluate`], [`scaling`], [`mod@bench`] | one command each |
//! | [`output`] | what may be overwritten, and what a picture says of itself |
//! | [`chart`] | curves as SVG and PNG |
//! | [`memory`], [`progress`], [`interrupt`] | the machine and the terminal |
#![forbid(unsafe_code)]

mod args;
mod bench;
mod built_in;
mod chart;
mod classes;
mod convert;
mod decode;
mod edit;
mod encode;
mod evaluate;
mod info;
mod interrupt;
mod memory;
mod output;
mod pack;
mod plot;
mod progress;
mod reconstruct;
mod sample;
mod scaling;
mod score;
mod statistics;
mod tokenize;
mod train;
mod train_vae;
mod validate;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::args::{CommonOptions, Usage};

/// Images by next-scale prediction: sample, edit, score, convert and train VAR models on the CPU.
#[derive(Debug, Parser)]
#[command(name = "var", version, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: CommonOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    Convert(convert::Options),
    Info(info::Options),
    Sample(sample::Options),
    Encode(encode::Options),
    Decode(decode::Options),
    Reconstruct(reconstruct::Options),
    Edit(edit::Options),
    Score(score::Options),
    Pack(pack::Options),
    Statistics(statistics::Options),
    Evaluate(evaluate::Options),
    Scaling(scaling::Options),
    Tokenize(tokenize::Options),
    Train(Box<train::Options>),
    TrainVae(Box<train_vae::Options>),
    Validate(validate::Options),
    Plot(plot::Options),
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Err(error) = run(&arguments) else { return ExitCode::SUCCESS };
    if is_broken_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("var: {error:#}");
    ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    interrupt::install()?;
    let session = arguments.common.session()?;
    match &arguments.command {
        Command::Convert(options) => convert::run(options, &session),
        Command::Info(options) => info::run(options, &session),
        Command::Sample(options) => sample::run(options, &session),
        Command::Encode(options) => encode::run(options, &session),
        Command::Decode(options) => decode::run(options, &session),
        Command::Reconstruct(options) => reconstruct::run(options, &session),
        Command::Edit(options) => edit::run(options, &session),
        Command::Score(options) => score::run(options, &session),
        Command::Pack(options) => pack::run(options, &session),
        Command::Statistics(options) => statistics::run(options, &session),
        Command::Evaluate(options) => evaluate::run(options, &session),
        Command::Scaling(options) => scaling::run(options, &session),
        Command::Tokenize(options) => tokenize::run(options, &session),
        Command::Train(options) => train::run(options, &session),
        Command::TrainVae(options) => train_vae::run(options, &session),
        Command::Validate(options) => validate::run(options, &session),
        Command::Plot(options) => plot::run(options, &session),
        Command::Bench(options) => bench::run(options, &session),
    }
}

/// Whether the reader of our output went away, as `head` does: no fault of anyone's.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    kinds.map(io::Error::kind).any(|kind| kind == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn options_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }
}
