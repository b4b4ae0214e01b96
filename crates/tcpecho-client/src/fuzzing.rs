//! Ways in for the fuzz targets, built only for them: what decides about
//! replies, against a peer that does as the bytes say; and what users write.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::time::Duration;

use crate::bench::talk::Talk;
use crate::exchange::{Exchange, Rule, Verdict};
use crate::ledger::{Event, Ledger, Matching};
use crate::message::{Hex, Sizes};
use crate::pattern::{Id, Pattern};
use crate::tag::{self, Tags};
use crate::target;

/// Bytes as a source of decisions; zero when they are used up.
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

/// A message and its reply: a verdict of "right" is only given to what is.
pub fn exchange(bytes: &[u8]) {
    let mut source = Source(bytes);
    let n = usize::from(source.byte());
    let rule = match source.byte() % 3 {
        0 => Rule::Echo,
        1 => Rule::Text(source.take(n).to_vec()),
        _ => Rule::Anything,
    };
    let mut exchange = Exchange::new(rule.clone());
    let options = source.byte();
    if options & 1 == 1 {
        exchange = exchange.half_close();
    }
    if options & 2 == 2 {
        exchange = exchange.outlive_peer();
    }
    let datagrams = options & 4 == 4;
    if datagrams {
        exchange = exchange.endless();
    }
    let (mut sent, mut came) = (Vec::new(), Vec::new());
    let mut ended = false;
    // What had been sent when the first difference came.
    let mut sent_then = None;
    while !source.0.is_empty() && !exchange.is_over() {
        match source.byte() % 5 {
            0 if exchange.wants_input() => {
                let n = usize::from(source.byte());
                exchange.input(source.take(n).to_vec());
            }
            1 => {
                let n = exchange.unsent().len().min(usize::from(source.byte()));
                sent.extend_from_slice(&exchange.unsent()[..n]);
                exchange.wrote(n);
                if exchange.wants_half_close() {
                    exchange.half_closed();
                }
            }
            2 | 3 if !ended => {
                let n = usize::from(source.byte());
                let honest = source.byte() & 3 != 0;
                let n = if datagrams {
                    n
                } else {
                    n.min(exchange.read_limit())
                };
                let mut piece = match &rule {
                    Rule::Text(text) => text[came.len().min(text.len())..].to_vec(),
                    _ => sent[came.len().min(sent.len())..].to_vec(),
                };
                piece.truncate(n);
                if !honest {
                    piece = source.take(n).to_vec();
                }
                if !piece.is_empty() {
                    came.extend_from_slice(&piece);
                    exchange.received(&piece);
                    if let Verdict::Differs(_) = exchange.verdict() {
                        sent_then.get_or_insert_with(|| sent.clone());
                    }
                }
            }
            4 if source.byte() & 1 == 0 => exchange.input_end(),
            4 => {
                ended = true;
                exchange.peer_end();
            }
            _ => {}
        }
    }
    assert_eq!(exchange.bytes_sent(), sent.len() as u64);
    assert_eq!(exchange.bytes_received(), came.len() as u64);
    let whole = match &rule {
        Rule::Echo => sent_then.as_ref().unwrap_or(&sent),
        Rule::Text(text) => text,
        Rule::Anything => &came,
    };
    match exchange.verdict() {
        Verdict::Right => assert!(came == *whole, "not what was asked for"),
        Verdict::Differs(difference) => {
            let at = difference.offset as usize;
            assert_eq!(came[at], difference.got);
            assert_eq!(whole.get(at).copied(), difference.expected);
            assert!(difference.expected != Some(difference.got));
            assert_eq!(came[..at], whole[..at], "not the first difference");
        }
        Verdict::Short => assert!(whole.starts_with(&came) || whole.len() < came.len()),
    }
    ledger(bytes);
}

/// Echoes counted one by one: every message has one fate.
fn ledger(bytes: &[u8]) {
    let mut source = Source(bytes);
    let tags = Tags::new(u64::from(source.byte()));
    let matching = match source.byte() % 3 {
        0 => Matching::Stream,
        1 => Matching::Tagged(tags),
        _ => Matching::Alike,
    };
    let stream = matches!(matching, Matching::Stream);
    let mut ledger = Ledger::new(matching);
    let mut on_their_way: VecDeque<Vec<u8>> = VecDeque::new();
    let mut events = Vec::new();
    let mut now = Duration::ZERO;
    while !source.0.is_empty() {
        let mut come = |ledger: &mut Ledger, bytes: &[u8], now| {
            if stream {
                ledger.stream(bytes, now, &mut events);
            } else {
                ledger.datagram(bytes, now, &mut events);
            }
        };
        match source.byte() % 7 {
            0 => {
                let n = usize::from(source.byte() % 32) + 1;
                let mut payload = source.take(n).to_vec();
                payload.push(1);
                let seq = ledger.sent + 1;
                if let Matching::Tagged(tags) = matching {
                    payload.resize(payload.len().max(tag::LEAST), 0);
                    tags.write(seq, &mut payload);
                }
                on_their_way.push_back(payload.clone());
                let expires = now + Duration::from_millis(20);
                ledger.sent(seq, payload.into(), now, expires);
            }
            1 => {
                let back = on_their_way.pop_front().unwrap_or_default();
                come(&mut ledger, &back, now);
            }
            2 => {
                // One that comes twice, cut or spoilt.
                let mut back = on_their_way.back().cloned().unwrap_or_default();
                back.truncate(usize::from(source.byte() % 40));
                if let Some(byte) = back.get_mut(usize::from(source.byte())) {
                    *byte ^= source.byte();
                }
                come(&mut ledger, &back, now);
            }
            3 => {
                let n = usize::from(source.byte() % 32);
                let made_up = source.take(n);
                come(&mut ledger, made_up, now);
            }
            4 => {
                now += Duration::from_millis(u64::from(source.byte()));
                ledger.expire(now, &mut events);
                assert!(ledger.next_expiry().is_none_or(|expiry| expiry > now));
            }
            5 => {
                let n = usize::from(source.byte() % 32);
                let about = on_their_way.front().cloned().unwrap_or_default();
                ledger.refused(&about[..n.min(about.len())]);
            }
            _ => {
                on_their_way.clear();
                ledger.cut();
                assert!(ledger.is_idle());
            }
        }
    }
    ledger.end(now, None);
    let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count() as u64;
    let reordered = |event: &Event| matches!(event, Event::Reply { reordered, .. } if *reordered);
    assert_eq!(
        count(|event| matches!(event, Event::Reply { .. })),
        ledger.received
    );
    assert_eq!(
        count(|event| matches!(event, Event::Corrupt { .. })),
        ledger.corrupt
    );
    assert_eq!(count(reordered), ledger.reordered);
    if let (Some(duplicates), Some(strays)) = (ledger.duplicates(), ledger.strays()) {
        let duplicate = |event: &Event| matches!(event, Event::Duplicate { .. });
        assert_eq!(count(duplicate), duplicates);
        assert_eq!(count(|event| matches!(event, Event::Stray { .. })), strays);
    }
    assert_eq!(
        ledger.received + ledger.lost + ledger.corrupt + ledger.in_flight,
        ledger.sent,
        "a message with no fate, or two"
    );
    assert!((0.0..=100.0).contains(&ledger.loss_percent()));
}

/// The load generator's stream: only a true echo counts as right.
pub fn bench(bytes: &[u8]) {
    let mut source = Source(bytes);
    let min = usize::from(source.byte()) + 1;
    let max = min + usize::from(source.byte());
    let pattern = Pattern::new(u64::from(source.byte()), Sizes { min, max });
    let number = u32::from(source.byte());
    let mut talk = Talk::new(&pattern, number, 0, source.byte() & 1 == 1);
    let (mut wire, mut out) = (VecDeque::new(), vec![0; 4096]);
    let (mut right, mut all, mut honest) = (0_u64, 0_u64, true);
    while !source.0.is_empty() {
        match source.byte() % 5 {
            0 => talk.allow(u64::from(source.byte() % 8)),
            1 => {
                let filled = talk.fill(&pattern, &mut out);
                let n = filled.len.min(usize::from(source.byte()) * 16);
                talk.wrote(&pattern, filled, n, 7);
                wire.extend(&out[..n]);
            }
            2 => {
                if let Some(byte) = wire.front_mut() {
                    honest = false;
                    *byte ^= source.byte() | 1;
                }
            }
            3 => {
                honest &= wire.is_empty();
                wire.pop_front();
            }
            _ => {
                let n = wire.len().min(usize::from(source.byte()) * 16);
                let piece: Vec<u8> = wire.drain(..n).collect();
                let sane = talk.received(&pattern, &piece, |echo| {
                    assert!((min..=max).contains(&echo.size));
                    all += 1;
                    right += u64::from(echo.right);
                });
                assert!(sane, "nothing was made up");
            }
        }
    }
    assert_eq!(talk.awaited(), all);
    assert!(!honest || right == all, "a true echo was refused");
    let rest = talk.outstanding();
    talk.stop();
    assert!(talk.outstanding() <= rest + 1);
    let id = Id {
        connection: number,
        sequence: all,
    };
    let message = pattern.message(id);
    assert!(pattern.matches(id, 0, &message));
}

/// What users write, cut at line ends into words.
pub fn words(text: &str) {
    if let Ok(Hex(bytes)) = Hex::parse(text) {
        assert!(bytes.len() * 2 <= text.len());
    }
    if let Ok(sizes) = Sizes::parse(text) {
        assert!(0 < sizes.min && sizes.min <= sizes.max);
    }
    let words: Vec<OsString> = text.lines().map(OsString::from).collect();
    if let Ok((target, _)) = target::operands(&words) {
        let shown = target.to_string();
        // As two words "unix 7" is a host of that name; as one it is a path.
        if words.len() > 1 && shown.starts_with("unix:") {
            return;
        }
        let again = target::operands(&[OsString::from(&shown)]);
        assert_eq!(again.map(|(target, _)| target), Ok(target), "{shown:?}");
    }
}
