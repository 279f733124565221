use serde_json::json;
use tempfile::TempDir;

use super::*;

fn options(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Begins a run with `options`, of which those called `session` may be others.
fn begin(folder: &Path, options: &Map<String, Value>, session: &[&str]) -> Result<Begun, RunError> {
    let mut config = RunConfig { learned: options.clone(), ..RunConfig::default() };
    config.release(session);
    super::begin(folder, &config)
}

#[test]
fn run_goes_on_with_its_own_options_only() {
    let place = TempDir::new().unwrap();
    let folder = place.path().join("runs/first");
    let given = json!({"bs": 128, "tblr": 1e-4, "pn": "1_2_3", "ep": 10, "pg": null, "lr2": 0.1});
    let given = options(given);
    let begun = begin(&folder, &given, &["ep"]).unwrap();
    assert!(matches!(begun, Begun::New(_)));
    drop(begun);
    let text = fs::read_to_string(folder.join(FILE)).unwrap();
    assert!(text.contains("\n  \"bs\": 128,\n") && text.ends_with("}\n"), "{text}");

    let mut same = given.clone();
    same["bs"] = json!(128.0);
    same.remove("pg");
    same["ep"] = json!(20);
    assert!(matches!(begin(&folder, &same, &["ep"]).unwrap(), Begun::Resumed(_)));
    assert_eq!(Options::read(&folder).unwrap().unwrap().0["ep"], 20);

    let other = options(json!({"bs": 64, "pn": "1_2", "tblr": 1e-4, "ep": 5, "seed": 3}));
    let error = begin(&folder, &other, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{}: --bs: the run was started with 128.0, now 64; \
             --ep: the run was started with 20, now 5; \
             --lr2: the run was started with 0.1, now without; \
             --pn: the run was started with \"1_2_3\", now \"1_2\"; \
             --seed: the run was started without, now 3",
            folder.display()
        )
    );
    assert_eq!(Options::read(&folder).unwrap().unwrap().0, same, "the file is as it was");
}

// Audit 4
#[test]
fn digests_are_compared_where_the_run_has_them() {
    let place = TempDir::new().unwrap();
    let old = options(json!({"data": "a", "bs": 8}));
    drop(begin(place.path(), &old, &["data"]).unwrap());
    let digest = |of: &str| crate::checkpoint::Digest::of_bytes(of.as_bytes()).to_string();
    let new = options(json!({"data": "b", "bs": 8, "data-digest": digest("abc")}));
    assert!(matches!(begin(place.path(), &new, &["data"]).unwrap(), Begun::Resumed(_)));
    for (other, now) in [(json!(digest("")), "af1349b9f5f9"), (Value::Null, "none")] {
        let mut changed = new.clone();
        changed["data-digest"] = other;
        let error = begin(place.path(), &changed, &["data"]).unwrap_err().to_string();
        let wants = format!(
            ": --data: the run was started with files of digest 6437b3ac3846, now it is {now}"
        );
        assert!(error.ends_with(&wants), "{error}");
    }
}

#[test]
fn numbers_survive_their_text() {
    let place = TempDir::new().unwrap();
    // Of a thousand numbers some change their last bit when they are printed and read.
    let numbers = (1..1000).map(|n| (n.to_string(), json!(1.0 / f64::from(n) * 1e-3)));
    let given: Map<String, Value> = numbers.collect();
    drop(begin(place.path(), &given, &[]).unwrap());
    drop(begin(place.path(), &given, &[]).unwrap());
}

#[test]
fn options_written_in_single_precision_are_the_same() {
    let place = TempDir::new().unwrap();
    let single = options(json!({"wp": f64::from(0.01_f32), "lr": 0.01}));
    drop(begin(place.path(), &single, &[]).unwrap());
    let double = options(json!({"wp": 0.01, "lr": 0.01}));
    drop(begin(place.path(), &double, &[]).unwrap());
    let other = options(json!({"wp": 0.01, "lr": 0.010_000_000_1}));
    assert!(begin(place.path(), &other, &[]).is_err());
}

#[test]
fn new_runs_that_fail_before_they_write_leave_nothing() {
    let place = TempDir::new().unwrap();
    let folder = place.path().join("runs/first");
    let names = |folder: &Path| {
        fs::read_dir(folder).map_or(Vec::new(), |names| {
            Vec::from_iter(names.map(|name| name.unwrap().file_name().into_string().unwrap()))
        })
    };
    let hold = |folder: &Path, written: Option<&str>, end: Result<(), ()>| {
        let begun = begin(folder, &Map::new(), &[]).unwrap();
        let ended = begun.hold(|| {
            written.map(|name| fs::write(folder.join(name), ""));
            end
        });
        assert_eq!(ended, end);
    };
    hold(&folder, None, Err(()));
    assert!(names(place.path()).is_empty());
    // A folder that was there stays.
    fs::create_dir_all(&folder).unwrap();
    hold(&folder, None, Err(()));
    assert!(folder.is_dir() && names(&folder).is_empty());
    // So does a run that has begun to write, and one that goes on.
    hold(&folder, Some("log.jsonl"), Err(()));
    assert_eq!(names(&folder).len(), 3);
    fs::remove_file(folder.join("log.jsonl")).unwrap();
    hold(&folder, None, Err(()));
    assert_eq!(names(&folder).len(), 2);
    // The lock of a folder that is refused itself was not there either.
    let other = place.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("ckpt-last.safetensors"), "").unwrap();
    assert!(matches!(begin(&other, &Map::new(), &[]), Err(RunError::NoOptions { .. })));
    assert_eq!(names(&other), ["ckpt-last.safetensors"]);
}

#[test]
fn two_at_once_are_refused() {
    let place = TempDir::new().unwrap();
    let none = Map::new();
    let first = begin(place.path(), &none, &[]).unwrap();
    let second = begin(place.path(), &none, &[]);
    assert!(matches!(second, Err(RunError::Locked { .. })), "{second:?}");
    drop(first);
    drop(begin(place.path(), &none, &[]).unwrap());
}

#[test]
fn options_that_are_missing_or_damaged_are_no_new_run() {
    let place = TempDir::new().unwrap();
    let begin = || super::begin(place.path(), &RunConfig::default());
    fs::write(place.path().join("ckpt-last.safetensors"), "").unwrap();
    let error = begin().unwrap_err().to_string();
    assert!(error.ends_with("there is ckpt-last.safetensors in it, but no config.json"));
    for text in ["", "{", "[1]"] {
        fs::write(place.path().join(FILE), text).unwrap();
        let error = begin().unwrap_err();
        assert!(matches!(error, RunError::Options { .. }), "{error}");
        assert_eq!(fs::read_to_string(place.path().join(FILE)).unwrap(), text);
    }
    fs::write(place.path().join("file"), "").unwrap();
    let error = super::begin(&place.path().join("file"), &RunConfig::default()).unwrap_err();
    assert!(error.to_string().starts_with("cannot make "), "{error}");
}
