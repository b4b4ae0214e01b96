//! `.netrc`: user and password by host.

/// One entry; the host is `None` for `default`.
#[derive(Clone, PartialEq, Eq)]
struct Entry {
    host: Option<String>,
    user: String,
    password: String,
}

/// The entries of a file, in order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Netrc(Vec<Entry>);

/// Without the entries, which are secret.
impl std::fmt::Debug for Netrc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Netrc({} entries)", self.0.len())
    }
}

/// The words of a file; quoted ones may have blanks in them.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in text.lines() {
        let mut chars = line.trim_start().chars().peekable();
        while let Some(&first) = chars.peek() {
            if first.is_whitespace() {
                chars.next();
                continue;
            }
            if first == '#' {
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
            words.push(word);
        }
    }
    words
}

impl Netrc {
    /// Reads a file; what is not understood is passed over, as every reader
    /// of this format does.
    pub fn parse(text: &str) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        let mut words = words(text).into_iter();
        while let Some(word) = words.next() {
            let fresh = |host| Entry {
                host,
                user: String::new(),
                password: String::new(),
            };
            match word.as_str() {
                "machine" => entries.push(fresh(Some(
                    words.next().unwrap_or_default().to_ascii_lowercase(),
                ))),
                "default" => entries.push(fresh(None)),
                "login" => {
                    let user = words.next().unwrap_or_default();
                    if let Some(entry) = entries.last_mut() {
                        entry.user = user;
                    }
                }
                "password" => {
                    let password = words.next().unwrap_or_default();
                    if let Some(entry) = entries.last_mut() {
                        entry.password = password;
                    }
                }
                "account" => drop(words.next()),
                _ => {}
            }
        }
        Self(entries)
    }

    /// User and password for a host; those of `default` only if `or_default`.
    pub fn find(&self, host: &str, or_default: bool) -> Option<(String, String)> {
        let host = host.to_ascii_lowercase();
        let own = self
            .0
            .iter()
            .find(|entry| entry.host.as_ref() == Some(&host));
        let entry = own.or_else(|| {
            let mut all = self.0.iter();
            all.find(|entry| or_default && entry.host.is_none())
        })?;
        Some((entry.user.clone(), entry.password.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entries() {
        let netrc = Netrc::parse(
            "# c\nmachine A.test login u password p\nmachine b.test\n  login \"x y\"\n  \
             account z password \"a\\\"b\"\ndefault login d password e\n",
        );
        let find = |host, or| netrc.find(host, or);
        assert_eq!(find("a.test", false), Some(("u".into(), "p".into())));
        assert_eq!(find("b.test", false), Some(("x y".into(), "a\"b".into())));
        assert_eq!(find("c.test", false), None);
        assert_eq!(find("c.test", true), Some(("d".into(), "e".into())));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*") {
            let _ = Netrc::parse(&text).find("x", true);
        }
    }
}
