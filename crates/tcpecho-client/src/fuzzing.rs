//! Entry points for the fuzz targets, compiled only for them. They run the
//! modules that verify replies with a simulated peer, and the parsers of the
//! command line. The input decides what the peer does.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::time::Duration;

use crate::bench::stream::MessageStream;
use crate::exchange::{Exchange, Rule, Verdict};
use crate::message::{HexMessage, Sizes};
use crate::pattern::{MessageId, Pattern};
use crate::tag::{self, Tags};
use crate::target;
use crate::tracker::{EchoTracker, Event, Matching};

/// The input as a source of decisions; zeros follow after its end.
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

/// Runs an exchange and checks its verdict against the bytes. Then runs
/// messages that are counted one by one.
pub fn exchange(bytes: &[u8]) {
    let mut source = Source(bytes);
    let n = usize::from(source.byte());
    let rule = match source.byte() % 3 {
        0 => Rule::Echo,
        1 => Rule::Text(source.take(n).to_vec()),
        _ => Rule::Any,
    };
    let mut exchange = Exchange::new(rule.clone());
    let options = source.byte();
    if options & 1 == 1 {
        exchange = exchange.half_close();
    }
    if options & 2 == 2 {
        exchange = exchange.send_after_peer_eof();
    }
    let without_eof = options & 4 == 4;
    if without_eof {
        exchange = exchange.without_eof();
    }
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    let mut has_eof = false;
    // The bytes that were sent before the first difference arrived.
    let mut sent_before_difference = None;
    while !source.0.is_empty() && !exchange.is_done() {
        match source.byte() % 5 {
            0 if exchange.wants_input() => {
                let n = usize::from(source.byte());
                exchange.push_input(source.take(n).to_vec());
            }
            1 => {
                let n = exchange.unsent().len().min(usize::from(source.byte()));
                sent.extend_from_slice(&exchange.unsent()[..n]);
                exchange.mark_sent(n);
                if exchange.wants_half_close() {
                    exchange.mark_half_closed();
                }
            }
            2 | 3 if !has_eof => {
                let n = usize::from(source.byte());
                let is_honest = source.byte() & 3 != 0;
                let n = if without_eof {
                    n
                } else {
                    n.min(exchange.read_limit())
                };
                let mut piece = match &rule {
                    Rule::Text(text) => text[received.len().min(text.len())..].to_vec(),
                    _ => sent[received.len().min(sent.len())..].to_vec(),
                };
                piece.truncate(n);
                if !is_honest {
                    piece = source.take(n).to_vec();
                }
                if !piece.is_empty() {
                    received.extend_from_slice(&piece);
                    exchange.receive(&piece);
                    if let Verdict::Differs(_) = exchange.verdict() {
                        sent_before_difference.get_or_insert_with(|| sent.clone());
                    }
                }
            }
            4 if source.byte() & 1 == 0 => exchange.end_input(),
            4 => {
                has_eof = true;
                exchange.peer_eof();
            }
            _ => {}
        }
    }
    assert_eq!(exchange.bytes_sent(), sent.len() as u64);
    assert_eq!(exchange.bytes_received(), received.len() as u64);
    let expected = match &rule {
        Rule::Echo => sent_before_difference.as_ref().unwrap_or(&sent),
        Rule::Text(text) => text,
        Rule::Any => &received,
    };
    match exchange.verdict() {
        Verdict::Correct => assert!(received == *expected, "a wrong reply is accepted"),
        Verdict::Differs(difference) => {
            let at = difference.offset as usize;
            assert_eq!(received[at], difference.actual);
            assert_eq!(expected.get(at).copied(), difference.expected);
            assert!(difference.expected != Some(difference.actual));
            assert_eq!(received[..at], expected[..at], "not the first difference");
        }
        Verdict::Incomplete => {
            assert!(expected.starts_with(&received) || expected.len() < received.len());
        }
    }
    tracker(bytes);
}

/// Runs messages that are counted one by one and checks the counts.
fn tracker(bytes: &[u8]) {
    let mut source = Source(bytes);
    let tags = Tags::new(u64::from(source.byte()));
    let matching = match source.byte() % 3 {
        0 => Matching::Stream,
        1 => Matching::Tagged(tags),
        _ => Matching::Untagged,
    };
    let is_stream = matches!(matching, Matching::Stream);
    let mut tracker = EchoTracker::new(matching);
    let mut in_flight: VecDeque<Vec<u8>> = VecDeque::new();
    let mut events = Vec::new();
    let mut now = Duration::ZERO;
    while !source.0.is_empty() {
        let mut receive = |tracker: &mut EchoTracker, bytes: &[u8], now| {
            if is_stream {
                tracker.receive_bytes(bytes, now, &mut events);
            } else {
                tracker.receive_datagram(bytes, now, &mut events);
            }
        };
        match source.byte() % 7 {
            0 => {
                let n = usize::from(source.byte() % 32) + 1;
                let mut payload = source.take(n).to_vec();
                payload.push(1);
                let seq = tracker.sent + 1;
                if let Matching::Tagged(tags) = matching {
                    payload.resize(payload.len().max(tag::MIN_SIZE), 0);
                    tags.write(seq, &mut payload);
                }
                in_flight.push_back(payload.clone());
                let expires = now + Duration::from_millis(20);
                tracker.record_sent(seq, payload.into(), now, expires);
            }
            1 => {
                let echo = in_flight.pop_front().unwrap_or_default();
                receive(&mut tracker, &echo, now);
            }
            2 => {
                // A duplicate, which may be truncated and corrupt.
                let mut echo = in_flight.back().cloned().unwrap_or_default();
                echo.truncate(usize::from(source.byte() % 40));
                if let Some(byte) = echo.get_mut(usize::from(source.byte())) {
                    *byte ^= source.byte();
                }
                receive(&mut tracker, &echo, now);
            }
            3 => {
                let n = usize::from(source.byte() % 32);
                let stray = source.take(n);
                receive(&mut tracker, stray, now);
            }
            4 => {
                now += Duration::from_millis(u64::from(source.byte()));
                tracker.expire(now, &mut events);
                assert!(tracker.next_expiry().is_none_or(|expiry| expiry > now));
            }
            5 => {
                let n = usize::from(source.byte() % 32);
                let quoted = in_flight.front().cloned().unwrap_or_default();
                tracker.record_icmp_error(&quoted[..n.min(quoted.len())]);
            }
            _ => {
                in_flight.clear();
                tracker.record_connection_failure();
                assert!(tracker.is_idle());
            }
        }
    }
    tracker.finish(now, None);
    let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count() as u64;
    let reordered = |event: &Event| matches!(event, Event::Reply { reordered, .. } if *reordered);
    assert_eq!(
        count(|event| matches!(event, Event::Reply { .. })),
        tracker.received
    );
    assert_eq!(
        count(|event| matches!(event, Event::Corrupt { .. })),
        tracker.corrupt
    );
    assert_eq!(count(reordered), tracker.reordered);
    if let (Some(duplicates), Some(strays)) = (tracker.duplicates(), tracker.strays()) {
        let duplicate = |event: &Event| matches!(event, Event::Duplicate { .. });
        assert_eq!(count(duplicate), duplicates);
        assert_eq!(count(|event| matches!(event, Event::Stray { .. })), strays);
    }
    assert_eq!(
        tracker.received + tracker.lost + tracker.corrupt + tracker.in_flight_at_end,
        tracker.sent,
        "every message is counted once"
    );
    assert!((0.0..=100.0).contains(&tracker.loss_percent()));
}

/// Runs a connection of the load engine and checks that an echo is correct if and
/// only if it was not changed.
pub fn bench(bytes: &[u8]) {
    let mut source = Source(bytes);
    let min = usize::from(source.byte()) + 1;
    let max = min + usize::from(source.byte());
    let pattern = Pattern::new(u64::from(source.byte()), Sizes { min, max });
    let number = u32::from(source.byte());
    let mut stream = MessageStream::new(&pattern, number, 0, source.byte() & 1 == 1);
    let (mut wire, mut out) = (VecDeque::new(), vec![0; 4096]);
    let (mut right, mut all, mut is_honest) = (0_u64, 0_u64, true);
    while !source.0.is_empty() {
        match source.byte() % 5 {
            0 => stream.allow(u64::from(source.byte() % 8)),
            1 => {
                let filled = stream.fill(&pattern, &mut out);
                let n = filled.len.min(usize::from(source.byte()) * 16);
                stream.mark_sent(&pattern, filled, n, 7);
                wire.extend(&out[..n]);
            }
            2 => {
                if let Some(byte) = wire.front_mut() {
                    is_honest = false;
                    *byte ^= source.byte() | 1;
                }
            }
            3 => {
                is_honest &= wire.is_empty();
                wire.pop_front();
            }
            _ => {
                let n = wire.len().min(usize::from(source.byte()) * 16);
                let piece: Vec<u8> = wire.drain(..n).collect();
                let is_valid = stream.receive(&pattern, &piece, |echo| {
                    assert!((min..=max).contains(&echo.size));
                    all += 1;
                    right += u64::from(echo.is_correct);
                });
                assert!(is_valid, "no byte was made up");
            }
        }
    }
    assert_eq!(stream.next_echo(), all);
    assert!(!is_honest || right == all, "a right echo is refused");
    let outstanding = stream.in_flight();
    stream.stop();
    assert!(stream.in_flight() <= outstanding + 1);
    let id = MessageId {
        connection: number,
        sequence: all,
    };
    let message = pattern.message(id);
    assert!(pattern.matches(id, 0, &message));
}

/// Parses operands, one per line of `text`, and values of options.
pub fn words(text: &str) {
    if let Ok(HexMessage(bytes)) = HexMessage::parse(text) {
        assert!(bytes.len() * 2 <= text.len());
    }
    if let Ok(sizes) = Sizes::parse(text) {
        assert!(0 < sizes.min && sizes.min <= sizes.max);
    }
    let words: Vec<OsString> = text.lines().map(OsString::from).collect();
    if let Ok((target, _)) = target::operands(&words) {
        let shown = target.to_string();
        // As two words, "unix 7" is a host and a port; "unix:7" is a path.
        if words.len() > 1 && shown.starts_with("unix:") {
            return;
        }
        let again = target::operands(&[OsString::from(&shown)]);
        assert_eq!(again.map(|(target, _)| target), Ok(target), "{shown:?}");
    }
}
