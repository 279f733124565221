//! Signals to a run: its checkpoint first, then the end; a second signal ends it at once.

use core::time::Duration;
use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use super::{Place, data, small, timeless_log};
use crate::launch::ProcessGroup;

/// Until when a run must have begun, or ended.
const LIMIT: Duration = Duration::from_secs(120);

fn send(signal: &str, process: u32) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).status();
    assert!(sent.unwrap().success());
}

fn wait(mut child: Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("it runs on");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until the log of `run` has so many lines.
fn wait_for_lines(place: &Place, run: &str, lines: usize) {
    let (start, log) = (Instant::now(), place.path(run).join("log.jsonl"));
    while fs::read_to_string(&log).map_or(0, |text| text.lines().count()) < lines {
        assert!(start.elapsed() < LIMIT, "no {lines} lines in the log");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Starts a run and ends it by a signal once its log has so many lines; it must leave a checkpoint of
/// all that it did and the signal's exit code.
pub(in crate::cli) fn end_after_lines(
    place: &Place,
    options: &[&str],
    run: &str,
    lines: usize,
    (signal, code): (&str, i32),
) {
    let child = place.command_that_signals_end(options).spawn().unwrap();
    wait_for_lines(place, run, lines);
    send(signal, child.id());
    assert_eq!(wait(child).code(), Some(code), "{signal}");
    let iterations = timeless_log(place, run).iter().filter(|line| line["lr"].is_number()).count();
    let metadata = place.var(&["info", &format!("{run}/ckpt-last.safetensors")]);
    assert!(!metadata.is_empty());
    let checkpoint = place.path(run).join("ckpt-last.safetensors");
    let checkpoint = var_host::checkpoint::Checkpoint::open(&checkpoint).unwrap();
    assert_eq!(checkpoint.metadata()["iteration"], iterations.to_string());
}

/// Fails unless two runs left the same log and the same newest and best checkpoint.
#[track_caller]
pub(in crate::cli) fn assert_same_run(place: &Place, one: &str, other: &str) {
    assert_eq!(timeless_log(place, one), timeless_log(place, other));
    for name in ["ckpt-last.safetensors", "ckpt-best.safetensors"] {
        let [one, other] = [one, other].map(|run| place.bytes(&format!("{run}/{name}")));
        assert!(one == other, "{name} differs");
    }
}

#[test]
fn signal_leaves_a_checkpoint_from_which_the_run_goes_on() {
    let place = Place::new();
    data(&place);
    // Without it nothing would be saved before the end.
    let run = |name| small(&["--iterations", "60", "--save-every", "0", "--out", name, "-q"]);
    place.var(&run("unbroken"));
    end_after_lines(&place, &run("broken"), "broken", 3, ("TERM", 143));
    end_after_lines(&place, &run("broken"), "broken", 20, ("HUP", 129));
    place.var(&run("broken"));
    assert_same_run(&place, "unbroken", "broken");
}

#[test]
fn signal_that_the_caller_had_ignored_stays_ignored() {
    let place = Place::new();
    data(&place);
    let run = small(&["--iterations", "12", "--out", "run", "-q"]);
    let var = place.command(&run);
    // As nohup does it.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(var.get_program());
    let child = shell.args(var.get_args()).current_dir(place.path("")).spawn().unwrap();
    wait_for_lines(&place, "run", 1);
    send("HUP", child.id());
    assert!(wait(child).success());
}

#[test]
fn second_signal_ends_a_run_at_once() {
    let place = Place::new();
    data(&place);
    let run = ["--iterations", "100000", "--out", "run", "-q", "--no-shuffle", "--workers", "0"];
    let mut command = place.command_that_signals_end(&small(&run));
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    wait_for_lines(&place, "run", 1);
    // A pipe without a writer in the place of an image: the iteration that reads it never ends.
    let pipe = place.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::rename(&pipe, place.path("data/train/ant/0.png")).unwrap();
    let (start, mut before) = (Instant::now(), 0);
    loop {
        let now = place.bytes("run/log.jsonl").len();
        if now == before {
            break;
        }
        assert!(start.elapsed() < LIMIT, "it goes on without the image");
        before = now;
        thread::sleep(Duration::from_secs(1));
    }
    send("INT", child.id());
    thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "the first signal ended it");
    send("INT", child.id());
    assert_eq!(wait(child).code(), Some(130));
}

#[test]
fn signal_to_one_rank_ends_all_with_one_checkpoint() {
    let place = Place::new();
    data(&place);
    let run =
        ["--iterations", "100000", "--out", "run", "-q", "--threads", "1", "--save-every", "0"];
    let ranks = ProcessGroup::start([0, 1].map(|_| place.command_that_signals_end(&small(&run))));
    wait_for_lines(&place, "run", 2);
    send("TERM", ranks.id(1));
    for output in ranks.wait(LIMIT) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(143), "{said}");
    }
    let iterations =
        timeless_log(&place, "run").iter().filter(|line| line["lr"].is_number()).count();
    let checkpoint = place.path("run/ckpt-last.safetensors");
    let checkpoint = var_host::checkpoint::Checkpoint::open(&checkpoint).unwrap();
    assert_eq!(checkpoint.metadata()["iteration"], iterations.to_string());
}
