//! The headers declare what the libraries define: every function with its types, every structure with its fields.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Types by name: a function's result and arguments, a structure's fields.
type Declarations = BTreeMap<String, Vec<String>>;

/// The C type of a Rust one.
fn c_type(rust: &str) -> String {
    let rust = rust.trim();
    for (prefix, constant) in [("*mut ", ""), ("*const ", "const ")] {
        if let Some(target) = rust.strip_prefix(prefix) {
            // An array behind a pointer is its first element's.
            let target = target
                .strip_prefix('[')
                .and_then(|array| array.split(';').next())
                .unwrap_or(target);
            return format!("{constant}{}*", c_type(target));
        }
    }
    if let Some(inner) = rust.strip_prefix("Option<") {
        return c_type(inner.trim_end_matches('>'));
    }
    if let Some(array) = rust.strip_prefix('[') {
        return c_type(array.split(';').next().unwrap());
    }
    let known = match rust {
        "u8" => "uint8_t",
        "u32" => "uint32_t",
        "u64" => "uint64_t",
        "usize" => "size_t",
        "f32" => "float",
        "f64" => "double",
        "c_char" => "char",
        "c_int" => "int",
        "c_void" => "void",
        "Status" => "var_status",
        "Parallel" => "var_parallel",
        "OnScale" => "var_on_scale",
        "" | "!" => "void",
        own => {
            let words =
                own.char_indices().map(|(at, letter)| match letter.is_uppercase() && at > 0 {
                    true => format!("_{}", letter.to_ascii_lowercase()),
                    false => letter.to_ascii_lowercase().to_string(),
                });
            return words.collect();
        }
    };
    known.to_owned()
}

/// Type of each `name: type`.
fn rust_types(list: &str) -> Vec<String> {
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(|entry| c_type(entry.split_once(": ").expect("a name and a type").1)).collect()
}

/// Source without comments and attributes, each run of white space one blank.
fn plain(source: &str) -> String {
    let lines = source.lines().map(|line| line.split("//").next().unwrap().trim());
    let lines = lines.filter(|line| !line.starts_with("#["));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// Functions, and each structure's fields as they are written.
fn defined(folders: &[&Path]) -> (Declarations, BTreeMap<String, String>) {
    let (mut functions, mut structures) = (Declarations::new(), BTreeMap::new());
    for folder in folders {
        for entry in fs::read_dir(folder).unwrap() {
            let source = plain(&fs::read_to_string(entry.unwrap().path()).unwrap());
            for text in source.split("extern \"C\" fn ").skip(1) {
                let (name, rest) = text.split_once('(').unwrap();
                if !name.starts_with("var_") {
                    continue;
                }
                let (arguments, rest) = rest.split_once(')').unwrap();
                let result = rest.split_once('{').unwrap().0.replace("->", "");
                let types = [vec![c_type(&result)], rust_types(arguments)].concat();
                functions.insert(name.to_owned(), types);
            }
            for text in source.split("pub struct Var").skip(1) {
                let (name, rest) = text.split_once(" {").unwrap();
                let fields = rest.split_once('}').unwrap().0;
                let fields = fields.replace("pub(crate) ", "").replace("pub ", "");
                structures.insert(c_type(&format!("Var{name}")), fields);
            }
        }
    }
    (functions, structures)
}

/// A C type and, perhaps, a name: the type.
fn unnamed(declaration: &str) -> String {
    let text = declaration.trim();
    let array = text.contains('[') && !text.starts_with("char text");
    let text = text.split('[').next().unwrap();
    let end = text.rfind(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(0);
    // Without a name there is nothing after the type but a star, or the type is one word.
    let kept = if end == 0 { text } else { &text[..=end] };
    let kept = kept.replace(" *", "*").trim().to_owned();
    if array { kept + "*" } else { kept }
}

fn declared(path: &Path) -> (Declarations, Declarations) {
    let text = fs::read_to_string(path).unwrap();
    let mut plain = String::new();
    for (number, part) in text.split("/*").enumerate() {
        plain += if number == 0 { part } else { part.split_once("*/").unwrap().1 };
    }
    let lines = plain.lines().filter(|line| !line.starts_with('#'));
    let plain = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    let plain = plain.replace("extern \"C\" {", "");
    let (mut functions, mut structures) = (Declarations::new(), Declarations::new());
    for text in plain.split("typedef struct ").skip(1) {
        let Some((name, rest)) = text.split_once(" {").filter(|(name, _)| !name.contains(';'))
        else {
            continue;
        };
        let fields = rest.split_once('}').unwrap().0.split(';').map(str::trim);
        let fields = fields.filter(|field| !field.is_empty()).map(unnamed).collect();
        structures.insert(name.to_owned(), fields);
    }
    for statement in plain.split(';') {
        let statement = statement.trim();
        let Some((start, arguments)) = statement.split_once('(') else { continue };
        if statement.contains("typedef") || !arguments.ends_with(')') {
            continue;
        }
        let name = start.rsplit([' ', '*']).next().unwrap();
        let result = start[..start.len() - name.len()].replace(" *", "*").trim().to_owned();
        let arguments = arguments.trim_end_matches(')');
        let arguments = arguments.split(',').filter(|argument| *argument != "void").map(unnamed);
        functions.insert(name.to_owned(), [result].into_iter().chain(arguments).collect());
    }
    (functions, structures)
}

#[test]
fn headers_declare_what_the_libraries_define() {
    let package = super::package();
    let (functions, structures) = defined(&[&package.join("src"), &package.join("abi/src")]);
    let (declared_functions, declared_structures) = declared(&package.join("varimage.h"));
    assert!(functions.len() > 20 && structures.len() > 3, "{functions:?} {structures:?}");
    assert_eq!(declared_functions, functions);
    for (name, fields) in &declared_structures {
        assert_eq!(
            structures.get(name).map(|own| rust_types(own)).as_ref(),
            Some(fields),
            "{name}"
        );
    }

    let (functions, structures) = defined(&[&package.join("core/src")]);
    let (mut declared_functions, declared_structures) =
        declared(&package.join("core/varimage_core.h"));
    assert!(declared_functions.remove("var_core_panic").is_some(), "the program's");
    assert!(functions.len() > 7, "{functions:?}");
    assert_eq!(declared_functions, functions);
    for (name, fields) in &declared_structures {
        assert_eq!(
            structures.get(name).map(|own| rust_types(own)).as_ref(),
            Some(fields),
            "{name}"
        );
    }
}

#[test]
fn header_has_the_version_of_the_package() {
    let text = fs::read_to_string(super::package().join("varimage.h")).unwrap();
    let part = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("#define VAR_VERSION_{name} ")));
        line.expect("a macro for each part").to_owned()
    };
    let parts = ["MAJOR", "MINOR", "PATCH"].map(part);
    assert_eq!(parts.join("."), env!("CARGO_PKG_VERSION"));
}
