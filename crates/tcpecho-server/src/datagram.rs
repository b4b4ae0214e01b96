//! Which datagrams get a reply, and the reply's content: pure rules without
//! sockets.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::fault::FaultDecision;
use crate::machine::Rules;
use crate::source_limiter::SourceLimiter;

/// The first port that is not a system port (RFC 6335, section 6). A service at
/// a lower port, such as another echo server, might answer the reply, and so on
/// without end.
const FIRST_USER_PORT: u16 = 1024;

/// Decides which datagrams get a reply.
#[derive(Debug)]
pub(crate) struct ReplyPolicy {
    /// The ports of this server. A datagram from one of them comes from another
    /// server like this one, or its source is forged.
    own_ports: BTreeSet<u16>,
    /// Whether datagrams to broadcast and multicast addresses get replies.
    broadcast: bool,
    limiter: SourceLimiter,
}

impl ReplyPolicy {
    /// Creates the policy of a server on `own_ports`. `rate` is the number of
    /// replies per second and source outside loopback; 0 disables the limit.
    pub(crate) fn new(own_ports: BTreeSet<u16>, broadcast: bool, rate: u32) -> Self {
        Self {
            own_ports,
            broadcast,
            limiter: SourceLimiter::new(rate),
        }
    }

    /// Returns whether a datagram from `source` may get a reply. `is_group`
    /// says that it was sent to a broadcast or multicast address.
    pub(crate) fn permits(&self, source: SocketAddr, is_group: bool) -> bool {
        source.port() >= FIRST_USER_PORT
            && !self.own_ports.contains(&source.port())
            && (self.broadcast || !is_group)
    }

    /// Returns whether the rate of `source` allows one more reply now, and if
    /// so counts it.
    pub(crate) fn acquire(&mut self, source: SocketAddr, now: Duration) -> bool {
        self.limiter.acquire(source.ip().to_canonical(), now)
    }
}

/// Turns a datagram into its reply, in place. Returns the length of the reply,
/// which is at most the length of the datagram, or `None` if none is sent.
pub(crate) fn make_reply(
    rules: &Rules,
    data: &mut [u8],
    decision: &FaultDecision,
) -> Option<usize> {
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
    Some(decision.reply_len(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{FaultRng, Faults};
    use proptest::prelude::*;

    #[test]
    fn datagrams_that_could_start_a_loop_get_no_reply() {
        let policy = ReplyPolicy::new([8080, 9090].into(), false, 0);
        let source = |port| SocketAddr::from(([192, 0, 2, 1], port));
        for port in [0, 7, 9, 13, 17, 19, 37, 53, 123, 514, 1023, 8080, 9090] {
            assert!(!policy.permits(source(port), false), "{port}");
        }
        assert!(policy.permits(source(1024), false) && policy.permits(source(40_000), false));
        assert!(!policy.permits(source(40_000), true));
        let policy = ReplyPolicy::new([8080].into(), true, 0);
        assert!(policy.permits(source(40_000), true) && !policy.permits(source(8080), true));
    }

    #[test]
    fn mapped_and_plain_ipv4_sources_share_a_limit() {
        let mut policy = ReplyPolicy::new([8080].into(), false, 1);
        let source: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:4001".parse().unwrap();
        assert!(policy.acquire(source, Duration::ZERO));
        assert!(!policy.acquire(mapped, Duration::ZERO));
        let loopback: SocketAddr = "[::ffff:127.0.0.1]:4001".parse().unwrap();
        assert!((0..9).all(|_| policy.acquire(loopback, Duration::ZERO)));
    }

    #[test]
    fn a_fixed_reply_is_cut_to_the_length_of_the_datagram() {
        let rules = Rules {
            reply: Some(b"Hello".to_vec()),
            ..Rules::default()
        };
        let mut data = *b"abc";
        assert_eq!(
            make_reply(&rules, &mut data, &FaultDecision::default()),
            Some(3)
        );
        assert_eq!(&data, b"Hel");
        let mut data = *b"abcdefgh";
        assert_eq!(
            make_reply(&rules, &mut data, &FaultDecision::default()),
            Some(5)
        );
        assert_eq!(&data[..5], b"Hello");
        assert_eq!(
            make_reply(&rules, &mut [], &FaultDecision::default()),
            Some(0)
        );
    }

    proptest! {
        #[test]
        fn a_reply_is_never_longer_than_the_datagram(
            reply in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
            data in prop::collection::vec(any::<u8>(), 0..300),
            seed: u64,
        ) {
            let faults = Faults { drop: 0.2, corrupt: 0.5, truncate: 0.5, reset: 0.1, seed, delay: None };
            let rules = Rules { reply, faults: Some(faults.clone()), ..Rules::default() };
            let decision = FaultRng::new(seed, 0).decide(&faults);
            let mut changed = data.clone();
            match make_reply(&rules, &mut changed, &decision) {
                None => prop_assert!(decision.dropped || decision.reset),
                Some(n) => {
                    prop_assert!(!decision.dropped && !decision.reset);
                    let whole = rules.reply.as_ref().unwrap_or(&data);
                    let whole = &whole[..whole.len().min(data.len())];
                    prop_assert_eq!(n, decision.reply_len(whole.len()));
                    let differing = whole.iter().zip(&changed).filter(|(a, b)| a != b);
                    let corrupted = decision.corrupted.is_some() && !whole.is_empty();
                    prop_assert_eq!(differing.count(), usize::from(corrupted));
                }
            }
        }
    }
}
