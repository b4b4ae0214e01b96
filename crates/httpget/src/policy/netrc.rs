//! `.netrc` files: users and passwords by host.

/// An entry; the host is `None` for `default`.
#[derive(Clone, PartialEq, Eq)]
struct Entry {
    host: Option<String>,
    user: Option<String>,
    password: Option<String>,
}

/// The entries of a netrc file in order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Netrc(Vec<Entry>);

/// Leaves out the entries, which are secret.
impl std::fmt::Debug for Netrc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Netrc({} entries)", self.0.len())
    }
}

/// A word of a netrc file.
struct Word {
    text: String,
    /// The number of the line, from 0.
    line: usize,
    quoted: bool,
}

/// Splits a file into words; a quoted word may contain spaces. `#` starts a comment
/// before the first word of a line, and after a word that takes no value.
fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for (line, content) in text.lines().enumerate() {
        let mut chars = content.trim_start().chars().peekable();
        while let Some(&first) = chars.peek() {
            if first.is_whitespace() {
                chars.next();
                continue;
            }
            let before = words.last().filter(|word| word.line == line);
            if first == '#' && !before.is_some_and(Word::takes_value) {
                break;
            }
            let quoted = first == '"';
            if quoted {
                chars.next();
            }
            let mut word = String::new();
            while let Some(c) = chars.next() {
                match c {
                    '"' if quoted => break,
                    '\\' if quoted => word.extend(chars.next()),
                    c if !quoted && c.is_whitespace() => break,
                    c => word.push(c),
                }
            }
            words.push(Word {
                text: word,
                line,
                quoted,
            });
        }
    }
    words
}

impl Word {
    /// Whether a value follows this word.
    fn takes_value(&self) -> bool {
        !self.quoted
            && matches!(
                self.text.as_str(),
                "machine" | "login" | "password" | "account"
            )
    }

    /// Whether this word starts an entry.
    fn begins_entry(&self) -> bool {
        !self.quoted && matches!(self.text.as_str(), "machine" | "default")
    }
}

impl Netrc {
    /// Parses a file. Unknown words are skipped, as in other readers of this format. A
    /// value that is missing at the end of its line is not taken from the next entry.
    pub fn parse(text: &str) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        let words = words(text);
        let mut index = 0;
        while let Some(word) = words.get(index) {
            index += 1;
            if word.quoted {
                continue;
            }
            let value = words.get(index).filter(|value| {
                word.takes_value() && (value.line == word.line || !value.begins_entry())
            });
            index += usize::from(value.is_some());
            let value = value.map(|value| value.text.clone());
            let new_entry = |host| Entry {
                host,
                user: None,
                password: None,
            };
            match word.text.as_str() {
                "machine" => {
                    entries.push(new_entry(Some(
                        value.unwrap_or_default().to_ascii_lowercase(),
                    )));
                }
                "default" => entries.push(new_entry(None)),
                "login" => {
                    if let Some(entry) = entries.last_mut() {
                        entry.user = value;
                    }
                }
                "password" => {
                    if let Some(entry) = entries.last_mut() {
                        entry.password = value;
                    }
                }
                _ => {}
            }
        }
        Self(entries)
    }

    /// Returns user and password for a host, also from `default` if `or_default`. Prefers
    /// the entry of `user` if one is given, and else the first entry.
    pub fn find(
        &self,
        host: &str,
        user: Option<&str>,
        or_default: bool,
    ) -> Option<(String, String)> {
        let host = host.to_ascii_lowercase();
        let matches_user = |entry: &&Entry| {
            user.is_none_or(|user| entry.user.as_deref().is_none_or(|own| own == user))
        };
        let own = self
            .0
            .iter()
            .filter(|entry| entry.host.as_ref() == Some(&host))
            .find(matches_user);
        let entry = own.or_else(|| {
            let mut all = self
                .0
                .iter()
                .filter(|entry| or_default && entry.host.is_none());
            all.find(matches_user)
        })?;
        let name = user.map(str::to_owned).or_else(|| entry.user.clone());
        Some((
            name.unwrap_or_default(),
            entry.password.clone().unwrap_or_default(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn logins_are_found_by_host() {
        let netrc = Netrc::parse(
            "# c\nmachine A.test login u password p\nmachine b.test\n  login \"x y\"\n  \
             account z password \"a\\\"b\"\ndefault login d password e\n",
        );
        let find = |host, or| netrc.find(host, None, or);
        assert_eq!(find("a.test", false), Some(("u".into(), "p".into())));
        assert_eq!(find("b.test", false), Some(("x y".into(), "a\"b".into())));
        assert_eq!(find("c.test", false), None);
        assert_eq!(find("c.test", true), Some(("d".into(), "e".into())));
    }

    #[test]
    fn values_stay_within_their_entry() {
        let found = |text: &str, user: Option<&str>| {
            let found = Netrc::parse(text).find("a.test", user, true);
            found.map(|(user, password)| format!("{user}:{password}"))
        };
        let other = "\nmachine other.test login bob password secret\n";
        for (text, shown) in [
            ("machine a.test login alice password #pass", "alice:#pass"),
            ("machine a.test login alice password", "alice:"),
            ("machine a.test login #x password p # comment", "#x:p"),
            ("machine a.test login alice # password p", "alice:"),
            ("machine a.test login\n  alice password\n  pw", "alice:pw"),
            (
                "machine a.test login machine password default",
                "machine:default",
            ),
            ("machine a.test password p", ":p"),
            ("# machine a.test login x\nmachine a.test login y", "y:"),
        ] {
            assert_eq!(
                found(&format!("{text}{other}"), None).as_deref(),
                Some(shown),
                "{text}"
            );
        }
        let several = "machine a.test login one password 1\nmachine a.test login two password 2\n\
                       default login three password 3";
        assert_eq!(found(several, None).as_deref(), Some("one:1"));
        assert_eq!(found(several, Some("two")).as_deref(), Some("two:2"));
        assert_eq!(found(several, Some("three")).as_deref(), Some("three:3"));
        assert_eq!(found(several, Some("four")), None);
        assert_eq!(found("default login d", None).as_deref(), Some("d:"));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*") {
            let _ = Netrc::parse(&text).find("x", Some("u"), true);
        }
    }
}
