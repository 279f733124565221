use core::time::Duration;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::{env, thread};

use tempfile::TempDir;

use super::*;
use crate::checkpoint::Dtype;
use crate::run::{Begun, RunConfig, begin};

/// A folder of checkpoints with a tensor that holds their iteration.
struct Place {
    folder: TempDir,
    checkpoints: Checkpoints,
}

fn records(iteration: u64, floats: usize) -> Vec<Record<'static>> {
    let bytes = move || Ok((iteration as f32).to_le_bytes().repeat(floats).into());
    vec![Record {
        name: "var.x".to_owned(),
        dtype: Dtype::F32,
        shape: vec![floats],
        bytes: Box::new(bytes),
    }]
}

impl Place {
    fn new(keep: usize) -> Self {
        let folder = TempDir::new().unwrap();
        let checkpoints = Checkpoints::new(folder.path(), keep);
        Self { folder, checkpoints }
    }

    /// A place where a run began and ended.
    fn of_a_run() -> Self {
        let place = Self::new(2);
        let Ok(Begun::New(_)) = begin(place.folder.path(), &RunConfig::default()) else {
            panic!("nothing was there")
        };
        place
    }

    fn save(&self, iteration: u64) {
        self.save_in_streak(iteration, None);
        self.checkpoints.remove_surplus(iteration).unwrap();
    }

    fn save_in_streak(&self, iteration: u64, stuck_since: Option<u64>) {
        let records = records(iteration, 100);
        self.checkpoints.save(iteration, records, BTreeMap::new(), stuck_since).unwrap();
    }

    fn save_all(&self, iterations: &[u64]) {
        iterations.iter().for_each(|iteration| self.save(*iteration));
    }

    /// The newest iteration, of which the tensor must be, and the warnings.
    fn newest(&self) -> (Option<u64>, Vec<String>) {
        let mut warnings = Vec::new();
        let newest = self.checkpoints.newest(&mut |warning| warnings.push(warning)).unwrap();
        let iteration = newest.map(|saved| {
            let tensor = saved.checkpoint.tensor("var.x").unwrap();
            assert_eq!(tensor.as_f32().unwrap()[99], saved.iteration as f32);
            saved.iteration
        });
        (iteration, warnings)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn flip_a_bit(&self, name: &str) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(self.path(name), bytes).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

#[test]
fn newest_is_found_and_as_many_kept_as_asked() {
    let place = Place::new(3);
    assert_eq!(place.newest(), (None, vec![]));
    for iteration in [5, 10, 100, 115, 115] {
        place.save(iteration);
        assert_eq!(place.newest(), (Some(iteration), vec![]));
    }
    let kept = ["ckpt-10.safetensors", "ckpt-100.safetensors", LAST];
    assert_eq!(place.names(), kept);
    place.checkpoints.save_best(10, records(10, 100), BTreeMap::new()).unwrap();
    place.save(120);
    assert_eq!(
        place.names(),
        ["ckpt-100.safetensors", "ckpt-115.safetensors", BEST, LAST],
        "the best one is not counted"
    );
    let one = Checkpoints::new(place.folder.path(), 1);
    one.save(130, records(130, 100), BTreeMap::new(), None).unwrap();
    one.remove_surplus(130).unwrap();
    assert_eq!(place.names(), [BEST, LAST]);
}

#[test]
fn streak_of_refused_updates_rotates_no_checkpoint_out() {
    let place = Place::new(2);
    place.save_all(&[5, 10]);
    // Iteration 15 made weights from which no gradient is finite.
    place.save_in_streak(15, None);
    for iteration in [20, 25, 30] {
        place.save_in_streak(iteration, Some(15));
    }
    let kept = ["ckpt-10.safetensors", "ckpt-15.safetensors", "ckpt-5.safetensors", LAST];
    assert_eq!(place.names(), kept);
    assert_eq!(place.newest(), (Some(30), vec![]));
    let before = |iteration| place.checkpoints.newest_before(iteration).unwrap();
    assert_eq!(before(15), Some(place.path("ckpt-10.safetensors")));
    assert_eq!(before(100), Some(place.path(LAST)));
    assert_eq!(before(5), None);
    place.checkpoints.save_best(4, records(4, 100), BTreeMap::new()).unwrap();
    assert_eq!(before(5), Some(place.path(BEST)));
    // Once the streak is over, as many stay as are to be kept.
    place.save(35);
    assert_eq!(place.names(), ["ckpt-30.safetensors", BEST, LAST]);
}

/// A run that was taken back by hand: `ckpt-last` is an older one again.
#[test]
fn checkpoints_newer_than_the_last_are_set_aside() {
    let place = Place::new(3);
    place.save_all(&[10, 20, 30]);
    fs::copy(place.path("ckpt-10.safetensors"), place.path(LAST)).unwrap();
    let (iteration, warnings) = place.newest();
    assert_eq!(iteration, Some(10));
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    let line = "ckpt-20.safetensors: is newer than ckpt-last.safetensors, of iteration 10; renamed to \
                ckpt-20.safetensors.newer, going on with ckpt-last.safetensors";
    assert!(warning.ends_with(line), "{warning}");
    assert_eq!(place.newest(), (Some(10), vec![]), "told of once");
    // The other run's checkpoint is neither counted nor removed, nor what a damaged one gives way to.
    place.save_all(&[11, 12, 13]);
    let kept = ["ckpt-11.safetensors", "ckpt-12.safetensors", "ckpt-20.safetensors.newer", LAST];
    assert_eq!(place.names(), kept);
    place.flip_a_bit(LAST);
    assert_eq!(place.newest().0, Some(12));
}

#[test]
fn remove_surplus_keeps_and_does_not_count_newer_checkpoints() {
    let place = Place::new(2);
    for iteration in [10, 20, 30, 40] {
        place.save_in_streak(iteration, None);
    }
    place.checkpoints.remove_surplus(25).unwrap();
    assert_eq!(place.names(), ["ckpt-20.safetensors", "ckpt-30.safetensors", LAST]);
    Checkpoints::new(place.folder.path(), 1).remove_surplus(30).unwrap();
    assert_eq!(place.names(), ["ckpt-30.safetensors", LAST]);
}

#[test]
fn damaged_one_gives_way_to_the_one_before_with_a_warning() {
    let place = Place::new(3);
    place.save_all(&[1, 2, 3]);
    place.flip_a_bit(LAST);
    let (iteration, warnings) = place.newest();
    assert_eq!(iteration, Some(2));
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("ckpt-last.safetensors: damaged: its checksum is "), "{warning}");
    assert!(
        warning.ends_with("ckpt-last.safetensors.damaged, going on with ckpt-2.safetensors"),
        "{warning}"
    );
    // Set aside, it is told of once, and does not count among those kept.
    assert_eq!(place.newest(), (Some(2), vec![]));
    place.save(3);
    let kept = ["ckpt-1.safetensors", "ckpt-2.safetensors", LAST, "ckpt-last.safetensors.damaged"];
    assert_eq!(place.names(), kept);
    for length in [0, 7, 30, 300] {
        let bytes = fs::read(place.path(LAST)).unwrap();
        fs::write(place.path(LAST), &bytes[..length]).unwrap();
        let (iteration, warnings) = place.newest();
        assert_eq!((iteration, warnings.len()), (Some(2), 1), "{length} bytes");
        place.save(3);
    }
    // The name of a checkpoint is no proof of its iteration.
    fs::rename(place.path("ckpt-2.safetensors"), place.path("ckpt-9.safetensors")).unwrap();
    fs::remove_file(place.path(LAST)).unwrap();
    let (iteration, warnings) = place.newest();
    assert_eq!(iteration, Some(1));
    assert!(warnings[0].contains("ckpt-9.safetensors: is of iteration 2;"), "{warnings:?}");
}

#[test]
fn folder_of_damaged_checkpoints_is_an_error_each_time() {
    let place = Place::new(2);
    place.save_all(&[1, 2]);
    place.flip_a_bit(LAST);
    fs::write(place.path("ckpt-1.safetensors"), "text").unwrap();
    for _ in 0..2 {
        let error = place.checkpoints.newest(&mut |_| ()).unwrap_err().to_string();
        for part in ["ckpt-last.safetensors: damaged", "; ckpt-1.safetensors: not a checkpoint"] {
            assert!(error.contains(part), "{error}");
        }
    }
    assert_eq!(place.names(), ["ckpt-1.safetensors", LAST]);
}

#[test]
fn metadata_and_iteration_are_kept() {
    let place = Place::new(2);
    let metadata = BTreeMap::from([("config".to_owned(), "{}".to_owned())]);
    place.checkpoints.save(7, records(7, 1), metadata, None).unwrap();
    let saved = place.checkpoints.newest(&mut |_| ()).unwrap().unwrap();
    assert_eq!((saved.iteration, saved.path), (7, place.path(LAST)));
    let metadata = saved.checkpoint.metadata();
    assert_eq!(
        metadata.keys().collect::<Vec<_>>(),
        ["checksum", "config", "iteration", "var_digest"]
    );
}

#[test]
fn target_that_cannot_be_written_is_named_and_the_old_one_stays() {
    let place = Place::new(2);
    place.save(1);
    fs::create_dir(place.path(BEST)).unwrap();
    let error = place.checkpoints.save_best(2, records(2, 9), BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("ckpt-best.safetensors"), "{error}");
    fs::remove_dir(place.path(BEST)).unwrap();
    assert_eq!(place.names(), [LAST]);
    assert_eq!(place.newest(), (Some(1), vec![]));
}

// The next tests kill processes. They are this test program again, with the folder and the point to
// die at in the environment.

const FOLDER: &str = "VAR_TEST_CHECKPOINTS";
const STEP: &str = "VAR_TEST_ABORT_AT";

/// The process that is killed; a test in name only, which returns at once when run as one.
#[test]
fn process_that_saves_until_it_is_killed() {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    let abort_at = env::var(STEP).ok().map(|step| step.parse().unwrap());
    let _lock = begin(&folder, &RunConfig::default()).unwrap();
    let checkpoints = Checkpoints::new(&folder, 2);
    let newest = checkpoints.newest(&mut |warning| println!("warning: {warning}")).unwrap();
    let resumed_at = newest.map_or(0, |saved| saved.iteration);
    println!("resumed {resumed_at}");
    for iteration in resumed_at + 1.. {
        if let Some(step) = abort_at {
            saves_until(&checkpoints, iteration, step);
        }
        let records = records(iteration, 50_000);
        match checkpoints.save(iteration, records, BTreeMap::new(), None) {
            Ok(_) => {
                println!("saved {iteration}");
                checkpoints.remove_surplus(iteration).unwrap();
            }
            Err(error) => {
                println!("error: {}", in_words(&error));
                return;
            }
        }
    }
}

/// The steps of [`Checkpoints::save`] and [`Checkpoints::remove_surplus`], and the end of the process after one of them.
fn saves_until(checkpoints: &Checkpoints, iteration: u64, last_step: usize) {
    let ends_after = |step| {
        if step == last_step {
            std::process::abort();
        }
    };
    let path = checkpoints.folder.join(LAST);
    let metadata = with_iteration(BTreeMap::new(), iteration);
    let file = write_uncommitted(&path, records(iteration, 100), metadata).unwrap();
    ends_after(0);
    checkpoints.keep_last_as_numbered(iteration, None).unwrap();
    ends_after(1);
    file.commit().unwrap();
    ends_after(2);
    checkpoints.remove_surplus(iteration).unwrap();
    ends_after(3);
}

fn process(folder: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([
        "--exact",
        "--nocapture",
        "run::checkpoints::tests::process_that_saves_until_it_is_killed",
    ]);
    command.env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

#[test]
fn end_between_any_two_steps_loses_nothing_that_was_saved() {
    for step in 0..4 {
        let place = Place::of_a_run();
        place.save_all(&[1, 2]);
        let output = process(place.folder.path()).env(STEP, step.to_string()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("resumed 2") && !said.contains("saved"), "{said}");
        let left_over = |place: &Place| place.names().iter().any(|name| name.ends_with(".part"));
        assert_eq!(left_over(&place), step < 2, "step {step}: {:?}", place.names());
        let expected = if step < 2 { 2 } else { 3 };
        assert_eq!(place.newest(), (Some(expected), vec![]), "step {step}");
        // The next start tidies up and goes on.
        let Ok(Begun::Resumed(_)) = begin(place.folder.path(), &RunConfig::default()) else {
            panic!("the run is there")
        };
        assert!(!left_over(&place));
        place.save(expected + 1);
        assert_eq!(place.newest(), (Some(expected + 1), vec![]));
        let kept = [&numbered(expected), LAST, "config.json", "lock"];
        assert_eq!(place.names(), kept, "step {step}");
    }
}

/// A child that is killed as soon as it goes out of scope.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn kill_at_any_moment_loses_nothing_that_was_saved() {
    let place = Place::of_a_run();
    let (mut saved, mut kill) = (0, 0_u64);
    // Where 3 ms are too short to save at all, lives grow longer.
    while kill < 20 || (saved == 0 && kill < 200) {
        let mut child = Killed(process(place.folder.path()).spawn().unwrap());
        let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let mut lines = lines.map(|line| line.unwrap()).filter(|line| line.contains(' '));
        let resumed: u64 = lines
            .by_ref()
            .find_map(|line| line.split_once("resumed ")?.1.parse().ok())
            .expect("it resumes");
        // Saved, but killed before it said so, or said and not kept: only the first may be.
        assert!(resumed == saved || resumed == saved + 1, "{resumed} after {saved}");
        saved = resumed;
        thread::sleep(Duration::from_micros(kill * 137 % 3000 + kill / 20 * 10_000));
        drop(child);
        kill += 1;
        for line in lines {
            assert!(!line.starts_with("warning") && !line.starts_with("error"), "{line}");
            if let Some(iteration) = line.strip_prefix("saved ").and_then(|n| n.parse().ok()) {
                saved = iteration;
            }
        }
    }
    assert!(place.newest().1.is_empty());
    assert!(saved > 0, "no process lived long enough to save");
}

#[cfg(unix)]
#[test]
fn full_disk_leaves_the_old_checkpoint_and_no_temporary_file() {
    let place = Place::of_a_run();
    place.save(1);
    // Files of at most 64 blocks of 512 or 1024 bytes; the checkpoint has 200 000 bytes.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"]);
    let process = process(place.folder.path());
    shell.arg(process.get_program()).args(process.get_args());
    let output = shell.env(FOLDER, place.folder.path()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let error = said.lines().find(|line| line.starts_with("error: ")).expect(&said);
    assert!(error.contains("cannot write") && error.contains(LAST), "{error}");
    assert_eq!(place.names(), [LAST, "config.json", "lock"]);
    assert_eq!(place.newest(), (Some(1), vec![]));
}
