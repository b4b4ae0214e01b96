//! Answers of every kind, judged.

use super::*;
use crate::target::Target;

const TIMEOUT: Nanos = 1_000;
const HOST: &str = "192.0.2.1";

struct Desk {
    books: Books,
    data: Vec<u8>,
    id: TargetId,
}

impl Desk {
    fn new(size: usize) -> Self {
        let mut books = Books::new(Cookies::default(), 4);
        let id = books.targets.add(Target::new(None, ip(HOST), 0));
        let data = (0..size).map(|n| n as u8).collect();
        Self { books, data, id }
    }

    /// Sends a probe; returns its number and the right data.
    fn send(&mut self, at: Nanos) -> (u64, Vec<u8>) {
        let size = self.data.len();
        let number = self.books.open(self.id, size as u16);
        self.books.sent(number, at).unwrap();
        let mut data = self.data.clone();
        let room = COOKIE.min(size);
        let cookie = self.books.cookies.make(number, size);
        data[..room].copy_from_slice(&cookie[..room]);
        (number, data)
    }

    fn answer<'a>(&mut self, seq: u16, data: &'a [u8], at: Nanos) -> Option<Answer<'a>> {
        self.answer_from(HOST, seq, data, at)
    }

    fn answer_from<'a>(
        &mut self,
        from: &str,
        seq: u16,
        data: &'a [u8],
        at: Nanos,
    ) -> Option<Answer<'a>> {
        let echo = Echo {
            id: 7,
            seq,
            data,
            checksum_ok: true,
            ttl: None,
        };
        let expected = self.data.clone();
        self.books
            .reply(&echo, ip(from), &expected, TIMEOUT, |_| at)
    }

    fn stats(&self) -> &crate::stats::Stats {
        &self.books.targets.get(self.id).unwrap().stats
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn in_time_twice_and_late() {
    let mut desk = Desk::new(56);
    let (number, data) = desk.send(100);
    let answer = desk.answer(number as u16, &data, 400).unwrap();
    assert_eq!(
        (answer.rtt, answer.settled),
        (Some(300), Some(Settled::Answered))
    );
    let again = desk.answer(number as u16, &data, 500).unwrap();
    assert!(again.duplicate && again.settled.is_none());
    let (number, data) = desk.send(1_000);
    assert_eq!(
        desk.books.expire(2_000, TIMEOUT),
        Some((desk.id, 2, Settled::Lost))
    );
    let late = desk.answer(number as u16, &data, 2_500).unwrap();
    assert!(late.late && late.rtt == Some(1_500));
    let stats = desk.stats();
    assert_eq!(
        (stats.received, stats.lost, stats.late, stats.duplicates),
        (1, 1, 1, 1)
    );
}

/// With one loss alone, a count that is taken back twice would not show.
#[test]
fn every_count_with_three_losses() {
    let mut desk = Desk::new(56);
    let sent: Vec<_> = (0..8).map(|at| desk.send(at)).collect();
    let state = |desk: &Desk| {
        let stats = desk.stats();
        let pending = desk.books.targets.get(desk.id).unwrap().pending;
        assert_eq!(u64::from(pending), desk.books.in_flight);
        (
            stats.received,
            stats.lost,
            stats.errors,
            stats.corrupt,
            pending,
        )
    };
    assert_eq!(state(&desk), (0, 0, 0, 0, 8));
    // Three errors, one of them before the call that sends has returned.
    for (index, local) in [(0, false), (1, true), (2, false)] {
        let (number, _) = &sent[index];
        assert!(desk.books.failed(*number, local).unwrap().2);
    }
    assert_eq!(state(&desk), (0, 3, 3, 0, 5));
    assert_eq!(desk.stats().unsent, 1);
    assert_eq!(desk.stats().silent, 3);
    // The answers to two of them arrive anyway.
    for index in [0, 2] {
        let (number, data) = &sent[index];
        desk.answer(*number as u16, data, 20).unwrap();
    }
    assert_eq!(state(&desk), (2, 1, 3, 0, 5));
    // Three that come back corrupt, and two of these come back right as well.
    for index in [3, 4, 5] {
        let (number, data) = &sent[index];
        let mut spoiled = data.clone();
        spoiled[30] ^= 1;
        desk.answer(*number as u16, &spoiled, 30).unwrap();
    }
    assert_eq!(state(&desk), (2, 4, 3, 3, 2));
    for index in [4, 5] {
        let (number, data) = &sent[index];
        desk.answer(*number as u16, data, 40).unwrap();
    }
    assert_eq!(state(&desk), (4, 2, 3, 3, 2));
    // Two whose time passes; a late answer changes no loss.
    let mut lost = 0;
    while let Some((_, _, how)) = desk.books.expire(5_000, TIMEOUT) {
        lost += u64::from(how == Settled::Lost);
    }
    assert_eq!((lost, state(&desk)), (2, (4, 4, 3, 3, 0)));
    let (number, data) = &sent[7];
    desk.answer(*number as u16, data, 6_000).unwrap();
    assert_eq!(state(&desk), (4, 4, 3, 3, 0));
    assert_eq!(desk.stats().late, 1);
    assert_eq!(desk.stats().loss_percent(), Some(50.0));
}

#[test]
fn late_by_its_stamp_although_nobody_has_looked() {
    let mut desk = Desk::new(56);
    let (number, data) = desk.send(0);
    let late = desk.answer(number as u16, &data, TIMEOUT + 1).unwrap();
    assert!(late.late && late.settled.is_none());
    assert_eq!(
        desk.books.expire(TIMEOUT + 1, TIMEOUT).unwrap().2,
        Settled::Lost
    );
}

#[test]
fn not_ours() {
    let mut desk = Desk::new(56);
    let (number, data) = desk.send(0);
    // No host has a group address, and a reply without the cookie is not ours.
    for from in ["224.0.0.1", "255.255.255.255"] {
        assert!(desk.answer_from(from, number as u16, &data, 1).is_none());
    }
    assert!(
        desk.answer_from("192.0.2.9", number as u16, &[0; 56], 1)
            .is_none()
    );
    assert!(desk.answer(99, &[0; 56], 1).is_none());
    assert_eq!((desk.stats().corrupt, desk.stats().received), (0, 0));
    let mut short = Desk::new(12);
    let (number, data) = short.send(0);
    assert!(
        short
            .answer_from("192.0.2.9", number as u16, &data, 1)
            .is_none()
    );
}

#[test]
fn a_cookie_from_another_address_counts_and_is_marked() {
    let mut desk = Desk::new(56);
    let (number, data) = desk.send(0);
    let answer = desk
        .answer_from("192.0.2.9", number as u16, &data, 5)
        .unwrap();
    assert!(answer.foreign && answer.settled == Some(Settled::Answered));
    assert_eq!((desk.stats().received, desk.stats().foreign), (1, 1));
    // The right one is a duplicate then.
    let answer = desk.answer(number as u16, &data, 6).unwrap();
    assert!(answer.duplicate && !answer.foreign);

    let mut desk = Desk::new(56);
    desk.books.rules.strict_source = true;
    let (number, data) = desk.send(0);
    assert!(
        desk.answer_from("192.0.2.9", number as u16, &data, 5)
            .is_none()
    );
    assert_eq!((desk.stats().received, desk.stats().foreign), (0, 1));
    assert!(
        desk.answer(number as u16, &data, 6)
            .unwrap()
            .settled
            .is_some()
    );

    for shared in ["224.0.0.1", "ff02::1", "2001:db8::"] {
        let mut desk = Desk::new(56);
        desk.id = desk.books.targets.add(Target::new(None, ip(shared), 0));
        let (number, data) = desk.send(0);
        let from = if shared.contains(':') {
            "2001:db8::1"
        } else {
            HOST
        };
        let answer = desk.answer_from(from, number as u16, &data, 5).unwrap();
        assert!(!answer.foreign && answer.settled.is_some(), "{shared}");
    }
}

#[test]
fn any_answer_decides_a_target_of_a_list() {
    let mut desk = Desk::new(56);
    desk.books.rules.any_answer = true;
    let (first, data) = desk.send(0);
    let (second, _) = desk.send(TIMEOUT);
    assert_eq!(
        desk.books.expire(TIMEOUT, TIMEOUT).unwrap().2,
        Settled::Lost
    );
    desk.books.forget();
    let answer = desk.answer(first as u16, &data, TIMEOUT + 400).unwrap();
    assert!(!answer.late && answer.settled == Some(Settled::Answered));
    assert_eq!(answer.rtt, Some(TIMEOUT + 400));
    assert_eq!((desk.stats().lost, desk.stats().received), (0, 1));
    // Once it is decided the usual rules hold.
    desk.books.targets.get_mut(desk.id).unwrap().ended = true;
    let mut data = data.clone();
    data[..COOKIE].copy_from_slice(&desk.books.cookies.make(second, 56));
    let answer = desk.answer(second as u16, &data, 3 * TIMEOUT).unwrap();
    assert!(answer.late && answer.settled.is_none());
}

#[test]
fn probes_of_undecided_targets_are_remembered() {
    let mut desk = Desk::new(56);
    desk.books.rules.any_answer = true;
    let (first, data) = desk.send(0);
    for at in 1..20 {
        desk.send(at);
    }
    while desk.books.expire(5_000, TIMEOUT).is_some() {}
    desk.books.forget();
    assert!(
        desk.answer(first as u16, &data, 5_001)
            .unwrap()
            .settled
            .is_some()
    );
    desk.books.targets.get_mut(desk.id).unwrap().ended = true;
    desk.books.forget();
    assert_eq!(desk.books.probes.len(), 4);
}

#[test]
fn corrupt_and_then_right() {
    let mut desk = Desk::new(56);
    let (number, data) = desk.send(0);
    let mut spoiled = data.clone();
    spoiled[20] = !spoiled[20];
    let answer = desk.answer(number as u16, &spoiled, 5).unwrap();
    let expected = Damage::Data {
        at: 20,
        expected: 20,
        data: &spoiled,
    };
    assert_eq!(answer.damage, Some(expected));
    assert_eq!(
        (answer.rtt, answer.settled),
        (Some(5), Some(Settled::Failed))
    );
    assert_eq!((desk.stats().lost, desk.stats().corrupt), (1, 1));
    let answer = desk.answer(number as u16, &data, 6).unwrap();
    assert_eq!(answer.settled, Some(Settled::Answered));
    assert_eq!((desk.stats().lost, desk.stats().received), (0, 1));
}

#[test]
fn a_zeroed_cookie_is_corrupt_and_its_time_not_believed() {
    let mut desk = Desk::new(56);
    let (number, mut data) = desk.send(0);
    data[..16].fill(0);
    let answer = desk.answer(number as u16, &data, 5).unwrap();
    assert!(matches!(answer.damage, Some(Damage::Data { .. })));
    assert_eq!(answer.rtt, None);
}

#[test]
fn cut_short() {
    let mut desk = Desk::new(56);
    let (number, data) = desk.send(0);
    for length in [40, 16, 8, 0] {
        let answer = desk.answer(number as u16, &data[..length], 5).unwrap();
        assert_eq!(answer.damage, Some(Damage::Truncated));
    }
    assert_eq!((desk.stats().corrupt, desk.stats().lost), (4, 1));
}

#[test]
fn short_data_is_matched_by_sequence_number() {
    for size in [0, 4, 8, 12] {
        let mut desk = Desk::new(size);
        let (number, data) = desk.send(0);
        let answer = desk.answer(number as u16, &data, 5).unwrap();
        assert_eq!((answer.damage, answer.rtt), (None, Some(5)), "{size}");
    }
}

#[test]
fn an_answer_from_before_what_is_remembered_is_late() {
    let mut desk = Desk::new(56);
    let (first, data) = desk.send(0);
    for at in 1..20 {
        desk.send(at);
    }
    while desk.books.expire(5_000, TIMEOUT).is_some() {}
    desk.books.forget();
    let late = desk.answer(first as u16, &data, 5_001).unwrap();
    assert!(late.late && late.rtt.is_none() && late.seq == 1);
}

#[test]
fn errors_name_their_probe_with_and_without_cookie() {
    let mut desk = Desk::new(56);
    let (first, data) = desk.send(0);
    let (second, _) = desk.send(1);
    let echo = |seq: u64, data| Echo {
        id: 7,
        seq: seq as u16,
        data,
        checksum_ok: true,
        ttl: None,
    };
    assert_eq!(
        desk.books.quoted(&echo(first, &data), ip(HOST)),
        Some(first)
    );
    assert_eq!(
        desk.books.quoted(&echo(second, &[]), ip(HOST)),
        Some(second)
    );
    assert_eq!(desk.books.quoted(&echo(second, &[]), ip("192.0.2.9")), None);
    assert_eq!(desk.books.failed(second, false), Some((desk.id, 2, true)));
    assert_eq!(desk.books.failed(second, false), Some((desk.id, 2, false)));
    assert_eq!((desk.stats().errors, desk.stats().lost), (2, 1));
    // Its time passes all the same, once.
    assert_eq!(desk.books.expire(9_000, TIMEOUT).unwrap().2, Settled::Lost);
    assert_eq!(
        desk.books.expire(9_000, TIMEOUT).unwrap().2,
        Settled::Expired
    );
    assert_eq!(desk.books.expire(9_000, TIMEOUT), None);
}

#[test]
fn quoted_bytes_of_the_cookie_must_be_right() {
    for size in [56, 16, 12, 8, 3] {
        let mut desk = Desk::new(size);
        let (number, data) = desk.send(0);
        let quoted = |desk: &mut Desk, data: &[u8]| {
            let echo = Echo {
                id: 7,
                seq: number as u16,
                data,
                checksum_ok: true,
                ttl: None,
            };
            desk.books.quoted(&echo, ip(HOST))
        };
        for length in 0..=size {
            assert_eq!(
                quoted(&mut desk, &data[..length]),
                Some(number),
                "{size} {length}"
            );
        }
        // Bytes 8 to 15 of a cookie that is not whole are zero.
        for at in 0..size.min(COOKIE) {
            let mut spoiled = data.clone();
            spoiled[at] = !spoiled[at];
            assert_eq!(quoted(&mut desk, &spoiled), None, "{size} {at}");
            assert_eq!(quoted(&mut desk, &spoiled[..=at]), None, "{size} {at}");
        }
    }
}

#[test]
fn in_flight_at_the_end() {
    // Two round trips, the longest of 300, then probes sent at these moments.
    let times = [9_000, 9_390, 9_400, 9_500, 9_999];
    for (wait, lost) in [(None, 3), (Some(500), 4), (Some(5), 4), (Some(1), 5)] {
        let mut desk = Desk::new(56);
        desk.books.rules.wait = wait;
        for rtt in [300, 100] {
            let (number, data) = desk.send(1_000);
            desk.answer(number as u16, &data, 1_000 + rtt).unwrap();
        }
        for at in times {
            desk.send(at);
        }
        let now = 10_000;
        assert_eq!(desk.books.count_overdue(now)[&desk.id], lost);
        assert_eq!((desk.stats().lost, desk.books.in_flight), (0, 5));
        desk.books.close(now);
        assert_eq!((desk.stats().lost, desk.books.in_flight), (lost, 5 - lost));
        assert!(desk.books.count_overdue(now).is_empty());
    }
    // Nothing was received: whatever was sent is lost.
    let mut desk = Desk::new(56);
    desk.books.rules.wait = Some(5_000);
    for at in [9_998, 9_999, 10_000] {
        desk.send(at);
    }
    desk.books.close(10_000);
    assert_eq!((desk.stats().lost, desk.books.in_flight), (3, 0));
    assert_eq!(desk.stats().loss_percent(), Some(100.0));
}

#[test]
fn decided_targets_go_with_their_last_probe() {
    let mut desk = Desk::new(56);
    for at in 0..6 {
        let (number, data) = desk.send(at);
        desk.answer(number as u16, &data, at).unwrap();
    }
    desk.books.targets.get_mut(desk.id).unwrap().ended = true;
    while desk.books.expire(1, TIMEOUT).is_some() {}
    desk.books.forget();
    assert_eq!(desk.books.targets.len(), 1);
    let other = desk
        .books
        .targets
        .add(Target::new(None, ip("192.0.2.2"), 0));
    for _ in 0..6 {
        let number = desk.books.open(other, 0);
        desk.books.sent(number, 0);
        desk.books.failed(number, true);
    }
    while desk.books.expire(9_000, TIMEOUT).is_some() {}
    desk.books.forget();
    assert_eq!(desk.books.targets.len(), 1);
}
