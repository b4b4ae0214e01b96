//! What to answer to a datagram, if anything: pure rules, apart from sockets.

use crate::fault::Fate;
use crate::machine::Rules;

/// Source ports of services that answer whatever they get: echo, daytime,
/// quotd, chargen, time, domain, ntp. With one of them an answer would be
/// answered, and so on for ever.
const TALKATIVE: [u16; 7] = [7, 13, 17, 19, 37, 53, 123];

/// Whether a datagram from `source` may be answered by the server on `own`.
/// Its own port is another server of this kind, or a forged sender.
pub(crate) fn may_answer(source: u16, own: u16) -> bool {
    source != 0 && source != own && !TALKATIVE.contains(&source)
}

/// Turns a datagram into its answer, in place: the length of the answer, never
/// more than the datagram's, or nothing.
pub(crate) fn answer(rules: &Rules, data: &mut [u8], fate: &Fate) -> Option<usize> {
    if fate.dropped || fate.reset {
        return None;
    }
    let len = match &rules.reply {
        None => data.len(),
        Some(reply) => {
            let len = reply.len().min(data.len());
            data[..len].copy_from_slice(&reply[..len]);
            len
        }
    };
    fate.spoil(&mut data[..len]);
    Some(fate.keep(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Dice, Faults};
    use proptest::prelude::*;

    #[test]
    fn loops_are_not_started() {
        for port in [0, 7, 13, 17, 19, 37, 53, 123, 8080] {
            assert!(!may_answer(port, 8080), "{port}");
        }
        assert!(may_answer(9, 8080) && may_answer(40_000, 8080));
    }

    #[test]
    fn replies_are_cut_to_size() {
        let rules = Rules {
            reply: Some(b"Hello".to_vec()),
            ..Rules::default()
        };
        let mut data = *b"abc";
        assert_eq!(answer(&rules, &mut data, &Fate::default()), Some(3));
        assert_eq!(&data, b"Hel");
        let mut data = *b"abcdefgh";
        assert_eq!(answer(&rules, &mut data, &Fate::default()), Some(5));
        assert_eq!(&data[..5], b"Hello");
        assert_eq!(answer(&rules, &mut [], &Fate::default()), Some(0));
    }

    proptest! {
        #[test]
        fn never_more_out_than_in(
            reply in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
            data in prop::collection::vec(any::<u8>(), 0..300),
            seed: u64,
        ) {
            let faults = Faults { drop: 0.2, corrupt: 0.5, truncate: 0.5, reset: 0.1, seed, delay: None };
            let rules = Rules { reply, faults: Some(faults.clone()), ..Rules::default() };
            let fate = Dice::new(seed, 0).throw(&faults);
            let mut changed = data.clone();
            match answer(&rules, &mut changed, &fate) {
                None => prop_assert!(fate.dropped || fate.reset),
                Some(n) => {
                    prop_assert!(n <= data.len());
                    if fate.corrupted.is_none() {
                        let whole = rules.reply.as_ref().unwrap_or(&data);
                        prop_assert_eq!(&changed[..n], &whole[..n]);
                    }
                }
            }
        }
    }
}
