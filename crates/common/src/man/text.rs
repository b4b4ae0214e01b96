//! Text in roff: escapes, filled paragraphs, and the sections of the text after the
//! options.

use std::io::{self, Write};

/// Words with more bytes may be broken.
const LONG_WORD: usize = 40;

/// A heading and the lines below it.
pub(super) struct Section {
    pub(super) heading: String,
    pub(super) lines: Vec<String>,
}

/// Returns help text that ends with a full stop, escaped.
pub(super) fn sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let ends = text.is_empty() || text.ends_with(['.', '!', '?', ')', ']', ':']);
    escape(&text) + if ends { "" } else { "." }
}

/// Returns text with its first letter in lower case, unless the second is a
/// capital, too.
pub(super) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), second) if second.is_none_or(|second| !second.is_uppercase()) => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

/// Splits the text after the options into its introduction and its sections.
pub(super) fn sections(text: &str) -> (Vec<String>, Vec<Section>) {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut introduction = Vec::new();
    let mut sections: Vec<Section> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let next = lines.get(at + 1).copied().unwrap_or_default();
        if let Some(heading) = heading(line, next) {
            sections.push(Section {
                heading,
                lines: Vec::new(),
            });
        } else {
            let lines = sections.last_mut().map(|section| &mut section.lines);
            lines.unwrap_or(&mut introduction).push((*line).to_owned());
        }
    }
    (introduction, sections)
}

/// Returns the heading that a line is, in capitals.
fn heading(line: &str, next: &str) -> Option<String> {
    let begins = line.chars().next()?.is_ascii_alphabetic();
    let capitals = line.len() > 3 && !line.contains(|c: char| c.is_ascii_lowercase());
    let colon = line.ends_with(':') && next.starts_with(' ');
    (begins && (capitals || colon)).then(|| line.trim_end_matches(':').to_uppercase())
}

/// Writes blocks of lines: indented ones as they are, others as filled
/// paragraphs.
pub(super) fn body(lines: &[String], writer: &mut impl Write) -> io::Result<()> {
    let is_indented = |line: &String| line.starts_with(' ');
    let blocks = lines.chunk_by(|line, next| {
        is_indented(line) == is_indented(next) && !line.is_empty() && !next.is_empty()
    });
    let mut is_first = true;
    for block in blocks.filter(|block| block.iter().any(|line| !line.is_empty())) {
        if !is_first {
            writeln!(writer, ".PP")?;
        }
        is_first = false;
        if block.iter().all(is_indented) {
            writeln!(writer, ".EX")?;
            for line in block {
                writeln!(writer, "{}", guarded(&escape(line)))?;
            }
            writeln!(writer, ".EE")?;
        } else {
            writeln!(writer, "{}", wrapped(&escape(&block.join(" "))))?;
        }
    }
    Ok(())
}

/// Writes the lines `N  meaning` with their continuation lines as a list.
pub(super) fn statuses(lines: &[String], writer: &mut impl Write) -> io::Result<()> {
    let mut items: Vec<(String, String)> = Vec::new();
    for line in lines {
        let text = line.trim();
        match (text.split_once("  "), items.last_mut()) {
            (Some((status, meaning)), _) if status.parse::<u8>().is_ok() => {
                items.push((status.to_owned(), meaning.trim().to_owned()));
            }
            (_, Some((_, meaning))) => {
                meaning.push(' ');
                meaning.push_str(text);
            }
            (_, None) => writeln!(writer, "{}", wrapped(&escape(text)))?,
        }
    }
    for (status, meaning) in items {
        writeln!(writer, ".TP\n{status}\n{}", wrapped(&escape(&meaning)))?;
    }
    Ok(())
}

/// Writes filled text, a paragraph for each block of lines.
pub(super) fn paragraphs(text: &str, writer: &mut impl Write) -> io::Result<()> {
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    body(&lines, writer)
}

/// Escapes backslashes and hyphens, which copy as minus signs.
pub(super) fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// Breaks filled text into lines of at most 78 bytes, as is usual in roff.
pub(super) fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        if length > 0 && length + 1 + word.len() > 78 {
            lines.push('\n');
            length = 0;
        } else if length > 0 {
            lines.push(' ');
            length += 1;
        }
        // The first word of a line could be mistaken for a request.
        let word = if length == 0 {
            guarded(word)
        } else {
            word.to_owned()
        };
        length += word.len();
        if word.len() > LONG_WORD {
            // Permits a break after each alternative of a long syntax.
            lines.push_str(&word.replace('|', "|\\:").replace(']', "]\\:"));
        } else {
            lines.push_str(&word);
        }
    }
    lines
}

/// Protects a line that begins with a control character of roff.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) {
        format!("\\&{line}")
    } else {
        line.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_roff_are_escaped() {
        assert_eq!(guarded(".so x"), "\\&.so x");
        assert_eq!(escape("a\\b-c"), "a\\eb\\-c");
    }

    #[test]
    fn filled_text_is_broken_at_78_bytes() {
        let (a, b) = ("a".repeat(38), "b".repeat(39));
        assert_eq!(wrapped(&format!("{a}\n {b} .c")), format!("{a} {b}\n\\&.c"));
        assert_eq!(wrapped(&format!("{a} {b}b c")), format!("{a}\n{b}b c"));
        assert_eq!(wrapped("' x .y"), "\\&' x .y");
    }

    #[test]
    fn a_long_syntax_can_be_broken() {
        let longest = format!("{}[|]", "x".repeat(LONG_WORD - 3));
        assert_eq!(wrapped(&longest), longest);
        let broken = format!("x{}", longest.replace("|]", "|\\:]\\:"));
        assert_eq!(wrapped(&format!("x{longest}")), broken);
    }

    #[test]
    fn blocks_are_paragraphs_or_examples() {
        let lines = ["", "One", "two.", "  x", "  .y", "", "Three.", "", ""];
        let mut page = Vec::new();
        body(&lines.map(str::to_owned), &mut page).unwrap();
        assert_eq!(
            String::from_utf8(page).unwrap(),
            "One two.\n.PP\n.EX\n  x\n  .y\n.EE\n.PP\nThree.\n"
        );
    }
}
