//! Digest authentication (RFC 7616): challenges, and the values of Authorization that
//! answer them.

use super::md5;
use crate::hex;
use crate::http::head::Head;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha256,
}

/// A supported Digest challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    hash: Hash,
    /// Whether the algorithm ends in `-sess`.
    is_session: bool,
    /// The algorithm as the server wrote it.
    algorithm: Option<String>,
    /// Whether `qop=auth` is offered; without any qop, the answer has the old form.
    offers_auth: bool,
    /// Whether the credentials were correct and only the nonce has expired (`stale=true`).
    is_stale: bool,
}

impl Hash {
    /// Returns the digest of a text in hexadecimal digits.
    fn digest(self, text: &str) -> String {
        match self {
            Self::Md5 => md5::digest(text.as_bytes()),
            Self::Sha256 => {
                let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
                hex::encode(digest.as_ref())
            }
        }
    }
}

/// Returns the strongest supported challenge of a response.
pub fn challenge(head: &Head) -> Option<Challenge> {
    let mut challenges: Vec<Challenge> = head
        .all("www-authenticate")
        .take(CHALLENGES_MAX)
        .flat_map(challenges)
        .collect();
    challenges.sort_by_key(|challenge| challenge.hash == Hash::Md5);
    challenges.into_iter().next()
}

/// Whether a response only requests the same credentials with a new nonce.
pub fn is_stale(head: &Head) -> bool {
    head.status == 401 && challenge(head).is_some_and(|challenge| challenge.is_stale)
}

/// The maximum number of challenges that are parsed.
const CHALLENGES_MAX: usize = 10;

/// Returns the Digest challenges in a header value, which may contain several.
fn challenges(value: &str) -> Vec<Challenge> {
    let lower = value.to_ascii_lowercase();
    let mut found = Vec::new();
    for (at, _) in lower.match_indices("digest ").take(CHALLENGES_MAX) {
        // A scheme follows the start of the value or a comma.
        if !value[..at].trim_end().is_empty() && !value[..at].trim_end().ends_with(',') {
            continue;
        }
        found.extend(parse_challenge(&value[at + "digest ".len()..]));
    }
    found
}

fn parse_challenge(parameters: &str) -> Option<Challenge> {
    let mut challenge = Challenge {
        realm: String::new(),
        nonce: String::new(),
        opaque: None,
        hash: Hash::Md5,
        is_session: false,
        algorithm: None,
        offers_auth: false,
        is_stale: false,
    };
    for (name, value) in parse_parameters(parameters) {
        match name.to_ascii_lowercase().as_str() {
            "realm" => challenge.realm = value,
            "nonce" => challenge.nonce = value,
            "opaque" => challenge.opaque = Some(value),
            "stale" => challenge.is_stale = value.eq_ignore_ascii_case("true"),
            "qop" => {
                challenge.offers_auth = value
                    .split(',')
                    .any(|q| q.trim().eq_ignore_ascii_case("auth"));
                if !challenge.offers_auth {
                    return None;
                }
            }
            "algorithm" => {
                let upper = value.to_ascii_uppercase();
                challenge.is_session = upper.ends_with("-SESS");
                challenge.hash = match upper.trim_end_matches("-SESS") {
                    "MD5" => Hash::Md5,
                    "SHA-256" => Hash::Sha256,
                    _ => return None,
                };
                challenge.algorithm = Some(value);
            }
            _ => {}
        }
    }
    (!challenge.nonce.is_empty()).then_some(challenge)
}

/// Parses `name=value` and `name="value"` pairs up to the next scheme.
fn parse_parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((name, after)) = rest.split_once('=') else {
            return found;
        };
        let name = name.trim();
        // A name with a space is the next scheme and its first parameter.
        if name.contains([' ', ',']) {
            return found;
        }
        let after = after.trim_start();
        let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
            let mut value = String::new();
            let mut end = quoted.len();
            let mut chars = quoted.char_indices();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    '\\' => value.extend(chars.next().map(|(_, c)| c)),
                    c => value.push(c),
                }
            }
            (value, &quoted[end..])
        } else {
            let end = after.find(',').unwrap_or(after.len());
            (after[..end].trim().to_owned(), &after[end..])
        };
        found.push((name.to_owned(), value));
        rest = after;
    }
}

impl Challenge {
    /// Returns the Authorization header for a request to the request target `target`.
    /// `cnonce` is random and contains no quotes.
    pub fn authorization(
        &self,
        method: &str,
        target: &str,
        (user, password): (&str, &str),
        cnonce: &str,
    ) -> String {
        let hash = |text: String| self.hash.digest(&text);
        let mut ha1 = hash(format!("{user}:{}:{password}", self.realm));
        if self.is_session {
            ha1 = hash(format!("{ha1}:{}:{cnonce}", self.nonce));
        }
        let ha2 = hash(format!("{method}:{target}"));
        let response = if self.offers_auth {
            hash(format!("{ha1}:{}:00000001:{cnonce}:auth:{ha2}", self.nonce))
        } else {
            hash(format!("{ha1}:{}:{ha2}", self.nonce))
        };
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{target}\", response=\"{response}\"",
            quoted(user),
            quoted(&self.realm),
            quoted(&self.nonce)
        );
        if let Some(algorithm) = &self.algorithm {
            value.extend([", algorithm=", algorithm]);
        }
        if let Some(opaque) = &self.opaque {
            value.extend([", opaque=\"", &quoted(opaque), "\""]);
        }
        if self.offers_auth {
            value.extend([", qop=auth, nc=00000001, cnonce=\"", cnonce, "\""]);
        } else if self.is_session {
            value.extend([", cnonce=\"", cnonce, "\""]);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    const NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";

    fn head(values: &[&str]) -> Head {
        let lines: Vec<String> = values
            .iter()
            .map(|value| format!("WWW-Authenticate: {value}\r\n"))
            .collect();
        Head::parse(format!("HTTP/1.1 401 U\r\n{}\r\n", lines.concat()).as_bytes()).unwrap()
    }

    #[test]
    fn examples_of_the_rfc() {
        let offer = |algorithm: &str| {
            format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
                 algorithm={algorithm}, nonce=\"{NONCE}\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        let both = head(&[&offer("MD5"), &offer("SHA-256")]);
        let strong = challenge(&both).unwrap();
        let login = ("Mufasa", "Circle of Life");
        let answer = strong.authorization("GET", "/dir/index.html", login, CNONCE);
        assert!(
            answer.contains("753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
            "{answer}"
        );
        let weak = challenge(&head(&[&offer("MD5")])).unwrap();
        let answer = weak.authorization("GET", "/dir/index.html", login, CNONCE);
        assert!(
            answer.contains("8ca523f5e9506fed4657c9700eebdbec"),
            "{answer}"
        );
    }

    #[test]
    fn authorization_has_all_parameters() {
        // The responses were computed with Python's hashlib.
        let start = format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", nonce=\"{NONCE}\", \
             uri=\"/dir/index.html\", response="
        );
        let proof = format!("qop=auth, nc=00000001, cnonce=\"{CNONCE}\"");
        for (offer, end) in [
            (
                "qop=\"auth\", algorithm=MD5, opaque=\"o\\\"p\"",
                format!(
                    "\"8ca523f5e9506fed4657c9700eebdbec\", algorithm=MD5, opaque=\"o\\\"p\", {proof}"
                ),
            ),
            (
                "qop=\"auth-int,auth\", algorithm=SHA-256",
                format!(
                    "\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", algorithm=SHA-256, {proof}"
                ),
            ),
            (
                "qop=auth, algorithm=SHA-256-sess",
                format!(
                    "\"2fd51b3a77ad75bad6afad6003e818d767133c46d9e2749e7f5232ae1ea3efd7\", algorithm=SHA-256-sess, {proof}"
                ),
            ),
            (
                "stale=false",
                "\"7b2cc3b30e75b4777ea31027084363fd\"".to_owned(),
            ),
            (
                "algorithm=MD5-sess",
                format!(
                    "\"37a7f42db2090a3fcac4e26e747d4fc8\", algorithm=MD5-sess, cnonce=\"{CNONCE}\""
                ),
            ),
        ] {
            let value =
                format!("Digest realm=\"http-auth@example.org\", nonce=\"{NONCE}\", {offer}");
            let challenge = challenge(&head(&[&value])).unwrap();
            let login = ("Mufasa", "Circle of Life");
            let answer = challenge.authorization("GET", "/dir/index.html", login, CNONCE);
            assert_eq!(answer, format!("{start}{end}"), "{offer}");
        }
    }

    #[test]
    fn expired_nonces_are_recognized() {
        for (value, stale) in [
            ("Digest realm=r, nonce=n, stale=TRUE", true),
            ("Digest realm=r, nonce=n, stale=false", false),
            ("Digest realm=r, nonce=n", false),
            ("Basic realm=r, stale=true", false),
        ] {
            assert_eq!(is_stale(&head(&[value])), stale, "{value}");
        }
    }

    #[test]
    fn a_header_value_may_contain_several_schemes() {
        let one = challenge(&head(&[
            "Basic realm=\"x\", Digest realm=\"y\", nonce=\"n\"",
        ]))
        .unwrap();
        assert_eq!((one.realm.as_str(), one.offers_auth), ("y", false));
        assert_eq!(challenge(&head(&["Basic realm=\"x\""])), None);
        assert_eq!(challenge(&head(&["Digest realm=\"y\""])), None);
        assert_eq!(
            challenge(&head(&["Digest nonce=n, algorithm=SHA-512-256"])),
            None
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in "[ -~]*") {
            let _ = challenge(&head(&[&format!("Digest {text}")]));
        }
    }
}
