//! The top-level modules of the crate import each other without circles.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Imports of each module: the imported module and a file that imports it.
type Imports = BTreeMap<String, BTreeMap<String, PathBuf>>;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The code of a file without comments and without its tests, which stand at its end.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source is text");
    let tests = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..tests].lines();
    let code: Vec<&str> = lines
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect();
    code.join("\n")
}

/// The files of modules that only tests have.
fn test_files(sources: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for path in sources {
        let text = fs::read_to_string(path).expect("a source is text");
        let folder = match path.file_name().and_then(|name| name.to_str()) {
            Some("mod.rs" | "lib.rs") => path.with_file_name(""),
            _ => path.with_extension(""),
        };
        for rest in text.split("#[cfg(test)]\nmod ").skip(1) {
            if let Some((name, _)) = rest.split_once(';') {
                files.insert(folder.join(format!("{name}.rs")));
            }
        }
    }
    files
}

/// The names after each `crate::`, also in `crate::{a, b::c}`.
fn imported(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut names = BTreeSet::new();
    for (place, _) in code.match_indices("crate::") {
        let rest = &code[place + "crate::".len()..];
        match rest.strip_prefix('{').and_then(|list| list.split_once('}')) {
            Some((list, _)) => names.extend(list.split(',').map(|name| word(name.trim()))),
            None => _ = names.insert(word(rest)),
        }
    }
    names
}

fn imports() -> Imports {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut imports = Imports::new();
    let sources = sources(&root);
    let tests = test_files(&sources);
    for path in sources {
        let relative = path.strip_prefix(&root).expect("it is inside");
        let is_test = tests.contains(&path);
        let first = relative.iter().next().expect("a name");
        let module = first.to_string_lossy().trim_end_matches(".rs").to_owned();
        if is_test || ["lib", "main"].contains(&&*module) {
            continue;
        }
        let names = imported(&code(&path));
        let entry = imports.entry(module.clone()).or_default();
        for name in names.into_iter().filter(|name| *name != module) {
            entry.entry(name).or_insert_with(|| relative.to_path_buf());
        }
    }
    imports
}

/// The shortest path of imports from a module back to itself.
fn circle(imports: &Imports, start: &str) -> Option<Vec<String>> {
    let mut paths = vec![vec![start.to_owned()]];
    let mut seen = BTreeSet::new();
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in paths {
            for name in path.last().and_then(|last| imports.get(last))?.keys() {
                if name == start {
                    return Some(path);
                }
                if imports.contains_key(name) && seen.insert(name.clone()) {
                    longer.push(path.iter().chain([name]).cloned().collect());
                }
            }
        }
        paths = longer;
    }
    None
}

#[test]
fn modules_import_each_other_without_circles() {
    let imports = imports();
    assert!(
        imports.len() > 30,
        "modules are found: {:?}",
        imports.keys()
    );
    assert!(imports["cli"].contains_key("error"), "imports are found");
    let Some(circle) = imports.keys().find_map(|start| circle(&imports, start)) else {
        return;
    };
    let steps: Vec<String> = circle
        .iter()
        .zip(circle.iter().cycle().skip(1))
        .map(|(from, to)| format!("{from} imports {to} in src/{}", imports[from][to].display()))
        .collect();
    panic!("a circle of imports:\n{}", steps.join("\n"));
}
