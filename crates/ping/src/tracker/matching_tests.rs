//! Replies and quoted requests of every kind, and the probes that they belong to.

use super::super::tests::{Fixture, HOST, TIMEOUT, ip};
use super::*;
use crate::target::Target;

#[test]
fn a_reply_may_be_in_time_duplicate_or_late() {
    let mut fixture = Fixture::new(56);
    let (number, data) = fixture.send(100);
    let reply = fixture.receive(number as u16, &data, 400).unwrap();
    assert_eq!(
        (reply.rtt, reply.outcome),
        (Some(300), Some(ProbeOutcome::Answered))
    );
    let second = fixture.receive(number as u16, &data, 500).unwrap();
    assert!(second.is_duplicate && second.outcome.is_none());
    let (number, data) = fixture.send(1_000);
    assert_eq!(
        fixture.tracker.expire(2_000, TIMEOUT),
        Some((fixture.id, 2, ProbeOutcome::Lost))
    );
    let late = fixture.receive(number as u16, &data, 2_500).unwrap();
    assert!(late.is_late && late.rtt == Some(1_500));
    let stats = fixture.stats();
    assert_eq!(
        (stats.received, stats.lost, stats.late, stats.duplicates),
        (1, 1, 1, 1)
    );
}

#[test]
fn a_reply_is_late_by_its_timestamp_before_its_probe_expires() {
    let mut fixture = Fixture::new(56);
    let (number, data) = fixture.send(0);
    let late = fixture.receive(number as u16, &data, TIMEOUT + 1).unwrap();
    assert!(late.is_late && late.outcome.is_none());
    assert_eq!(
        fixture.tracker.expire(TIMEOUT + 1, TIMEOUT).unwrap().2,
        ProbeOutcome::Lost
    );
}

#[test]
fn unrelated_messages_are_ignored() {
    let mut fixture = Fixture::new(56);
    let (number, data) = fixture.send(0);
    // A group address cannot be a source, and a foreign reply needs the cookie.
    for from in ["224.0.0.1", "255.255.255.255"] {
        assert!(
            fixture
                .receive_from(from, number as u16, &data, 1)
                .is_none()
        );
    }
    assert!(
        fixture
            .receive_from("192.0.2.9", number as u16, &[0; 56], 1)
            .is_none()
    );
    assert!(fixture.receive(99, &[0; 56], 1).is_none());
    assert_eq!((fixture.stats().corrupt, fixture.stats().received), (0, 0));
    let mut short = Fixture::new(12);
    let (number, data) = short.send(0);
    assert!(
        short
            .receive_from("192.0.2.9", number as u16, &data, 1)
            .is_none()
    );
}

#[test]
fn a_reply_from_another_address_counts_and_is_marked() {
    let mut fixture = Fixture::new(56);
    let (number, data) = fixture.send(0);
    let reply = fixture
        .receive_from("192.0.2.9", number as u16, &data, 5)
        .unwrap();
    assert!(reply.is_foreign && reply.outcome == Some(ProbeOutcome::Answered));
    assert_eq!((fixture.stats().received, fixture.stats().foreign), (1, 1));
    // The reply from the right address is a duplicate then.
    let reply = fixture.receive(number as u16, &data, 6).unwrap();
    assert!(reply.is_duplicate && !reply.is_foreign);

    let mut fixture = Fixture::new(56);
    fixture.tracker.rules.strict_source = true;
    let (number, data) = fixture.send(0);
    assert!(
        fixture
            .receive_from("192.0.2.9", number as u16, &data, 5)
            .is_none()
    );
    assert_eq!((fixture.stats().received, fixture.stats().foreign), (0, 1));
    assert!(
        fixture
            .receive(number as u16, &data, 6)
            .unwrap()
            .outcome
            .is_some()
    );

    for shared in ["224.0.0.1", "ff02::1", "2001:db8::"] {
        let mut fixture = Fixture::new(56);
        fixture.id = fixture
            .tracker
            .targets
            .add(Target::new(None, ip(shared), 0));
        let (number, data) = fixture.send(0);
        let from = if shared.contains(':') {
            "2001:db8::1"
        } else {
            HOST
        };
        let reply = fixture.receive_from(from, number as u16, &data, 5).unwrap();
        assert!(!reply.is_foreign && reply.outcome.is_some(), "{shared}");
    }
}

#[test]
fn any_reply_decides_a_target_of_a_list() {
    let mut fixture = Fixture::new(56);
    fixture.tracker.rules.accept_any_reply = true;
    let (first, data) = fixture.send(0);
    let (second, _) = fixture.send(TIMEOUT);
    assert_eq!(
        fixture.tracker.expire(TIMEOUT, TIMEOUT).unwrap().2,
        ProbeOutcome::Lost
    );
    fixture.tracker.prune();
    let reply = fixture.receive(first as u16, &data, TIMEOUT + 400).unwrap();
    assert!(!reply.is_late && reply.outcome == Some(ProbeOutcome::Answered));
    assert_eq!(reply.rtt, Some(TIMEOUT + 400));
    assert_eq!((fixture.stats().lost, fixture.stats().received), (0, 1));
    // The usual rules apply to a decided target.
    fixture
        .tracker
        .targets
        .get_mut(fixture.id)
        .unwrap()
        .is_decided = true;
    let mut data = data.clone();
    data[..COOKIE].copy_from_slice(&fixture.tracker.cookies.make(second, 56));
    let reply = fixture.receive(second as u16, &data, 3 * TIMEOUT).unwrap();
    assert!(reply.is_late && reply.outcome.is_none());
}

#[test]
fn a_right_reply_may_follow_a_corrupt_one() {
    let mut fixture = Fixture::new(56);
    let (number, data) = fixture.send(0);
    let mut corrupt = data.clone();
    corrupt[20] = !corrupt[20];
    let reply = fixture.receive(number as u16, &corrupt, 5).unwrap();
    let expected = Corruption::Data {
        offset: 20,
        expected: 20,
        data: &corrupt,
    };
    assert_eq!(reply.corruption, Some(expected));
    assert_eq!(
        (reply.rtt, reply.outcome),
        (Some(5), Some(ProbeOutcome::Failed))
    );
    assert_eq!((fixture.stats().lost, fixture.stats().corrupt), (1, 1));
    let reply = fixture.receive(number as u16, &data, 6).unwrap();
    assert_eq!(reply.outcome, Some(ProbeOutcome::Answered));
    assert_eq!((fixture.stats().lost, fixture.stats().received), (0, 1));
}

#[test]
fn a_reply_with_a_zeroed_cookie_has_no_round_trip_time() {
    let mut fixture = Fixture::new(56);
    let (number, mut data) = fixture.send(0);
    data[..16].fill(0);
    let reply = fixture.receive(number as u16, &data, 5).unwrap();
    assert!(matches!(reply.corruption, Some(Corruption::Data { .. })));
    assert_eq!(reply.rtt, None);
}

#[test]
fn truncated_replies_are_corrupt() {
    let mut fixture = Fixture::new(56);
    let (number, data) = fixture.send(0);
    for length in [40, 16, 8, 0] {
        let reply = fixture.receive(number as u16, &data[..length], 5).unwrap();
        assert_eq!(reply.corruption, Some(Corruption::Truncated));
    }
    assert_eq!((fixture.stats().corrupt, fixture.stats().lost), (4, 1));
}

#[test]
fn short_data_is_matched_by_sequence_number() {
    for size in [0, 4, 8, 12] {
        let mut fixture = Fixture::new(size);
        let (number, data) = fixture.send(0);
        let reply = fixture.receive(number as u16, &data, 5).unwrap();
        assert_eq!((reply.corruption, reply.rtt), (None, Some(5)), "{size}");
    }
}

#[test]
fn a_reply_to_a_forgotten_probe_is_late() {
    let mut fixture = Fixture::new(56);
    let (first, data) = fixture.send(0);
    for at in 1..20 {
        fixture.send(at);
    }
    while fixture.tracker.expire(5_000, TIMEOUT).is_some() {}
    fixture.tracker.prune();
    let late = fixture.receive(first as u16, &data, 5_001).unwrap();
    assert!(late.is_late && late.rtt.is_none() && late.seq == 1);
}

#[test]
fn an_error_belongs_to_its_probe_with_and_without_the_cookie() {
    let mut fixture = Fixture::new(56);
    let (first, data) = fixture.send(0);
    let (second, _) = fixture.send(1);
    let echo = |seq: u64, data| Echo {
        id: 7,
        seq: seq as u16,
        data,
        checksum_ok: true,
        ttl: None,
    };
    assert_eq!(
        fixture.tracker.match_quoted(&echo(first, &data), ip(HOST)),
        Some(first)
    );
    assert_eq!(
        fixture.tracker.match_quoted(&echo(second, &[]), ip(HOST)),
        Some(second)
    );
    assert_eq!(
        fixture
            .tracker
            .match_quoted(&echo(second, &[]), ip("192.0.2.9")),
        None
    );
    assert_eq!(
        fixture.tracker.record_failure(second, false),
        Some((fixture.id, 2, true))
    );
    assert_eq!(
        fixture.tracker.record_failure(second, false),
        Some((fixture.id, 2, false))
    );
    assert_eq!((fixture.stats().errors, fixture.stats().lost), (2, 1));
    // The timeout of each probe passes once.
    assert_eq!(
        fixture.tracker.expire(9_000, TIMEOUT).unwrap().2,
        ProbeOutcome::Lost
    );
    assert_eq!(
        fixture.tracker.expire(9_000, TIMEOUT).unwrap().2,
        ProbeOutcome::Expired
    );
    assert_eq!(fixture.tracker.expire(9_000, TIMEOUT), None);
}

#[test]
fn the_quoted_part_of_the_cookie_must_be_right() {
    for size in [56, 16, 12, 8, 3] {
        let mut fixture = Fixture::new(size);
        let (number, data) = fixture.send(0);
        let quoted = |fixture: &mut Fixture, data: &[u8]| {
            let echo = Echo {
                id: 7,
                seq: number as u16,
                data,
                checksum_ok: true,
                ttl: None,
            };
            fixture.tracker.match_quoted(&echo, ip(HOST))
        };
        for length in 0..=size {
            assert_eq!(
                quoted(&mut fixture, &data[..length]),
                Some(number),
                "{size} {length}"
            );
        }
        // Bytes 8 to 15 of an incomplete cookie are zero.
        for at in 0..size.min(COOKIE) {
            let mut corrupt = data.clone();
            corrupt[at] = !corrupt[at];
            assert_eq!(quoted(&mut fixture, &corrupt), None, "{size} {at}");
            assert_eq!(quoted(&mut fixture, &corrupt[..=at]), None, "{size} {at}");
        }
    }
}

#[test]
fn a_reply_to_a_retired_probe_of_several_targets_is_ignored() {
    let mut fixture = Fixture::new(56);
    let (first, data) = fixture.send(0);
    for at in 1..20 {
        fixture.send(at);
    }
    fixture
        .tracker
        .targets
        .add(Target::new(None, ip("192.0.2.2"), 0));
    while fixture.tracker.expire(5_000, TIMEOUT).is_some() {}
    fixture.tracker.prune();
    assert!(fixture.receive(first as u16, &data, 5_001).is_none());
    assert_eq!(fixture.stats().late, 0);
}
