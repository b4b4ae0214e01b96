//! Ways in for the fuzz target, built only for it: a connection whose rules,
//! and everything that happens to it, are read from bytes.

use std::time::Duration;

use crate::datagram;
use crate::event::Reason;
use crate::fault::{Delay, Dice, Faults};
use crate::machine::bench::Bench;
use crate::machine::{Rules, Step, TAIL_MAX};

/// Bytes as a source of decisions; zero when they are used up.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    fn share(&mut self) -> f64 {
        f64::from(self.byte()) / 255.0
    }

    /// Something, or nothing as often.
    fn maybe<T>(&mut self, of: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.byte() & 1 == 1).then(|| of(self))
    }

    fn delay(&mut self) -> Delay {
        Delay {
            base: Duration::from_millis(u64::from(self.byte())),
            jitter: Duration::from_millis(u64::from(self.byte())),
        }
    }

    fn rules(&mut self) -> Rules {
        let bytes = |source: &mut Self| vec![source.byte(); source.number() % 300];
        let faults = |source: &mut Self| Faults {
            delay: source.maybe(Self::delay),
            drop: source.share(),
            corrupt: source.share(),
            truncate: source.share(),
            reset: source.share(),
            seed: u64::from(source.byte()),
        };
        Rules {
            greeting: self.maybe(bytes).unwrap_or_default(),
            reply: self.maybe(bytes),
            max_bytes: self.maybe(|source| source.number() as u64 + 1),
            idle: self.maybe(|source| Duration::from_millis(source.number() as u64 + 1)),
            rate: self.maybe(|source| source.number() as u64 * 64 + 1000),
            faults: self.maybe(faults).filter(Faults::any),
        }
    }
}

/// Bytes that the peer of one connection sends, at most: a tail and what waits
/// behind it. More takes time and reaches nothing new.
const INPUT_MAX: usize = 2 * TAIL_MAX + 100;

/// Plays a connection and holds it to its promises.
pub fn machine(bytes: &[u8]) {
    let mut source = Source(bytes);
    let rules = source.rules();
    let faulty = rules
        .faults
        .as_ref()
        .is_some_and(|f| f.drop + f.corrupt + f.truncate + f.reset > 0.0);
    let (idle, max_bytes) = (rules.idle, rules.max_bytes);
    datagrams(&rules, source.0);
    let mut bench = Bench::new(rules);
    let mut cut = false;
    let mut sent = 0;
    while !source.0.is_empty() {
        match source.byte() % 6 {
            0 => {
                let (byte, n) = (source.byte(), source.number());
                let n = n.min(INPUT_MAX.saturating_sub(sent));
                sent += n;
                let piece = (0..n).map(|i| byte.wrapping_add(i as u8));
                bench.wire.input.extend(piece);
            }
            1 => bench.wire.room = source.number() * 2,
            2 => bench.turn(source.number() % TAIL_MAX + 1),
            3 => bench.pass(Duration::from_millis(source.number() as u64 % 300)),
            4 => bench.wire.fin = true,
            _ if !bench.is_over() => {
                cut = true;
                bench.machine.cut(bench.now + Duration::from_millis(20));
                bench.follow();
            }
            _ => {}
        }
    }
    bench.wire.fin = true;
    bench.run_out();
    let (bytes_in, bytes_out) = bench.machine.bytes();
    assert_eq!(bytes_out, bench.wire.output.len() as u64);
    assert!(bytes_in <= max_bytes.unwrap_or(u64::MAX), "past the limit");
    assert!(bench.is_over(), "no end: {:?}", bench.machine);
    if faulty {
        return;
    }
    assert_eq!(bytes_in, bench.taken as u64);
    assert!(
        bench.expected.starts_with(&bench.wire.output),
        "bytes made up"
    );
    match bench.last {
        // Time ran out; nobody promised more.
        Step::Close(Reason::Idle) => assert!(idle.is_some()),
        Step::Close(Reason::Eof | Reason::MaxBytes) if !cut => {
            assert!(bench.wire.output == bench.expected, "bytes lost");
        }
        // Nor where this side ended it.
        Step::Close(_) => assert!(cut),
        step => panic!("{step:?}"),
    }
}

/// Datagrams under the same rules: never more out than in.
fn datagrams(rules: &Rules, bytes: &[u8]) {
    let mut dice = Dice::new(1, 1);
    let faults = rules.faults.clone().unwrap_or_default();
    for piece in bytes.chunks(100) {
        let mut data = piece.to_vec();
        let fate = dice.throw(&faults);
        let len = datagram::answer(rules, &mut data, &fate);
        assert!(len.unwrap_or(0) <= piece.len(), "an amplifier");
    }
}
