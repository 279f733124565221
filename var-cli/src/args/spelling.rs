//! The command line as people type it, in the one spelling that the parser knows.
//!
//! | typed | taken as |
//! |---|---|
//! | `--data_path DIR`, `train_vae` | `--data-path DIR`, `train-vae` |
//! | `--hflip=True`, `--hflip False` | `--hflip`, nothing |
//! | `--tfast=1`, an option of the published trainer without effect here | nothing, and one line that says so |

use core::iter::Peekable;
use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};

use super::values;
use crate::train::published;

/// A command line that the parser takes.
#[derive(Debug, Default)]
pub(crate) struct Spelled {
    /// The program's name first.
    pub(crate) arguments: Vec<OsString>,
    /// Options of the published trainer that decide nothing here, each with the reason.
    pub(crate) passed_over: Vec<String>,
    /// Switches so far, which may come once.
    switches: Vec<String>,
}

/// Lets every option of `command` take a number below 0, so that the option's own parser names the
/// fault.
pub(crate) fn with_negative_numbers(command: Command) -> Command {
    let option = |arg: &Arg| !arg.is_positional() && arg.get_action().takes_values();
    command
        .mut_args(|arg| if option(&arg) { arg.allow_negative_numbers(true) } else { arg })
        .mut_subcommands(with_negative_numbers)
}

/// Brings the arguments `typed` to the spelling of `root`, which is built.
///
/// # Errors
/// A switch with a value that is neither true nor false, or that comes twice; an option of the
/// published trainer with a value that would mean something else here.
pub(crate) fn spelled(
    root: &Command,
    typed: impl IntoIterator<Item = OsString>,
) -> Result<Spelled, clap::Error> {
    let mut spelled = Spelled::default();
    let (mut command, mut typed) = (root, typed.into_iter().peekable());
    spelled.arguments.extend(typed.next());
    while let Some(argument) = typed.next() {
        let text = argument.to_str().unwrap_or_default();
        if text == "--" {
            spelled.arguments.push(argument);
            spelled.arguments.extend(typed);
            break;
        }
        if let Some(option) = text.strip_prefix("--") {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (option, None),
            };
            spelled.option(command, &name.replace('_', "-"), value, &mut typed)?;
        } else if let Some(chosen) = subcommand(command, text) {
            command = chosen;
            spelled.arguments.push(command.get_name().into());
        } else {
            spelled.arguments.push(argument);
        }
    }
    Ok(spelled)
}

impl Spelled {
    /// Takes the option `name` with the `value` behind its `=`, or with values among the arguments that
    /// `follow`.
    fn option(
        &mut self,
        command: &Command,
        name: &str,
        value: Option<&str>,
        follow: &mut Peekable<impl Iterator<Item = OsString>>,
    ) -> Result<(), clap::Error> {
        let next = |text: &OsString| text.to_str().is_some_and(|text| !text.starts_with("--"));
        match find(command, name) {
            Some(arg) if matches!(arg.get_action(), ArgAction::SetTrue) => {
                let following = follow.peek().and_then(|text| text.to_str());
                let following = following.filter(|text| values::truth(text).is_ok());
                // A command with arguments of its own may mean one of those.
                let own = command.get_positionals().next().is_some();
                let is_split = value.is_none() && following.is_some() && !own;
                let value = value.or(if own { None } else { following }).map(str::to_owned);
                if is_split {
                    follow.next();
                }
                self.switch(command, name, value.as_deref())?;
            }
            Some(arg) => {
                let text = value.map_or(String::new(), |value| format!("={value}"));
                self.arguments.push(format!("--{name}{text}").into());
                let takes_one = arg.get_num_args().is_none_or(|count| count.min_values() > 0);
                if value.is_none() && takes_one && arg.get_action().takes_values() {
                    self.arguments.extend(follow.next());
                }
            }
            None if command.get_name() == "train" && published::is_option(name) => {
                let following = if value.is_none() { follow.next_if(next) } else { None };
                let following = following.map(|text| text.to_string_lossy().into_owned());
                let value = value.or(following.as_deref()).unwrap_or_default();
                let why = published::passed_over(name, value)
                    .map_err(|fault| refused(command, name, value, &fault))?;
                self.passed_over.push(format!("--{name} ({why})"));
            }
            None => {
                let text = value.map_or(String::new(), |value| format!("={value}"));
                self.arguments.push(format!("--{name}{text}").into());
            }
        }
        Ok(())
    }

    /// Takes a switch, with the `value` that may be typed for it.
    fn switch(
        &mut self,
        command: &Command,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), clap::Error> {
        let text = value.unwrap_or("true");
        let on = values::truth(text).map_err(|fault| refused(command, name, text, &fault))?;
        if self.switches.iter().any(|seen| seen == name) {
            let text = format!("the argument '--{name}' cannot be used multiple times");
            return Err(command.clone().error(ErrorKind::ArgumentConflict, text));
        }
        self.switches.push(name.to_owned());
        if on {
            self.arguments.push(format!("--{name}").into());
        }
        Ok(())
    }
}

/// The option that is called `name`.
fn find<'c>(command: &'c Command, name: &str) -> Option<&'c Arg> {
    command.get_arguments().find(|arg| {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        arg.get_long() == Some(name) || aliases.contains(&name)
    })
}

/// The command below `command` that `text` names.
fn subcommand<'c>(command: &'c Command, text: &str) -> Option<&'c Command> {
    command.find_subcommand(text.replace('_', "-"))
}

fn refused(command: &Command, name: &str, value: &str, fault: &str) -> clap::Error {
    let text = format!("invalid value '{value}' for '--{name}': {fault}");
    command.clone().error(ErrorKind::InvalidValue, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::command;

    fn spell(line: &str) -> Result<Spelled, clap::Error> {
        spelled(&command(), line.split(' ').map(OsString::from))
    }

    #[track_caller]
    fn becomes(line: &str, wants: &str) {
        let spelled = spell(line).unwrap();
        let has: Vec<_> = spelled.arguments.iter().map(|text| text.to_str().unwrap()).collect();
        assert_eq!(has.join(" "), wants, "{line}");
    }

    #[track_caller]
    fn refuses(line: &str, message: &str) {
        let fault = spell(line).unwrap_err();
        assert_eq!(fault.exit_code(), 2);
        assert!(fault.to_string().contains(message), "{line}: {fault}");
    }

    #[test]
    fn spelling_takes_underscores_for_dashes_in_names_only() {
        becomes("var train_vae --data_path=a_b", "var train-vae --data-path=a_b");
        becomes("var --threads 2 sample --top_k 5", "var --threads 2 sample --top-k 5");
        becomes("var tokenize a_b -o c_d --mid_reso 1", "var tokenize a_b -o c_d --mid-reso 1");
        // The value of an option is no option.
        becomes("var convert --class_names --a_b -o m", "var convert --class-names --a_b -o m");
        becomes("var info -- --a_b", "var info -- --a_b");
    }

    #[test]
    fn spelling_takes_switches_with_a_value() {
        for on in ["", "=True", "=1", "=yes", " true", " 1"] {
            becomes(&format!("var train --hflip{on} --bs 4"), "var train --hflip --bs 4");
        }
        for off in ["=False", "=0", " false", " 0"] {
            becomes(&format!("var train --hflip{off} --bs 4"), "var train --bs 4");
        }
        becomes("var --quiet=1 info --json=False", "var --quiet info");
        // Where a command has arguments of its own, a value needs its `=`.
        becomes("var reconstruct --json 1", "var reconstruct --json 1");
        refuses("var train --hflip=maybe", "'maybe' for '--hflip': wants true or false");
        refuses("var train --hflip --hflip=False", "'--hflip' cannot be used multiple times");
    }

    #[test]
    fn spelling_passes_over_options_of_the_published_trainer() {
        let line = "var train --tfast=1 --fuse True --bs=4 --opt adamw --exp_name=x";
        let spelled = spell(line).unwrap();
        assert_eq!(spelled.arguments, ["var", "train", "--bs=4"]);
        let names = spelled.passed_over.iter().map(|text| text.split(' ').next().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), ["--tfast", "--fuse", "--opt", "--exp-name"]);
        refuses("var train --opt=sgd", "'sgd' for '--opt': ");
        // They are options of the trainer alone.
        becomes("var sample --tfast=1", "var sample --tfast=1");
    }
}
