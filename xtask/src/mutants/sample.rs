//! The places of a source file where a mutant can be made, found in the text.
//!
//! The scan knows comments, strings, characters and attributes, which are left
//! alone, and stops at the tests. It relies on rustfmt: binary operators have a
//! space on both sides, the brackets of generics have none, and a statement
//! that fits a line stands on it alone.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One small change of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mutant {
    /// The file, relative to the root.
    pub(super) file: PathBuf,
    /// The line, from 1.
    pub(super) line: usize,
    /// The bytes that are replaced.
    pub(super) at: Range<usize>,
    /// The original text.
    pub(super) original: String,
    /// The text in its place.
    pub(super) replacement: String,
}

impl Mutant {
    /// The text of the file with the mutant in it.
    pub(super) fn applied(&self, text: &str) -> String {
        let (before, after) = (&text[..self.at.start], &text[self.at.end..]);
        format!("{before}{}{after}", self.replacement)
    }
}

/// `FILE:LINE: ORIGINAL -> REPLACEMENT`
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

/// Binary operators and what each becomes.
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

/// Words and what each becomes.
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

/// The mutants of a source file.
pub(super) fn mutants_of(file: &Path, text: &str) -> Vec<Mutant> {
    let code = code_of(text);
    let mut mutants = Vec::new();
    let mut add = |at: Range<usize>, replacement: &str| {
        mutants.push(Mutant {
            file: file.to_path_buf(),
            line: text[..at.start].matches('\n').count() + 1,
            original: text[at.clone()].to_owned(),
            replacement: replacement.to_owned(),
            at,
        });
    };
    for (operator, replacements) in OPERATORS {
        for (start, _) in code.match_indices(operator) {
            for replacement in replacements {
                add(start..start + operator.len(), replacement);
            }
        }
    }
    for at in words(&code) {
        let word = &code[at.clone()];
        // `all` and the like only as methods.
        let method = code[..at.start].ends_with('.') && code[at.end..].starts_with('(');
        let replacement = WORDS.iter().find(|(original, _)| *original == word);
        match replacement {
            Some((original, other)) if method || ["true", "false"].contains(original) => {
                add(at, other);
            }
            _ => {
                if let Some(other) = number_beside(word) {
                    add(at, &other);
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
    for at in statements(&code) {
        add(at, "");
    }
    mutants.sort_by_key(|mutant| mutant.at.start);
    mutants
}

/// The text with blanks for everything that is not changed:
/// comments, strings, characters, attributes, `use`, and the tests to the end.
fn code_of(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len());
    let bytes = &text.as_bytes()[..end];
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let length = skipped(&text[at..end], bytes[..at].last().copied());
        for byte in &mut code[at..at + length] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        // A string stands for something; blanks would join its neighbours.
        if length > 0 && bytes[at] == b'"' {
            code[at] = b'"';
        }
        at += length.max(1);
    }
    // Only blanked bytes can have been parts of a longer character.
    String::from_utf8_lossy(&code).into_owned()
}

/// How many bytes at the start are no code; 0 for code.
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
        // A lifetime has no quote behind its first character.
        let mut chars = rest.chars();
        let first = chars.next();
        if first == Some('\\') || chars.next() == Some('\'') {
            return quoted(text, '\'');
        }
    }
    // Every other character that is not ASCII stands in a string or comment.
    text.chars()
        .next()
        .filter(|c| !c.is_ascii())
        .map_or(0, char::len_utf8)
}

/// The length of a quoted text with its quotes.
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

/// The length of an attribute.
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

/// The places of words and numbers.
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

/// The number after a decimal literal.
fn number_beside(word: &str) -> Option<String> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = word.parse().ok().filter(|_| digits)?;
    Some((number + 1).to_string())
}

/// The places of calls that are statements of their own: `a.b(c);` on one line.
fn statements(code: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
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
            // The statement must not be the rest of one on the lines before.
            let before = code[..start].trim_end();
            if before.ends_with([';', '{', '}']) {
                places.push(start..start + text.len());
            }
        }
    }
    places
}

/// Brings mutants into a random order, the same for the same seed.
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
        // The bias of the remainder does not matter for so few.
        let other = (random() % (at as u64 + 1)) as usize;
        items.swap(at, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let mutants = mutants_of(Path::new("a.rs"), text);
        mutants.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn operators_words_numbers_and_statements() {
        let text = "fn f(a: u8) -> bool {\n    if a < 3 && !done() {\n        go(a);\n    }\n    \
                    list.iter().any(|x| x == 1)\n}\n";
        assert_eq!(
            shown(text),
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
    fn what_is_not_code_is_left_alone() {
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
            let found: Vec<String> = shown(text)
                .into_iter()
                .filter(|shown| !shown.contains("assert!"))
                .collect();
            assert_eq!(found, [""; 0], "{text}");
        }
    }

    #[test]
    fn a_mutant_changes_its_place_only() {
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
    fn every_place_of_this_crate_is_what_it_says() {
        let text = include_str!("sample.rs");
        let mutants = mutants_of(Path::new("sample.rs"), text);
        assert!(mutants.len() > 50, "{}", mutants.len());
        for mutant in mutants {
            assert_eq!(text[mutant.at.clone()], mutant.original, "{mutant}");
            let line = text.lines().nth(mutant.line - 1).unwrap();
            assert!(line.contains(mutant.original.trim()), "{mutant}");
            assert!(!line.trim_start().starts_with("//"), "{mutant}");
            assert_ne!(mutant.applied(text), text);
        }
    }

    #[test]
    fn a_seed_decides_the_order() {
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
