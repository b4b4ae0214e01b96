//! The tag at the start of a datagram, by which an echo is matched with its
//! probe: a magic number, the probe's sequence number, and a checksum of the
//! latter that is keyed, so that other senders and other runs cannot make it.
//!
//! | size of the datagram | fields of the tag, with their sizes in bytes |
//! |---|---|
//! | 16 and more | magic (4), sequence (8), checksum (4) |
//! | 8 to 15 | lower half of the sequence (4), checksum (4) |
//! | 4 to 7 | lower half of the sequence (4) |
//!
//! A smaller datagram has no tag. Numbers are in network byte order.

use common::random::mix;

/// The magic number. As the lower half of a sequence it is larger than any run
/// reaches.
const MAGIC: [u8; 4] = *b"\xf7EC\x1c";

/// The size of a tag with all its fields, in bytes.
const FULL_SIZE: usize = 16;

/// The size of the smallest datagram that has a tag, in bytes.
pub(crate) const MIN_SIZE: usize = 4;

/// The sequence number that was read from a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// The checksum is correct, or the datagram is too small to have one.
    Verified(u64),
    /// The checksum is wrong or cut off.
    Unverified(u64),
    /// The datagram has no tag.
    Absent,
}

/// Writes and reads the tags of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tags {
    key: u64,
}

impl Tags {
    /// Creates tags with checksums that are keyed with `key`.
    pub(crate) fn new(key: u64) -> Self {
        Self { key }
    }

    fn checksum(self, sequence: u64) -> [u8; 4] {
        let mixed = mix(self.key ^ mix(sequence));
        ((mixed >> 32) as u32).to_be_bytes()
    }

    /// Writes the tag of a probe over the first bytes of its datagram.
    pub(crate) fn write(self, sequence: u64, datagram: &mut [u8]) {
        let checksum = self.checksum(sequence);
        let low_half = (sequence as u32).to_be_bytes();
        match datagram.len() {
            FULL_SIZE.. => {
                datagram[..4].copy_from_slice(&MAGIC);
                datagram[4..12].copy_from_slice(&sequence.to_be_bytes());
                datagram[12..FULL_SIZE].copy_from_slice(&checksum);
            }
            8.. => {
                datagram[..4].copy_from_slice(&low_half);
                datagram[4..8].copy_from_slice(&checksum);
            }
            MIN_SIZE.. => datagram[..4].copy_from_slice(&low_half),
            _ => {}
        }
    }

    /// Reads the tag of a datagram, which may be truncated. `last` is the
    /// sequence of the latest probe; it completes a lower half.
    pub(crate) fn read(self, datagram: &[u8], last: u64) -> Tag {
        let word = |at: usize| datagram.get(at..)?.first_chunk::<4>().copied();
        let Some(first) = word(0) else {
            return Tag::Absent;
        };
        if let (Some(high), Some(low), Some(checksum)) = (word(4), word(8), word(12)) {
            let sequence =
                u64::from(u32::from_be_bytes(high)) << 32 | u64::from(u32::from_be_bytes(low));
            if checksum == self.checksum(sequence) {
                return Tag::Verified(sequence);
            }
        }
        if first == MAGIC {
            // The sequence may still be complete.
            return match datagram.get(4..).and_then(|rest| rest.first_chunk()) {
                Some(bytes) => Tag::Unverified(u64::from_be_bytes(*bytes)),
                None => Tag::Absent,
            };
        }
        let sequence = complete(u32::from_be_bytes(first), last);
        match word(4) {
            // The datagram is too small for a checksum.
            None => Tag::Verified(sequence),
            Some(checksum) if datagram.len() < FULL_SIZE && checksum == self.checksum(sequence) => {
                Tag::Verified(sequence)
            }
            Some(_) if datagram.len() < FULL_SIZE => Tag::Unverified(sequence),
            Some(_) => Tag::Absent,
        }
    }
}

/// Returns the latest sequence up to `last` that has this lower half, or the
/// first one after `last` if no earlier one has it.
fn complete(low_half: u32, last: u64) -> u64 {
    let sequence = last & !u64::from(u32::MAX) | u64::from(low_half);
    if sequence > last {
        sequence.checked_sub(1 << 32).unwrap_or(sequence)
    } else {
        sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_tag_round_trips(
            key: u64, sequence in 0u64..1 << 40, behind in 0u64..1 << 31, size in MIN_SIZE..100,
        ) {
            let tags = Tags::new(key);
            let mut datagram = vec![7; size];
            tags.write(sequence, &mut datagram);
            prop_assert_eq!(tags.read(&datagram, sequence + behind), Tag::Verified(sequence));
            // A tag of another run is not verified, if it has a checksum.
            let other = Tags::new(!key).read(&datagram, sequence + behind);
            prop_assert!(size < 8 || other != Tag::Verified(sequence));
        }

        #[test]
        fn one_wrong_byte_never_verifies_as_another_probe(
            key: u64, sequence in 0u64..1 << 40, size in 8usize..100, at in 0usize..16, bits in 1u8..=255,
        ) {
            let tags = Tags::new(key);
            let mut datagram = vec![7; size];
            tags.write(sequence, &mut datagram);
            let at = at.min(if size < FULL_SIZE { 7 } else { 15 });
            datagram[at] ^= bits;
            match tags.read(&datagram, sequence) {
                Tag::Verified(named) => prop_assert_eq!(named, sequence),
                Tag::Unverified(_) | Tag::Absent => {}
            }
        }

        #[test]
        fn any_bytes_are_read(datagram: Vec<u8>, last: u64) {
            let _ = Tags::new(1).read(&datagram, last);
        }
    }

    #[test]
    fn a_truncated_or_spoilt_tag_is_read_as_far_as_possible() {
        let tags = Tags::new(5);
        let mut datagram = [7; 64];
        tags.write(3, &mut datagram);
        for (length, tag) in [
            (0, Tag::Absent),
            (3, Tag::Absent),
            (4, Tag::Absent),
            (11, Tag::Absent),
            (12, Tag::Unverified(3)),
            (15, Tag::Unverified(3)),
            (16, Tag::Verified(3)),
            (63, Tag::Verified(3)),
        ] {
            assert_eq!(tags.read(&datagram[..length], 9), tag, "{length}");
        }
        // Only the magic number is wrong.
        datagram[0] = 0;
        assert_eq!(tags.read(&datagram, 9), Tag::Verified(3));
        datagram[15] ^= 1;
        assert_eq!(tags.read(&datagram, 9), Tag::Absent);
        assert_eq!(tags.read(&datagram[..FULL_SIZE], 9), Tag::Absent);
    }

    #[test]
    fn a_lower_half_is_completed_to_the_latest_sequence() {
        assert_eq!(complete(7, 9), 7);
        assert_eq!(complete(9, 9), 9);
        assert_eq!(complete(10, 9), 10);
        assert_eq!(complete(u32::MAX, (1 << 32) + 5), u64::from(u32::MAX));
        assert_eq!(complete(2, (1 << 32) + 5), (1 << 32) + 2);
        assert_eq!(complete(5, (1 << 32) + 5), (1 << 32) + 5);
    }
}
