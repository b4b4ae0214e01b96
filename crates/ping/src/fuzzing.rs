//! The entry point of the fuzz target `ping_replies`, compiled only for it and the
//! tests. It sends probes and receives messages of every kind about them, in an
//! order that the input decides, and checks the tracker after each step.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::clock::Nanos;
use crate::cookie::Cookies;
use crate::event::Corruption;
use crate::packet::{COOKIE, Echo};
use crate::schedule::ProbeOutcome;
use crate::target::{Target, TargetId};
use crate::tracker::{MatchedReply, ProbeTracker};

/// Reads decisions from the input. It returns zeros after the end.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// A probe as it was sent.
struct SentProbe {
    target: TargetId,
    sent_at: Nanos,
    data: Vec<u8>,
    is_answered: bool,
}

/// The timeout of every probe.
const TIMEOUT: Nanos = 40;

/// The number of data bytes in the longest probe.
const MAX_SIZE: usize = 40;

/// The tracker under test, and an independent record of the probes.
struct Run<'a> {
    source: Source<'a>,
    tracker: ProbeTracker,
    ids: Vec<(TargetId, IpAddr)>,
    data: Vec<u8>,
    sent: HashMap<u64, SentProbe>,
    last: u64,
    now: Nanos,
}

/// Runs the steps that the input encodes.
///
/// # Panics
///
/// Panics if a message is matched with a wrong probe or the counters are
/// inconsistent.
pub fn replies(bytes: &[u8]) {
    let mut tracker = ProbeTracker::new(Cookies::default(), 8);
    let addresses = ["192.0.2.1", "2001:db8::1", "ff02::1"];
    let ids = addresses.map(|text| {
        let address: IpAddr = text.parse().expect("valid address");
        (tracker.targets.add(Target::new(None, address, 0)), address)
    });
    let mut run = Run {
        source: Source(bytes),
        tracker,
        ids: ids.to_vec(),
        data: (0..MAX_SIZE as u8).collect(),
        sent: HashMap::new(),
        last: 0,
        now: 1,
    };
    while !run.source.0.is_empty() {
        run.step();
        run.check_counters();
    }
}

impl Run<'_> {
    fn step(&mut self) {
        self.now += u64::from(self.source.byte() % 16);
        match self.source.byte() % 6 {
            0 => self.send(),
            1 => self.reply(false),
            2 => self.reply(true),
            3 => self.quote(),
            4 => {
                while self.tracker.expire(self.now, TIMEOUT).is_some() {}
                self.tracker.prune();
            }
            _ => {
                if let Some(number) = self.number() {
                    self.tracker
                        .record_failure(number, self.source.byte() & 1 == 1);
                }
            }
        }
    }

    fn send(&mut self) {
        let (target, _) = self.ids[usize::from(self.source.byte()) % self.ids.len()];
        let size = usize::from(self.source.byte()) % (MAX_SIZE + 1);
        let number = self.tracker.allocate(target, size as u16);
        self.tracker
            .mark_sent(number, self.now)
            .expect("known probe");
        let mut data = self.data[..size].to_vec();
        let room = COOKIE.min(size);
        data[..room].copy_from_slice(&self.tracker.cookies.make(number, size)[..room]);
        self.last = number;
        self.sent.insert(
            number,
            SentProbe {
                target,
                sent_at: self.now,
                data,
                is_answered: false,
            },
        );
    }

    /// Picks the number of a recent probe.
    fn number(&mut self) -> Option<u64> {
        let back = u64::from(self.source.byte() % 16);
        self.last.checked_sub(back).filter(|number| *number > 0)
    }

    /// Picks a recent probe. Returns its number and its data, which is modified if
    /// `is_corrupt`.
    fn echoed(&mut self, is_corrupt: bool) -> Option<(u64, Vec<u8>)> {
        let number = self.number()?;
        let mut data = self.sent[&number].data.clone();
        if is_corrupt {
            let offset = usize::from(self.source.byte());
            match self.source.byte() % 4 {
                0 => data.truncate(offset),
                1 => data.extend_from_slice(self.source.take(offset % 32)),
                2 => data = self.source.take(offset).to_vec(),
                _ => {
                    let flip = self.source.byte();
                    if let Some(byte) = data.get_mut(offset) {
                        *byte ^= flip;
                    }
                }
            }
        }
        Some((number, data))
    }

    /// Receives an echo reply, in which anything may be wrong if `is_corrupt`.
    fn reply(&mut self, is_corrupt: bool) {
        let Some((number, data)) = self.echoed(is_corrupt) else {
            return;
        };
        let (mut seq, mut from) = (number as u16, self.address(self.sent[&number].target));
        if is_corrupt {
            seq = seq.wrapping_add(u16::from(self.source.byte() % 3));
            (_, from) = self.ids[usize::from(self.source.byte()) % self.ids.len()];
        }
        let echo = Echo {
            id: 7,
            seq,
            data: &data,
            checksum_ok: !is_corrupt || self.source.byte() >= 64,
            ttl: None,
        };
        let now = self.now;
        let before = self.tracker.in_flight;
        let reply = self
            .tracker
            .match_reply(&echo, from, &self.data, TIMEOUT, |sent| now.max(sent));
        let Some(reply) = reply else {
            assert_eq!(self.tracker.in_flight, before);
            return;
        };
        self.check_match(&echo, from, reply);
    }

    fn address(&self, target: TargetId) -> IpAddr {
        self.ids[target as usize].1
    }

    /// Checks the probe with which a reply was matched.
    fn check_match(&mut self, echo: &Echo<'_>, from: IpAddr, reply: MatchedReply<'_>) {
        let address = self.address(reply.target);
        let is_foreign = from != address && !address.is_multicast();
        assert_eq!(reply.is_foreign, is_foreign);
        assert!(!is_foreign || !from.is_multicast());
        // The reply has the sequence number of the probe within its target.
        let mut numbers: Vec<u64> = self
            .sent
            .iter()
            .filter(|(_, sent)| sent.target == reply.target)
            .map(|(number, _)| *number)
            .collect();
        numbers.sort_unstable();
        let number = numbers[reply.seq as usize - 1];
        assert_eq!(number as u16, echo.seq);
        let probe = self.sent.get_mut(&number).expect("known probe");
        let room = COOKIE.min(probe.data.len());
        // A reply from another address must have a complete cookie.
        assert!(!is_foreign || echo.data.starts_with(&probe.data[..room]) && room == COOKIE);
        let is_right = echo.checksum_ok && echo.data.starts_with(&probe.data);
        match reply.corruption {
            None => assert!(is_right),
            Some(Corruption::Checksum) => assert!(!echo.checksum_ok),
            Some(Corruption::Truncated) => assert!(echo.data.len() < probe.data.len()),
            Some(Corruption::Data {
                offset, expected, ..
            }) => {
                assert_eq!(expected, probe.data[offset]);
                assert_ne!(expected, echo.data[offset]);
            }
        }
        if let Some(rtt) = reply.rtt {
            assert_eq!(rtt, self.now - probe.sent_at);
            assert!(is_right || echo.data[..room] == probe.data[..room]);
        }
        if reply.outcome == Some(ProbeOutcome::Answered) {
            assert!(is_right && self.now - probe.sent_at <= TIMEOUT && !probe.is_answered);
            probe.is_answered = true;
        }
    }

    /// Receives an ICMP error that quotes a request.
    fn quote(&mut self) {
        let is_corrupt = self.source.byte() & 1 == 1;
        let Some((number, data)) = self.echoed(is_corrupt) else {
            return;
        };
        let seq = (number as u16).wrapping_add(u16::from(self.source.byte() % 2));
        let (_, to) = self.ids[usize::from(self.source.byte()) % self.ids.len()];
        let echo = Echo {
            id: 7,
            seq,
            data: &data,
            checksum_ok: true,
            ttl: None,
        };
        let Some(found) = self.tracker.match_quoted(&echo, to) else {
            return;
        };
        let probe = &self.sent[&found];
        assert_eq!((found as u16, self.address(probe.target)), (seq, to));
        let room = COOKIE.min(probe.data.len()).min(data.len());
        assert_eq!(data[..room], probe.data[..room]);
        self.tracker
            .record_failure(found, false)
            .expect("known probe");
    }

    /// Checks that the counters agree with the independent record.
    fn check_counters(&mut self) {
        let mut in_flight = 0;
        for (id, _) in &self.ids {
            let target = self.tracker.targets.get(*id).expect("a target");
            let stats = &target.stats;
            assert_eq!(
                stats.sent,
                stats.received + stats.lost + u64::from(target.in_flight)
            );
            let answered = self.sent.values();
            let answered = answered.filter(|sent| sent.target == *id && sent.is_answered);
            assert_eq!(stats.received, answered.count() as u64);
            assert!(
                stats
                    .loss_percent()
                    .is_none_or(|p| (0.0..=100.0).contains(&p))
            );
            in_flight += u64::from(target.in_flight);
        }
        assert_eq!(self.tracker.in_flight, in_flight);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn every_reply_is_matched_with_its_probe(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            super::replies(&bytes);
        }
    }
}
