//! The source files that belong to a crate when its tests run, without the tests.

use std::path::{Path, PathBuf};

use support::TaskResult;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Item, Lit, Meta, MetaNameValue, Token};

use super::package::FUZZING;
use super::read;

/// The file with the entry points of the fuzz targets in a crate that compiles it
/// without the feature.
const FUZZ_FILE: &str = "fuzz.rs";

/// Returns the root file of a crate and the files of its modules, in order.
pub(super) fn files(root: &Path) -> TaskResult<Vec<PathBuf>> {
    let mut found = Vec::new();
    let dir = root.parent().unwrap_or(root).to_path_buf();
    let mut pending = vec![(root.to_path_buf(), dir)];
    while let Some((file, children)) = pending.pop() {
        let syntax = syn::parse_file(&read(&file)?)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        for item in &syntax.items {
            let Item::Mod(module) = item else { continue };
            if module.content.is_some() || !is_compiled(&module.attrs) {
                continue;
            }
            let name = module.ident.to_string();
            let path = module
                .attrs
                .iter()
                .find_map(|attribute| path_of(&attribute.meta));
            let beside = children.join(format!("{name}.rs"));
            pending.push(if let Some(path) = path {
                let dir = file.parent().unwrap_or(&children);
                let file = dir.join(path);
                let dir = file.parent().unwrap_or(dir).to_path_buf();
                (file, dir)
            } else if beside.exists() {
                (beside, children.join(name))
            } else {
                let dir = children.join(name);
                (dir.join("mod.rs"), dir)
            });
        }
        if !file.ends_with(FUZZ_FILE) {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether code with these attributes is compiled on this system outside of tests,
/// with all features but the one for fuzzing.
pub(super) fn is_compiled(attributes: &[Attribute]) -> bool {
    let mut conditions = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"));
    conditions.all(|condition| condition.parse_args().is_ok_and(|meta| holds(&meta)))
}

/// Evaluates the condition of a `cfg`; an unknown one does not hold.
fn holds(meta: &Meta) -> bool {
    match meta {
        Meta::Path(path) => path.is_ident("unix"),
        Meta::NameValue(pair) => {
            let value = text(pair).unwrap_or_default();
            let key = pair.path.get_ident().map(ToString::to_string);
            match key.as_deref() {
                Some("feature") => value != FUZZING,
                Some("target_os") => value == std::env::consts::OS,
                Some("target_env") => value == "gnu" && cfg!(target_env = "gnu"),
                Some("target_vendor") => value == "apple" && cfg!(target_vendor = "apple"),
                _ => false,
            }
        }
        Meta::List(list) => {
            let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
            let mut parts = parts.iter().flatten();
            match list.path.get_ident().map(ToString::to_string).as_deref() {
                Some("all") => parts.all(holds),
                Some("any") => parts.any(holds),
                Some("not") => !parts.any(holds),
                _ => false,
            }
        }
    }
}

/// Returns the file of `path = "file"`, also within a `cfg_attr` that applies.
fn path_of(meta: &Meta) -> Option<String> {
    match meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => text(pair),
        Meta::List(list) if list.path.is_ident("cfg_attr") => {
            let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
            let parts = parts.ok()?;
            let mut parts = parts.iter();
            parts.next().filter(|condition| holds(condition))?;
            parts.find_map(path_of)
        }
        _ => None,
    }
}

/// Returns the string of `key = "string"`.
fn text(pair: &MetaNameValue) -> Option<String> {
    match &pair.value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn files_of_compiled_modules_are_found() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::create_dir_all(dir.path().join("e")).unwrap();
        for (name, text) in [
            (
                "lib.rs",
                "mod a;\npub mod fuzz;\n#[cfg(test)]\nmod tests;\n#[cfg(feature = \"fuzzing\")]\nmod fuzzing;\n\
                 #[path = \"other.rs\"]\nmod d;\n#[cfg(not(unix))]\nmod windows;\n\
                 #[cfg_attr(not(unix), path = \"no.rs\")]\n#[cfg_attr(unix, path = \"e/unix.rs\")]\nmod e;\n",
            ),
            ("a.rs", "mod b;\n"),
            ("a/b/mod.rs", "mod c;\nmod inline {}\n"),
            ("a/b/c.rs", ""),
            ("other.rs", ""),
            ("e/unix.rs", ""),
            ("fuzz.rs", ""),
            ("tests.rs", ""),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let found = files(&dir.path().join("lib.rs")).unwrap();
        let names = found
            .iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap());
        let expected = [
            "a/b/c.rs",
            "a/b/mod.rs",
            "a.rs",
            "e/unix.rs",
            "lib.rs",
            "other.rs",
        ];
        assert!(names.eq(expected.map(Path::new)), "{found:?}");
    }

    #[test]
    fn conditions_are_evaluated() {
        for (condition, expected) in [
            ("unix", true),
            ("test", false),
            ("not(test)", true),
            ("feature = \"tls\"", true),
            ("feature = \"fuzzing\"", false),
            ("any(test, feature = \"fuzzing\")", false),
            ("all(unix, not(portable_batches))", true),
            ("all(unix, test)", false),
            ("target_os = \"plan9\"", false),
        ] {
            let text = format!("#[cfg({condition})] mod a {{}}");
            let Item::Mod(module) = syn::parse_str(&text).unwrap() else {
                panic!("{text}");
            };
            assert_eq!(is_compiled(&module.attrs), expected, "{condition}");
        }
    }
}
