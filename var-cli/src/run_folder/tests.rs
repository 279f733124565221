//! Runs that meet in one folder.

use std::collections::BTreeMap;

use clap::Parser;
use var_host::images::{Parameters, RgbImage, write_png};

use super::*;
use crate::args::CommonOptions;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    common: CommonOptions,
}

fn session(options: &[&str]) -> Session {
    let arguments = [&["var", "--device", "cpu"], options].concat();
    Command::parse_from(arguments).common.session(Default::default()).unwrap()
}

fn manifest(seed: &str, files: &[&str]) -> Manifest {
    let settings = [("Software", "var"), ("command", "sample"), ("seed", seed)];
    let settings = settings.map(|(key, text)| (key.to_owned(), text.to_owned()));
    Manifest { settings: settings.into(), files: files.iter().map(|f| (*f).to_owned()).collect() }
}

/// Writes the images of a run, and those of no run.
fn write(folder: &Path, parameters: &Parameters, files: &[&str]) {
    for file in files {
        write_png(&folder.join(file), &RgbImage::filled(1, 1, [7; 3]), parameters, true).unwrap();
    }
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn none() -> Result<Vec<String>> {
    Ok(Vec::new())
}

// Audit 1 (b): --force leaves the other run's files.
#[test]
fn force_removes_what_the_manifest_lists_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let (folder, plain, force) = (place.path(), session(&[]), session(&["--force"]));
    let first = manifest("0", &["0.png", "1.png", "2.png"]);
    drop(begin(folder, &first, none, &plain).unwrap());
    write(folder, &first.settings, &["0.png", "1.png", "2.png"]);
    write(folder, &BTreeMap::new(), &["mine.png"]);
    let second = manifest("1", &["1.png"]);
    let refused = begin(folder, &second, none, &plain).unwrap_err().to_string();
    assert!(refused.ends_with(
        ": was made with seed 0, wanted is 1; take another folder, or --force to overwrite"
    ));
    assert_eq!(Manifest::read(folder).unwrap().unwrap(), first);
    drop(begin(folder, &second, none, &force).unwrap());
    assert_eq!(names(folder), [".lock", "manifest.json", "mine.png"]);
    write(folder, &second.settings, &["1.png"]);
    // Another rank of the same run does not remove what the first has made.
    drop(begin(folder, &second, none, &force).unwrap());
    assert_eq!(names(folder), [".lock", "1.png", "manifest.json", "mine.png"]);
}

// Audit 1 (c): two processes with different settings at once.
#[test]
fn processes_of_other_settings_are_kept_out_while_one_writes() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let first = manifest("0", &["0.png", "1.png"]);
    let writing = begin(folder, &first, none, &session(&[])).unwrap();
    let rank = begin(folder, &first, none, &session(&[])).unwrap();
    for options in [&[][..], &["--force"]] {
        let other = begin(folder, &manifest("1", &["0.png"]), none, &session(options));
        let refused = other.unwrap_err().to_string();
        let wants = ": another process is writing into this folder: it was made with seed 0";
        assert!(refused.contains(wants), "{refused}");
        let other = begin(folder, &manifest("0", &["7.png"]), none, &session(options));
        let refused = other.unwrap_err().to_string();
        assert!(refused.ends_with(": another process is writing other images into this folder"));
    }
    let busy = check_one_run(folder, &session(&[]));
    write(folder, &first.settings, &["0.png"]);
    assert!(busy.is_ok(), "no images yet");
    let busy = check_one_run(folder, &session(&[])).unwrap_err().to_string();
    assert!(busy.ends_with("a process is still writing images into this folder"), "{busy}");
    drop((writing, rank));
    drop(begin(folder, &manifest("1", &["0.png"]), none, &session(&["--force"])).unwrap());
}

#[test]
fn refusals_leave_a_folder_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let refuse = || bail!("another run's");
    let refused = begin(place.path(), &manifest("0", &["0.png"]), refuse, &session(&[]));
    assert_eq!(refused.unwrap_err().to_string(), "another run's");
    assert!(names(place.path()).is_empty());
    for (text, wants) in [
        ("{", "is no manifest of images"),
        (r#"{"settings": {}, "files": ["../a.png"]}"#, "\"../a.png\" is no name of an image"),
        (r#"{"settings": {}, "files": ["/a.png"]}"#, "is no name of an image"),
    ] {
        fs::write(place.path().join("manifest.json"), text).unwrap();
        let refused = begin(place.path(), &manifest("0", &["0.png"]), none, &session(&["--force"]));
        let refused = format!("{:#}", refused.unwrap_err());
        assert!(refused.contains(wants), "{refused}");
        assert_eq!(names(place.path()), ["manifest.json"]);
    }
}

#[test]
fn folders_that_mix_runs_are_told_apart() {
    let place = tempfile::tempdir().unwrap();
    let (folder, session) = (place.path(), session(&[]));
    let run = manifest("0", &["0.png", "1.png"]);
    write(folder, &run.settings, &["0.png"]);
    let mut other = run.settings.clone();
    other.extend([("index", "1"), ("class", "3")].map(|(key, text)| (key.into(), text.into())));
    write(folder, &other, &["1.png"]);
    assert_eq!(check_one_run(folder, &session).unwrap(), Some(run.settings.clone()));
    write(folder, &manifest("1", &[]).settings, &["2.png"]);
    let refused = check_one_run(folder, &session).unwrap_err().to_string();
    assert!(refused.contains("2.png: was made with seed 1, wanted is 0"), "{refused}");
    write(folder, &Parameters::new(), &["2.png"]);
    let refused = check_one_run(folder, &session).unwrap_err().to_string();
    assert!(refused.contains("2.png: only one of the two was made by var"), "{refused}");
    // With a manifest, even where the settings are the same.
    write(folder, &run.settings, &["2.png"]);
    assert!(check_one_run(folder, &session).is_ok());
    run.write(folder).unwrap();
    let refused = check_one_run(folder, &session).unwrap_err().to_string();
    assert!(
        refused.contains("2.png: is not of the run that the folder's manifest.json"),
        "{refused}"
    );
    // Images of others are no run's.
    let photographs = tempfile::tempdir().unwrap();
    write(photographs.path(), &Parameters::new(), &["a.png", "b.png"]);
    assert_eq!(check_one_run(photographs.path(), &session).unwrap(), None);
}
