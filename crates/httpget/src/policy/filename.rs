//! Names for saved files: from the URL, or from the server made safe.

use url::Url;

/// The longest name most file systems take, with room for `.part.state`.
const NAME_MAX: usize = 255 - 16;

/// The name in the URL's path: its last segment as it is written there, as curl
/// has it. `None` if the path ends in `/`.
pub fn of_url(url: &Url) -> Option<String> {
    let last = url.path_segments()?.next_back()?;
    // Dots alone name directories; the parser of URLs has resolved them.
    let is_name = !last.is_empty() && last.chars().any(|c| c != '.');
    is_name.then(|| last.to_owned())
}

/// A name from a server, reduced to what can do no harm: the last part of a
/// path by either kind of slash, no control characters, no dot or dash in
/// front, not too long. `None` where nothing is left.
pub fn safe(name: &str) -> Option<String> {
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
    (!clean.is_empty()).then(|| clean.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn from_urls() {
        let name = |url: &str| of_url(&Url::parse(url).unwrap());
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
    fn from_servers() {
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
        ] {
            assert_eq!(safe(name).as_deref(), expected, "{name:?}");
        }
        assert!(safe(&"é".repeat(300)).unwrap().len() <= NAME_MAX);
    }

    proptest! {
        #[test]
        fn harmless(name in ".*") {
            if let Some(name) = safe(&name) {
                prop_assert!(!name.contains(['/', '\\', '\0']));
                prop_assert!(!name.starts_with(['.', '-']));
                prop_assert!(!name.is_empty() && name.len() <= NAME_MAX);
                prop_assert!(!name.contains(common::text::is_dangerous));
            }
        }
    }
}
