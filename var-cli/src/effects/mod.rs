//! Every option of the commands that train has an effect: a table of the options, each with two values,
//! and what of a tiny run must differ between them.

mod runs;
mod train;
mod train_vae;

use std::collections::BTreeSet;

use runs::{Outcome, Runs};

/// An option, two values of it, and the differences wanted between runs with one and with the other.
struct Row {
    /// Its name, without dashes.
    option: &'static str,
    /// Options that both runs have besides: `--name=value`, or `!name` for one of the base's less.
    with: &'static str,
    values: [&'static str; 2],
    differs: Differs,
}

/// The effect of an option.
#[derive(Clone, Copy, Debug)]
enum Differs {
    /// Affects training: a run goes on with this value only.
    Weights,
    /// Affects training, by the contents of a file or folder of any name.
    Contents,
    /// Affects training, at the start alone: a run goes on with any.
    Start,
    /// The values of a key in the log, and nothing that is learned.
    Log(&'static str),
    /// The same, by the contents of a file of any name.
    Judged(&'static str),
    /// Whether there are files that begin so, and nothing that is learned.
    Files(&'static str),
    /// Speed or memory alone.
    Nothing,
    /// The second value is refused, with these words.
    Refused(&'static str),
}

const fn row(
    option: &'static str,
    with: &'static str,
    values: [&'static str; 2],
    differs: Differs,
) -> Row {
    Row { option, with, values, differs }
}

/// Holds the rows against runs of `command`.
///
/// `no_record` are the options that have no place in config.json.
fn check(runs: &Runs, command: &str, rows: &[Row], no_record: &[&str]) {
    complete(command, rows);
    for row in rows {
        let line = |value: &str| format!("{} {value}", row.with);
        let [first, second] = row.values.map(line);
        let option = row.option;
        let one = runs.outcome(&first).unwrap_or_else(|fault| panic!("--{option}: {fault}"));
        if let Differs::Refused(message) = row.differs {
            let fault = runs.outcome(&second).err().unwrap_or_default();
            assert!(fault.contains(message), "--{option}: {fault:?}");
            continue;
        }
        let other = runs.outcome(&second).unwrap_or_else(|fault| panic!("--{option}: {fault}"));
        use Differs::{Contents, Judged, Start, Weights};
        let learns = matches!(row.differs, Weights | Contents | Start);
        assert_eq!(one.tensors != other.tensors, learns, "--{option}: {:?}", row.differs);
        differ(row, &one, &other);
        let decides = matches!(row.differs, Weights);
        let recorded = !no_record.contains(&option);
        assert_eq!(recorded && !runs.may_change(option), decides, "--{option}: may change");
        let fixed = decides || matches!(row.differs, Contents | Judged(_));
        match runs.go_on(&first, &second) {
            Ok(()) => assert!(!fixed, "--{option}: goes on with the other value"),
            Err(fault) => {
                assert!(fixed, "--{option}: does not go on: {fault}");
                let name = format!("--{option}:");
                assert!(!decides || fault.contains(&name), "--{option}: refused as {fault}");
            }
        }
    }
}

/// Whether what a row says to differ does.
fn differ(row: &Row, one: &Outcome, other: &Outcome) {
    let option = row.option;
    match row.differs {
        Differs::Log(key) | Differs::Judged(key) => {
            assert_ne!(one.logged(key), other.logged(key), "--{option}: {key} in the log");
        }
        Differs::Files(start) => {
            let [one, other] = [one, other].map(|outcome| outcome.files(start));
            assert_ne!(one, other, "--{option}: files {start}…");
        }
        Differs::Nothing => assert_eq!(one.log, other.log, "--{option}"),
        Differs::Weights | Differs::Contents | Differs::Start | Differs::Refused(_) => {}
    }
}

/// Whether each option of `command` has a row, and each row an option.
fn complete(command: &str, rows: &[Row]) {
    let root = crate::command();
    let parser = root.find_subcommand(command).expect("a command");
    let own = parser.get_arguments().filter(|arg| !arg.is_global_set());
    let options: BTreeSet<&str> =
        own.filter_map(|arg| arg.get_long()).filter(|name| *name != "help").collect();
    let has: BTreeSet<&str> = rows.iter().map(|row| row.option).collect();
    let missing: Vec<_> = options.difference(&has).collect();
    assert!(missing.is_empty(), "without a row in the table: {missing:?}");
    let unknown: Vec<_> = has.difference(&options).collect();
    assert!(unknown.is_empty(), "no option of var {command}: {unknown:?}");
}

/// Types every option of `command` with its default value, but for those in `skip`: nothing of the run
/// `with` more options may change.
fn check_defaults(runs: &Runs, command: &str, with: &str, skip: &[&str]) {
    let root = crate::command();
    let parser = root.find_subcommand(command).expect("a command");
    let mut typed = with.to_owned();
    for arg in parser.get_arguments().filter(|arg| !arg.is_global_set()) {
        let default: Vec<_> =
            arg.get_default_values().iter().filter_map(|value| value.to_str()).collect();
        match arg.get_long() {
            Some(name)
                if arg.get_action().takes_values()
                    && !default.is_empty()
                    && !skip.contains(&name)
                    && !runs.have(with, name) =>
            {
                typed = format!("{typed} --{name}={}", default.join(","));
            }
            _ => {}
        }
    }
    check_same(runs, &[[with, &typed]]);
}

/// Holds that the two lines of each pair leave the same run.
fn check_same(runs: &Runs, pairs: &[[&str; 2]]) {
    for lines in pairs {
        let [one, other] =
            lines.map(|line| runs.outcome(line).unwrap_or_else(|fault| panic!("{line}: {fault}")));
        assert!(one.tensors == other.tensors, "{lines:?} learn something else");
        assert_eq!(one.log, other.log, "{lines:?}");
        assert_eq!(one.files(""), other.files(""), "{lines:?}");
    }
}
