//! Fates of messages, one by one and in random order.

use super::*;
use proptest::prelude::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Messages 1 and on, sent at 0 and lost at 100 ms.
fn started(matching: Matching, payloads: &[&[u8]]) -> Ledger {
    let mut ledger = Ledger::new(matching);
    for (seq, payload) in payloads.iter().enumerate() {
        ledger.sent(seq as u64 + 1, (*payload).into(), MS(0), MS(100));
    }
    ledger
}

const TAGS: fn() -> Tags = || Tags::new(3);

/// The datagram of a probe.
fn tagged(seq: u64) -> Vec<u8> {
    let mut datagram = vec![7; 20];
    TAGS().write(seq, &mut datagram);
    datagram
}

/// Probes 1 to `count`.
fn probes(count: u64) -> Ledger {
    let all: Vec<Vec<u8>> = (1..=count).map(tagged).collect();
    let all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    started(Matching::Tagged(TAGS()), &all)
}

fn reply(seq: u64, bytes: usize, ms: u64) -> Event {
    Event::Reply {
        seq,
        bytes,
        rtt: MS(ms),
        reordered: false,
    }
}

fn reordered(seq: u64, bytes: usize, ms: u64) -> Event {
    Event::Reply {
        seq,
        bytes,
        rtt: MS(ms),
        reordered: true,
    }
}

#[track_caller]
fn come(ledger: &mut Ledger, datagram: &[u8], ms: u64) -> Event {
    let mut events = Vec::new();
    ledger.datagram(datagram, MS(ms), &mut events);
    assert_eq!(events.len(), 1, "{events:?}");
    events[0]
}

#[test]
fn late_on_a_stream_is_lost_and_passed_over() {
    let mut ledger = started(Matching::Stream, &[b"one", b"two"]);
    let mut events = Vec::new();
    ledger.expire(MS(99), &mut events);
    assert!(events.is_empty());
    ledger.expire(MS(100), &mut events);
    assert_eq!(
        events,
        [Event::Timeout { seq: 1 }, Event::Timeout { seq: 2 }]
    );
    assert!(ledger.is_idle());
    events.clear();
    ledger.sent(3, b"three"[..].into(), MS(150), MS(250));
    ledger.stream(b"onetwothree", MS(200), &mut events);
    let late = |seq| Event::Late {
        seq,
        bytes: 3,
        rtt: MS(200),
        offset: None,
    };
    assert_eq!(events, [late(1), late(2), reply(3, 5, 50)]);
    assert_eq!((ledger.received, ledger.lost), (1, 2));
    assert!((ledger.loss_percent() - 66.6666).abs() < 0.001);
}

#[test]
fn a_difference_is_no_reply() {
    let mut ledger = started(Matching::Stream, &[b"one", b"two"]);
    let mut events = Vec::new();
    ledger.stream(b"oneTwo", MS(5), &mut events);
    let corrupt = Event::Corrupt {
        seq: 2,
        bytes: 3,
        offset: 0,
        rtt: MS(5),
        reordered: false,
    };
    assert_eq!(events, [reply(1, 3, 5), corrupt]);
    ledger.stream(b"more", MS(6), &mut events);
    assert_eq!(events[2], Event::Stray { bytes: 4 });
    assert_eq!((ledger.received, ledger.lost, ledger.corrupt), (1, 0, 1));
    assert_eq!(ledger.strays(), Some(1));
    assert!(!ledger.all_right());
    // Bytes too many are the peer's fault on a stream.
    let mut ledger = started(Matching::Stream, &[b"one"]);
    ledger.stream(b"one", MS(5), &mut events);
    assert!(ledger.all_right());
    ledger.stream(b"more", MS(6), &mut events);
    assert!(!ledger.all_right());
}

#[test]
fn datagrams_come_in_any_order() {
    let mut ledger = probes(3);
    assert_eq!(come(&mut ledger, &tagged(3), 1), reply(3, 20, 1));
    assert_eq!(come(&mut ledger, &tagged(1), 2), reordered(1, 20, 2));
    let cut = Event::Corrupt {
        seq: 2,
        bytes: 13,
        offset: 13,
        rtt: MS(3),
        reordered: true,
    };
    assert_eq!(come(&mut ledger, &tagged(2)[..13], 3), cut);
    let duplicate = Event::Duplicate {
        seq: 1,
        bytes: 20,
        rtt: MS(4),
    };
    assert_eq!(come(&mut ledger, &tagged(1), 4), duplicate);
    for stray in [&b"hello, one datagram more"[..], b"", b"abc", &tagged(9)] {
        let bytes = stray.len();
        assert_eq!(come(&mut ledger, stray, 5), Event::Stray { bytes });
    }
    assert_eq!((ledger.received, ledger.corrupt, ledger.lost), (2, 1, 0));
    assert_eq!((ledger.reordered, ledger.duplicates()), (1, Some(1)));
    assert_eq!(ledger.strays(), Some(4));
    // Strays come from elsewhere; the corrupt one is the peer's.
    assert!(!ledger.all_right());
    let mut ledger = probes(1);
    come(&mut ledger, b"stray", 1);
    come(&mut ledger, &tagged(1), 1);
    assert!(ledger.all_right());
}

/// One wrong echo, or one that belongs to nothing, costs no other its place.
#[test]
fn a_stray_shifts_nothing() {
    let mut ledger = probes(50);
    come(&mut ledger, b"hello, one datagram more", 1);
    for seq in 1..=50 {
        assert_eq!(come(&mut ledger, &tagged(seq), 5), reply(seq, 20, 5));
    }
    assert_eq!((ledger.received, ledger.corrupt), (50, 0));
}

#[test]
fn an_error_about_one_datagram_is_the_loss_of_one() {
    let mut ledger = probes(5);
    assert_eq!(ledger.refused(&tagged(3)[..16]), Some(3));
    assert_eq!(ledger.refused(&tagged(3)), None);
    assert_eq!(ledger.refused(b"something else"), None);
    for seq in [1, 2, 4, 5] {
        assert_eq!(come(&mut ledger, &tagged(seq), 5), reply(seq, 20, 5));
    }
    assert_eq!((ledger.received, ledger.lost), (4, 1));
    let mut ledger = started(Matching::Alike, &[b"ping", b"ping"]);
    assert_eq!((ledger.refused(b""), ledger.not_sent()), (Some(1), Some(2)));
    assert_eq!((ledger.lost, ledger.is_idle()), (2, true));
}

/// Far more of them than are waited for at the same time.
#[test]
fn late_datagrams_are_late_and_nothing_else() {
    let mut ledger = Ledger::new(Matching::Tagged(TAGS()));
    let (mut events, count) = (Vec::new(), 10_000);
    for seq in 1..=count {
        ledger.sent(seq, tagged(seq).into(), MS(seq), MS(seq + 10));
        ledger.expire(MS(seq), &mut events);
    }
    events.clear();
    for seq in 1..=count {
        ledger.datagram(&tagged(seq), MS(count + 2000), &mut events);
        ledger.expire(MS(count + 2000), &mut Vec::new());
    }
    let late = |event: &&Event| matches!(event, Event::Late { offset: None, .. });
    // All but those that were still in time when the first came.
    assert_eq!(events.iter().filter(late).count(), count as usize);
    assert_eq!((ledger.corrupt, ledger.strays()), (0, Some(0)));
    assert_eq!((ledger.lost, ledger.received), (count, 0));
}

/// The same message each time, the first one lost for good.
#[test]
fn a_lost_datagram_does_not_take_the_next_ones_echo() {
    let mut ledger = started(Matching::Alike, &[b"ping"]);
    ledger.sent(2, b"ping"[..].into(), MS(50), MS(150));
    assert_eq!(come(&mut ledger, b"ping", 51), reply(2, 4, 1));
    ledger.sent(3, b"ping"[..].into(), MS(90), MS(190));
    assert_eq!(come(&mut ledger, b"ping", 92), reply(3, 4, 2));
    ledger.expire(MS(100), &mut Vec::new());
    assert_eq!((ledger.received, ledger.lost), (2, 1));
    // What comes after that is the lost one, late, or a second echo.
    let late = Event::Late {
        seq: 1,
        bytes: 4,
        rtt: MS(102),
        offset: None,
    };
    assert_eq!(come(&mut ledger, b"ping", 102), late);
    assert_eq!(come(&mut ledger, b"ping", 102), Event::Stray { bytes: 4 });
    assert_eq!((ledger.duplicates(), ledger.strays()), (None, None));
    assert_eq!((ledger.received, ledger.lost), (2, 1));
}

#[test]
fn what_is_in_flight_at_the_end() {
    let at_end = |received, now, timeout| {
        let mut ledger = Ledger::new(Matching::Tagged(TAGS()));
        for seq in 1..=4 {
            ledger.sent(seq, tagged(seq).into(), MS(seq * 100), MS(10_000));
        }
        for seq in 1..=received {
            come(&mut ledger, &tagged(seq), seq * 100 + 60);
        }
        ledger.end(MS(now), timeout);
        assert_eq!(
            ledger.sent,
            ledger.received + ledger.lost + ledger.in_flight
        );
        (ledger.received, ledger.lost, ledger.in_flight)
    };
    // Twice the longest round trip is 120 ms.
    assert_eq!(at_end(2, 419, None), (2, 0, 2));
    assert_eq!(at_end(2, 420, None), (2, 1, 1));
    assert_eq!(at_end(2, 520, None), (2, 2, 0));
    // A timeout that was asked for is the measure.
    assert_eq!(at_end(2, 520, Some(MS(300))), (2, 0, 2));
    assert_eq!(at_end(2, 600, Some(MS(300))), (2, 1, 1));
    // Without any reply everything is lost.
    assert_eq!(at_end(0, 401, None), (0, 4, 0));
    assert_eq!(at_end(0, 401, Some(MS(5000))), (0, 4, 0));
}

#[test]
fn the_interval_that_was_kept() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.interval(), None);
    ledger.sent(1, b"x"[..].into(), MS(50), MS(99));
    assert_eq!(ledger.interval(), None);
    ledger.unsent(2, MS(70));
    ledger.sent(3, b"x"[..].into(), MS(250), MS(300));
    assert_eq!(ledger.interval(), Some(MS(100)));
    assert_eq!((ledger.sent, ledger.lost), (3, 1));
}

#[test]
fn a_peer_that_never_answers_costs_no_memory() {
    let mut ledger = Ledger::default();
    let mut events = Vec::new();
    let last = 3 * REMEMBERED as u64;
    for n in 0..last {
        ledger.sent(n, n.to_be_bytes().to_vec().into(), MS(n), MS(n + 10));
        ledger.expire(MS(n), &mut events);
    }
    assert!(ledger.overdue.rows.len() <= REMEMBERED && ledger.waiting.rows.len() <= 11);
    assert_eq!(ledger.lost + 10, ledger.sent);
    // All that comes after all is told apart, as far as it is remembered.
    let all: Vec<u8> = (0..last).flat_map(u64::to_be_bytes).collect();
    events.clear();
    for piece in all.chunks(1000) {
        ledger.stream(piece, MS(last), &mut events);
    }
    let late = |event: &&Event| matches!(event, Event::Late { .. });
    assert_eq!(events.iter().filter(late).count(), REMEMBERED);
    assert_eq!((ledger.received, ledger.corrupt), (10, 0));
}

#[test]
fn as_many_messages_are_waited_for_as_the_window_has() {
    let mut ledger = Ledger::default();
    for seq in 0..WINDOW as u64 {
        assert!(!ledger.is_full());
        ledger.sent(seq, b"x"[..].into(), MS(0), MS(10));
    }
    assert!(ledger.is_full());
}

#[test]
fn large_messages_are_forgotten_sooner_and_waited_for_in_smaller_numbers() {
    let mut ledger = Ledger::default();
    let mut events = Vec::new();
    let large: Rc<[u8]> = vec![7; WINDOW_BYTES / 4].into();
    for n in 0..4 {
        assert!(!ledger.is_full());
        ledger.sent(n, Rc::clone(&large), MS(0), MS(10));
    }
    assert!(ledger.is_full());
    ledger.expire(MS(10), &mut events);
    assert!(!ledger.is_full());
    assert_eq!((ledger.lost, ledger.overdue.rows.len()), (4, 1));
    events.clear();
    for _ in 0..4 {
        ledger.stream(&large, MS(20), &mut events);
    }
    let late = Event::Late {
        seq: 3,
        bytes: large.len(),
        rtt: MS(20),
        offset: None,
    };
    assert_eq!(events, [late]);
}

#[test]
fn the_rest_of_a_forgotten_message_is_passed_over() {
    let large: Rc<[u8]> = vec![7; REMEMBERED_BYTES + 1].into();
    let mut ledger = Ledger::default();
    let mut events = Vec::new();
    ledger.sent(1, Rc::clone(&large), MS(0), MS(10));
    ledger.sent(2, Rc::clone(&large), MS(0), MS(10));
    ledger.stream(&large[..10], MS(5), &mut events);
    ledger.expire(MS(10), &mut events);
    events.clear();
    ledger.stream(&large[10..], MS(20), &mut events);
    assert_eq!(events, []);
    ledger.stream(&large, MS(20), &mut events);
    let late = Event::Late {
        seq: 2,
        bytes: large.len(),
        rtt: MS(20),
        offset: None,
    };
    assert_eq!(events, [late]);
}

#[test]
fn a_cut_loses_what_is_on_its_way() {
    let mut ledger = started(Matching::Stream, &[b"one", b"two"]);
    let mut events = Vec::new();
    ledger.stream(b"onet", MS(1), &mut events);
    assert_eq!(ledger.cut(), [2]);
    assert_eq!((ledger.received, ledger.lost), (1, 1));
    assert!(ledger.is_idle());
}

/// What a network does with an echo.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Lost,
    Twice,
    Spoilt(usize, u8),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Arrives),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Twice),
        1 => (0usize..20, 1u8..=255).prop_map(|(at, bits)| Fate::Spoilt(at, bits)),
    ]
}

proptest! {
    #[test]
    fn every_message_has_one_fate(
        sizes in prop::collection::vec(1usize..20, 1..20),
        cuts in prop::collection::vec(1usize..30, 1..20),
        keep: prop::sample::Index,
    ) {
        let payloads: Vec<Vec<u8>> = sizes.iter().map(|&n| vec![n as u8; n]).collect();
        let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let mut ledger = started(Matching::Stream, &payloads);
        let all = payloads.concat();
        let mut rest = &all[..keep.index(all.len())];
        let mut events = Vec::new();
        for &cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let n = cut.min(rest.len());
            ledger.stream(&rest[..n], MS(1), &mut events);
            rest = &rest[n..];
        }
        ledger.cut();
        prop_assert_eq!(ledger.corrupt, 0);
        prop_assert_eq!(ledger.received + ledger.lost, ledger.sent);
        prop_assert_eq!(events.len() as u64, ledger.received);
    }

    /// Against an independent count of what the network did.
    #[test]
    fn loss_duplicates_and_reordering_are_those_of_the_network(
        fates in prop::collection::vec((fate(), 0u64..50), 1..60), strays in 0u64..5,
    ) {
        let count = fates.len() as u64;
        let mut ledger = probes(count);
        let mut arrivals = Vec::new();
        let (mut lost, mut twice, mut spoilt) = (0, 0, 0);
        for ((fate, delay), seq) in fates.iter().zip(1..) {
            let mut datagram = tagged(seq);
            match *fate {
                Fate::Arrives => {}
                Fate::Lost => {
                    lost += 1;
                    continue;
                }
                Fate::Twice => {
                    twice += 1;
                    arrivals.push((seq + delay + 1, seq, datagram.clone()));
                }
                // Of a name that is spoilt the echo is a stray.
                Fate::Spoilt(at, bits) => {
                    datagram[at] ^= bits;
                    spoilt += 1;
                }
            }
            arrivals.push((seq + delay, seq, datagram));
        }
        arrivals.extend((0..strays).map(|n| (n * 7, 0, b"from elsewhere".to_vec())));
        arrivals.sort_by_key(|(at, ..)| *at);
        let (mut latest, mut seen, mut behind) = (0, std::collections::HashSet::new(), 0);
        let mut events = Vec::new();
        for (_, seq, datagram) in &arrivals {
            ledger.datagram(datagram, MS(1), &mut events);
            let right = *datagram == tagged(*seq);
            if right && seen.insert(*seq) {
                behind += u64::from(*seq < latest);
            }
            let named = match TAGS().read(datagram, count) {
                Name::Sure(seq) | Name::Claimed(seq) if seq <= count => seq,
                _ => 0,
            };
            latest = latest.max(named);
        }
        ledger.end(MS(200), Some(MS(100)));
        let known = ledger.received + ledger.corrupt + ledger.lost + ledger.in_flight;
        prop_assert_eq!(known, count);
        prop_assert_eq!(ledger.in_flight, 0);
        if spoilt == 0 {
            prop_assert_eq!((ledger.received, ledger.lost), (count - lost, lost));
            prop_assert_eq!(ledger.duplicates(), Some(twice));
            prop_assert_eq!(ledger.strays(), Some(strays));
            prop_assert_eq!(ledger.reordered, behind);
        }
        prop_assert!(ledger.corrupt <= spoilt);
        prop_assert!(ledger.lost >= lost && ledger.lost <= lost + spoilt);
    }
}
