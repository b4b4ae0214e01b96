//! Queries: a header, one question, and an OPT record if EDNS is used.

use domain::base::iana::Rtype;
use domain::base::name::{Name, ToName as _};
use domain::dep::octseq::Parser;

use super::OwnedName;

/// The length of a header in bytes.
pub(crate) const HEADER: usize = 12;

/// A name and a type of class IN, in wire format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question(Vec<u8>);

impl Question {
    /// Creates the question for `name` and `rtype`.
    pub(crate) fn new(name: OwnedName, rtype: Rtype) -> Self {
        let mut bytes = name.into_octets();
        bytes.extend_from_slice(&rtype.to_int().to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        Self(bytes)
    }

    /// Parses the question of a message, as one of class IN. Its name must not be
    /// compressed.
    pub(crate) fn of(message: &[u8]) -> Option<Self> {
        let mut parser = Parser::from_ref(message);
        parser.advance(HEADER).ok()?;
        let name: Name<&[u8]> = Name::parse(&mut parser).ok()?;
        let rtype = parser.parse_u16_be().ok()?;
        Some(Self::new(name.to_vec(), Rtype::from_int(rtype)))
    }

    /// Returns name, type and class in wire format.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the requested name.
    pub(crate) fn name(&self) -> Name<&[u8]> {
        // The bytes come from a name, so the fallback is never used.
        Name::from_octets(&self.0[..self.0.len() - 4])
            .unwrap_or_else(|_| Name::root_slice().for_ref())
    }

    /// Returns the requested type.
    pub(crate) fn rtype(&self) -> Rtype {
        let at = self.0.len() - 4;
        Rtype::from_int(u16::from_be_bytes([self.0[at], self.0[at + 1]]))
    }

    /// Returns whether a question section begins with this question, ignoring
    /// case.
    pub(crate) fn is_in(&self, section: &[u8]) -> bool {
        let at = self.0.len() - 4;
        section.len() >= self.0.len()
            && section[at..self.0.len()] == self.0[at..]
            // Length bytes are below 64, so they are never mistaken for letters.
            && section[..at].eq_ignore_ascii_case(&self.0[..at])
    }
}

/// Appends a query to `message`. `opt` is the complete OPT record.
pub(crate) fn compose(
    message: &mut Vec<u8>,
    id: u16,
    recurse: bool,
    question: &Question,
    opt: Option<&[u8]>,
) {
    message.extend_from_slice(&id.to_be_bytes());
    // AD in a query requests AD in the answer (RFC 6840, section 5.7).
    message.extend_from_slice(&[u8::from(recurse), 0x20]);
    message.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(opt.is_some())]);
    message.extend_from_slice(question.bytes());
    message.extend_from_slice(opt.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_the_expected_bytes() {
        let name = OwnedName::vec_from_str("Ab.test").unwrap();
        let question = Question::new(name.clone(), Rtype::AAAA);
        let mut message = Vec::new();
        compose(&mut message, 0x1234, true, &question, None);
        assert_eq!(
            message,
            b"\x12\x34\x01\x20\0\x01\0\0\0\0\0\0\x02Ab\x04test\0\0\x1c\0\x01"
        );
        assert_eq!(question.name(), name);
        assert_eq!(question.rtype(), Rtype::AAAA);
    }

    #[test]
    fn names_are_compared_without_case() {
        let name = OwnedName::vec_from_str("ab.test").unwrap();
        // 65 and 97 differ by the bit that distinguishes upper from lower case.
        let question = Question::new(name, Rtype::from_int(65));
        assert!(question.is_in(b"\x02AB\x04TEST\0\0A\0\x01more"));
        assert!(!question.is_in(b"\x02AB\x04TEST\0\0a\0\x01"));
        assert!(!question.is_in(b"\x02AB\x04TEST\0\0A\0\x03"));
        assert!(!question.is_in(b"\x02AB\x04TEST\0\0A"));
    }
}
