//! `--pinnedpubkey`: public keys that a server may have, in curl's format.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The SHA-256 digest of a SubjectPublicKeyInfo in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin([u8; 32]);

impl Pin {
    /// Whether a public key has this digest.
    pub fn matches(&self, public_key: &[u8]) -> bool {
        ring::digest::digest(&ring::digest::SHA256, public_key).as_ref() == self.0
    }
}

/// Parses the value of `--pinnedpubkey`: `sha256//BASE64[;sha256//BASE64…]`.
pub fn parse(text: &str) -> Result<Vec<Pin>, String> {
    let form = || "must be sha256//BASE64, or several of these separated by ';'".to_owned();
    text.split(';')
        .map(|pin| {
            let coded = pin.trim().strip_prefix("sha256//").ok_or_else(form)?;
            let bytes = STANDARD.decode(coded).map_err(|_| form())?;
            bytes.try_into().map(Pin).map_err(|_| form())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_parsed_and_matched() {
        // The digest of an empty key.
        let empty = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let pins = parse(&format!("{empty};{empty}")).unwrap();
        assert_eq!(pins.len(), 2);
        assert!(pins[0].matches(b"") && !pins[0].matches(b"x"));
        for bad in ["", "sha1//x", "sha256//", "sha256//AAAA", "key.pem"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
