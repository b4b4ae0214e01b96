//! Splits a byte stream into DNS messages (RFC 1035, section 4.2.2): each is
//! preceded by its length in two bytes, and may arrive in any number of pieces.

/// A buffer for received bytes from which whole messages are taken.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
    /// The offset of the next length; everything before it has been taken.
    start: usize,
}

impl FrameBuffer {
    /// Appends received bytes. The buffer never exceeds one message and one piece
    /// if all whole messages are taken before the next call.
    pub(crate) fn extend(&mut self, piece: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(piece);
    }

    /// Returns whether a whole message is available.
    pub(crate) fn is_ready(&self) -> bool {
        self.peek().is_some()
    }

    /// Takes the next whole message.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let message = self.peek()?.to_vec();
        self.start += 2 + message.len();
        Some(message)
    }

    /// Returns the size of the buffer in bytes, including messages taken since
    /// the last [`FrameBuffer::extend`].
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn size(&self) -> usize {
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
        fn messages_do_not_depend_on_the_pieces(
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
            let (mut frames, mut taken) = (FrameBuffer::default(), Vec::new());
            let (mut rest, mut sizes) = (&bytes[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let size = sizes.next().copied().unwrap_or(1).min(rest.len());
                let (piece, after) = rest.split_at(size);
                rest = after;
                frames.extend(piece);
                prop_assert!(frames.size() <= 2 + 300 + size);
                while frames.is_ready() {
                    taken.extend(frames.next());
                }
            }
            let mut end = 0;
            let is_whole = |m: &Vec<u8>| { end += 2 + m.len(); end <= bytes.len() };
            let expected: Vec<_> = messages.iter().cloned().take_while(is_whole).collect();
            prop_assert_eq!(taken, expected);
        }
    }
}
