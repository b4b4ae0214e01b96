//! Messages that are made up: a sequence number and a seeded pattern.
//!
//! Every message is a pure function of the seed, its connection and its
//! number, so none is kept while it is on its way: what comes back is compared
//! with what would be sent. It begins with the connection and the number in
//! eight bytes; the rest is cut from a table of random bytes at a place that
//! follows from both. A byte lost or doubled, an answer to somebody else and
//! one out of order all show.

use common::random::mix;

use crate::message::Sizes;

/// Bytes of the table; prime, so that no block of a power of two fits the
/// place of another, and small, so that it stays in the processor's cache.
const TABLE: usize = 8191;

/// Bytes of the header.
const HEADER: usize = 8;

/// Which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    /// Its connection, below 2^24.
    pub(crate) connection: u32,
    /// Its number on the connection, from 0, below 2^40.
    pub(crate) sequence: u64,
}

impl Id {
    fn number(self) -> u64 {
        u64::from(self.connection) << 40 | self.sequence & ((1 << 40) - 1)
    }
}

/// The maker of messages.
#[derive(Debug)]
pub(crate) struct Pattern {
    seed: u64,
    sizes: Sizes,
    table: Box<[u8]>,
}

impl Pattern {
    /// A maker of messages of these sizes.
    pub(crate) fn new(seed: u64, sizes: Sizes) -> Self {
        let table = (0..TABLE as u64)
            .map(|n| mix(seed.wrapping_add(n)) as u8)
            .collect();
        Self { seed, sizes, table }
    }

    /// The size of a message in bytes.
    pub(crate) fn size(&self, id: Id) -> usize {
        let Sizes { min, max } = self.sizes;
        if min == max {
            return min;
        }
        let range = (max - min) as u64 + 1;
        min + (mix(self.seed ^ id.number()) % range) as usize
    }

    /// Where in the table the byte at `offset` of a message lies.
    fn place(&self, id: Id, offset: usize) -> usize {
        let mixed = (self.seed ^ id.number()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The upper half as a share of the table: no division.
        let start = ((mixed >> 32) * TABLE as u64) >> 32;
        let place = start as usize + offset;
        // Rarely so: most messages are small, and to divide takes its time.
        if place < TABLE { place } else { place % TABLE }
    }

    /// The bytes behind the header, from `offset` on, as many as lie together.
    #[inline]
    fn run(&self, id: Id, offset: usize) -> &[u8] {
        &self.table[self.place(id, offset)..]
    }

    /// Writes the bytes of a message from `offset` on; `out` ends at the
    /// latest where the message does.
    pub(crate) fn fill(&self, id: Id, offset: usize, out: &mut [u8]) {
        let head = HEADER.saturating_sub(offset).min(out.len());
        let header = id.number().to_le_bytes();
        // Of a length known here: most messages are whole, and small.
        if let (0, Some((first, _))) = (offset, out.split_first_chunk_mut()) {
            *first = header;
        } else if head > 0 {
            out[..head].copy_from_slice(&header[offset..offset + head]);
        }
        let mut done = head;
        while done < out.len() {
            let run = self.run(id, offset + done);
            let n = run.len().min(out.len() - done);
            out[done..done + n].copy_from_slice(&run[..n]);
            done += n;
        }
    }

    /// The whole message.
    pub(crate) fn message(&self, id: Id) -> Vec<u8> {
        let mut message = vec![0; self.size(id)];
        self.fill(id, 0, &mut message);
        message
    }

    /// Whether `got` is what the message holds from `offset` on.
    pub(crate) fn matches(&self, id: Id, offset: usize, got: &[u8]) -> bool {
        let head = HEADER.saturating_sub(offset).min(got.len());
        let header = id.number().to_le_bytes();
        let mut same = match (offset, got.first_chunk()) {
            (0, Some(first)) => *first == header,
            _ => head == 0 || got[..head] == header[offset..offset + head],
        };
        let mut done = head;
        while done < got.len() {
            let run = self.run(id, offset + done);
            let n = run.len().min(got.len() - done);
            same &= run[..n] == got[done..done + n];
            done += n;
        }
        same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id() -> impl Strategy<Value = Id> {
        (0u32..1 << 24, 0u64..1 << 40).prop_map(|(connection, sequence)| Id {
            connection,
            sequence,
        })
    }

    proptest! {
        #[test]
        fn pieces_match_wherever_they_are_cut(
            seed: u64, id in id(), size in 1usize..200_000, cut: prop::sample::Index,
        ) {
            let pattern = Pattern::new(seed, Sizes { min: size, max: size });
            let message = pattern.message(id);
            let cut = cut.index(size);
            prop_assert!(pattern.matches(id, 0, &message[..cut]));
            prop_assert!(pattern.matches(id, cut, &message[cut..]));
        }

        #[test]
        fn one_wrong_byte_is_seen(seed: u64, id in id(), size in 1usize..2000, at: prop::sample::Index) {
            let pattern = Pattern::new(seed, Sizes { min: size, max: size });
            let mut message = pattern.message(id);
            message[at.index(size)] ^= 1;
            prop_assert!(!pattern.matches(id, 0, &message));
        }

        #[test]
        fn no_message_passes_for_another(seed: u64, a in id(), b in id()) {
            prop_assume!(a != b);
            let pattern = Pattern::new(seed, Sizes::default());
            prop_assert!(!pattern.matches(b, 0, &pattern.message(a)));
        }

        #[test]
        fn sizes_stay_in_bounds(seed: u64, id in id(), min in 1usize..100, more in 0usize..100) {
            let pattern = Pattern::new(seed, Sizes { min, max: min + more });
            prop_assert!((min..=min + more).contains(&pattern.size(id)));
        }
    }
}
