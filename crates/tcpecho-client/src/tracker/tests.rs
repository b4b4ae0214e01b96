//! Tests of how echoes are matched and messages are counted: case by case, and
//! against a simulated network.

use super::*;
use crate::tag::Tag;
use proptest::prelude::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Creates a tracker of messages from 1 on, sent at 0 ms and lost at 100 ms.
fn tracker_of(matching: Matching, payloads: &[&[u8]]) -> EchoTracker {
    let mut tracker = EchoTracker::new(matching);
    for (seq, payload) in payloads.iter().enumerate() {
        tracker.record_sent(seq as u64 + 1, (*payload).into(), MS(0), MS(100));
    }
    tracker
}

const TAGS: fn() -> Tags = || Tags::new(3);

/// Returns the datagram of message `seq`.
fn tagged(seq: u64) -> Vec<u8> {
    let mut datagram = vec![7; 20];
    TAGS().write(seq, &mut datagram);
    datagram
}

/// Creates a tracker of tagged datagrams from 1 to `count`.
fn probes(count: u64) -> EchoTracker {
    let all: Vec<Vec<u8>> = (1..=count).map(tagged).collect();
    let all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    tracker_of(Matching::Tagged(TAGS()), &all)
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
fn receive(tracker: &mut EchoTracker, datagram: &[u8], ms: u64) -> Event {
    let mut events = Vec::new();
    tracker.receive_datagram(datagram, MS(ms), &mut events);
    assert_eq!(events.len(), 1, "{events:?}");
    events[0]
}

#[test]
fn a_late_echo_on_a_stream_is_lost_and_not_mistaken_for_the_next() {
    let mut tracker = tracker_of(Matching::Stream, &[b"one", b"two"]);
    let mut events = Vec::new();
    tracker.expire(MS(99), &mut events);
    assert!(events.is_empty());
    tracker.expire(MS(100), &mut events);
    assert_eq!(
        events,
        [Event::Timeout { seq: 1 }, Event::Timeout { seq: 2 }]
    );
    assert!(tracker.is_idle());
    events.clear();
    tracker.record_sent(3, b"three"[..].into(), MS(150), MS(250));
    tracker.receive_bytes(b"onetwothree", MS(200), &mut events);
    let late = |seq| Event::Late {
        seq,
        bytes: 3,
        rtt: MS(200),
        offset: None,
    };
    assert_eq!(events, [late(1), late(2), reply(3, 5, 50)]);
    assert_eq!((tracker.received, tracker.lost), (1, 2));
    assert!((tracker.loss_percent() - 66.6666).abs() < 0.001);
}

#[test]
fn an_echo_that_differs_is_corrupt() {
    let mut tracker = tracker_of(Matching::Stream, &[b"one", b"two"]);
    let mut events = Vec::new();
    tracker.receive_bytes(b"oneTwo", MS(5), &mut events);
    let corrupt = Event::Corrupt {
        seq: 2,
        bytes: 3,
        offset: 0,
        rtt: MS(5),
        reordered: false,
    };
    assert_eq!(events, [reply(1, 3, 5), corrupt]);
    tracker.receive_bytes(b"more", MS(6), &mut events);
    assert_eq!(events[2], Event::Stray { bytes: 4 });
    assert_eq!((tracker.received, tracker.lost, tracker.corrupt), (1, 0, 1));
    assert_eq!(tracker.strays(), Some(1));
    assert!(!tracker.is_success());
    // Extra bytes of a stream are a fault of the peer.
    let mut tracker = tracker_of(Matching::Stream, &[b"one"]);
    tracker.receive_bytes(b"one", MS(5), &mut events);
    assert!(tracker.is_success());
    tracker.receive_bytes(b"more", MS(6), &mut events);
    assert!(!tracker.is_success());
}

#[test]
fn datagrams_may_arrive_in_any_order() {
    let mut tracker = probes(3);
    assert_eq!(receive(&mut tracker, &tagged(3), 1), reply(3, 20, 1));
    assert_eq!(receive(&mut tracker, &tagged(1), 2), reordered(1, 20, 2));
    let cut = Event::Corrupt {
        seq: 2,
        bytes: 13,
        offset: 13,
        rtt: MS(3),
        reordered: true,
    };
    assert_eq!(receive(&mut tracker, &tagged(2)[..13], 3), cut);
    let duplicate = Event::Duplicate {
        seq: 1,
        bytes: 20,
        rtt: MS(4),
    };
    assert_eq!(receive(&mut tracker, &tagged(1), 4), duplicate);
    for stray in [&b"hello, one datagram more"[..], b"", b"abc", &tagged(9)] {
        let bytes = stray.len();
        assert_eq!(receive(&mut tracker, stray, 5), Event::Stray { bytes });
    }
    assert_eq!((tracker.received, tracker.corrupt, tracker.lost), (2, 1, 0));
    assert_eq!((tracker.reordered, tracker.duplicates()), (1, Some(1)));
    assert_eq!(tracker.strays(), Some(4));
    // Strays come from other hosts, the corrupt echo from the peer.
    assert!(!tracker.is_success());
    // Of a corrupt byte and a truncation, the first difference counts.
    let mut tracker = probes(1);
    let mut corrupt = tagged(1);
    corrupt[17] ^= 1;
    let event = receive(&mut tracker, &corrupt[..19], 3);
    assert!(
        matches!(event, Event::Corrupt { offset: 17, .. }),
        "{event:?}"
    );
    let mut tracker = probes(1);
    receive(&mut tracker, b"stray", 1);
    receive(&mut tracker, &tagged(1), 1);
    assert!(tracker.is_success());
}

#[test]
fn a_stray_does_not_shift_the_echoes_after_it() {
    let mut tracker = probes(50);
    receive(&mut tracker, b"hello, one datagram more", 1);
    for seq in 1..=50 {
        assert_eq!(receive(&mut tracker, &tagged(seq), 5), reply(seq, 20, 5));
    }
    assert_eq!((tracker.received, tracker.corrupt), (50, 0));
}

#[test]
fn an_icmp_error_loses_a_single_message() {
    let mut tracker = probes(5);
    assert_eq!(tracker.record_icmp_error(&tagged(3)[..16]), Some(3));
    assert_eq!(tracker.record_icmp_error(&tagged(3)), None);
    assert_eq!(tracker.record_icmp_error(b"something else"), None);
    for seq in [1, 2, 4, 5] {
        assert_eq!(receive(&mut tracker, &tagged(seq), 5), reply(seq, 20, 5));
    }
    assert_eq!((tracker.received, tracker.lost), (4, 1));
    let mut tracker = tracker_of(Matching::Untagged, &[b"ping", b"ping"]);
    assert_eq!(
        (
            tracker.record_icmp_error(b""),
            tracker.record_last_send_failure()
        ),
        (Some(1), Some(2))
    );
    assert_eq!((tracker.lost, tracker.is_idle()), (2, true));
}

#[test]
fn many_late_datagrams_are_all_counted_as_late() {
    let mut tracker = EchoTracker::new(Matching::Tagged(TAGS()));
    let (mut events, count) = (Vec::new(), 10_000);
    for seq in 1..=count {
        tracker.record_sent(seq, tagged(seq).into(), MS(seq), MS(seq + 10));
        tracker.expire(MS(seq), &mut events);
    }
    events.clear();
    for seq in 1..=count {
        tracker.receive_datagram(&tagged(seq), MS(count + 2000), &mut events);
        tracker.expire(MS(count + 2000), &mut Vec::new());
    }
    let late = |event: &&Event| matches!(event, Event::Late { offset: None, .. });
    // All of them had timed out when the first echo arrived.
    assert_eq!(events.iter().filter(late).count(), count as usize);
    assert_eq!((tracker.corrupt, tracker.strays()), (0, Some(0)));
    assert_eq!((tracker.lost, tracker.received), (count, 0));
}

/// All messages are equal, and the first one is lost.
#[test]
fn a_lost_datagram_does_not_take_the_echo_of_the_next() {
    let mut tracker = tracker_of(Matching::Untagged, &[b"ping"]);
    tracker.record_sent(2, b"ping"[..].into(), MS(50), MS(150));
    assert_eq!(receive(&mut tracker, b"ping", 51), reply(2, 4, 1));
    tracker.record_sent(3, b"ping"[..].into(), MS(90), MS(190));
    assert_eq!(receive(&mut tracker, b"ping", 92), reply(3, 4, 2));
    tracker.expire(MS(100), &mut Vec::new());
    assert_eq!((tracker.received, tracker.lost), (2, 1));
    // A further echo is the late one of the lost message, or a duplicate.
    let late = Event::Late {
        seq: 1,
        bytes: 4,
        rtt: MS(102),
        offset: None,
    };
    assert_eq!(receive(&mut tracker, b"ping", 102), late);
    assert_eq!(
        receive(&mut tracker, b"ping", 102),
        Event::Stray { bytes: 4 }
    );
    assert_eq!((tracker.duplicates(), tracker.strays()), (None, None));
    assert_eq!((tracker.received, tracker.lost), (2, 1));
}

#[test]
fn young_messages_are_in_flight_at_the_end() {
    let at_end = |received, now, timeout| {
        let mut tracker = EchoTracker::new(Matching::Tagged(TAGS()));
        for seq in 1..=4 {
            tracker.record_sent(seq, tagged(seq).into(), MS(seq * 100), MS(10_000));
        }
        for seq in 1..=received {
            receive(&mut tracker, &tagged(seq), seq * 100 + 60);
        }
        tracker.finish(MS(now), timeout);
        assert_eq!(
            tracker.sent,
            tracker.received + tracker.lost + tracker.in_flight_at_end
        );
        (tracker.received, tracker.lost, tracker.in_flight_at_end)
    };
    // Twice the longest round trip is 120 ms.
    assert_eq!(at_end(2, 419, None), (2, 0, 2));
    assert_eq!(at_end(2, 420, None), (2, 1, 1));
    assert_eq!(at_end(2, 520, None), (2, 2, 0));
    // If a timeout is given, it decides.
    assert_eq!(at_end(2, 520, Some(MS(300))), (2, 0, 2));
    assert_eq!(at_end(2, 600, Some(MS(300))), (2, 1, 1));
    // Without any reply, all messages are lost.
    assert_eq!(at_end(0, 401, None), (0, 4, 0));
    assert_eq!(at_end(0, 401, Some(MS(5000))), (0, 4, 0));
}

#[test]
fn the_interval_is_the_mean_time_between_sends() {
    let mut tracker = EchoTracker::default();
    assert_eq!(tracker.interval(), None);
    tracker.record_sent(1, b"x"[..].into(), MS(50), MS(99));
    assert_eq!(tracker.interval(), None);
    tracker.record_send_failure(2, MS(70));
    tracker.record_sent(3, b"x"[..].into(), MS(250), MS(300));
    assert_eq!(tracker.interval(), Some(MS(100)));
    assert_eq!((tracker.sent, tracker.lost), (3, 1));
}

#[test]
fn a_peer_that_never_replies_takes_bounded_memory() {
    let mut tracker = EchoTracker::default();
    let mut events = Vec::new();
    let last = 3 * MAX_HISTORY as u64;
    for n in 0..last {
        tracker.record_sent(n, n.to_be_bytes().to_vec().into(), MS(n), MS(n + 10));
        tracker.expire(MS(n), &mut events);
    }
    assert!(
        tracker.timed_out.messages.len() <= MAX_HISTORY && tracker.in_flight.messages.len() <= 11
    );
    assert_eq!(tracker.lost + 10, tracker.sent);
    // Echoes that arrive at last are matched as far as messages are kept.
    let all: Vec<u8> = (0..last).flat_map(u64::to_be_bytes).collect();
    events.clear();
    for piece in all.chunks(1000) {
        tracker.receive_bytes(piece, MS(last), &mut events);
    }
    let late = |event: &&Event| matches!(event, Event::Late { .. });
    assert_eq!(events.iter().filter(late).count(), MAX_HISTORY);
    assert_eq!((tracker.received, tracker.corrupt), (10, 0));
}

#[test]
fn the_window_limits_the_number_of_messages_in_flight() {
    let mut tracker = EchoTracker::default();
    for seq in 0..MAX_IN_FLIGHT as u64 {
        assert!(!tracker.is_full());
        tracker.record_sent(seq, b"x"[..].into(), MS(0), MS(10));
    }
    assert!(tracker.is_full());
}

#[test]
fn the_limits_of_bytes_bound_large_messages() {
    let mut tracker = EchoTracker::default();
    let mut events = Vec::new();
    let large: Rc<[u8]> = vec![7; MAX_IN_FLIGHT_BYTES / 4].into();
    for n in 0..4 {
        assert!(!tracker.is_full());
        tracker.record_sent(n, Rc::clone(&large), MS(0), MS(10));
    }
    assert!(tracker.is_full());
    tracker.expire(MS(10), &mut events);
    assert!(!tracker.is_full());
    assert_eq!((tracker.lost, tracker.timed_out.messages.len()), (4, 1));
    events.clear();
    for _ in 0..4 {
        tracker.receive_bytes(&large, MS(20), &mut events);
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
fn the_rest_of_a_message_that_is_no_longer_kept_is_skipped() {
    let large: Rc<[u8]> = vec![7; MAX_HISTORY_BYTES + 1].into();
    let mut tracker = EchoTracker::default();
    let mut events = Vec::new();
    tracker.record_sent(1, Rc::clone(&large), MS(0), MS(10));
    tracker.record_sent(2, Rc::clone(&large), MS(0), MS(10));
    tracker.receive_bytes(&large[..10], MS(5), &mut events);
    tracker.expire(MS(10), &mut events);
    events.clear();
    tracker.receive_bytes(&large[10..], MS(20), &mut events);
    assert_eq!(events, []);
    tracker.receive_bytes(&large, MS(20), &mut events);
    let late = Event::Late {
        seq: 2,
        bytes: large.len(),
        rtt: MS(20),
        offset: None,
    };
    assert_eq!(events, [late]);
}

#[test]
fn messages_in_flight_are_lost_with_the_connection() {
    let mut tracker = tracker_of(Matching::Stream, &[b"one", b"two"]);
    let mut events = Vec::new();
    tracker.receive_bytes(b"onet", MS(1), &mut events);
    assert_eq!(tracker.record_connection_failure(), [2]);
    assert_eq!((tracker.received, tracker.lost), (1, 1));
    assert!(tracker.is_idle());
}

/// How a simulated network treats an echo.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Lost,
    Twice,
    Corrupt(usize, u8),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Arrives),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Twice),
        1 => (0usize..20, 1u8..=255).prop_map(|(at, bits)| Fate::Corrupt(at, bits)),
    ]
}

proptest! {
    #[test]
    fn every_message_is_counted_once(
        sizes in prop::collection::vec(1usize..20, 1..20),
        cuts in prop::collection::vec(1usize..30, 1..20),
        keep: prop::sample::Index,
    ) {
        let payloads: Vec<Vec<u8>> = sizes.iter().map(|&n| vec![n as u8; n]).collect();
        let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let mut tracker = tracker_of(Matching::Stream, &payloads);
        let all = payloads.concat();
        let mut rest = &all[..keep.index(all.len())];
        let mut events = Vec::new();
        for &cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let n = cut.min(rest.len());
            tracker.receive_bytes(&rest[..n], MS(1), &mut events);
            rest = &rest[n..];
        }
        tracker.record_connection_failure();
        prop_assert_eq!(tracker.corrupt, 0);
        prop_assert_eq!(tracker.received + tracker.lost, tracker.sent);
        prop_assert_eq!(events.len() as u64, tracker.received);
    }

    #[test]
    fn the_counts_equal_those_of_the_simulated_network(
        fates in prop::collection::vec((fate(), 0u64..50), 1..60), strays in 0u64..5,
    ) {
        let count = fates.len() as u64;
        let mut tracker = probes(count);
        let mut arrivals = Vec::new();
        let (mut lost, mut twice, mut corrupt) = (0, 0, 0);
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
                // If the tag is corrupt, the echo may be a stray.
                Fate::Corrupt(at, bits) => {
                    datagram[at] ^= bits;
                    corrupt += 1;
                }
            }
            arrivals.push((seq + delay, seq, datagram));
        }
        arrivals.extend((0..strays).map(|n| (n * 7, 0, b"from elsewhere".to_vec())));
        arrivals.sort_by_key(|(at, ..)| *at);
        let (mut latest, mut seen, mut reordered) = (0, std::collections::HashSet::new(), 0);
        let mut events = Vec::new();
        for (_, seq, datagram) in &arrivals {
            tracker.receive_datagram(datagram, MS(1), &mut events);
            let right = *datagram == tagged(*seq);
            if right && seen.insert(*seq) {
                reordered += u64::from(*seq < latest);
            }
            let named = match TAGS().read(datagram, count) {
                Tag::Verified(seq) | Tag::Unverified(seq) if seq <= count => seq,
                _ => 0,
            };
            latest = latest.max(named);
        }
        tracker.finish(MS(200), Some(MS(100)));
        let known = tracker.received + tracker.corrupt + tracker.lost + tracker.in_flight_at_end;
        prop_assert_eq!(known, count);
        prop_assert_eq!(tracker.in_flight_at_end, 0);
        if corrupt == 0 {
            prop_assert_eq!((tracker.received, tracker.lost), (count - lost, lost));
            prop_assert_eq!(tracker.duplicates(), Some(twice));
            prop_assert_eq!(tracker.strays(), Some(strays));
            prop_assert_eq!(tracker.reordered, reordered);
        }
        prop_assert!(tracker.corrupt <= corrupt);
        prop_assert!(tracker.lost >= lost && tracker.lost <= lost + corrupt);
    }
}
