//! Import cycles between the modules of a crate.
//!
//! A module imports another if a `use` declaration or a path in its code names
//! it by `crate::`, `super::` or `self::`, or names a child module. Test modules
//! do not count, nor does an import between a module and one of its descendants,
//! which are one unit. [`find`] returns the strongly connected components of this
//! graph that have more than one module (Tarjan's algorithm).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;
use support::TaskResult;

/// A module by its path below the crate, as in `["engine", "udp"]`; the crate
/// itself is the empty path.
type Module = Vec<String>;

/// The modules that each module imports.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

/// Returns the cycles of a crate, each as a list of its modules. `files` are
/// the names of the source files below `src` with their text.
pub(super) fn find(files: &[(String, String)]) -> TaskResult<Vec<Vec<String>>> {
    let modules: BTreeMap<Module, &str> = files
        .iter()
        .map(|(name, text)| (module(name), text.as_str()))
        .filter(|(module, _)| !is_test(module))
        .collect();
    let patterns = Patterns::new()?;
    let imports: Imports = modules
        .iter()
        .map(|(module, text)| (module.clone(), patterns.imports(module, text, &modules)))
        .collect();
    let mut search = Search::default();
    for module in imports.keys() {
        if !search.indices.contains_key(module) {
            search.visit(module, &imports);
        }
    }
    let names = |cycle: Vec<Module>| cycle.iter().map(|module| module.join("::")).collect();
    Ok(search.cycles.into_iter().map(names).collect())
}

/// Returns the module of a file: `engine/mod.rs` and `engine.rs` are `engine`.
fn module(file: &str) -> Module {
    let path = Path::new(file).with_extension("");
    let mut parts: Module = path
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if parts
        .last()
        .is_some_and(|last| last == "mod" || last == "lib" || last == "main")
    {
        parts.pop();
    }
    parts
}

fn is_test(module: &Module) -> bool {
    module
        .iter()
        .any(|part| part == "tests" || part.ends_with("_tests") || part == "fuzzing")
}

struct Patterns {
    comment: Regex,
    declaration: Regex,
    path: Regex,
}

impl Patterns {
    fn new() -> TaskResult<Self> {
        let compile = |pattern: &str| Regex::new(pattern).map_err(|error| error.to_string());
        Ok(Self {
            comment: compile(r"//[^\n]*")?,
            declaration: compile(r"(?s)\buse\s+([^;]+);")?,
            path: compile(r"\b(?:crate|super)(?:::\w+)+")?,
        })
    }

    /// Returns the modules that `text`, the source of `module`, imports.
    fn imports(
        &self,
        module: &Module,
        text: &str,
        modules: &BTreeMap<Module, &str>,
    ) -> BTreeSet<Module> {
        let text = self.comment.replace_all(text, "");
        let code = text
            .split_once("#[cfg(test)]\nmod tests {")
            .map_or(&*text, |(code, _)| code);
        let mut paths = Vec::new();
        for declaration in self.declaration.captures_iter(code) {
            expand(&[], &declaration[1], &mut paths);
        }
        for path in self.path.find_iter(code) {
            paths.push(path.as_str().split("::").map(str::to_owned).collect());
        }
        let mut imports = BTreeSet::new();
        for path in paths {
            if let Some(target) = resolve(module, &path, modules)
                && !target.starts_with(module)
                && !module.starts_with(&target)
            {
                imports.insert(target);
            }
        }
        imports
    }
}

/// Adds the paths of a `use` tree such as `a::{b, c::{d, e}}`.
fn expand(prefix: &[String], tree: &str, paths: &mut Vec<Module>) {
    let (head, group) = match tree.split_once('{') {
        Some((head, rest)) => (head, rest.rsplit_once('}').map(|(group, _)| group)),
        None => (tree, None),
    };
    let segments = head
        .split("::")
        .map(|segment| segment.split_whitespace().next().unwrap_or_default())
        .filter(|segment| !segment.is_empty())
        .map(str::to_owned);
    let path: Module = prefix.iter().cloned().chain(segments).collect();
    let Some(group) = group else {
        paths.push(path);
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&path, &group[start..at], paths);
                start = (at + 1).min(group.len());
            }
            _ => {}
        }
    }
}

/// Returns the module that a path names, or that has the item it names.
fn resolve(module: &Module, path: &[String], modules: &BTreeMap<Module, &str>) -> Option<Module> {
    let mut base = module.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => {
            base.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|segment| segment == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        child => {
            base.push(child.to_owned());
            if !modules.contains_key(&base) {
                return None;
            }
            rest = &rest[1..];
        }
    }
    let full: Module = base.iter().chain(rest).cloned().collect();
    (0..=full.len())
        .rev()
        .map(|length| full[..length].to_vec())
        .find(|module| modules.contains_key(module))
}

/// The state of Tarjan's algorithm.
#[derive(Default)]
struct Search {
    indices: BTreeMap<Module, usize>,
    lowest: BTreeMap<Module, usize>,
    stack: Vec<Module>,
    cycles: Vec<Vec<Module>>,
}

impl Search {
    fn visit(&mut self, module: &Module, imports: &Imports) {
        let index = self.indices.len();
        self.indices.insert(module.clone(), index);
        self.lowest.insert(module.clone(), index);
        self.stack.push(module.clone());
        for other in &imports[module] {
            if !imports.contains_key(other) {
                continue;
            }
            if !self.indices.contains_key(other) {
                self.visit(other, imports);
                self.lower(module, self.lowest[other]);
            } else if self.stack.contains(other) {
                self.lower(module, self.indices[other]);
            }
        }
        if self.lowest[module] == index {
            let start = self.stack.iter().position(|other| other == module);
            let cycle = self.stack.split_off(start.unwrap_or_default());
            if cycle.len() > 1 {
                self.cycles.push(cycle);
            }
        }
    }

    fn lower(&mut self, module: &Module, index: usize) {
        if let Some(lowest) = self.lowest.get_mut(module) {
            *lowest = index.min(*lowest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::find;

    fn cycles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let own = |&(name, text): &(&str, &str)| (name.to_owned(), text.to_owned());
        find(&files.iter().map(own).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_cycle_is_found() {
        let found = cycles(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::{self, Thing};"),
            (
                "b/mod.rs",
                "mod c;\nuse c::Other;\nfn f() { crate::d::g() }",
            ),
            ("b/c.rs", "use super::Thing;"),
            ("d.rs", "use {crate::a::x, std::fmt};"),
        ]);
        assert_eq!(found, [["a", "b", "d"]]);
    }

    #[test]
    fn tests_and_comments_make_no_cycle() {
        let found = cycles(&[
            ("a.rs", "use super::b::x;"),
            (
                "b.rs",
                "// crate::a\n#[cfg(test)]\nmod tests {\n use crate::a;\n}\n",
            ),
        ]);
        assert_eq!(found, Vec::<Vec<String>>::new());
    }
}
