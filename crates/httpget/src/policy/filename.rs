//! Names of saved files: from the URL, or from the server after sanitizing.

use url::Url;

/// The longest name in bytes, which leaves room for `.part.state` and for what
/// [`sanitize`] appends.
const NAME_MAX: usize = 255 - 17;

/// Returns the last segment of a URL's path as written, as in curl; `None` if the path
/// ends in `/`.
pub fn from_url(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back()?;
    // Names of dots only are directories; the URL parser has resolved `.` and `..`.
    let is_name = !last.is_empty() && last.chars().any(|c| c != '.');
    is_name.then(|| last.to_owned())
}

/// Reduces a name from a server to one that is harmless: the last segment by either kind
/// of slash, without control characters, leading dots or dashes, of limited length, and
/// not that of a partial file or a state file, which a later run would continue. `None`
/// if nothing is left.
pub fn sanitize(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last
        .chars()
        .map(|c| {
            if common::text::is_dangerous(c) {
                '_'
            } else {
                c
            }
        })
        .collect();
    let clean = clean.trim().trim_start_matches(['.', '-', ' ']);
    let mut end = clean.len().min(NAME_MAX);
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    let clean = &clean[..end];
    if clean.is_empty() {
        return None;
    }
    Some(if is_partial_file_name(clean) {
        format!("{clean}_")
    } else {
        clean.to_owned()
    })
}

/// Whether this is the name of a partial file or a state file. Ignores case, and dots and
/// spaces at the end, since some file systems do.
fn is_partial_file_name(name: &str) -> bool {
    let name = name.to_lowercase();
    let name = name.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    let name = name.strip_suffix(".state").unwrap_or(name);
    let digits = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let name = match digits.strip_suffix('.') {
        Some(stem) if digits.len() < name.len() => stem,
        _ => name,
    };
    name.rsplit_once('.').is_some_and(|(_, end)| end == "part")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_from_urls_are_kept() {
        let name = |url: &str| from_url(&Url::parse(url).unwrap());
        assert_eq!(name("http://h/a/b.txt?x=/y").as_deref(), Some("b.txt"));
        assert_eq!(name("http://h/a%20b").as_deref(), Some("a%20b"));
        assert_eq!(name("http://h/%2e%2e%2fx").as_deref(), Some("%2e%2e%2fx"));
        assert_eq!(name("http://h/.gitignore").as_deref(), Some(".gitignore"));
        assert_eq!(name("http://h/-x").as_deref(), Some("-x"));
        assert_eq!(name("http://h/..foo").as_deref(), Some("..foo"));
        assert_eq!(name("http://h/a/..."), None);
        assert_eq!(name("http://h/a/"), None);
        assert_eq!(name("http://h"), None);
    }

    #[test]
    fn names_from_servers_are_sanitized() {
        for (name, expected) in [
            ("a b.txt", Some("a b.txt")),
            ("../../etc/passwd", Some("passwd")),
            ("C:\\windows\\x.exe", Some("x.exe")),
            (".bashrc", Some("bashrc")),
            ("-rf", Some("rf")),
            ("a\u{202e}b\nc", Some("a_b_c")),
            ("..", None),
            ("/", None),
            ("", None),
            ("  ", None),
            ("f.part", Some("f.part_")),
            (".part", Some("part")),
            ("f.PART", Some("f.PART_")),
            ("f.part.12", Some("f.part.12_")),
            ("f.part.state", Some("f.part.state_")),
            ("f.Part.3.State", Some("f.Part.3.State_")),
            ("f.part.", Some("f.part._")),
            ("f.part.state .", Some("f.part.state ._")),
            ("f.part.x", Some("f.part.x")),
            ("f.parts", Some("f.parts")),
            ("f.state", Some("f.state")),
            ("f.1", Some("f.1")),
        ] {
            assert_eq!(sanitize(name).as_deref(), expected, "{name:?}");
        }
        assert!(sanitize(&"é".repeat(300)).unwrap().len() <= NAME_MAX + 1);
    }

    proptest! {
        #[test]
        fn harmless(name in ".*") {
            if let Some(name) = sanitize(&name) {
                prop_assert!(!name.contains(['/', '\\', '\0']));
                prop_assert!(!name.starts_with(['.', '-']));
                prop_assert!(!name.is_empty() && name.len() <= NAME_MAX + 1);
                prop_assert!(!name.contains(common::text::is_dangerous));
                prop_assert!(!is_partial_file_name(&name));
            }
        }
    }
}
