//! A source file as far as imports go: its modules, items, `use` declarations and paths.

use std::collections::HashMap;

/// A module: a file's, or one inline in it.
#[derive(Default)]
pub(super) struct Module {
    /// The file it is in, under the crate's root.
    pub(super) file: String,
    /// Names of the modules directly in it.
    pub(super) children: Vec<String>,
    /// Names of its other items.
    pub(super) items: Vec<String>,
    /// Names it imports, with their paths.
    pub(super) imports: Vec<Import>,
    /// Paths in its code, of two segments or more.
    pub(super) paths: Vec<Vec<String>>,
    /// Every identifier in its code outside of `use` declarations.
    identifiers: Vec<String>,
}

/// One name of a `use` declaration; `*` imports all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) name: String,
    pub(super) path: Vec<String>,
    pub(super) public: bool,
}

impl Module {
    /// Whether the code uses an imported name: an index re-exports names that it does not use.
    pub(super) fn uses(&self, import: &Import) -> bool {
        !import.public || self.identifiers.contains(&import.name)
    }
}

/// The modules of a file by their paths; `path` is the file's own.
pub(super) fn modules(file: &str, path: &[String], text: &str) -> HashMap<Vec<String>, Module> {
    let tokens = tokens(text);
    let mut reader = Reader { tokens: &tokens, next: 0, file, modules: HashMap::new() };
    reader.module(path.to_vec());
    reader.modules
}

struct Reader<'t> {
    tokens: &'t [String],
    next: usize,
    file: &'t str,
    modules: HashMap<Vec<String>, Module>,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> &str {
        self.tokens.get(self.next + ahead).map_or("", String::as_str)
    }

    /// Reads a module's body up to the brace that closes it, or the end of the file.
    fn module(&mut self, path: Vec<String>) {
        let mut module = Module { file: self.file.to_owned(), ..Module::default() };
        let (mut depth, mut public, mut tests) = (0_usize, false, false);
        while self.next < self.tokens.len() {
            match self.peek(0) {
                "#" => {
                    tests |= self.attribute();
                    continue;
                }
                "pub" => {
                    public = true;
                    self.next += 1;
                    if self.peek(0) == "(" {
                        self.skip("(", ")");
                    }
                    continue;
                }
                "use" if self.peek(1) != "<" => {
                    self.next += 1;
                    let mut imports = Vec::new();
                    self.tree(&mut Vec::new(), public, &mut imports);
                    if !tests {
                        module.imports.append(&mut imports);
                    }
                }
                "mod" if depth == 0 => {
                    let name = self.peek(1).to_owned();
                    let inline = self.peek(2) == "{";
                    self.next += 2;
                    if inline && tests {
                        self.skip("{", "}");
                    } else {
                        module.children.push(name.clone());
                        if inline {
                            self.next += 1;
                            self.module([&path[..], &[name]].concat());
                        }
                    }
                }
                "struct" | "enum" | "trait" | "type" | "fn" | "const" | "static"
                | "macro_rules"
                    if depth == 0 =>
                {
                    self.next += 1;
                    // `const fn`, `static mut`, `macro_rules!`
                    if matches!(self.peek(0), "!" | "mut" | "fn" | "unsafe") {
                        continue;
                    }
                    module.items.push(self.peek(0).to_owned());
                    self.next += 1;
                }
                "{" => {
                    depth += 1;
                    self.next += 1;
                }
                "}" => {
                    self.next += 1;
                    let Some(outer) = depth.checked_sub(1) else { break };
                    depth = outer;
                }
                _ => self.path(&mut module),
            }
            (public, tests) = (false, false);
        }
        self.modules.insert(path, module);
    }

    /// Skips an attribute; whether it keeps the item to tests or documentation.
    fn attribute(&mut self) -> bool {
        self.next += 1 + usize::from(self.peek(1) == "!");
        let start = self.next;
        self.skip("[", "]");
        let text = self.tokens[start..self.next].concat();
        ["[cfg(test)", "[cfg(all(test,", "[cfg(doc)"].iter().any(|only| text.starts_with(only))
    }

    /// Skips a group in brackets.
    fn skip(&mut self, open: &str, close: &str) {
        let mut depth = 0_usize;
        while self.next < self.tokens.len() {
            depth += usize::from(self.peek(0) == open);
            depth -= usize::from(self.peek(0) == close);
            self.next += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// One tree of a `use` declaration after `prefix`.
    fn tree(&mut self, prefix: &mut Vec<String>, public: bool, imports: &mut Vec<Import>) {
        let length = prefix.len();
        loop {
            match self.peek(0) {
                "{" => {
                    self.next += 1;
                    while !matches!(self.peek(0), "}" | "") {
                        self.tree(prefix, public, imports);
                        self.next += usize::from(self.peek(0) == ",");
                    }
                    self.next += 1;
                    break;
                }
                "::" => self.next += 1,
                "as" => {
                    let name = self.peek(1).to_owned();
                    imports.push(Import { name, path: without_self(prefix), public });
                    self.next += 2;
                    break;
                }
                "," | ";" | "}" | "" => {
                    let path = without_self(prefix);
                    let name = path.last().cloned().unwrap_or_default();
                    imports.push(Import { name, path, public });
                    break;
                }
                segment => {
                    prefix.push(segment.to_owned());
                    self.next += 1;
                }
            }
        }
        prefix.truncate(length);
    }

    /// A path, or a token that begins none.
    fn path(&mut self, module: &mut Module) {
        let is_name = |text: &str| text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let mut path = Vec::new();
        if is_name(self.peek(0)) {
            path.push(self.peek(0).to_owned());
            while self.peek(1) == "::" && is_name(self.peek(2)) {
                path.push(self.peek(2).to_owned());
                self.next += 2;
            }
            module.identifiers.push(path[0].clone());
        }
        if path.len() > 1 {
            module.paths.push(path);
        }
        self.next += 1;
    }
}

/// The path of `a::{self}`.
fn without_self(path: &[String]) -> Vec<String> {
    match path {
        [path @ .., last] if last == "self" && !path.is_empty() => path.to_vec(),
        _ => path.to_vec(),
    }
}

/// Names, `::` and other characters, without comments, strings, characters and lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let (mut tokens, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest).or_else(|| quoted(rest)) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            tokens.push(rest[..end.unwrap_or(rest.len())].to_owned());
            end.unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// Length of a raw string that `text` begins with.
fn raw_string(text: &str) -> Option<usize> {
    let inside = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = inside.len() - inside.trim_start_matches('#').len();
    let inside = inside[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - inside.len();
    Some(inside.find(&end).map_or(text.len(), |at| start + at + end.len()))
}

/// Length of a string, a character or a lifetime's quote that `text` begins with.
fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut characters = text.char_indices().skip(1);
    if quote == '\'' {
        let mut ahead = text[1..].chars();
        let (first, second) = (ahead.next()?, ahead.next());
        if first != '\\' && second != Some('\'') {
            // A lifetime.
            let end = text[1..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
            return Some(end.map_or(text.len(), |end| end + 1));
        }
    }
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

#[test]
fn tokens_leave_out_comments_strings_and_lifetimes() {
    let text = "a::b /* c */ \"d::e\" // f\n 'g' <'h> r#\"i\"j\"# '\\'' k";
    assert_eq!(tokens(text), ["a", "::", "b", "<", ">", "k"]);
}

#[test]
fn modules_have_imports_items_and_paths() {
    let text = "
        pub use a::{self as b, c::*, d};
        #[cfg(test)] use e::f;
        mod g;
        mod h { use super::i; fn j() { k::l(); } }
        #[cfg(test)] mod tests { use m::n; }
        pub(crate) struct O { p: d }
    ";
    let modules = modules("x.rs", &["x".to_owned()], text);
    let outer = &modules[&["x".to_owned()][..]];
    let imports = outer.imports.iter().map(|import| (&import.name[..], import.path.join("::")));
    let path = |name: &'static str, path: &str| (name, path.to_owned());
    assert!(imports.eq([path("b", "a"), path("*", "a::c::*"), path("d", "a::d")]));
    assert_eq!(
        (&outer.children[..], &outer.items[..]),
        (&["g", "h"].map(String::from)[..], &["O".to_owned()][..])
    );
    assert_eq!(
        outer.imports.iter().map(|import| outer.uses(import)).collect::<Vec<_>>(),
        [false, false, true]
    );
    let inner = &modules[&["x", "h"].map(String::from)[..]];
    assert_eq!(inner.paths, [["k", "l"]]);
    assert_eq!(inner.imports.len(), 1);
}
