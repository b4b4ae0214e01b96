//! Completions, tried in the shells themselves.
//!
//! bash and fish have commands that print completions. zsh completes only in a
//! line editor, so a second zsh runs in its pseudo-terminal module, types the
//! line and prints what the editor shows.

use std::fs;
use std::path::Path;

use support::TaskResult;
use support::exec::Exec;
use support::workspace::TOOLS;

use super::Context;

/// A command line that ends where TAB is pressed, a word that must be offered, and
/// one that must not.
const CASES: [(&str, &str, &str); 7] = [
    ("subnetcalc agg", "aggregate", "--json"),
    ("subnetcalc split --pre", "--prefix", "--in"),
    ("subnetcalc aggregate --max-c", "--max-count", "--json"),
    ("ping --until", "--until-up", "--count"),
    ("resolve --color a", "always", "never"),
    ("resolve -t M", "MX", "A"),
    ("httpget --connect-t", "--connect-timeout", "--cert"),
];

/// Tries the cases in bash.
pub(super) fn bash(context: &Context) -> TaskResult<String> {
    let dir = scripts(context, "bash", str::to_owned)?;
    check("bash", |line| {
        let words: Vec<&str> = line.split(' ').collect();
        let tool = words[0];
        let previous = words[words.len() - 2];
        let last = words[words.len() - 1];
        let script = format!(
            "source '{}/{tool}'\nCOMP_WORDS=({line})\nCOMP_CWORD={}\nCOMP_LINE='{line}'\n\
             function=$(complete -p {tool} | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n\
             $function {tool} '{last}' '{previous}'\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            dir.path().display(),
            words.len() - 1
        );
        Exec::new("bash", ["-c", &script]).text()
    })
}

/// Tries the cases in fish.
pub(super) fn fish(context: &Context) -> TaskResult<String> {
    let dir = scripts(context, "fish", |tool| format!("{tool}.fish"))?;
    check("fish", |line| {
        let tool = line.split(' ').next().unwrap_or_default();
        let file = dir.path().join(format!("{tool}.fish"));
        let script = format!("source '{}'; complete -C '{line}'", file.display());
        Exec::new("fish", ["--no-config", "-c", &script])
            .env("PATH", context.bins.path()?)
            .text()
    })
}

/// Tries the cases in zsh.
pub(super) fn zsh(context: &Context) -> TaskResult<String> {
    let dir = scripts(context, "zsh", |tool| format!("_{tool}"))?;
    check("zsh", |line| {
        Exec::new("zsh", ["-f", "-c", ZSH, "zsh", line])
            .env("FUNCTIONS", dir.path())
            .env("PATH", context.bins.path()?)
            .env("TERM", "dumb")
            .text()
    })
}

/// Types the line of its argument in an interactive zsh and prints the list of
/// completions.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1='RE''ADY> '; fpath=($FUNCTIONS \$fpath); autoload -U compinit; compinit -u -D"
zpty -w shell "zstyle ':completion:*' insert-unambiguous false; setopt no_menu_complete"
zpty -w shell "unsetopt list_beep list_ambiguous; LISTMAX=1000; print SET''UP"
zpty -r shell output '*SETUP*READY> *'
zpty -w -n shell "$1"$'\t'
zpty -w -n shell $'\C-u'
zpty -w shell "print DO''NE"
zpty -r shell output '*DONE*'
print -r -- "$output"
zpty -d shell
"#;

/// Writes the completion scripts of a shell into a directory.
fn scripts(
    context: &Context,
    shell: &str,
    name: fn(&str) -> String,
) -> TaskResult<tempfile::TempDir> {
    let dir = support::workspace::scratch()?;
    for tool in TOOLS {
        let script = Exec::new(context.bins.tool(tool), ["--generate", shell]).text()?;
        write(&dir.path().join(name(tool)), &script)?;
    }
    Ok(dir)
}

fn write(path: &Path, text: &str) -> TaskResult {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Checks all cases with `complete`, which returns the words that are offered.
fn check(shell: &str, complete: impl Fn(&str) -> TaskResult<String>) -> TaskResult<String> {
    for (line, wanted, unwanted) in CASES {
        let offered = complete(line)?;
        // zsh appends the sign between an option and its value.
        let words = offered.split_whitespace();
        let words: Vec<&str> = words.map(|word| word.trim_end_matches('=')).collect();
        if !words.contains(&wanted) {
            return Err(format!(
                "{shell}: `{line}` does not offer {wanted}: {offered}"
            ));
        }
        if words.contains(&unwanted) {
            return Err(format!("{shell}: `{line}` offers {unwanted}: {offered}"));
        }
    }
    Ok(format!("{} command lines", CASES.len()))
}
