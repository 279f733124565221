//! Imports go one way: a module uses only modules above it in its crate's map, and no file imports,
//! by whatever way, from a file that imports from it.

mod graph;
mod source;

use std::path::Path;

use graph::{Graph, Modules, circles};

/// Modules of the kernel, those that others are built on first.
const KERNEL: [&str; 19] = [
    "memory",
    "transfer",
    "capture",
    "storage",
    "arena",
    "image",
    "remote",
    "dry",
    "cpu",
    "cuda",
    "sample",
    "ops",
    "model",
    "edit",
    "score",
    "codec",
    "generate",
    "workspace",
    "parts",
];

/// Modules of the host, likewise.
const HOST: [&str; 22] = [
    "plural",
    "atomic_file",
    "parallel",
    "checkpoint",
    "images",
    "npz",
    "pool",
    "model",
    "tokens",
    "data",
    "lpips",
    "gpu",
    "engine",
    "pipeline",
    "inception",
    "image_folder",
    "evaluate",
    "scaling",
    "grad",
    "optim",
    "run",
    "train",
];

/// An exception to the order of modules: the tests of `sample` and `cpu` borrow the operations' test bench.
/// Files of tests (`tests.rs`, `testing.rs`) may use any module.
const TEST_BENCH: &str = "ops/testing.rs";

#[test]
fn kernel_imports_one_way() {
    assert_one_way("var-kernel/src", &KERNEL);
}

#[test]
fn host_imports_one_way() {
    assert_one_way("var-host/src", &HOST);
}

#[test]
fn binary_imports_one_way() {
    assert_no_circles(&graph_of("var-cli/src"));
}

#[test]
fn server_imports_one_way() {
    assert_no_circles(&graph_of("var-cli/serve/src"));
}

fn graph_of(root: &str) -> Graph {
    let root = crate::fixture::root().join(root);
    let mut files = Vec::new();
    rust_files(&root, "", &mut files);
    Modules::read(&root, &files).graph()
}

fn assert_one_way(root: &str, layers: &[&str]) {
    let graph = graph_of(root);
    let rank = |file: &str| {
        let module = file.split('/').next().map(|name| name.trim_end_matches(".rs"));
        let rank = layers.iter().position(|layer| Some(*layer) == module);
        assert!(rank.is_some() || module == Some("lib"), "{file} is in no layer of the list");
        rank
    };
    let mut seen = 0;
    for (from, to) in graph.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to))) {
        let tests = ["tests", "testing"].iter().any(|name| from.contains(name));
        if let (Some(above), Some(below)) = (rank(to), rank(from))
            && !tests
            && to != TEST_BENCH
        {
            seen += 1;
            assert!(above <= below, "{from} uses {to}, a layer above it");
        }
    }
    assert!(seen > 100, "{seen} imports were found: is the layout another?");
    assert_no_circles(&graph);
}

fn assert_no_circles(graph: &Graph) {
    let circles: Vec<String> = circles(graph)
        .iter()
        .map(|circle| format!("{} > {}", circle.join(" > "), circle[0]))
        .collect();
    assert!(circles.is_empty(), "{} circles of files:\n{}", circles.len(), circles.join("\n"));
}

/// The sources under `root`, named by their paths in it.
fn rust_files(root: &Path, folder: &str, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(root.join(folder)).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if root.join(&path).is_dir() {
            rust_files(root, &path, files);
        } else if path.ends_with(".rs") {
            files.push(path);
        }
    }
}
