//! The files of a crate and the arrows between them: each from a file to one whose item it names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::source::{self, Module};

/// The files of a crate, with those that each imports from.
pub(super) type Graph = BTreeMap<String, BTreeSet<String>>;

/// All modules of a crate by their paths.
pub(super) struct Modules(HashMap<Vec<String>, Module>);

/// The most steps from a name to the item that it re-exports.
const MOST_STEPS: usize = 16;

impl Modules {
    /// Reads the files of a crate, named by their paths under `root`.
    pub(super) fn read(root: &Path, files: &[String]) -> Self {
        let mut modules = HashMap::new();
        for file in files {
            let text = std::fs::read_to_string(root.join(file)).expect("a source file");
            modules.extend(source::modules(file, &module_of(file), &text));
        }
        Self(modules)
    }

    /// The arrows between files.
    pub(super) fn graph(&self) -> Graph {
        let mut graph = Graph::new();
        for (path, module) in &self.0 {
            let to = graph.entry(module.file.clone()).or_default();
            let imports = module.imports.iter().filter(|import| module.uses(import));
            let paths = imports.map(|import| &import.path).chain(&module.paths);
            let files = paths.filter_map(|names| self.file_of(path, names, MOST_STEPS));
            to.extend(files.filter(|file| *file != module.file));
        }
        graph
    }

    /// The file with the item that `names` names in the module at `from`; none of another crate.
    fn file_of(&self, from: &[String], names: &[String], steps: usize) -> Option<String> {
        self.resolve(from, names, steps).map(|path| self.0[&path].file.clone())
    }

    /// The module that `names` names, or that has the item it names.
    fn resolve(&self, from: &[String], names: &[String], steps: usize) -> Option<Vec<String>> {
        let steps = steps.checked_sub(1)?;
        let (first, rest) = names.split_first()?;
        let module = &self.0[from];
        match &first[..] {
            "crate" => self.walk(Vec::new(), rest, steps),
            "self" => self.walk(from.to_vec(), rest, steps),
            "super" => self.walk(from[..from.len().checked_sub(1)?].to_vec(), rest, steps),
            _ if self.knows(module, first) => self.walk(from.to_vec(), names, steps),
            _ => None,
        }
    }

    fn knows(&self, module: &Module, name: &String) -> bool {
        module.children.contains(name) || module.imports.iter().any(|import| import.name == *name)
    }

    /// As [`Modules::resolve`], of names that the module at `at` has.
    fn walk(&self, at: Vec<String>, names: &[String], steps: usize) -> Option<Vec<String>> {
        let steps = steps.checked_sub(1)?;
        let Some((first, rest)) = names.split_first() else { return Some(at) };
        let module = self.0.get(&at)?;
        if first == "super" {
            return self.walk(at[..at.len().checked_sub(1)?].to_vec(), rest, steps);
        }
        let child = [&at[..], core::slice::from_ref(first)].concat();
        if self.0.contains_key(&child) {
            return self.walk(child, rest, steps);
        }
        if module.items.contains(first) {
            return Some(at);
        }
        if let Some(import) = module.imports.iter().find(|import| import.name == *first) {
            // The import may name itself: a module and a function of one name.
            let path = [&import.path[..], rest].concat();
            return if path == names { Some(at) } else { self.resolve(&at, &path, steps) };
        }
        let globs = module.imports.iter().filter(|import| import.name == "*");
        for glob in globs {
            let path = &glob.path[..glob.path.len() - 1];
            let there = self.resolve(&at, path, steps);
            if let Some(there) = there.filter(|there| self.0[there].items.contains(first)) {
                return Some(there);
            }
        }
        Some(at)
    }
}

/// The module path of a file.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let names = path.split('/').filter(|name| !matches!(*name, "mod" | "lib" | "main"));
    names.map(str::to_owned).collect()
}

/// Circles of files, each as short as it can be, from its first file on.
pub(super) fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let (mut circles, mut seen) = (Vec::new(), BTreeSet::new());
    for start in graph.keys() {
        if seen.contains(start) {
            continue;
        }
        if let Some(circle) = shortest_circle(graph, start) {
            seen.extend(circle.iter().cloned());
            circles.push(circle);
        }
    }
    circles
}

/// The shortest way from a file back to itself.
fn shortest_circle(graph: &Graph, start: &String) -> Option<Vec<String>> {
    let mut before: BTreeMap<&String, &String> = BTreeMap::new();
    let mut next = vec![start];
    while !next.is_empty() {
        let mut further = Vec::new();
        for file in next {
            for to in graph.get(file).into_iter().flatten() {
                if to == start {
                    let mut circle = vec![file.clone()];
                    while let Some(file) = before.get(&circle[circle.len() - 1]) {
                        circle.push((*file).clone());
                    }
                    circle.reverse();
                    return Some(circle);
                }
                if !before.contains_key(to) {
                    before.insert(to, file);
                    further.push(to);
                }
            }
        }
        next = further;
    }
    None
}

#[test]
fn circles_are_found_by_their_shortest_way() {
    let graph: Graph =
        [("a", vec!["b", "c"]), ("b", vec!["d"]), ("c", vec!["a"]), ("d", vec!["a"])]
            .into_iter()
            .map(|(from, to)| (from.to_owned(), to.into_iter().map(str::to_owned).collect()))
            .collect();
    assert_eq!(circles(&graph), [vec!["a", "c"], vec!["b", "d", "a"]]);
}

#[test]
fn paths_lead_through_parents_and_re_exports() {
    let files = [
        ("lib.rs", "pub mod a; mod b; pub use a::one::Item;"),
        ("a/mod.rs", "mod one; mod two; pub use one::*; use crate::Item as Named;"),
        ("a/one.rs", "use super::two::f; pub struct Item;"),
        ("a/two.rs", "use super::Named; pub fn f() { std::mem::drop(0) }"),
        ("b.rs", "use crate::a; fn g() { a::Item::new() }"),
    ];
    let mut modules = HashMap::new();
    for (file, text) in files {
        modules.extend(source::modules(file, &module_of(file), text));
    }
    let graph = Modules(modules).graph();
    let arrows: Vec<String> = graph
        .iter()
        .flat_map(|(from, to)| to.iter().map(move |to| format!("{from} > {to}")))
        .collect();
    assert_eq!(
        arrows,
        [
            "a/mod.rs > a/one.rs",
            "a/one.rs > a/two.rs",
            "a/two.rs > a/one.rs",
            "b.rs > a/mod.rs",
            "b.rs > a/one.rs"
        ]
    );
    assert_eq!(circles(&graph), [["a/one.rs", "a/two.rs"]]);
}
