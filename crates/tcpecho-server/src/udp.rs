//! Echo over UDP that cannot be used against others: never more bytes out than
//! in, and no answer where it would be answered ([`Guard`]).
//!
//! A turn moves one batch; answers held back by `--delay` wait in a bounded
//! queue. What the kernel does not take is lost, as datagrams are.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::Socket;

#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::arrival::Arrival;
use crate::conn::Shared;
use crate::datagram::{self, Guard};
use crate::event::Protocol;
use crate::fault::{FaultDecision, FaultRng};
use crate::peer::Peer;
use crate::rate::Bucket;
use crate::readiness::{Interest, Poller, Watched};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use crate::sys::datagrams::Arrival;
use crate::sys::datagrams::{self, Answer, BATCH, Buffers};

/// Bytes of answers that may be held back.
const HELD_MAX: usize = 4 << 20;

/// And how many, for the smallest have none.
const HELD_COUNT: usize = 65_536;

/// Batches answered at the end, at most: more than a socket's buffer holds, so
/// that a flood does not keep the server from ending.
const LAST_BATCHES: usize = 128;

/// A socket that takes datagrams.
#[derive(Debug)]
pub(crate) struct Port {
    socket: Socket,
    number: u16,
}

impl Port {
    /// Prepares a bound socket.
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        let address = socket.local_addr()?;
        socket.set_nonblocking(true)?;
        datagrams::want_arrivals(&socket, address.is_ipv6())?;
        Ok(Self {
            socket,
            number: address.as_socket().map_or(0, |a| a.port()),
        })
    }

    /// The port's number; 0 if it is not known.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// Where it takes them.
    pub(crate) fn address(&self) -> Option<Peer> {
        let address = self.socket.local_addr().ok()?.as_socket()?;
        Some(Peer::Inet(address))
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// All UDP sockets of the server.
#[derive(Debug)]
pub(crate) struct Udp {
    ports: Vec<Watched<Port>>,
    shared: Arc<Shared>,
    buffers: Buffers,
    rng: Option<FaultRng>,
    bucket: Option<Bucket>,
    guard: Guard,
    /// In the order of their moments, and of their arrival at the same one.
    held: BTreeMap<(Duration, u64), Held>,
    held_so_far: u64,
    held_bytes: usize,
    /// When a datagram last came.
    active: Duration,
}

/// An answer held back.
#[derive(Debug)]
struct Held {
    port: usize,
    to: SocketAddr,
    arrival: Arrival,
    data: Vec<u8>,
}

impl Udp {
    /// Watches `ports` under keys from `first_key` on.
    pub(crate) fn new(
        ports: Vec<Port>,
        poller: &Arc<Poller>,
        first_key: usize,
        shared: &Arc<Shared>,
        guard: Guard,
    ) -> io::Result<Self> {
        let ports = ports
            .into_iter()
            .zip(first_key..)
            .map(|(port, key)| Watched::new(port, poller, key, Interest::Read))
            .collect::<io::Result<Vec<_>>>()?;
        let rules = &shared.rules;
        Ok(Self {
            ports,
            shared: Arc::clone(shared),
            buffers: Buffers::new(),
            rng: rules
                .faults
                .as_ref()
                // Apart from every connection's.
                .map(|faults| FaultRng::new(faults.seed, u64::MAX)),
            bucket: rules.rate.map(|rate| Bucket::new(rate, Duration::ZERO)),
            guard,
            held: BTreeMap::new(),
            held_so_far: 0,
            held_bytes: 0,
            active: Duration::ZERO,
        })
    }

    /// When a datagram last came.
    pub(crate) fn active(&self) -> Duration {
        self.active
    }

    /// Answers what is queued, then serves no more.
    pub(crate) fn drain(&mut self, now: Duration) {
        for index in 0..self.ports.len() {
            for _ in 0..LAST_BATCHES {
                if !self.ready(index, now) {
                    break;
                }
            }
        }
        for held in std::mem::take(&mut self.held).values() {
            self.send_held(held);
        }
        self.ports.clear();
    }

    /// A socket is ready: one batch. False if there was nothing.
    pub(crate) fn ready(&mut self, index: usize, now: Duration) -> bool {
        let Some(port) = self.ports.get(index) else {
            return false;
        };
        let shared = &self.shared;
        let Ok(mut batch) = self.buffers.receive(port.get()) else {
            // Nothing there, or an error about an earlier answer.
            return false;
        };
        self.active = now;
        let mut now_due = Vec::with_capacity(BATCH);
        for (at, datagram) in batch.iter_mut().enumerate() {
            let len = datagram.data.len();
            let peer = Peer::inet(datagram.from);
            shared.log.received(&peer, Protocol::Udp, datagram.data);
            shared.census.moved(len, 0);
            shared.census.datagrams(1, 0);
            if !self.guard.admits(datagram.from, datagram.arrival.group) {
                continue;
            }
            // First: a source above its own rate takes nothing from the others.
            if !self.guard.allows(datagram.from, now) {
                continue;
            }
            if let Some(bucket) = &mut self.bucket {
                if bucket.allowance(now) < len {
                    continue;
                }
                bucket.take(len, now);
            }
            let decision = match (&mut self.rng, &shared.rules.faults) {
                (Some(rng), Some(faults)) => rng.decide(faults),
                _ => FaultDecision::default(),
            };
            let Some(len) = datagram::answer(&shared.rules, datagram.data, &decision) else {
                continue;
            };
            if decision.delay.is_zero() {
                now_due.push((at, len));
            } else if self.held_bytes + len <= HELD_MAX && self.held.len() < HELD_COUNT {
                self.held_bytes += len;
                let held = Held {
                    port: index,
                    to: datagram.from,
                    arrival: datagram.arrival,
                    data: datagram.data[..len].to_vec(),
                };
                let moment = (now + decision.delay, self.held_so_far);
                self.held.insert(moment, held);
                self.held_so_far += 1;
            }
        }
        let answers: Vec<Answer<'_>> = now_due
            .into_iter()
            .map(|(at, len)| Answer {
                data: &batch[at].data[..len],
                to: batch[at].from,
                arrival: batch[at].arrival,
            })
            .collect();
        send_all(shared, port.get(), &answers);
        true
    }

    /// Sends what has been held back long enough.
    pub(crate) fn timeouts(&mut self, now: Duration) {
        while let Some(first) = self.held.first_entry()
            && first.key().0 <= now
        {
            let held = first.remove();
            self.held_bytes -= held.data.len();
            self.send_held(&held);
        }
    }

    /// When [`Udp::timeouts`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.held.keys().next().map(|(until, _)| *until)
    }

    fn send_held(&self, held: &Held) {
        if let Some(port) = self.ports.get(held.port) {
            let answer = Answer {
                data: &held.data,
                to: held.to,
                arrival: held.arrival,
            };
            send_all(&self.shared, port.get(), &[answer]);
        }
    }
}

/// Sends all of them; an answer that cannot go is passed over.
fn send_all(shared: &Shared, port: &Port, answers: &[Answer<'_>]) {
    let mut rest = answers;
    while !rest.is_empty() {
        let n = match datagrams::send(port, rest) {
            Ok(n) => {
                let bytes = rest[..n].iter().map(|answer| answer.data.len()).sum();
                shared.census.moved(0, bytes);
                shared.census.datagrams(0, n);
                n
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
            // Its buffer is full; the rest would meet the same.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
            // Something about this one: no route, too large, a filter.
            Err(_) => 1,
        };
        rest = &rest[n..];
    }
}
