//! What a datagram carries so that its echo can be told from every other: 16
//! bytes in front of the pattern, a magic number, the probe's sequence number
//! and a check of both that only this run can make.
//!
//! | bytes of the datagram | what it carries |
//! |---|---|
//! | 16 and more | magic (4), sequence (8), check (4) |
//! | 8 to 15 | the lower half of the sequence (4), check (4) |
//! | 4 to 7 | the lower half of the sequence |
//!
//! Less says nothing. Numbers are in network byte order.

use common::random::mix;

/// Read as the lower half of a sequence it is one that no run comes to.
const MAGIC: [u8; 4] = *b"\xf7EC\x1c";

/// Bytes of the whole form.
const WHOLE: usize = 16;

/// The smallest datagram that names its probe.
pub(crate) const LEAST: usize = 4;

/// Which probe a datagram is the echo of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// This one: the check is right, or there is no room for one.
    Sure(u64),
    /// It says this one, and the check is wrong or cut off.
    Claimed(u64),
    /// None.
    Nothing,
}

/// The tags of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tags {
    key: u64,
}

impl Tags {
    /// Tags whose checks follow from `key`.
    pub(crate) fn new(key: u64) -> Self {
        Self { key }
    }

    fn check(self, sequence: u64) -> [u8; 4] {
        let mixed = mix(self.key ^ mix(sequence));
        ((mixed >> 32) as u32).to_be_bytes()
    }

    /// Writes the tag of a probe over the beginning of its datagram.
    pub(crate) fn write(self, sequence: u64, datagram: &mut [u8]) {
        let check = self.check(sequence);
        let half = (sequence as u32).to_be_bytes();
        match datagram.len() {
            WHOLE.. => {
                datagram[..4].copy_from_slice(&MAGIC);
                datagram[4..12].copy_from_slice(&sequence.to_be_bytes());
                datagram[12..WHOLE].copy_from_slice(&check);
            }
            8.. => {
                datagram[..4].copy_from_slice(&half);
                datagram[4..8].copy_from_slice(&check);
            }
            LEAST.. => datagram[..4].copy_from_slice(&half),
            _ => {}
        }
    }

    /// Reads the tag of a datagram, or of what has come of one. `last` is the
    /// sequence of the latest probe, which the lower half is completed from.
    pub(crate) fn read(self, datagram: &[u8], last: u64) -> Name {
        let word = |at: usize| datagram.get(at..)?.first_chunk::<4>().copied();
        let Some(first) = word(0) else {
            return Name::Nothing;
        };
        if let (Some(high), Some(low), Some(check)) = (word(4), word(8), word(12)) {
            let sequence =
                u64::from(u32::from_be_bytes(high)) << 32 | u64::from(u32::from_be_bytes(low));
            if check == self.check(sequence) {
                return Name::Sure(sequence);
            }
        }
        if first == MAGIC {
            // The sequence is there at least.
            return match datagram.get(4..).and_then(|rest| rest.first_chunk()) {
                Some(bytes) => Name::Claimed(u64::from_be_bytes(*bytes)),
                None => Name::Nothing,
            };
        }
        let sequence = complete(u32::from_be_bytes(first), last);
        match word(4) {
            // Too short for a check.
            None => Name::Sure(sequence),
            Some(check) if datagram.len() < WHOLE && check == self.check(sequence) => {
                Name::Sure(sequence)
            }
            Some(_) if datagram.len() < WHOLE => Name::Claimed(sequence),
            Some(_) => Name::Nothing,
        }
    }
}

/// The latest sequence up to `last` with this lower half; beyond it if there is
/// none.
fn complete(half: u32, last: u64) -> u64 {
    let sequence = last & !u64::from(u32::MAX) | u64::from(half);
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
        fn a_tag_comes_back(
            key: u64, sequence in 0u64..1 << 40, behind in 0u64..1 << 31, size in LEAST..100,
        ) {
            let tags = Tags::new(key);
            let mut datagram = vec![7; size];
            tags.write(sequence, &mut datagram);
            prop_assert_eq!(tags.read(&datagram, sequence + behind), Name::Sure(sequence));
            // Another run's says nothing certain, where a check fits.
            let other = Tags::new(!key).read(&datagram, sequence + behind);
            prop_assert!(size < 8 || other != Name::Sure(sequence));
        }

        #[test]
        fn one_wrong_byte_never_names_another_probe_for_sure(
            key: u64, sequence in 0u64..1 << 40, size in 8usize..100, at in 0usize..16, bits in 1u8..=255,
        ) {
            let tags = Tags::new(key);
            let mut datagram = vec![7; size];
            tags.write(sequence, &mut datagram);
            let at = at.min(if size < WHOLE { 7 } else { 15 });
            datagram[at] ^= bits;
            match tags.read(&datagram, sequence) {
                Name::Sure(named) => prop_assert_eq!(named, sequence),
                Name::Claimed(_) | Name::Nothing => {}
            }
        }

        #[test]
        fn any_bytes_are_read(datagram: Vec<u8>, last: u64) {
            let _ = Tags::new(1).read(&datagram, last);
        }
    }

    #[test]
    fn what_is_cut_off() {
        let tags = Tags::new(5);
        let mut datagram = [7; 64];
        tags.write(3, &mut datagram);
        for (length, name) in [
            (0, Name::Nothing),
            (3, Name::Nothing),
            (4, Name::Nothing),
            (11, Name::Nothing),
            (12, Name::Claimed(3)),
            (15, Name::Claimed(3)),
            (16, Name::Sure(3)),
            (63, Name::Sure(3)),
        ] {
            assert_eq!(tags.read(&datagram[..length], 9), name, "{length}");
        }
        // The magic number is wrong, the rest is not.
        datagram[0] = 0;
        assert_eq!(tags.read(&datagram, 9), Name::Sure(3));
        datagram[15] ^= 1;
        assert_eq!(tags.read(&datagram, 9), Name::Nothing);
    }

    #[test]
    fn halves_of_sequences() {
        assert_eq!(complete(7, 9), 7);
        assert_eq!(complete(9, 9), 9);
        assert_eq!(complete(10, 9), 10);
        assert_eq!(complete(u32::MAX, (1 << 32) + 5), u64::from(u32::MAX));
        assert_eq!(complete(2, (1 << 32) + 5), (1 << 32) + 2);
    }
}
