//! `cargo xtask docs [--check]`: the documents that the tools write themselves.
//!
//! - `docs/man/*.1`: the man page of each tool and of each of its commands
//! - `docs/schema/TOOL/RECORD.json`: the JSON Schema of each record
//! - `docs/json.md`: all records and keys with their meaning
//! - `docs/environment.md`: the variables and files of all tools, from the tables
//!   `crates/TOOL/src/environment.txt` that their man pages contain
//!
//! With `--check` nothing is written. A file that is missing, superfluous or out
//! of date fails the check, and so does a page about which `mandoc -T lint` or
//! `man --warnings` complains.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use support::TaskResult;
use support::exec::{Exec, which};
use support::workspace::{Bins, Profile, TOOLS, root};

use crate::USAGE;

/// Directories that hold nothing else.
const GENERATED: [&str; 2] = ["docs/man", "docs/schema"];

/// Contents of the generated files by path, relative to the root.
type Files = BTreeMap<PathBuf, String>;

/// Writes or checks all generated documents.
pub(crate) fn run(args: &[String]) -> TaskResult {
    let check = match args {
        [] => false,
        [arg] if arg == "--check" => true,
        _ => return Err(format!("docs takes --check\n{USAGE}")),
    };
    let bins = Bins::build(Profile::Dev)?;
    let mut files = Files::new();
    let mut reference = INTRODUCTION.to_owned();
    for tool in TOOLS {
        for (name, page) in man_pages(&bins, tool)? {
            files.insert(format!("docs/man/{name}").into(), page);
        }
        let schema = generated(&bins, tool, &[], "schema")?;
        let schema: Value =
            serde_json::from_str(&schema).map_err(|error| format!("schema of {tool}: {error}"))?;
        schema_files(tool, &schema, &mut files)?;
        describe(tool, &schema, &mut reference)?;
    }
    files.insert("docs/json.md".into(), reference);
    files.insert("docs/environment.md".into(), environment()?);
    let stale = stale(&files)?;
    if check {
        return match stale.as_slice() {
            [] => lint(&files),
            stale => Err(format!(
                "out of date, run `cargo xtask docs`:\n  {}",
                stale.join("\n  ")
            )),
        };
    }
    for dir in GENERATED.map(|dir| root().join(dir)) {
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
    }
    for (path, text) in &files {
        let path = root().join(path);
        let fail = |error| format!("{}: {error}", path.display());
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(fail)?;
        }
        fs::write(&path, text).map_err(fail)?;
    }
    eprintln!("docs: {} files, {} changed", files.len(), stale.len());
    Ok(())
}

/// Returns the text of `docs/environment.md`.
fn environment() -> TaskResult<String> {
    let mut text = "# Environment variables and files\n".to_owned();
    for (kind, heading) in [("env", "variable"), ("file", "file")] {
        // Lines that several tools have, in the order of their first tool.
        let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
        for tool in TOOLS {
            let path = root().join(format!("crates/{tool}/src/environment.txt"));
            let table = fs::read_to_string(&path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            let lines = table.lines().filter_map(|line| line.strip_prefix(kind));
            for line in lines.map(str::trim) {
                match rows.iter_mut().find(|(row, _)| row == line) {
                    Some((_, tools)) => tools.push(tool),
                    None => rows.push((line.to_owned(), vec![tool])),
                }
            }
        }
        let _ = write!(text, "\n| {heading} | tools | meaning |\n|---|---|---|\n");
        for (row, tools) in rows {
            let (names, meaning) = row
                .split_once(": ")
                .ok_or_else(|| format!("environment.txt: no colon: {row}"))?;
            let names: Vec<_> = names.split(", ").map(|name| format!("`{name}`")).collect();
            let tools = match tools.len() {
                count if count == TOOLS.len() => "all".to_owned(),
                _ => tools
                    .iter()
                    .map(|tool| format!("`{tool}`"))
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            let _ = writeln!(text, "| {} | {tools} | {meaning} |", names.join(", "));
        }
    }
    text.push_str(
        "\nOptions take precedence over variables. The tools read no other variables. None of \
         them has a\nconfiguration file.\n",
    );
    Ok(text)
}

const INTRODUCTION: &str = "\
# JSON records

`-j`, `--json` turns the standard output of a tool into JSON Lines: one object
per line, its first key `type`. This page lists all records and their keys. It is
generated from the schemas in [schema/](schema), which `TOOL --generate schema`
prints, too. Every key is present in every record of its type; a key marked
with *null* has the value null if there is nothing to say.

- Numbers are numbers. Durations are milliseconds, in keys that end with `_ms`.
  Sizes are bytes. An integer that can exceed 2^53 is a string.
- `time` is RFC 3339 in UTC, with microseconds.
- Control characters and bidirectional controls are escaped.
- Keys and record types are only ever added: ignore those you do not know.

The `kind` of an error decides the exit status of the tool:

| kinds | status |
|---|---|
| `mismatch` `size` `missing` | 1 |
| `usage` `input` `permission` `system` | 2 |
| `name` `unreachable` `refused` `reset` `timeout` `tls` `protocol` `server` | 3 |
";

/// Returns the output of `TOOL [COMMAND] --generate KIND`.
pub(crate) fn generated(
    bins: &Bins,
    tool: &str,
    command: &[&str],
    kind: &str,
) -> TaskResult<String> {
    let args = [command, &["--generate", kind]].concat();
    let text = Exec::new(bins.tool(tool), args).text()?;
    if text.is_empty() {
        return Err(format!("`{tool} --generate {kind}` prints nothing"));
    }
    Ok(text)
}

/// Returns the man page of a tool and those of its commands, which it lists, with
/// their file names.
pub(crate) fn man_pages(bins: &Bins, tool: &str) -> TaskResult<Vec<(String, String)>> {
    let page = generated(bins, tool, &[], "man")?;
    let prefix = format!("\\fB{}\\-", tool.replace('-', "\\-"));
    let mut pages = Vec::new();
    for line in page.lines() {
        let command = line.strip_prefix(&prefix);
        if let Some(command) = command.and_then(|rest| rest.strip_suffix("\\fR(1)")) {
            let text = generated(bins, tool, &[command], "man")?;
            pages.push((format!("{tool}-{command}.1"), text));
        }
    }
    pages.push((format!("{tool}.1"), page));
    Ok(pages)
}

/// Adds a file for each record of a tool.
fn schema_files(tool: &str, schema: &Value, files: &mut Files) -> TaskResult {
    for (name, definition) in definitions(schema) {
        let mut file = Map::new();
        file.insert("$schema".to_owned(), schema["$schema"].clone());
        file.insert("title".to_owned(), json!(format!("{tool} --json: {name}")));
        file.extend(definition.as_object().cloned().unwrap_or_default());
        let text = serde_json::to_string_pretty(&file).map_err(|error| error.to_string())?;
        files.insert(
            format!("docs/schema/{tool}/{name}.json").into(),
            text + "\n",
        );
    }
    Ok(())
}

/// The definitions in the order of the tool's table.
fn definitions(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let references = schema["oneOf"].as_array().into_iter().flatten();
    references
        .filter_map(|reference| reference["$ref"].as_str()?.strip_prefix("#/$defs/"))
        .map(|name| (name, &schema["$defs"][name]))
}

/// Appends the records of a tool as tables.
fn describe(tool: &str, schema: &Value, page: &mut String) -> TaskResult {
    let fail = |error: std::fmt::Error| error.to_string();
    write!(page, "\n## {tool}\n").map_err(fail)?;
    for (name, definition) in definitions(schema) {
        let about = definition["description"].as_str().unwrap_or_default();
        write!(page, "\n### {tool}: {name}\n\n{about}\n\n").map_err(fail)?;
        page.push_str("| key | type | meaning |\n|---|---|---|\n");
        rows(definition, "", page).map_err(fail)?;
    }
    Ok(())
}

/// Appends a row for each key, and for the keys of nested objects.
fn rows(definition: &Value, path: &str, page: &mut String) -> std::fmt::Result {
    let names = definition["required"].as_array().into_iter().flatten();
    let properties = definition["properties"].as_object();
    let listed: Vec<&str> = names.filter_map(Value::as_str).collect();
    let others = properties.into_iter().flat_map(Map::keys);
    let others = others
        .map(String::as_str)
        .filter(|name| !listed.contains(name));
    for name in listed.iter().copied().chain(others) {
        let property = &definition["properties"][name];
        if property.get("const").is_some() {
            continue;
        }
        let about = property["description"].as_str().unwrap_or_default();
        writeln!(page, "| `{path}{name}` | {} | {about} |", kind(property))?;
        if property["properties"].is_object() {
            rows(property, &format!("{path}{name}."), page)?;
        } else if property["items"]["properties"].is_object() {
            rows(&property["items"], &format!("{path}{name}[]."), page)?;
        }
    }
    Ok(())
}

/// Returns the type of a key in words.
fn kind(property: &Value) -> String {
    if let Some(values) = property["enum"].as_array() {
        let values: Vec<String> = values
            .iter()
            .map(|value| {
                value
                    .as_str()
                    .map_or_else(|| "null".to_owned(), |text| format!("`{text}`"))
            })
            .collect();
        return values.join(", ");
    }
    let item = match property["items"]["type"].as_str() {
        Some("array") => " of pairs",
        Some("object") => " of objects",
        Some(_) => " of strings",
        None => "",
    };
    match &property["type"] {
        Value::String(name) => format!("{name}{item}"),
        Value::Array(names) => {
            let name = names.first().and_then(Value::as_str).unwrap_or_default();
            format!("{name}{item}, *null*")
        }
        _ => "any value, *null*".to_owned(),
    }
}

/// Has the two formatters check the man pages that are in the tree. A missing
/// formatter is an error with CI=true.
fn lint(files: &Files) -> TaskResult {
    let pages = files.keys().filter(|path| path.starts_with("docs/man"));
    let pages: Vec<String> = pages.map(|path| path.display().to_string()).collect();
    for (program, options) in [
        ("mandoc", &["-T", "lint"][..]),
        ("man", &["--warnings", "--local-file"]),
    ] {
        if which(program).is_none() {
            let message = format!("{program} is not installed, so the man pages are not checked");
            if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
                return Err(message);
            }
            eprintln!("SKIPPED {message}");
            continue;
        }
        for page in &pages {
            let args = options.iter().copied().chain([page.as_str()]);
            let output = Exec::new(program, args).cwd(&root()).run()?;
            let lint = if program == "mandoc" {
                &output.stdout
            } else {
                &output.stderr
            };
            if !lint.is_empty() {
                return Err(format!(
                    "{program}: {page}: {}",
                    String::from_utf8_lossy(lint)
                ));
            }
        }
    }
    Ok(())
}

/// Returns the files that differ, are missing, or should not be there.
fn stale(files: &Files) -> TaskResult<Vec<String>> {
    let mut stale = Vec::new();
    for (path, text) in files {
        if fs::read_to_string(root().join(path)).ok().as_ref() != Some(text) {
            stale.push(path.display().to_string());
        }
    }
    for dir in GENERATED {
        find_unknown(&root().join(dir), files, &mut stale)?;
    }
    Ok(stale)
}

fn find_unknown(dir: &Path, files: &Files, found: &mut Vec<String>) -> TaskResult {
    if !dir.exists() {
        return Ok(());
    }
    let fail = |error: std::io::Error| format!("{}: {error}", dir.display());
    for entry in fs::read_dir(dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let relative = path.strip_prefix(root()).unwrap_or(&path);
        if path.is_dir() {
            find_unknown(&path, files, found)?;
        } else if !files.contains_key(relative) {
            found.push(relative.display().to_string());
        }
    }
    Ok(())
}
