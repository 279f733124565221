//! The command line `var`.
//!
//! | file | holds |
//! |---|---|
//! | [`args`] | options that several commands share |
//! | [`classes`] | `--class`: numbers, ranges and names |
//! | [`built_in`] | the model that is used when none is given |
//! | [`convert`], [`info`], [`sample`], [`encode`], [`decode`], [`reconstruct`], [`edit`], [`score`], [`tokenize`], [`train`], [`train_vae`], [`validate`], [`plot`], [`pack`], [`statistics`], [`mod@evaluate`], [`scaling`], [`mod@bench`], [`serve`], [`completions`], [`man`] | one command each |
//! | [`identity`] | whether two files come from one VQVAE |
//! | [`run_folder`] | a folder of images that one run made |
//! | [`output`] | overwriting, and the parameters in an image |
//! | [`training`] | a training run on the terminal |
//! | [`extend`] | runs that go on for longer than they were begun for |
//! | [`data_set`] | data sets as commands describe them |
//! | [`chart`] | curves as SVG and PNG |
//! | [`memory`], [`progress`], [`interrupt`] | the machine and the terminal |
#![forbid(unsafe_code)]

mod args;
mod bench;
mod built_in;
mod chart;
mod classes;
mod completions;
mod convert;
mod data_set;
mod decode;
mod edit;
#[cfg(test)]
mod effects;
mod encode;
mod evaluate;
mod extend;
mod identity;
mod info;
mod interrupt;
mod man;
mod memory;
mod output;
mod pack;
mod plot;
mod progress;
mod reconstruct;
mod run_folder;
mod sample;
mod scaling;
mod score;
#[cfg(feature = "serve")]
mod serve;
mod statistics;
mod tokenize;
mod train;
mod train_vae;
mod training;
mod validate;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use var_host::pipeline::with_causes;

use crate::args::spelling::{self, Spelled};
use crate::args::{CommonOptions, TypedOptions, Usage};

/// Images by next-scale prediction: sample, edit, score, convert and train VAR models.
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
    #[cfg(feature = "serve")]
    Serve(serve::Options),
    Completions(completions::Options),
    #[command(hide = true)]
    Man(man::Options),
}

impl Command {
    /// Whether each process that a launcher starts does all of the work, which takes a while or is
    /// written to one file.
    fn does_whole_work(&self) -> bool {
        let shared = matches!(self, Self::Sample(_) | Self::Train(_) | Self::TrainVae(_));
        let prints = matches!(self, Self::Info(_) | Self::Bench(_) | Self::Completions(_));
        !shared && !prints && !matches!(self, Self::Man(_))
    }
}

fn main() -> ExitCode {
    let (arguments, given) = parse(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let Err(error) = run(&arguments, given) else { return ExitCode::SUCCESS };
    if is_broken_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    interrupt::tell(&format!("var: {}", with_causes(error.as_ref())));
    if let Some(interrupted) = error.downcast_ref::<interrupt::Interrupted>() {
        return ExitCode::from(interrupted.exit_code());
    }
    ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
}

/// All commands and their options.
fn command() -> clap::Command {
    let mut command = spelling::with_negative_numbers(Arguments::command());
    command.build();
    command
}

/// The command line, and which of its options were typed.
fn parse(
    typed: impl IntoIterator<Item = OsString>,
) -> Result<(Arguments, TypedOptions), clap::Error> {
    let mut command = command();
    let Spelled { arguments, passed_over, .. } = spelling::spelled(&command, typed)?;
    let matches = command.try_get_matches_from_mut(arguments)?;
    let arguments = Arguments::from_arg_matches(&matches);
    let arguments = arguments.map_err(|error| error.format(&mut command))?;
    Ok((arguments, TypedOptions::new(&matches, passed_over)))
}

fn run(arguments: &Arguments, given: TypedOptions) -> anyhow::Result<()> {
    interrupt::install()?;
    dispatch(arguments, given)
}

/// Runs the command that was chosen.
fn dispatch(arguments: &Arguments, given: TypedOptions) -> anyhow::Result<()> {
    let session = arguments.common.session(given)?;
    if arguments.command.does_whole_work() {
        session.warn_of_whole_work();
    }
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
        #[cfg(feature = "serve")]
        Command::Serve(options) => serve::run(options, &session),
        Command::Completions(options) => completions::run(options, command()),
        Command::Man(options) => man::run(options, &command(), &session),
    }
}

/// Whether the reader of our output went away, as `head` does: no fault of anyone's.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    kinds.map(io::Error::kind).any(|kind| kind == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::command;

    #[test]
    fn options_do_not_contradict_each_other() {
        command().debug_assert();
    }

    /// U03: `--seed -1` was "invalid digit found in string", `--count -1` an unexpected argument.
    #[test]
    fn options_say_in_words_which_values_they_take() {
        let root = command();
        for command in root.get_subcommands() {
            let options = command.get_arguments().filter(|arg| arg.get_action().takes_values());
            for name in options.filter_map(|arg| arg.get_long()) {
                for value in ["-1", "zz", "1.5.2", "99999999999999999999999", ""] {
                    let line = ["var", command.get_name(), &format!("--{name}"), value];
                    let Err(error) = super::parse(line.map(Into::into)) else { continue };
                    let said = error.to_string();
                    for jargon in ["digit", "literal", "unexpected argument", "number too large"] {
                        assert!(!said.contains(jargon), "{line:?}: {said}");
                    }
                }
            }
        }
    }

    #[test]
    fn published_training_lines_are_parsed_as_they_stand() {
        for line in [
            "--depth=16 --bs=768 --ep=200 --fp16=1 --alng=1e-3 --wpe=0.1",
            "--depth=20 --bs=768 --ep=250 --fp16=1 --alng=1e-3 --wpe=0.1",
            "--depth=24 --bs=768 --ep=350 --tblr=8e-5 --fp16=1 --alng=1e-4 --wpe=0.01",
            "--depth=30 --bs=1024 --ep=350 --tblr=8e-5 --fp16=1 --alng=1e-5 --wpe=0.01 --twde=0.08",
            "--depth=36 --saln=1 --pn=512 --bs=768 --ep=350 --tblr=8e-5 --fp16=1 --alng=5e-6 \
             --wpe=0.01 --twde=0.08",
            "--local_out_dir_path=x --hflip=True --saln=True --anorm True --pn=1-2-3-4 --mid_reso=1 \
             --workers=-1 --tclip=-1 --opt=adamw --tfast=2 --vfast 1 --fuse=0 --afuse=False --tlr=1",
        ] {
            let line = format!("var train --data_path=d {line}");
            let (arguments, _) = super::parse(line.split_whitespace().map(Into::into)).unwrap();
            assert!(matches!(arguments.command, super::Command::Train(_)));
        }
    }
}
