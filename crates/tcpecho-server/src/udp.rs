//! Echo over UDP that cannot be used to attack others: a reply is never longer
//! than the datagram, and datagrams that could start a loop get no reply
//! ([`ReplyPolicy`]).
//!
//! One call of [`UdpService::on_ready`] handles one batch. Replies delayed by
//! `--delay` wait in a bounded queue. Datagrams that the kernel does not accept
//! are lost, as on any network.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::Socket;

use crate::address::{Address, Protocol};
use crate::datagram::{self, ReplyPolicy};
use crate::fault::{FaultDecision, FaultRng};
use crate::poller::{Interest, Poller, Registered};
use crate::rate::TokenBucket;
use crate::shared::Shared;
use crate::udp_batch::{self, BATCH, PacketInfo, ReceiveBuffers, Reply};

/// The maximum number of bytes of delayed replies.
const MAX_DELAYED_BYTES: usize = 4 << 20;

/// The maximum number of delayed replies; empty ones need memory too.
const MAX_DELAYED: usize = 65_536;

/// The maximum number of batches answered per socket when the server ends. It
/// is more than a socket's buffer holds, and a flood cannot keep the server
/// from ending.
const MAX_FINAL_BATCHES: usize = 128;

/// The id of the random streams for datagrams, which no connection has.
const FAULT_STREAM: u64 = u64::MAX;

/// A bound UDP socket.
#[derive(Debug)]
pub(crate) struct UdpSocket {
    socket: Socket,
    port: u16,
}

impl UdpSocket {
    /// Sets the options that a bound socket needs.
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        let address = socket.local_addr()?;
        socket.set_nonblocking(true)?;
        udp_batch::enable_packet_info(&socket, address.is_ipv6())?;
        Ok(Self {
            socket,
            port: address.as_socket().map_or(0, |a| a.port()),
        })
    }

    /// Returns the port; 0 if it is not known.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the address to which the socket is bound.
    pub(crate) fn address(&self) -> Option<Address> {
        let address = self.socket.local_addr().ok()?.as_socket()?;
        Some(Address::Inet(address))
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The UDP service on all of the server's UDP sockets.
#[derive(Debug)]
pub(crate) struct UdpService {
    sockets: Vec<Registered<UdpSocket>>,
    shared: Arc<Shared>,
    buffers: ReceiveBuffers,
    faults: Option<FaultRng>,
    bucket: Option<TokenBucket>,
    policy: ReplyPolicy,
    /// Delayed replies by due time; the second part of the key keeps the order
    /// of replies that are due at the same time.
    delayed: BTreeMap<(Duration, u64), DelayedReply>,
    delayed_so_far: u64,
    delayed_bytes: usize,
    /// When the last datagram arrived.
    last_activity: Duration,
}

/// A reply that is held back.
#[derive(Debug)]
struct DelayedReply {
    /// The index of the socket that sends it.
    socket: usize,
    destination: SocketAddr,
    pktinfo: PacketInfo,
    data: Vec<u8>,
}

impl UdpService {
    /// Registers `sockets` with the poller, under tokens from `first_token` on.
    pub(crate) fn new(
        sockets: Vec<UdpSocket>,
        poller: &Arc<Poller>,
        first_token: usize,
        shared: &Arc<Shared>,
        policy: ReplyPolicy,
    ) -> io::Result<Self> {
        let sockets = sockets
            .into_iter()
            .zip(first_token..)
            .map(|(socket, token)| Registered::new(socket, poller, token, Interest::Read))
            .collect::<io::Result<Vec<_>>>()?;
        let rules = &shared.rules;
        Ok(Self {
            sockets,
            shared: Arc::clone(shared),
            buffers: ReceiveBuffers::new(),
            faults: rules
                .faults
                .as_ref()
                .map(|faults| FaultRng::new(faults.seed, FAULT_STREAM)),
            bucket: rules
                .rate
                .map(|rate| TokenBucket::new(rate, Duration::ZERO)),
            policy,
            delayed: BTreeMap::new(),
            delayed_so_far: 0,
            delayed_bytes: 0,
            last_activity: Duration::ZERO,
        })
    }

    /// Returns when the last datagram arrived.
    pub(crate) fn last_activity(&self) -> Duration {
        self.last_activity
    }

    /// Answers the datagrams that are queued, sends the delayed replies, and
    /// closes the sockets.
    pub(crate) fn drain(&mut self, now: Duration) {
        for index in 0..self.sockets.len() {
            for _ in 0..MAX_FINAL_BATCHES {
                if !self.on_ready(index, now) {
                    break;
                }
            }
        }
        for reply in std::mem::take(&mut self.delayed).values() {
            self.send_delayed(reply);
        }
        self.sockets.clear();
    }

    /// Receives and answers one batch from the socket with this index. Returns
    /// false if no datagram was queued.
    pub(crate) fn on_ready(&mut self, index: usize, now: Duration) -> bool {
        let Some(socket) = self.sockets.get(index) else {
            return false;
        };
        let shared = &self.shared;
        let Ok(mut batch) = self.buffers.receive(socket.get()) else {
            // No datagram, or an ICMP error about an earlier reply.
            return false;
        };
        self.last_activity = now;
        let mut immediate = Vec::with_capacity(BATCH);
        for (position, datagram) in batch.iter_mut().enumerate() {
            let len = datagram.data.len();
            let peer = Address::inet(datagram.source);
            shared.log.received(&peer, Protocol::Udp, datagram.data);
            shared.counters.add_bytes(len, 0);
            shared.counters.add_datagrams(1, 0);
            if !self
                .policy
                .permits(datagram.source, datagram.pktinfo.is_group)
            {
                continue;
            }
            // Before the bucket: a source above its own rate must not use up
            // the tokens of the others.
            if !self.policy.acquire(datagram.source, now) {
                continue;
            }
            if let Some(bucket) = &mut self.bucket {
                if bucket.available(now) < len {
                    continue;
                }
                bucket.take(len, now);
            }
            let decision = match (&mut self.faults, &shared.rules.faults) {
                (Some(rng), Some(faults)) => rng.decide(faults),
                _ => FaultDecision::default(),
            };
            let Some(len) = datagram::make_reply(&shared.rules, datagram.data, &decision) else {
                continue;
            };
            if decision.delay.is_zero() {
                immediate.push((position, len));
            } else if self.delayed_bytes + len <= MAX_DELAYED_BYTES
                && self.delayed.len() < MAX_DELAYED
            {
                self.delayed_bytes += len;
                let reply = DelayedReply {
                    socket: index,
                    destination: datagram.source,
                    pktinfo: datagram.pktinfo,
                    data: datagram.data[..len].to_vec(),
                };
                let due = (now + decision.delay, self.delayed_so_far);
                self.delayed.insert(due, reply);
                self.delayed_so_far += 1;
            }
        }
        let replies: Vec<Reply<'_>> = immediate
            .into_iter()
            .map(|(position, len)| Reply {
                data: &batch[position].data[..len],
                destination: batch[position].source,
                pktinfo: batch[position].pktinfo,
            })
            .collect();
        send_all(shared, socket.get(), &replies);
        true
    }

    /// Sends the delayed replies that are due.
    pub(crate) fn on_timeouts(&mut self, now: Duration) {
        while let Some(first) = self.delayed.first_entry()
            && first.key().0 <= now
        {
            let reply = first.remove();
            self.delayed_bytes -= reply.data.len();
            self.send_delayed(&reply);
        }
    }

    /// Returns when to call [`UdpService::on_timeouts`].
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.delayed.keys().next().map(|(due, _)| *due)
    }

    fn send_delayed(&self, delayed: &DelayedReply) {
        if let Some(socket) = self.sockets.get(delayed.socket) {
            let reply = Reply {
                data: &delayed.data,
                destination: delayed.destination,
                pktinfo: delayed.pktinfo,
            };
            send_all(&self.shared, socket.get(), &[reply]);
        }
    }
}

/// Sends replies; those that cannot be sent are lost.
fn send_all(shared: &Shared, socket: &UdpSocket, replies: &[Reply<'_>]) {
    let mut rest = replies;
    while !rest.is_empty() {
        let n = match udp_batch::send(socket, rest) {
            Ok(n) => {
                let bytes = rest[..n].iter().map(|reply| reply.data.len()).sum();
                shared.counters.add_bytes(0, bytes);
                shared.counters.add_datagrams(0, n);
                n
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
            // The socket's buffer is full, so all further replies would fail.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
            // The error concerns the first reply only: no route, too large, a
            // packet filter.
            Err(_) => 1,
        };
        rest = &rest[n..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Delay, Faults};
    use crate::machine::Rules;
    use socket2::{Domain, Type};

    const HOUR: Duration = Duration::from_secs(3600);

    /// A service that delays all replies by an hour, and a connected client.
    fn delaying_service() -> (UdpService, std::net::UdpSocket) {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        socket.bind(&any.into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let delay = Some(Delay {
            base: HOUR,
            jitter: Duration::ZERO,
        });
        let faults = Faults {
            delay,
            ..Faults::default()
        };
        let shared = Arc::new(Shared::silent(Rules {
            faults: Some(faults),
            ..Rules::default()
        }));
        let poller = Arc::new(Poller::new().unwrap());
        let sockets = vec![UdpSocket::new(socket).unwrap()];
        let policy = ReplyPolicy::new([address.port()].into(), false, 0);
        let service = UdpService::new(sockets, &poller, 0, &shared, policy).unwrap();
        let client = std::net::UdpSocket::bind(any).unwrap();
        client.connect(address).unwrap();
        (service, client)
    }

    /// Sends `count` datagrams and lets the service receive them.
    fn send(service: &mut UdpService, client: &std::net::UdpSocket, data: &[u8], count: usize) {
        for _ in 0..count {
            client.send(data).unwrap();
            assert!(service.on_ready(0, Duration::ZERO));
        }
    }

    #[test]
    fn the_number_of_delayed_replies_is_bounded() {
        let (mut service, client) = delaying_service();
        send(&mut service, &client, b"", MAX_DELAYED + 100);
        assert_eq!(service.delayed.len(), MAX_DELAYED);
        // Once they are sent, there is room for others.
        service.on_timeouts(HOUR);
        assert_eq!(service.delayed.len(), 0);
        send(&mut service, &client, b"", 1);
        assert_eq!(service.delayed.len(), 1);
    }

    #[test]
    fn the_bytes_of_delayed_replies_are_bounded() {
        let (mut service, client) = delaying_service();
        let fitting = MAX_DELAYED_BYTES / 60_000;
        send(&mut service, &client, &vec![7; 60_000], fitting + 10);
        assert_eq!(service.delayed.len(), fitting);
        assert_eq!(service.delayed_bytes, fitting * 60_000);
        service.on_timeouts(HOUR);
        assert_eq!(service.delayed_bytes, 0);
    }
}
