//! Plain English: counts turns of phrase that this project once overused.
//!
//! [`prose`] extracts the text that people read: comments and string literals
//! of a Rust file, paragraphs of a Markdown file. Each expression of
//! [`MANNERISMS`] is matched against every line of it, in lower case, at most
//! once per line. A mannerism fails the check if its matches per 1,000 lines
//! exceed its limit. A word of [`RETIRED`] fails the check wherever it occurs.
//! Doc comments of fewer than [`DOC_WORDS`] words are counted, too, except in
//! the definitions of options, where they are the help text.

use std::path::Path;

use regex::Regex;
use support::TaskResult;

/// The least number of words in a doc comment.
const DOC_WORDS: usize = 4;
/// Doc comments with fewer words that are accepted.
const SHORT_DOCS: usize = 0;

/// A turn of phrase with its accepted frequency.
struct Mannerism {
    name: &'static str,
    pattern: &'static str,
    /// The accepted number of matches per 1,000 lines of prose.
    limit: f64,
}

/// The turns of phrase of the language guide in CONTRIBUTING.md.
const MANNERISMS: [Mannerism; 10] = [
    Mannerism {
        name: "`what is ...` as a noun",
        pattern: r"\bwhat (is|are|was|were|has|had|comes|came|goes|went|can|could|may|must|needs|stands|it|they|there)\b",
        limit: 0.1,
    },
    Mannerism {
        name: "`where` for `if`",
        pattern: r"\bwhere (there|it|that|this|they|no|none|nothing|a|an)\b",
        limit: 0.2,
    },
    Mannerism {
        name: "`whoever`, `whose`, `who`",
        pattern: r"\b(whoever|whose|who|whom)\b",
        limit: 0.1,
    },
    Mannerism {
        name: "`nobody`, `somebody`, `anybody`",
        pattern: r"\b(nobody|somebody|anybody)\b",
        limit: 0.5,
    },
    Mannerism {
        name: "`is told`, `tells`",
        pattern: r"\b(tells?|(is|are|was|were|be) told)\b",
        limit: 0.1,
    },
    Mannerism {
        name: "`is no X` for `is not an X`",
        pattern: r"\b(is|are|was|were) no (?:[a-km-z]|l[a-np-z])[a-z]*",
        limit: 0.5,
    },
    Mannerism {
        name: "`so many` for `N`",
        pattern: r"\bso (many|much|long|few)\b",
        limit: 0.1,
    },
    Mannerism {
        name: "`anew`, `for ever`, `meanwhile` and the like",
        pattern: r"\b(anew|for ever|all the same|meanwhile|the begin|for to)\b",
        limit: 0.05,
    },
    Mannerism {
        name: "`is none`",
        pattern: r"\b(is|are|was|were) none\b",
        limit: 0.05,
    },
    Mannerism {
        name: "`is had`",
        pattern: r"\b(is|are|was|were|be) had\b",
        limit: 0.0,
    },
];

/// Words that the glossary of ARCHITECTURE.md has replaced.
const RETIRED: &str = r"\b(tally|crowd|dice|hangup|for ever|anybody|somebody)\b";

/// A line of prose and its line number, from 1.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    number: usize,
    text: String,
}

/// Matches found in the files that were read.
pub(super) struct Language {
    patterns: Vec<Regex>,
    retired: Regex,
    lines: usize,
    counts: [usize; MANNERISMS.len()],
    /// The matches of each mannerism as `FILE:LINE: text`.
    matches: Vec<Vec<String>>,
    short_docs: Vec<String>,
    complaints: Vec<String>,
}

impl Language {
    pub(super) fn new() -> TaskResult<Self> {
        let compile = |pattern: &str| Regex::new(pattern).map_err(|error| error.to_string());
        let patterns = MANNERISMS
            .iter()
            .map(|mannerism| compile(mannerism.pattern));
        Ok(Self {
            patterns: patterns.collect::<TaskResult<_>>()?,
            retired: compile(RETIRED)?,
            lines: 0,
            counts: [0; MANNERISMS.len()],
            matches: vec![Vec::new(); MANNERISMS.len()],
            short_docs: Vec::new(),
            complaints: Vec::new(),
        })
    }

    /// Reads a file whose name ends with `.rs` or `.md`.
    pub(super) fn read(&mut self, name: &str, text: &str) {
        let is_markdown = Path::new(name).extension().is_some_and(|ext| ext == "md");
        let lines = if is_markdown {
            paragraphs(text)
        } else {
            self.short_docs.extend(short_docs(name, text));
            prose(text)
        };
        self.lines += lines.len();
        for line in lines {
            let lower = line.text.to_lowercase();
            let found = || format!("{name}:{}: {}", line.number, line.text.trim());
            for (index, pattern) in self.patterns.iter().enumerate() {
                if pattern.is_match(&lower) {
                    self.counts[index] += 1;
                    self.matches[index].push(found());
                }
            }
            if let Some(word) = self.retired.find(&lower) {
                let complaint = format!("{} (`{}` is retired)", found(), word.as_str());
                self.complaints.push(complaint);
            }
        }
    }

    /// Prints the matches in files whose names start with one of `prefixes`.
    pub(super) fn list(&self, prefixes: &[String]) {
        let all = MANNERISMS.iter().map(|mannerism| mannerism.name);
        let all = all.zip(&self.matches);
        for (name, matches) in all.chain([("a short doc comment", &self.short_docs)]) {
            for found in matches {
                if prefixes.iter().any(|prefix| found.starts_with(prefix)) {
                    println!("{found}  <- {name}");
                }
            }
        }
    }

    /// Prints the table of mannerisms and returns the complaints.
    pub(super) fn finish(self) -> Vec<String> {
        let mut complaints = self.complaints;
        eprintln!("tidy: per 1,000 of {} lines of prose:", self.lines);
        let thousands = (self.lines.max(1) as f64) / 1000.0;
        for ((mannerism, count), matches) in MANNERISMS.iter().zip(self.counts).zip(self.matches) {
            let rate = count as f64 / thousands;
            eprintln!("tidy: {:6.2} {} ({count})", rate, mannerism.name);
            if rate > mannerism.limit {
                complaints.push(format!(
                    "{}: {rate:.2} per 1,000 lines, at most {}:\n  {}",
                    mannerism.name,
                    mannerism.limit,
                    matches.join("\n  ")
                ));
            }
        }
        let short = self.short_docs.len();
        eprintln!("tidy: {short} doc comments of fewer than {DOC_WORDS} words");
        if short > SHORT_DOCS {
            complaints.push(format!(
                "{short} short doc comments, at most {SHORT_DOCS}; write sentences or remove them:\n  {}",
                self.short_docs.join("\n  ")
            ));
        }
        complaints
    }
}

/// The lines of a Markdown file outside of code blocks.
fn paragraphs(text: &str) -> Vec<Line> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code && !line.trim().is_empty() {
            lines.push(Line {
                number: at + 1,
                text: line.to_owned(),
            });
        }
    }
    lines
}

/// The comments and the string literals of Rust source, line by line.
///
/// The scanner knows line comments, nested block comments, strings, raw
/// strings and character literals; it does not parse.
fn prose(source: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut number = 1;
    let mut push = |number: usize, text: &str| {
        if text.trim().is_empty() {
            return;
        }
        match lines.last_mut() {
            Some(last) if last.number == number => {
                last.text.push(' ');
                last.text.push_str(text);
            }
            _ => lines.push(Line {
                number,
                text: text.to_owned(),
            }),
        }
    };
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (inner, length) = if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            (&rest[..end], end)
        } else if rest.starts_with("/*") {
            let end = rest.find("*/").map_or(rest.len(), |end| end + 2);
            (&rest[..end], end)
        } else if let Some((inner, length)) = string(rest) {
            (inner, length)
        } else {
            (&rest[..0], character(rest).unwrap_or(first.len_utf8()))
        };
        for (at, line) in inner.split('\n').enumerate() {
            push(number + at, line);
        }
        number += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    lines
}

/// The content and the length of a string literal at the start of `rest`.
fn string(rest: &str) -> Option<(&str, usize)> {
    if let Some(body) = rest.strip_prefix('"') {
        let mut escaped = false;
        let end = body.find(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        let end = end.unwrap_or(body.len());
        return Some((&body[..end], (end + 2).min(rest.len())));
    }
    let hashes = rest.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    let body = hashes[count..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(count));
    let end = body.find(&close).unwrap_or(body.len());
    let length = (1 + count + 1 + end + close.len()).min(rest.len());
    Some((&body[..end], length))
}

/// The length of a character literal at the start of `rest`; a lifetime is
/// not one.
fn character(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    let mut chars = body.char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        let (skipped, _) = chars.next()?;
        let after = skipped + body[skipped..].chars().next()?.len_utf8();
        return Some(1 + after + body[after..].find('\'')? + 1);
    }
    let (end, close) = chars.next()?;
    (close == '\'').then_some(1 + end + 1)
}

/// Doc comments of items that have fewer than [`DOC_WORDS`] words.
fn short_docs(name: &str, source: &str) -> Vec<String> {
    let is_help = ["cli.rs", "/options.rs", "/generate.rs", "/color.rs"];
    if name.contains("/cli/") || is_help.iter().any(|end| name.ends_with(end)) {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    let mut doc = String::new();
    let mut words = 0;
    let mut start = 0;
    for (at, line) in source.lines().chain([""]).enumerate() {
        if let Some(text) = line.trim_start().strip_prefix("///") {
            if start == 0 {
                start = at + 1;
            }
            words += text.split_whitespace().count();
            doc.push_str(text);
        } else if start > 0 {
            if words < DOC_WORDS {
                complaints.push(format!("{name}:{start}: {}", doc.trim()));
            }
            (words, start) = (0, 0);
            doc.clear();
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::{Language, Line, paragraphs, prose, short_docs};

    fn lines(text: &str) -> Vec<(usize, String)> {
        let line = |line: Line| (line.number, line.text.trim().to_owned());
        prose(text).into_iter().map(line).collect()
    }

    #[test]
    fn comments_and_strings_are_prose() {
        let source = "fn a<'a>(b: &'a str) { // one\n    let c = '\"'; let d = \"two \\\" \";\n    /* three\nfour */ r#\"five \" \"# }\n";
        let expected = [
            (1, "// one"),
            (2, "two \\\""),
            (3, "/* three"),
            (4, "four */ five \""),
        ];
        let expected = expected.map(|(number, text)| (number, text.to_owned()));
        assert_eq!(lines(source), expected);
    }

    #[test]
    fn code_blocks_are_not_prose() {
        let text = "a\n```sh\nwhat is this\n```\nb\n";
        assert_eq!(paragraphs(text).len(), 2);
    }

    #[test]
    fn short_doc_comments_are_reported() {
        assert_eq!(short_docs("a.rs", "/// Too short.\nfn a() {}\n").len(), 1);
        assert!(short_docs("a.rs", "/// Returns the sum of both.\nfn a() {}\n").is_empty());
    }

    #[test]
    fn a_mannerism_above_its_limit_fails() {
        let mut language = Language::new().unwrap();
        language.read("a.rs", "// Sends what is left.\n");
        assert_eq!(language.finish().len(), 1);
        let mut language = Language::new().unwrap();
        language.read("a.rs", "// Sends the rest; there is no longer a limit.\n");
        assert_eq!(language.finish(), Vec::<String>::new());
    }
}
