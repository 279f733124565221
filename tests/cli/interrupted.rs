//! Ends that come early: Ctrl-C, and a reader that goes away.

use std::io::Read;
use std::process::Stdio;

use super::Place;

#[test]
fn reader_that_goes_away_is_no_fault() {
    let place = Place::new();
    let mut command = place.command(&["info", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut fault = String::new();
    child.stderr.take().unwrap().read_to_string(&mut fault).unwrap();
    assert_eq!((child.wait().unwrap().code(), fault.as_str()), (Some(0), ""));
}

#[cfg(unix)]
#[test]
fn signals_stop_within_a_second_with_their_exit_codes_and_leave_whole_files() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        stops(signal, code);
    }
}

#[cfg(unix)]
fn stops(signal: &str, code: i32) {
    use core::time::Duration;
    use std::fs;
    use std::process::Command;
    use std::thread;
    use std::time::Instant;

    let place = Place::new();
    let mut command =
        place.command_that_signals_end(&["sample", "--count", "100000", "-o", "out/", "-q"]);
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    let there = || fs::read_dir(place.path("out")).map_or(0, Iterator::count);
    while there() < 8 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is written");
        thread::sleep(Duration::from_millis(20));
    }
    let sent = Instant::now();
    let kill = Command::new("kill")
        .args([&format!("-{signal}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    let status = child.wait().unwrap();
    assert!(sent.elapsed() < Duration::from_secs(1), "{:?}", sent.elapsed());
    assert_eq!(status.code(), Some(code), "{signal}");
    let mut names = place.names();
    names.retain(|name| !["out", "out/.lock", "out/manifest.json"].contains(&&**name));
    assert!(names.len() > 3 && names.len() < 100_000);
    for name in &names {
        assert!(name.ends_with(".png"), "{name} is left");
        place.picture(name);
    }
    // Existing images are kept.
    let count = names.len().to_string();
    let said = place.var(&["sample", "--count", &count, "-o", "out/"]);
    assert_eq!(said, format!("out/: 0 images made, {count} were there already\n"));
}
