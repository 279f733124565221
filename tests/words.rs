//! Words of the code, counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Comment lines with a clause in a noun's place, of a thousand: below one percent.
const CLAUSES_PER_MILLE: usize = 10;

/// One type of this name for each operation on the tape, command or backend.
const ROLES: [&str; 2] = ["Node", "Options"];

#[test]
fn comments_name_things_with_nouns() {
    let (mut lines, mut clauses) = (0, Vec::new());
    for path in files(&["var-kernel", "var-host", "var-cli", "tests"]) {
        let text = fs::read_to_string(&path).expect("a source file");
        for (number, line) in text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
            lines += 1;
            let mut words = comment.split(|c: char| !c.is_alphabetic());
            if words
                .any(|word| matches!(&*word.to_lowercase(), "what" | "who" | "whoever" | "whose"))
            {
                clauses.push(format!("{}:{}: {}", path.display(), number + 1, comment.trim()));
            }
        }
    }
    assert!(lines > 10_000, "{lines} comment lines: the folders are elsewhere");
    let limit = lines * CLAUSES_PER_MILLE / 1000;
    assert!(clauses.len() < limit, "{} of {lines}:\n{}", clauses.len(), clauses.join("\n"));
}

#[test]
fn type_names_stand_for_one_thing_in_a_crate() {
    let mut shared = Vec::new();
    for name in ["var-kernel", "var-host", "var-cli"] {
        let mut types: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for path in files(&[&format!("{name}/src")]) {
            let test =
                path.file_name().is_some_and(|file| file == "tests.rs" || file == "testing.rs");
            if test || path.components().any(|part| part.as_os_str() == "tests") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a source file");
            let shipped = text.split("#[cfg(test)]\nmod tests").next().expect("a first part");
            for defined in shipped.lines().filter_map(defined_type) {
                types.entry(defined.to_owned()).or_default().push(path.clone());
            }
        }
        assert!(types.len() > 50, "{name}: {} types found", types.len());
        types.retain(|name, files| {
            files.dedup();
            files.len() > 1 && !ROLES.contains(&name.as_str())
        });
        shared.extend(types.into_iter().map(|(name, files)| format!("{name}: {files:?}")));
    }
    let list = shared.join("\n");
    assert!(shared.is_empty(), "{} names of two types each:\n{list}", shared.len());
}

/// The name of the type that a line defines at the level of its module.
fn defined_type(line: &str) -> Option<&str> {
    let mut rest = line;
    for word in ["pub ", "pub(crate) ", "pub(super) ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    if let Some(inner) = rest.strip_prefix("pub(in ") {
        rest = inner.split_once(") ")?.1;
    }
    let (keyword, rest) = rest.split_once(' ')?;
    matches!(keyword, "struct" | "enum" | "trait" | "type" | "union").then_some(())?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    Some(&rest[..end])
}

/// The Rust files below folders of the repository.
fn files(folders: &[&str]) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
            let path = entry.path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    folders.iter().for_each(|folder| walk(&crate::fixture::root().join(folder), &mut found));
    found.sort();
    found
}
