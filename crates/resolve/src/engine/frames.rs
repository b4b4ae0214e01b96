//! Messages out of a stream of bytes (RFC 1035 section 4.2.2): a length of two
//! bytes before each, whatever pieces they come in.

/// Bytes as far as they came.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    /// Where the next length begins; what is before it has been taken.
    start: usize,
}

impl Frames {
    /// Adds bytes. If all whole messages are taken before more is added, no
    /// more is held than one message and this piece.
    pub(crate) fn extend(&mut self, piece: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(piece);
    }

    /// Whether a whole message is there.
    pub(crate) fn is_ready(&self) -> bool {
        self.peek().is_some()
    }

    /// Takes the next whole message.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let message = self.peek()?.to_vec();
        self.start += 2 + message.len();
        Some(message)
    }

    /// Bytes held, those taken already included.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn held(&self) -> usize {
        self.bytes.len()
    }

    fn peek(&self) -> Option<&[u8]> {
        let rest = self.bytes.get(self.start..)?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        rest.get(..usize::from(u16::from_be_bytes(*length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
            sizes in proptest::collection::vec(1usize..700, 1..40),
            cut in 0usize..400,
        ) {
            let mut bytes = Vec::new();
            for message in &messages {
                bytes.extend((message.len() as u16).to_be_bytes());
                bytes.extend(message);
            }
            // The end may be missing.
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            let (mut frames, mut got) = (Frames::default(), Vec::new());
            let (mut rest, mut sizes) = (&bytes[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let size = sizes.next().copied().unwrap_or(1).min(rest.len());
                let (piece, after) = rest.split_at(size);
                rest = after;
                frames.extend(piece);
                prop_assert!(frames.held() <= 2 + 300 + size);
                while frames.is_ready() {
                    got.extend(frames.next());
                }
            }
            let mut whole = 0;
            let end = |m: &Vec<u8>| { whole += 2 + m.len(); whole <= bytes.len() };
            let expected: Vec<_> = messages.iter().cloned().take_while(end).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
