//! Imports go one way: a module uses only modules above it in its crate's map.

use std::path::{Path, PathBuf};

/// Modules of the kernel, those that others are built on first.
const KERNEL: [&str; 15] = [
    "memory",
    "storage",
    "arena",
    "image",
    "remote",
    "cpu",
    "cuda",
    "sample",
    "ops",
    "dry",
    "model",
    "edit",
    "score",
    "generate",
    "workspace",
];

/// Modules of the host, likewise.
const HOST: [&str; 20] = [
    "atomic_file",
    "parallel",
    "checkpoint",
    "pictures",
    "npz",
    "pool",
    "model",
    "tokens",
    "data",
    "lpips",
    "card",
    "engine",
    "pipeline",
    "inception",
    "evaluate",
    "scaling",
    "grad",
    "optim",
    "run",
    "train",
];

/// An exception: the tests of `sample` and `cpu` borrow the operations' test bench. Files of tests
/// (`tests.rs`) may use any module.
const TEST_BENCH: &str = "crate::ops::testing";

#[test]
fn the_kernel_imports_one_way() {
    assert_one_way("var-kernel/src", &KERNEL);
}

#[test]
fn the_host_imports_one_way() {
    assert_one_way("var-host/src", &HOST);
}

fn assert_one_way(root: &str, layers: &[&str]) {
    let root = crate::fixture::root().join(root);
    let mut seen = 0;
    for path in rust_files(&root) {
        let inside = path.strip_prefix(&root).expect("a file under the root");
        let module = inside.iter().next().and_then(|name| name.to_str()).expect("a name");
        let module = module.trim_end_matches(".rs");
        let Some(rank) = layers.iter().position(|layer| *layer == module) else {
            assert_eq!(module, "lib", "{module} is not in the list of layers");
            continue;
        };
        if path.ends_with("tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source file");
        for (_, rest) in text.match_indices("crate::").map(|(at, _)| text.split_at(at)) {
            if rest.starts_with(TEST_BENCH) {
                continue;
            }
            let name: String = rest["crate::".len()..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if let Some(used) = layers.iter().position(|layer| *layer == name) {
                seen += 1;
                assert!(used <= rank, "{} uses crate::{name}, a layer above it", path.display());
            }
        }
    }
    assert!(seen > 10, "no imports were found: is the layout another?");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                rust_files(&path)
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                vec![path]
            } else {
                Vec::new()
            }
        })
        .collect()
}
