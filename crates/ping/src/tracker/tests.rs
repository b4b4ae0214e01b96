//! The life of probes and targets, and the counters that it changes.

use std::net::IpAddr;

use super::*;
use crate::packet::{COOKIE, Echo};
use crate::target::Target;

pub(super) const TIMEOUT: Nanos = 1_000;
pub(super) const HOST: &str = "192.0.2.1";

/// A tracker with one target, and the data of its probes without the cookie.
pub(super) struct Fixture {
    pub(super) tracker: ProbeTracker,
    pub(super) data: Vec<u8>,
    pub(super) id: TargetId,
}

impl Fixture {
    pub(super) fn new(size: usize) -> Self {
        let mut tracker = ProbeTracker::new(Cookies::default(), 4);
        let id = tracker.targets.add(Target::new(None, ip(HOST), 0));
        let data = (0..size).map(|n| n as u8).collect();
        Self { tracker, data, id }
    }

    /// Sends a probe. Returns its number and the data of the correct reply.
    pub(super) fn send(&mut self, at: Nanos) -> (u64, Vec<u8>) {
        let size = self.data.len();
        let number = self.tracker.allocate(self.id, size as u16);
        self.tracker.mark_sent(number, at).unwrap();
        let mut data = self.data.clone();
        let room = COOKIE.min(size);
        let cookie = self.tracker.cookies.make(number, size);
        data[..room].copy_from_slice(&cookie[..room]);
        (number, data)
    }

    pub(super) fn receive<'a>(
        &mut self,
        seq: u16,
        data: &'a [u8],
        at: Nanos,
    ) -> Option<MatchedReply<'a>> {
        self.receive_from(HOST, seq, data, at)
    }

    pub(super) fn receive_from<'a>(
        &mut self,
        from: &str,
        seq: u16,
        data: &'a [u8],
        at: Nanos,
    ) -> Option<MatchedReply<'a>> {
        let echo = Echo {
            id: 7,
            seq,
            data,
            checksum_ok: true,
            ttl: None,
        };
        let expected = self.data.clone();
        self.tracker
            .match_reply(&echo, ip(from), &expected, TIMEOUT, |_| at)
    }

    pub(super) fn stats(&self) -> &crate::stats::Stats {
        &self.tracker.targets.get(self.id).unwrap().stats
    }
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// With only one loss, a counter that is decremented twice would saturate.
#[test]
fn counters_are_right_with_several_losses() {
    let mut fixture = Fixture::new(56);
    let sent: Vec<_> = (0..8).map(|at| fixture.send(at)).collect();
    let state = |fixture: &Fixture| {
        let stats = fixture.stats();
        let in_flight = fixture.tracker.targets.get(fixture.id).unwrap().in_flight;
        assert_eq!(u64::from(in_flight), fixture.tracker.in_flight);
        (
            stats.received,
            stats.lost,
            stats.errors,
            stats.corrupt,
            in_flight,
        )
    };
    assert_eq!(state(&fixture), (0, 0, 0, 0, 8));
    // Three errors, one of them from this host.
    for (index, local) in [(0, false), (1, true), (2, false)] {
        let (number, _) = &sent[index];
        assert!(fixture.tracker.record_failure(*number, local).unwrap().2);
    }
    assert_eq!(state(&fixture), (0, 3, 3, 0, 5));
    assert_eq!((fixture.stats().unsent, fixture.stats().pipe), (1, 8));
    assert_eq!(fixture.stats().losses_since_reply, 3);
    // Two of these probes are answered after all.
    for index in [0, 2] {
        let (number, data) = &sent[index];
        fixture.receive(*number as u16, data, 20).unwrap();
    }
    assert_eq!(state(&fixture), (2, 1, 3, 0, 5));
    // Three replies are corrupt; correct ones to two of these probes follow.
    for index in [3, 4, 5] {
        let (number, data) = &sent[index];
        let mut corrupt = data.clone();
        corrupt[30] ^= 1;
        fixture.receive(*number as u16, &corrupt, 30).unwrap();
    }
    assert_eq!(state(&fixture), (2, 4, 3, 3, 2));
    for index in [4, 5] {
        let (number, data) = &sent[index];
        fixture.receive(*number as u16, data, 40).unwrap();
    }
    assert_eq!(state(&fixture), (4, 2, 3, 3, 2));
    // Two probes time out. A late reply does not change the loss.
    let mut lost = 0;
    while let Some((_, _, outcome)) = fixture.tracker.expire(5_000, TIMEOUT) {
        lost += u64::from(outcome == ProbeOutcome::Lost);
    }
    assert_eq!((lost, state(&fixture)), (2, (4, 4, 3, 3, 0)));
    let (number, data) = &sent[7];
    fixture.receive(*number as u16, data, 6_000).unwrap();
    assert_eq!(state(&fixture), (4, 4, 3, 3, 0));
    assert_eq!(fixture.stats().late, 1);
    assert_eq!(fixture.stats().loss_percent(), Some(50.0));
}

#[test]
fn probes_of_undecided_targets_are_remembered() {
    let mut fixture = Fixture::new(56);
    fixture.tracker.rules.accept_any_reply = true;
    let (first, data) = fixture.send(0);
    for at in 1..20 {
        fixture.send(at);
    }
    while fixture.tracker.expire(5_000, TIMEOUT).is_some() {}
    fixture.tracker.prune();
    assert!(
        fixture
            .receive(first as u16, &data, 5_001)
            .unwrap()
            .outcome
            .is_some()
    );
    fixture
        .tracker
        .targets
        .get_mut(fixture.id)
        .unwrap()
        .is_decided = true;
    fixture.tracker.prune();
    assert_eq!(fixture.tracker.probes.len(), 4);
}

#[test]
fn overdue_probes_are_lost_at_the_end() {
    // After two round trips, the longer one of 300, probes are sent at these
    // times.
    let send_times = [9_000, 9_390, 9_400, 9_500, 9_999];
    for (timeout, lost) in [(None, 3), (Some(500), 4), (Some(5), 4), (Some(1), 5)] {
        let mut fixture = Fixture::new(56);
        fixture.tracker.rules.timeout = timeout;
        for rtt in [300, 100] {
            let (number, data) = fixture.send(1_000);
            fixture.receive(number as u16, &data, 1_000 + rtt).unwrap();
        }
        for at in send_times {
            fixture.send(at);
        }
        let now = 10_000;
        assert_eq!(fixture.tracker.count_overdue(now)[&fixture.id], lost);
        assert_eq!((fixture.stats().lost, fixture.tracker.in_flight), (0, 5));
        fixture.tracker.lose_overdue(now);
        assert_eq!(
            (fixture.stats().lost, fixture.tracker.in_flight),
            (lost, 5 - lost)
        );
        assert!(fixture.tracker.count_overdue(now).is_empty());
    }
    // If nothing was received, every probe is lost.
    let mut fixture = Fixture::new(56);
    fixture.tracker.rules.timeout = Some(5_000);
    for at in [9_998, 9_999, 10_000] {
        fixture.send(at);
    }
    fixture.tracker.lose_overdue(10_000);
    assert_eq!((fixture.stats().lost, fixture.tracker.in_flight), (3, 0));
    assert_eq!(fixture.stats().loss_percent(), Some(100.0));
}

#[test]
fn a_decided_target_is_removed_with_its_last_probe() {
    let mut fixture = Fixture::new(56);
    for at in 0..6 {
        let (number, data) = fixture.send(at);
        fixture.receive(number as u16, &data, at).unwrap();
    }
    fixture
        .tracker
        .targets
        .get_mut(fixture.id)
        .unwrap()
        .is_decided = true;
    while fixture.tracker.expire(1, TIMEOUT).is_some() {}
    fixture.tracker.prune();
    assert_eq!(fixture.tracker.targets.len(), 1);
    let other = fixture
        .tracker
        .targets
        .add(Target::new(None, ip("192.0.2.2"), 0));
    for _ in 0..6 {
        let number = fixture.tracker.allocate(other, 0);
        fixture.tracker.mark_sent(number, 0);
        fixture.tracker.record_failure(number, true);
    }
    while fixture.tracker.expire(9_000, TIMEOUT).is_some() {}
    fixture.tracker.prune();
    assert_eq!(fixture.tracker.targets.len(), 1);
}

/// Slots are reused, so the order of the ids is not that of the first probes.
#[test]
fn undecided_targets_are_in_the_order_of_their_first_probes() {
    let mut fixture = Fixture::new(56);
    let mut add = |text: &str, at| {
        let targets = &mut fixture.tracker.targets;
        let id = targets.add(Target::new(None, ip(text), 0));
        let number = fixture.tracker.allocate(id, 0);
        fixture.tracker.mark_sent(number, at);
        id
    };
    let (second, first) = (add("192.0.2.2", 20), add("192.0.2.3", 10));
    // The first target of the fixture has not been probed.
    assert_eq!(fixture.tracker.undecided(), [first, second]);
}

/// The status of a lost probe also determines whether a reply is late.
#[test]
fn a_lost_probe_stays_lost_within_a_longer_timeout() {
    let mut fixture = Fixture::new(56);
    let (number, data) = fixture.send(0);
    fixture.tracker.lose_overdue(10);
    let reply = fixture.receive(number as u16, &data, 20).unwrap();
    assert!(reply.is_late && reply.outcome.is_none());
    let (number, data) = fixture.send(30);
    assert!(fixture.tracker.expire(35, 5).is_some());
    let reply = fixture.receive(number as u16, &data, 40).unwrap();
    assert!(reply.is_late && reply.outcome.is_none());
    assert_eq!((fixture.stats().lost, fixture.stats().late), (2, 2));
}
