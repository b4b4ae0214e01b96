//! What to answer to a datagram, if anything: pure rules, apart from sockets.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::damping::Damping;
use crate::fault::FaultDecision;
use crate::machine::Rules;

/// The first port that is not one of a system's own services (RFC 6335,
/// section 6). What these send back would be answered, and so on without end.
const FIRST_USER_PORT: u16 = 1024;

/// Which datagrams are answered at all.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The ports of this server. One of them as a source is another server of
    /// the kind, or forged.
    own: BTreeSet<u16>,
    /// Whether datagrams to broadcast and multicast addresses are answered.
    broadcast: bool,
    damping: Damping,
}

impl Guard {
    /// A guard for the server on `own`, with at most `rate` answers per second
    /// and source outside loopback; 0 is no limit.
    pub(crate) fn new(own: BTreeSet<u16>, broadcast: bool, rate: u32) -> Self {
        Self {
            own,
            broadcast,
            damping: Damping::new(rate),
        }
    }

    /// Whether a datagram from `source` may be answered, `group` if it was sent
    /// to a broadcast or multicast address.
    pub(crate) fn admits(&self, source: SocketAddr, group: bool) -> bool {
        source.port() >= FIRST_USER_PORT
            && !self.own.contains(&source.port())
            && (self.broadcast || !group)
    }

    /// Whether one more answer may go to `source` now, which counts it.
    pub(crate) fn allows(&mut self, source: SocketAddr, now: Duration) -> bool {
        self.damping.allows(source.ip().to_canonical(), now)
    }
}

/// Turns a datagram into its answer, in place: the length of the answer, never
/// more than the datagram's, or nothing.
pub(crate) fn answer(rules: &Rules, data: &mut [u8], decision: &FaultDecision) -> Option<usize> {
    if decision.dropped || decision.reset {
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
    decision.corrupt(&mut data[..len]);
    Some(decision.keep(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{FaultRng, Faults};
    use proptest::prelude::*;

    #[test]
    fn loops_are_not_started() {
        let guard = Guard::new([8080, 9090].into(), false, 0);
        let from = |port| SocketAddr::from(([192, 0, 2, 1], port));
        for port in [0, 7, 9, 13, 17, 19, 37, 53, 123, 514, 1023, 8080, 9090] {
            assert!(!guard.admits(from(port), false), "{port}");
        }
        assert!(guard.admits(from(1024), false) && guard.admits(from(40_000), false));
        assert!(!guard.admits(from(40_000), true));
        let guard = Guard::new([8080].into(), true, 0);
        assert!(guard.admits(from(40_000), true) && !guard.admits(from(8080), true));
    }

    #[test]
    fn mapped_sources_are_those_they_stand_for() {
        let mut guard = Guard::new([8080].into(), false, 1);
        let source: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:4001".parse().unwrap();
        assert!(guard.allows(source, Duration::ZERO));
        assert!(!guard.allows(mapped, Duration::ZERO));
        let loopback: SocketAddr = "[::ffff:127.0.0.1]:4001".parse().unwrap();
        assert!((0..9).all(|_| guard.allows(loopback, Duration::ZERO)));
    }

    #[test]
    fn replies_are_cut_to_size() {
        let rules = Rules {
            reply: Some(b"Hello".to_vec()),
            ..Rules::default()
        };
        let mut data = *b"abc";
        assert_eq!(
            answer(&rules, &mut data, &FaultDecision::default()),
            Some(3)
        );
        assert_eq!(&data, b"Hel");
        let mut data = *b"abcdefgh";
        assert_eq!(
            answer(&rules, &mut data, &FaultDecision::default()),
            Some(5)
        );
        assert_eq!(&data[..5], b"Hello");
        assert_eq!(answer(&rules, &mut [], &FaultDecision::default()), Some(0));
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
            let decision = FaultRng::new(seed, 0).decide(&faults);
            let mut changed = data.clone();
            match answer(&rules, &mut changed, &decision) {
                None => prop_assert!(decision.dropped || decision.reset),
                Some(n) => {
                    prop_assert!(!decision.dropped && !decision.reset);
                    let whole = rules.reply.as_ref().unwrap_or(&data);
                    let whole = &whole[..whole.len().min(data.len())];
                    prop_assert_eq!(n, decision.keep(whole.len()));
                    let differing = whole.iter().zip(&changed).filter(|(a, b)| a != b);
                    let corrupted = decision.corrupted.is_some() && !whole.is_empty();
                    prop_assert_eq!(differing.count(), usize::from(corrupted));
                }
            }
        }
    }
}
