//! A body that is being delivered.

use ring::digest;

/// The state of a body between its opening and its end.
pub(super) struct OpenBody {
    /// The digest of the bytes so far, if it is needed.
    pub(super) digest: Option<digest::Context>,
    /// Whether the body is discarded. The sink may still hold the body of an earlier
    /// attempt.
    pub(super) is_discarded: bool,
    /// The last bytes of the partial download, which the body must repeat.
    overlap: Vec<u8>,
}

impl OpenBody {
    /// Returns a body without any bytes.
    pub(super) fn new(digest: Option<digest::Context>) -> Self {
        Self {
            digest,
            is_discarded: false,
            overlap: Vec::new(),
        }
    }

    /// Returns a body that is discarded.
    pub(super) fn discarded() -> Self {
        Self {
            is_discarded: true,
            ..Self::new(None)
        }
    }

    /// Adds bytes to the digest.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
    }

    /// Requires that the body starts with these bytes.
    pub(super) fn expect(&mut self, overlap: Vec<u8>) {
        self.overlap = overlap;
    }

    /// Whether the body has repeated the last bytes of the partial download.
    pub(super) fn has_repeated(&self) -> bool {
        self.overlap.is_empty()
    }

    /// Returns the part of a piece after the repeated bytes; `None` if it differs from
    /// them.
    pub(super) fn skip_repeated<'p>(&mut self, piece: &'p [u8]) -> Option<&'p [u8]> {
        let length = self.overlap.len().min(piece.len());
        if self.overlap[..length] != piece[..length] {
            return None;
        }
        self.overlap.drain(..length);
        Some(&piece[length..])
    }
}

#[cfg(test)]
mod tests {
    use super::OpenBody;

    #[test]
    fn repeated_bytes_are_compared_and_skipped() {
        let mut body = OpenBody::new(None);
        body.expect(b"abc".to_vec());
        assert_eq!(body.skip_repeated(b"a"), Some(&b""[..]));
        assert!(!body.has_repeated());
        assert_eq!(body.skip_repeated(b"bcd"), Some(&b"d"[..]));
        assert!(body.has_repeated());
        body.expect(b"abc".to_vec());
        assert_eq!(body.skip_repeated(b"abd"), None);
    }
}
