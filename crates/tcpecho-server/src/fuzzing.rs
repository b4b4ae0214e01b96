//! Ways in for the fuzz target, built only for it: a connection whose rules,
//! and everything that happens to it, are read from bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use crate::activation;
use crate::arrival::{Arrival, SENT};
use crate::datagram::{self, Guard};
use crate::event::Reason;
use crate::fault::{Delay, FaultRng, Faults};
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

    /// A number that is mostly small.
    fn size(&mut self) -> usize {
        let number = self.number();
        match self.byte() & 7 {
            0 => number,
            _ => number % 300,
        }
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
const INPUT_MAX: usize = TAIL_MAX + 3000;

/// Things that happen to one connection, at most.
const STEPS_MAX: usize = 250;

/// What the peer sends, from some byte on.
static PATTERN: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..INPUT_MAX + 256).map(|i| i as u8).collect());

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
    for _ in 0..STEPS_MAX {
        if source.0.is_empty() {
            break;
        }
        match source.byte() % 6 {
            0 => {
                let (byte, n) = (source.byte(), source.size());
                let n = n.min(INPUT_MAX.saturating_sub(sent));
                sent += n;
                let from = usize::from(byte);
                bench.wire.input.extend(&PATTERN[from..from + n]);
            }
            1 => bench.wire.room = source.size() * 2,
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
    let mut rng = FaultRng::new(1, 1);
    let faults = rules.faults.clone().unwrap_or_default();
    for piece in bytes.chunks(100) {
        let mut data = piece.to_vec();
        let decision = rng.decide(&faults);
        let len = datagram::answer(rules, &mut data, &decision);
        assert!(len.unwrap_or(0) <= piece.len(), "an amplifier");
    }
}

/// The headers of datagrams: whom an answer goes to, how often, and where it
/// leaves from.
pub fn datagram(bytes: &[u8]) {
    let mut source = Source(bytes);
    let own = [source.number() as u16, 1024, 65_535];
    let broadcast = source.byte() & 1 == 1;
    let rate = u32::from(source.byte() % 4);
    let mut guard = Guard::new(own.into(), broadcast, rate);
    let mut now = Duration::ZERO;
    let mut answers: Vec<(IpAddr, Duration)> = Vec::new();
    while !source.0.is_empty() {
        now += Duration::from_millis(u64::from(source.byte()) * 4);
        let last = source.byte() % 8;
        let ip: IpAddr = match last {
            0 => Ipv4Addr::LOCALHOST.into(),
            1 => Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into(),
            2..4 => Ipv4Addr::new(10, 0, 0, 1).into(),
            4 => Ipv6Addr::LOCALHOST.into(),
            _ => Ipv6Addr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)]).into(),
        };
        let from = SocketAddr::new(ip, source.number() as u16);
        let length = usize::from(source.byte() % 130);
        let (control, rest) = source.0.split_at(length.min(source.0.len()));
        source.0 = rest;
        let arrival = Arrival::parse(control);
        let mut answer = [0; SENT];
        let used = arrival.write(from.ip(), &mut answer);
        // What is written says the same to a reader, but for what routing finds.
        let again = Arrival::parse(&answer[..used]);
        if used > 0 && !arrival.group {
            assert_eq!(again.local, arrival.local);
        }
        if !guard.admits(from, arrival.group) {
            let refused = from.port() < 1024 || own.contains(&from.port());
            assert!(refused || arrival.group && !broadcast);
            continue;
        }
        let ip = from.ip().to_canonical();
        let second = Duration::from_secs(1);
        let recent = answers
            .iter()
            .filter(|(to, at)| *to == ip && *at + second > now);
        let (recent, limit) = (recent.count(), rate as usize);
        let allowed = guard.allows(from, now);
        if limit == 0 || ip.is_loopback() {
            assert!(allowed);
            continue;
        }
        assert!(allowed || recent >= limit, "refused within the limit");
        assert!(!allowed || recent < 2 * limit, "two seconds' worth in one");
        if allowed {
            answers.push((ip, now));
        }
    }
}

/// The variables of socket activation, as text of any kind.
pub fn activation(text: &str) {
    let mut words = text.split('\0');
    let own = 4711;
    let (pid, count) = (words.next(), words.next());
    let range = activation::descriptors(pid, count, own);
    assert_eq!(range.start, 3);
    let count = count.and_then(|count| count.parse::<i64>().ok());
    let mine = pid.and_then(|pid| pid.parse::<i64>().ok()) == Some(i64::from(own));
    let expected = match count {
        Some(count @ 1..=0x7fff_ffff) if mine => (count + 3).min(0x7fff_ffff),
        _ => 3,
    };
    assert_eq!(i64::from(range.end), expected);
}
