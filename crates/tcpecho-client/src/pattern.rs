//! Generated messages: a header with a sequence number, then a seeded pattern.
//!
//! A message is a pure function of the seed, its connection and its sequence
//! number. So it need not be stored while it is in flight: the echo is
//! compared with the message as it is generated again. The first eight bytes
//! hold the connection and the sequence number; the rest is a slice of a table
//! of random bytes that starts at an index derived from both. This detects
//! lost and repeated bytes, reordering, and echoes of another connection.

use common::random::mix;

use crate::message::Sizes;

/// The size of the table in bytes. It is prime, so that blocks of a size that is
/// a power of two differ from each other, and small enough for the processor's
/// cache.
const TABLE_SIZE: usize = 8191;

/// The size of the header in bytes.
const HEADER_SIZE: usize = 8;

/// The connection and the sequence number of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageId {
    /// The index of the connection, below 2^24.
    pub(crate) connection: u32,
    /// The number of the message on its connection, from 0, below 2^40.
    pub(crate) sequence: u64,
}

impl MessageId {
    /// Packs both numbers into the header's value.
    fn number(self) -> u64 {
        u64::from(self.connection) << 40 | self.sequence & ((1 << 40) - 1)
    }
}

/// A generator of messages.
#[derive(Debug)]
pub(crate) struct Pattern {
    seed: u64,
    sizes: Sizes,
    table: Box<[u8]>,
}

impl Pattern {
    /// Creates a generator of messages of these sizes.
    pub(crate) fn new(seed: u64, sizes: Sizes) -> Self {
        let table = (0..TABLE_SIZE as u64)
            .map(|n| mix(seed.wrapping_add(n)) as u8)
            .collect();
        Self { seed, sizes, table }
    }

    /// Returns the size of a message in bytes.
    pub(crate) fn size(&self, id: MessageId) -> usize {
        let Sizes { min, max } = self.sizes;
        if min == max {
            return min;
        }
        let range = (max - min) as u64 + 1;
        min + (mix(self.seed ^ id.number()) % range) as usize
    }

    /// Returns the index in the table of the byte at `offset` of a message.
    fn table_index(&self, id: MessageId, offset: usize) -> usize {
        let mixed = (self.seed ^ id.number()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // Scales the upper half to the table's size without a division.
        let start = ((mixed >> 32) * TABLE_SIZE as u64) >> 32;
        let index = start as usize + offset;
        // Most messages are small, so the slow division is rarely needed.
        if index < TABLE_SIZE {
            index
        } else {
            index % TABLE_SIZE
        }
    }

    /// Returns the table from the byte at `offset` of a message to its end.
    #[inline]
    fn table_from(&self, id: MessageId, offset: usize) -> &[u8] {
        &self.table[self.table_index(id, offset)..]
    }

    /// Writes the bytes of a message from `offset` on. `out` must not extend
    /// past the end of the message.
    pub(crate) fn fill(&self, id: MessageId, offset: usize, out: &mut [u8]) {
        let head = HEADER_SIZE.saturating_sub(offset).min(out.len());
        let header = id.number().to_le_bytes();
        // Most messages are written as a whole. The length of this copy is
        // known to the compiler.
        if let (0, Some((first, _))) = (offset, out.split_first_chunk_mut()) {
            *first = header;
        } else if head > 0 {
            out[..head].copy_from_slice(&header[offset..offset + head]);
        }
        let mut done = head;
        while done < out.len() {
            let source = self.table_from(id, offset + done);
            let n = source.len().min(out.len() - done);
            out[done..done + n].copy_from_slice(&source[..n]);
            done += n;
        }
    }

    /// Returns the message from its first to its last byte.
    pub(crate) fn message(&self, id: MessageId) -> Vec<u8> {
        let mut message = vec![0; self.size(id)];
        self.fill(id, 0, &mut message);
        message
    }

    /// Returns whether `bytes` equal the message from `offset` on.
    pub(crate) fn matches(&self, id: MessageId, offset: usize, bytes: &[u8]) -> bool {
        let head = HEADER_SIZE.saturating_sub(offset).min(bytes.len());
        let header = id.number().to_le_bytes();
        let mut is_equal = match (offset, bytes.first_chunk()) {
            (0, Some(first)) => *first == header,
            _ => head == 0 || bytes[..head] == header[offset..offset + head],
        };
        let mut done = head;
        while done < bytes.len() {
            let source = self.table_from(id, offset + done);
            let n = source.len().min(bytes.len() - done);
            is_equal &= source[..n] == bytes[done..done + n];
            done += n;
        }
        is_equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id() -> impl Strategy<Value = MessageId> {
        (0u32..1 << 24, 0u64..1 << 40).prop_map(|(connection, sequence)| MessageId {
            connection,
            sequence,
        })
    }

    proptest! {
        #[test]
        fn a_message_matches_in_two_pieces(
            seed: u64, id in id(), size in 1usize..200_000, cut: prop::sample::Index,
        ) {
            let pattern = Pattern::new(seed, Sizes { min: size, max: size });
            let message = pattern.message(id);
            let cut = cut.index(size);
            prop_assert!(pattern.matches(id, 0, &message[..cut]));
            prop_assert!(pattern.matches(id, cut, &message[cut..]));
        }

        #[test]
        fn one_wrong_byte_is_detected(seed: u64, id in id(), size in 1usize..2000, at: prop::sample::Index) {
            let pattern = Pattern::new(seed, Sizes { min: size, max: size });
            let mut message = pattern.message(id);
            message[at.index(size)] ^= 1;
            prop_assert!(!pattern.matches(id, 0, &message));
        }

        #[test]
        fn two_messages_never_match(seed: u64, a in id(), b in id()) {
            prop_assume!(a != b);
            let pattern = Pattern::new(seed, Sizes::default());
            prop_assert!(!pattern.matches(b, 0, &pattern.message(a)));
        }

        #[test]
        fn sizes_stay_in_their_range(seed: u64, id in id(), min in 1usize..100, more in 0usize..100) {
            let pattern = Pattern::new(seed, Sizes { min, max: min + more });
            prop_assert!((min..=min + more).contains(&pattern.size(id)));
        }
    }
}
