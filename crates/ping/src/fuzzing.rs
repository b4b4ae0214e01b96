//! A way in for the fuzz target `ping_answers`, built only for it and the
//! tests: probes, and messages of every kind about them, in an order that the
//! bytes decide, with a second account of what they may come to.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::books::{Answer, Books};
use crate::clock::Nanos;
use crate::cookie::Cookies;
use crate::event::Damage;
use crate::packet::{COOKIE, Echo};
use crate::plan::Settled;
use crate::target::{Target, TargetId};

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

/// A probe as it went out.
struct Sent {
    target: TargetId,
    at: Nanos,
    data: Vec<u8>,
    answered: bool,
}

/// Time for each probe.
const TIMEOUT: Nanos = 40;

/// Bytes of data in the longest probe.
const LONGEST: usize = 40;

struct Run<'a> {
    source: Source<'a>,
    books: Books,
    ids: Vec<(TargetId, IpAddr)>,
    data: Vec<u8>,
    sent: HashMap<u64, Sent>,
    last: u64,
    now: Nanos,
}

/// Runs what the bytes say.
///
/// # Panics
///
/// If an answer is judged to be what it is not, or an account does not add up.
pub fn answers(bytes: &[u8]) {
    let mut books = Books::new(Cookies::default(), 8);
    let addresses = ["192.0.2.1", "2001:db8::1", "ff02::1"];
    let ids = addresses.map(|text| {
        let address: IpAddr = text.parse().expect("an address");
        (books.targets.add(Target::new(None, address, 0)), address)
    });
    let mut run = Run {
        source: Source(bytes),
        books,
        ids: ids.to_vec(),
        data: (0..LONGEST as u8).collect(),
        sent: HashMap::new(),
        last: 0,
        now: 1,
    };
    while !run.source.0.is_empty() {
        run.step();
        run.add_up();
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
                while self.books.expire(self.now, TIMEOUT).is_some() {}
                self.books.forget();
            }
            _ => {
                if let Some(number) = self.number() {
                    self.books.failed(number, self.source.byte() & 1 == 1);
                }
            }
        }
    }

    fn send(&mut self) {
        let (target, _) = self.ids[usize::from(self.source.byte()) % self.ids.len()];
        let size = usize::from(self.source.byte()) % (LONGEST + 1);
        let number = self.books.open(target, size as u16);
        self.books.sent(number, self.now).expect("a probe");
        let mut data = self.data[..size].to_vec();
        let room = COOKIE.min(size);
        data[..room].copy_from_slice(&self.books.cookies.make(number, size)[..room]);
        self.last = number;
        self.sent.insert(
            number,
            Sent {
                target,
                at: self.now,
                data,
                answered: false,
            },
        );
    }

    /// The number of a recent probe.
    fn number(&mut self) -> Option<u64> {
        let back = u64::from(self.source.byte() % 16);
        self.last.checked_sub(back).filter(|number| *number > 0)
    }

    /// The data of a recent probe, changed as the bytes say, and its number.
    fn echoed(&mut self, spoiled: bool) -> Option<(u64, Vec<u8>)> {
        let number = self.number()?;
        let mut data = self.sent[&number].data.clone();
        if spoiled {
            let at = usize::from(self.source.byte());
            match self.source.byte() % 4 {
                0 => data.truncate(at),
                1 => data.extend_from_slice(self.source.take(at % 32)),
                2 => data = self.source.take(at).to_vec(),
                _ => {
                    let flip = self.source.byte();
                    if let Some(byte) = data.get_mut(at) {
                        *byte ^= flip;
                    }
                }
            }
        }
        Some((number, data))
    }

    /// An echo reply: a true one, or one with anything wrong.
    fn reply(&mut self, spoiled: bool) {
        let Some((number, data)) = self.echoed(spoiled) else {
            return;
        };
        let (mut seq, mut from) = (number as u16, self.address(self.sent[&number].target));
        if spoiled {
            seq = seq.wrapping_add(u16::from(self.source.byte() % 3));
            (_, from) = self.ids[usize::from(self.source.byte()) % self.ids.len()];
        }
        let echo = Echo {
            id: 7,
            seq,
            data: &data,
            checksum_ok: !spoiled || self.source.byte() >= 64,
            ttl: None,
        };
        let now = self.now;
        let before = self.books.in_flight;
        let answer = self
            .books
            .reply(&echo, from, &self.data, TIMEOUT, |sent| now.max(sent));
        let Some(answer) = answer else {
            assert_eq!(self.books.in_flight, before);
            return;
        };
        self.judge(&echo, from, answer);
    }

    fn address(&self, target: TargetId) -> IpAddr {
        self.ids[target as usize].1
    }

    /// Checks what an answer was taken for.
    fn judge(&mut self, echo: &Echo<'_>, from: IpAddr, answer: Answer<'_>) {
        let asked = self.address(answer.target);
        let elsewhere = from != asked && !asked.is_multicast();
        assert_eq!(answer.foreign, elsewhere);
        assert!(!elsewhere || !from.is_multicast());
        // The probe that it was taken for: its number among its target's.
        let mut numbers: Vec<u64> = self
            .sent
            .iter()
            .filter(|(_, sent)| sent.target == answer.target)
            .map(|(number, _)| *number)
            .collect();
        numbers.sort_unstable();
        let number = numbers[answer.seq as usize - 1];
        assert_eq!(number as u16, echo.seq);
        let probe = self.sent.get_mut(&number).expect("a probe");
        let room = COOKIE.min(probe.data.len());
        // From elsewhere a whole cookie is needed.
        assert!(!elsewhere || echo.data.starts_with(&probe.data[..room]) && room == COOKIE);
        let is_right = echo.checksum_ok && echo.data.starts_with(&probe.data);
        match answer.damage {
            None => assert!(is_right),
            Some(Damage::Checksum) => assert!(!echo.checksum_ok),
            Some(Damage::Truncated) => assert!(echo.data.len() < probe.data.len()),
            Some(Damage::Data { at, expected, .. }) => {
                assert_eq!(expected, probe.data[at]);
                assert_ne!(expected, echo.data[at]);
            }
        }
        if let Some(rtt) = answer.rtt {
            assert_eq!(rtt, self.now - probe.at);
            assert!(is_right || echo.data[..room] == probe.data[..room]);
        }
        if answer.settled == Some(Settled::Answered) {
            assert!(is_right && self.now - probe.at <= TIMEOUT && !probe.answered);
            probe.answered = true;
        }
    }

    /// An ICMP error that quotes a request.
    fn quote(&mut self) {
        let spoiled = self.source.byte() & 1 == 1;
        let Some((number, data)) = self.echoed(spoiled) else {
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
        let Some(found) = self.books.quoted(&echo, to) else {
            return;
        };
        let probe = &self.sent[&found];
        assert_eq!((found as u16, self.address(probe.target)), (seq, to));
        let room = COOKIE.min(probe.data.len()).min(data.len());
        assert_eq!(data[..room], probe.data[..room]);
        self.books.failed(found, false).expect("a probe");
    }

    /// Every account adds up.
    fn add_up(&mut self) {
        let mut pending = 0;
        for (id, _) in &self.ids {
            let target = self.books.targets.get(*id).expect("a target");
            let stats = &target.stats;
            assert_eq!(
                stats.sent,
                stats.received + stats.lost + u64::from(target.pending)
            );
            let answered = self.sent.values();
            let answered = answered.filter(|sent| sent.target == *id && sent.answered);
            assert_eq!(stats.received, answered.count() as u64);
            assert!(
                stats
                    .loss_percent()
                    .is_none_or(|p| (0.0..=100.0).contains(&p))
            );
            pending += u64::from(target.pending);
        }
        assert_eq!(self.books.in_flight, pending);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn every_answer_is_what_it_is_taken_for(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            super::answers(&bytes);
        }
    }
}
