//! Finds the possible mutants of a source file in its text.
//!
//! The scan skips comments, strings, characters and attributes, and ends at the
//! tests. It relies on the style of rustfmt: binary operators have a space on both
//! sides, the brackets of generics have none, and a short statement has a line of
//! its own.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A small change of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mutant {
    /// The file, relative to the root.
    pub(super) file: PathBuf,
    /// The line, from 1.
    pub(super) line: usize,
    /// The range of the replaced bytes.
    pub(super) range: Range<usize>,
    /// The text before the change.
    pub(super) original: String,
    /// The text after the change.
    pub(super) replacement: String,
}

impl Mutant {
    /// Applies the mutant to the text of the file.
    pub(super) fn applied(&self, text: &str) -> String {
        let (before, after) = (&text[..self.range.start], &text[self.range.end..]);
        format!("{before}{}{after}", self.replacement)
    }
}

/// Formats as `FILE:LINE: ORIGINAL -> REPLACEMENT`.
impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let original = self.original.trim();
        let replacement = match self.replacement.trim() {
            "" => "(nothing)",
            text => text,
        };
        let file = self.file.display();
        write!(f, "{file}:{}: {original} -> {replacement}", self.line)
    }
}

/// Binary operators and their replacements.
const OPERATORS: [(&str, &[&str]); 20] = [
    (" == ", &[" != "]),
    (" != ", &[" == "]),
    (" <= ", &[" < ", " > "]),
    (" >= ", &[" > ", " < "]),
    (" < ", &[" <= ", " >= "]),
    (" > ", &[" >= ", " <= "]),
    (" && ", &[" || "]),
    (" || ", &[" && "]),
    (" + ", &[" - "]),
    (" - ", &[" + "]),
    (" * ", &[" + "]),
    (" / ", &[" * "]),
    (" % ", &[" / "]),
    (" << ", &[" >> "]),
    (" >> ", &[" << "]),
    (" & ", &[" | "]),
    (" | ", &[" & "]),
    (" ^ ", &[" & "]),
    (" += ", &[" -= "]),
    (" -= ", &[" += "]),
];

/// Words and their replacements.
const WORDS: [(&str, &str); 8] = [
    ("true", "false"),
    ("false", "true"),
    ("is_some", "is_none"),
    ("is_none", "is_some"),
    ("min", "max"),
    ("max", "min"),
    ("any", "all"),
    ("all", "any"),
];

/// Returns all possible mutants of a source file.
pub(super) fn mutants_of(file: &Path, text: &str) -> Vec<Mutant> {
    let code = code_of(text);
    let mut mutants = Vec::new();
    let mut add = |range: Range<usize>, replacement: &str| {
        mutants.push(Mutant {
            file: file.to_path_buf(),
            line: text[..range.start].matches('\n').count() + 1,
            original: text[range.clone()].to_owned(),
            replacement: replacement.to_owned(),
            range,
        });
    };
    for (operator, replacements) in OPERATORS {
        for (start, _) in code.match_indices(operator) {
            for replacement in replacements {
                add(start..start + operator.len(), replacement);
            }
        }
    }
    for range in words(&code) {
        let word = &code[range.clone()];
        // Words other than `true` and `false` only if they are methods.
        let method = code[..range.start].ends_with('.') && code[range.end..].starts_with('(');
        let replacement = WORDS.iter().find(|(original, _)| *original == word);
        match replacement {
            Some((original, other)) if method || ["true", "false"].contains(original) => {
                add(range, other);
            }
            _ => {
                if let Some(other) = next_number(word) {
                    add(range, &other);
                }
            }
        }
    }
    for (start, _) in code.match_indices('!') {
        let before = code[..start].chars().next_back();
        let after = code[start + 1..].chars().next();
        let negates = before.is_some_and(|c| c.is_whitespace() || "(&|".contains(c));
        if negates && after.is_some_and(|c| c.is_alphanumeric() || "(*_".contains(c)) {
            add(start..start + 1, "");
        }
    }
    for range in statements(&code) {
        add(range, "");
    }
    mutants.sort_by_key(|mutant| mutant.range.start);
    mutants
}

/// Returns the text with blanks in place of comments, strings, characters,
/// attributes and `use`, up to the tests.
fn code_of(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len());
    let bytes = &text.as_bytes()[..end];
    let mut code = bytes.to_vec();
    let mut position = 0;
    while position < bytes.len() {
        let before = bytes[..position].last().copied();
        let length = skipped(&text[position..end], before);
        for byte in &mut code[position..position + length] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        // Keep a quote, so that the code around a string is not adjacent.
        if length > 0 && bytes[position] == b'"' {
            code[position] = b'"';
        }
        position += length.max(1);
    }
    // All bytes of longer characters have been replaced by blanks.
    String::from_utf8_lossy(&code).into_owned()
}

/// Returns the number of bytes at the start that are not code; 0 for code.
fn skipped(text: &str, before: Option<u8>) -> usize {
    let line = || text.find('\n').unwrap_or(text.len());
    let word_before = before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    if text.starts_with("//") {
        return line();
    }
    if text.starts_with("/*") {
        return text.find("*/").map_or(text.len(), |at| at + 2);
    }
    if text.starts_with("#[") || text.starts_with("#![") {
        return attribute(text);
    }
    let starts_line = before.is_none_or(|b| b == b'\n' || b == b' ');
    if starts_line
        && ["use ", "pub use ", "pub(crate) use "]
            .iter()
            .any(|u| text.starts_with(u))
    {
        return text.find(';').map_or(text.len(), |at| at + 1);
    }
    if !word_before && (text.starts_with("r\"") || text.starts_with("r#")) {
        let hashes = text[1..].bytes().take_while(|b| *b == b'#').count();
        if text[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let from = 2 + hashes;
            return text[from..]
                .find(&end)
                .map_or(text.len(), |at| from + at + end.len());
        }
    }
    if text.starts_with('"') {
        return quoted(text, '"');
    }
    if let Some(rest) = text.strip_prefix('\'') {
        // A lifetime has no quote after its first character.
        let mut chars = rest.chars();
        let first = chars.next();
        if first == Some('\\') || chars.next() == Some('\'') {
            return quoted(text, '\'');
        }
    }
    // Outside of strings and comments all characters are ASCII.
    text.chars()
        .next()
        .filter(|c| !c.is_ascii())
        .map_or(0, char::len_utf8)
}

/// Returns the length of a quoted text with its quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Returns the length of an attribute.
fn attribute(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let length = match text.as_bytes()[at] {
            b'"' => quoted(&text[at..], '"'),
            b'[' => {
                depth += 1;
                1
            }
            b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
                1
            }
            _ => 1,
        };
        at += length;
    }
    text.len()
}

/// Returns the ranges of words and numbers.
fn words(code: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, byte) in code.bytes().chain([b' ']).enumerate() {
        let inside = byte.is_ascii_alphanumeric() || byte == b'_';
        match (inside, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                words.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// Returns a decimal literal plus one.
fn next_number(word: &str) -> Option<String> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = word.parse().ok().filter(|_| digits)?;
    Some((number + 1).to_string())
}

/// Returns the ranges of statements that are calls on one line: `a.b(c);`.
fn statements(code: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    for line in code.split_inclusive('\n') {
        let text = line.trim();
        let start = at + line.len() - line.trim_start().len();
        at += line.len();
        let words = [
            "let ", "return", "break", "continue", "pub ", "const ", "static ", "type ",
        ];
        let call = text.ends_with(");") || text.ends_with(")?;");
        let one = text.matches(';').count() == 1 && !text.contains(['{', '}', '=']);
        let balanced = text.matches('(').count() == text.matches(')').count();
        if call && one && balanced && !words.iter().any(|word| text.starts_with(word)) {
            // The line must not continue a statement of the lines before.
            let before = code[..start].trim_end();
            if before.ends_with([';', '{', '}']) {
                ranges.push(start..start + text.len());
            }
        }
    }
    ranges
}

/// Shuffles the items in an order that depends only on the seed.
pub(super) fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    let mut random = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    for at in (1..items.len()).rev() {
        // The bias of the remainder does not matter for small numbers.
        let other = (random() % (at as u64 + 1)) as usize;
        items.swap(at, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mutants = mutants_of(Path::new("a.rs"), text);
        mutants.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn operators_words_numbers_and_statements_are_found() {
        let text = "fn f(a: u8) -> bool {\n    if a < 3 && !done() {\n        go(a);\n    }\n    \
                    list.iter().any(|x| x == 1)\n}\n";
        assert_eq!(
            found(text),
            [
                "a.rs:2: < -> <=",
                "a.rs:2: < -> >=",
                "a.rs:2: 3 -> 4",
                "a.rs:2: && -> ||",
                "a.rs:2: ! -> (nothing)",
                "a.rs:3: go(a); -> (nothing)",
                "a.rs:5: any -> all",
                "a.rs:5: == -> !=",
                "a.rs:5: 1 -> 2",
            ]
        );
    }

    #[test]
    fn text_outside_of_code_is_skipped() {
        for text in [
            "// a == b\n",
            "/// `a == 1`\n",
            "/* a\n == b */\n",
            "fn f() -> &'static str {\n    \"a == \\\" 1 && b\"\n}\n",
            "fn f() -> char {\n    '1'\n}\n",
            "fn f() -> char {\n    '\\''\n}\n",
            "fn f<'a>(x: &'a str) -> &'a str {\n    x\n}\n",
            "const A: &str = r#\"1 \" == 2\"#;\n",
            "#[derive(Debug)]\n#[arg(default_value = \"1]\", max = 2)]\nstruct A;\n",
            "use a::{b == c};\n",
            "fn f(x: Vec<u8>) -> Option<Vec<u8>> {\n    Some(x)\n}\n",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    const A: bool = 1 == 2;\n}\n",
            "fn f() {\n    let x = go(1_000);\n    assert!(x);\n}\n",
        ] {
            let mutants: Vec<String> = found(text)
                .into_iter()
                .filter(|mutant| !mutant.contains("assert!"))
                .collect();
            assert_eq!(mutants, [""; 0], "{text}");
        }
    }

    #[test]
    fn a_mutant_changes_only_its_range() {
        let text = "fn f() -> bool {\n    // \u{e9} == 1\n    1 == 2\n}\n";
        let mutants = mutants_of(Path::new("a.rs"), text);
        let applied: Vec<String> = mutants.iter().map(|mutant| mutant.applied(text)).collect();
        assert_eq!(
            applied,
            [
                text.replace("    1 == 2", "    2 == 2"),
                text.replace("    1 == 2", "    1 != 2"),
                text.replace("    1 == 2", "    1 == 3"),
            ]
        );
    }

    #[test]
    fn every_mutant_of_this_file_is_consistent() {
        let text = include_str!("sample.rs");
        let mutants = mutants_of(Path::new("sample.rs"), text);
        assert!(mutants.len() > 50, "{}", mutants.len());
        for mutant in mutants {
            assert_eq!(text[mutant.range.clone()], mutant.original, "{mutant}");
            let line = text.lines().nth(mutant.line - 1).unwrap();
            assert!(line.contains(mutant.original.trim()), "{mutant}");
            assert!(!line.trim_start().starts_with("//"), "{mutant}");
            assert_ne!(mutant.applied(text), text);
        }
    }

    #[test]
    fn the_seed_determines_the_order() {
        let shuffled = |seed| {
            let mut items: Vec<u32> = (0..100).collect();
            shuffle(&mut items, seed);
            items
        };
        assert_eq!(shuffled(1), shuffled(1));
        assert_ne!(shuffled(1), shuffled(2));
        let mut sorted = shuffled(3);
        assert_ne!(sorted, (0..100).collect::<Vec<_>>());
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        shuffle::<u8>(&mut [], 1);
    }
}
