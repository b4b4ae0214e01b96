//! Entry points for the fuzz targets, built only for them. Each derives its
//! configuration, and everything that happens, from the input bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use crate::activation;
use crate::datagram::{self, ReplyPolicy};
use crate::event::Reason;
use crate::fault::{Delay, FaultRng, Faults};
use crate::machine::harness::Harness;
use crate::machine::{MAX_SEND_BUFFER, Rules, Step};
use crate::pktinfo::{PacketInfo, SEND_CONTROL_LEN};

/// The input bytes as a source of values, which are zero at its end.
struct ByteSource<'a>(&'a [u8]);

impl ByteSource<'_> {
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

    /// Returns a number that is usually below 300.
    fn size(&mut self) -> usize {
        let number = self.number();
        match self.byte() & 7 {
            0 => number,
            _ => number % 300,
        }
    }

    /// Returns a number from 0 to 1.
    fn fraction(&mut self) -> f64 {
        f64::from(self.byte()) / 255.0
    }

    /// Returns a value or `None`, each in half of the cases.
    fn option<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.byte() & 1 == 1).then(|| value(self))
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
            delay: source.option(Self::delay),
            drop: source.fraction(),
            corrupt: source.fraction(),
            truncate: source.fraction(),
            reset: source.fraction(),
            seed: u64::from(source.byte()),
        };
        Rules {
            greeting: self.option(bytes).unwrap_or_default(),
            reply: self.option(bytes),
            max_bytes: self.option(|source| source.number() as u64 + 1),
            idle_timeout: self.option(|source| Duration::from_millis(source.number() as u64 + 1)),
            rate: self.option(|source| source.number() as u64 * 64 + 1000),
            faults: self.option(faults).filter(Faults::any_enabled),
        }
    }
}

/// The maximum number of bytes that the peer of one connection sends: a full
/// send buffer and some input after it. More would take time and reach no other
/// states.
const MAX_INPUT: usize = MAX_SEND_BUFFER + 3000;

/// The maximum number of events of one connection.
const MAX_EVENTS: usize = 250;

/// The bytes that the peer sends, from some offset on.
static PATTERN: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..MAX_INPUT + 256).map(|i| i as u8).collect());

/// Runs the state machine of a connection and checks that no byte is lost or
/// invented.
pub fn machine(bytes: &[u8]) {
    let mut source = ByteSource(bytes);
    let rules = source.rules();
    let bytes_may_be_lost = rules
        .faults
        .as_ref()
        .is_some_and(|f| f.drop + f.corrupt + f.truncate + f.reset > 0.0);
    let (idle_timeout, max_bytes) = (rules.idle_timeout, rules.max_bytes);
    check_replies(&rules, source.0);
    let mut harness = Harness::new(rules);
    let mut shut_down = false;
    let mut sent = 0;
    for _ in 0..MAX_EVENTS {
        if source.0.is_empty() {
            break;
        }
        match source.byte() % 6 {
            0 => {
                let (byte, n) = (source.byte(), source.size());
                let n = n.min(MAX_INPUT.saturating_sub(sent));
                sent += n;
                let offset = usize::from(byte);
                harness.socket.input.extend(&PATTERN[offset..offset + n]);
            }
            1 => harness.socket.room = source.size() * 2,
            2 => harness.on_ready(source.number() % MAX_SEND_BUFFER + 1),
            3 => harness.advance(Duration::from_millis(source.number() as u64 % 300)),
            4 => harness.socket.fin = true,
            _ if !harness.is_finished() => {
                shut_down = true;
                harness
                    .machine
                    .shut_down(harness.now + Duration::from_millis(20));
                harness.apply_steps();
            }
            _ => {}
        }
    }
    harness.socket.fin = true;
    harness.run_to_end();
    let (bytes_received, bytes_sent) = harness.machine.bytes();
    assert_eq!(bytes_sent, harness.socket.output.len() as u64);
    assert!(
        bytes_received <= max_bytes.unwrap_or(u64::MAX),
        "received more than the limit"
    );
    assert!(
        harness.is_finished(),
        "the connection does not end: {:?}",
        harness.machine
    );
    if bytes_may_be_lost {
        return;
    }
    assert_eq!(bytes_received, harness.received as u64);
    assert!(
        harness.expected.starts_with(&harness.socket.output),
        "bytes were invented"
    );
    match harness.last_step {
        // A timeout may lose bytes.
        Step::Close(Reason::Idle) => assert!(idle_timeout.is_some()),
        Step::Close(Reason::Eof | Reason::MaxBytes) if !shut_down => {
            assert!(harness.socket.output == harness.expected, "bytes were lost");
        }
        // A shutdown has a deadline, so it may lose bytes, too.
        Step::Close(_) => assert!(shut_down),
        step => panic!("the connection ended with {step:?}"),
    }
}

/// Checks that replies to datagrams are never longer than the datagrams.
fn check_replies(rules: &Rules, bytes: &[u8]) {
    let mut rng = FaultRng::new(1, 1);
    let faults = rules.faults.clone().unwrap_or_default();
    for piece in bytes.chunks(100) {
        let mut data = piece.to_vec();
        let decision = rng.decide(&faults);
        let len = datagram::make_reply(rules, &mut data, &decision);
        assert!(
            len.unwrap_or(0) <= piece.len(),
            "the reply is longer than the datagram"
        );
    }
}

/// Parses the control messages of datagrams, and checks which datagrams get a
/// reply, how often, and from which address.
pub fn datagram(bytes: &[u8]) {
    let mut source = ByteSource(bytes);
    let own_ports = [source.number() as u16, 1024, 65_535];
    let broadcast = source.byte() & 1 == 1;
    let rate = u32::from(source.byte() % 4);
    let mut policy = ReplyPolicy::new(own_ports.into(), broadcast, rate);
    let mut now = Duration::ZERO;
    let mut replies: Vec<(IpAddr, Duration)> = Vec::new();
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
        let peer = SocketAddr::new(ip, source.number() as u16);
        let length = usize::from(source.byte() % 130);
        let (control, rest) = source.0.split_at(length.min(source.0.len()));
        source.0 = rest;
        let pktinfo = PacketInfo::parse(control);
        let mut written = [0; SEND_CONTROL_LEN];
        let used = pktinfo.write(peer.ip(), &mut written);
        // Parsing the written messages returns the same address, except for
        // groups, where the kernel selects it.
        let parsed = PacketInfo::parse(&written[..used]);
        if used > 0 && !pktinfo.is_group {
            assert_eq!(parsed.local, pktinfo.local);
        }
        if !policy.permits(peer, pktinfo.is_group) {
            let refused = peer.port() < 1024 || own_ports.contains(&peer.port());
            assert!(refused || pktinfo.is_group && !broadcast);
            continue;
        }
        let ip = peer.ip().to_canonical();
        let second = Duration::from_secs(1);
        let recent = replies
            .iter()
            .filter(|(to, at)| *to == ip && *at + second > now);
        let (recent, limit) = (recent.count(), rate as usize);
        let acquired = policy.acquire(peer, now);
        if limit == 0 || ip.is_loopback() {
            assert!(acquired);
            continue;
        }
        assert!(acquired || recent >= limit, "refused below the limit");
        assert!(
            !acquired || recent < 2 * limit,
            "more replies in a second than two windows allow"
        );
        if acquired {
            replies.push((ip, now));
        }
    }
}

/// Parses the environment variables of socket activation.
pub fn activation(text: &str) {
    let mut values = text.split('\0');
    let own_pid = 4711;
    let (pid, count) = (values.next(), values.next());
    let range = activation::listen_fds(pid, count, own_pid);
    assert_eq!(range.start, 3);
    let count = count.and_then(|count| count.parse::<i64>().ok());
    let is_own = pid.and_then(|pid| pid.parse::<i64>().ok()) == Some(i64::from(own_pid));
    let expected = match count {
        Some(count @ 1..=0x7fff_ffff) if is_own => (count + 3).min(0x7fff_ffff),
        _ => 3,
    };
    assert_eq!(i64::from(range.end), expected);
}
