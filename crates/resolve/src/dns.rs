//! The direct path: one question, several servers, one deadline.
//!
//! Servers are asked in order, the next one when the current one has failed
//! or been silent for a while; with all asked the round begins again. Every
//! socket stays open, so a late answer to an earlier query counts. A socket
//! is connected and belongs to one lookup: its port is the system's choice,
//! and packets from others never reach it. Ids come from the system's
//! generator.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::Kind;
use domain::base::iana::{OptRcode, Rtype};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::answer::{self, Status};
use crate::codec::{Edns, OwnedName, Query, Received, Record, Reply};
use crate::lookup::Failure;
use crate::server::{Protocol, Server};
use crate::tcp::Connection;

/// How long a server may be silent before the next one is asked; doubled
/// with every round.
const PATIENCE: Duration = Duration::from_secs(1);

/// How to ask.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) servers: Vec<Server>,
    pub(crate) timeout: Duration,
    pub(crate) edns: Edns,
    pub(crate) recurse: bool,
    pub(crate) tcp: bool,
    /// The time between two queries to one server, and when each may get its
    /// next one.
    pub(crate) pace: Option<(Duration, Mutex<Vec<Instant>>)>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: Status,
    pub(crate) records: Vec<Record>,
    pub(crate) reply: Option<Box<Reply>>,
    pub(crate) server: Option<Server>,
    pub(crate) protocol: Protocol,
    pub(crate) tries: u32,
    pub(crate) ignored: u32,
    pub(crate) failure: Option<Failure>,
}

/// A server during a lookup.
struct Peer {
    server: Server,
    socket: Option<UdpSocket>,
    queries: Vec<Query>,
    edns: bool,
    failure: Option<(Status, Failure)>,
}

/// A lookup under way.
struct Attempt<'a> {
    settings: &'a Settings,
    name: &'a OwnedName,
    rtype: Rtype,
    deadline: Instant,
    peers: Vec<Peer>,
    tries: u32,
    ignored: u32,
}

/// Asks the servers for one name and type.
pub(crate) fn ask(settings: &Settings, name: &OwnedName, rtype: Rtype) -> Outcome {
    let peers = settings.servers.iter().map(|server| Peer {
        server: *server,
        socket: None,
        queries: Vec::new(),
        edns: true,
        failure: None,
    });
    let mut attempt = Attempt {
        settings,
        name,
        rtype,
        deadline: Instant::now() + settings.timeout,
        peers: peers.collect(),
        tries: 0,
        ignored: 0,
    };
    attempt.run()
}

/// Transfers a zone, handing out records as they come. The records are those
/// between the SOA and its repetition, both included; the outcome has them only
/// with `keep`, for a zone may be large.
pub(crate) fn transfer(
    settings: &Settings,
    name: &OwnedName,
    keep: bool,
    sink: &mut dyn FnMut(&Record),
) -> Outcome {
    let mut outcome = Outcome {
        status: Status::Timeout,
        records: Vec::new(),
        reply: None,
        server: None,
        protocol: Protocol::Tcp,
        tries: 0,
        ignored: 0,
        failure: None,
    };
    let deadline = Instant::now() + settings.timeout;
    for server in &settings.servers {
        outcome.server = Some(*server);
        outcome.tries += 1;
        let mut begun = false;
        let mut sink = |record: &Record, outcome: &mut Outcome| {
            begun = true;
            sink(record);
            if keep {
                outcome.records.push(record.clone());
            }
        };
        match transfer_from(name, server, deadline, &mut outcome, &mut sink) {
            Ok(()) => {
                outcome.status = Status::Found;
                outcome.failure = None;
                return outcome;
            }
            Err((status, failure)) => {
                outcome.status = status;
                outcome.failure = Some(failure);
                // What has been handed out cannot be taken back.
                if begun {
                    outcome.status = Status::Incomplete;
                    return outcome;
                }
            }
        }
    }
    outcome
}

fn transfer_from(
    name: &OwnedName,
    server: &Server,
    deadline: Instant,
    outcome: &mut Outcome,
    sink: &mut dyn FnMut(&Record, &mut Outcome),
) -> Result<(), (Status, Failure)> {
    let query = Query {
        id: random_id().map_err(|e| local(&e))?,
        name: name.clone(),
        rtype: Rtype::AXFR,
        recurse: false,
        edns: None,
    };
    let message = query.encode().map_err(|_| malformed(server))?;
    let network = |e: io::Error| of_io(&e, server);
    let mut connection = Connection::open(server.address, deadline).map_err(network)?;
    connection.send(&message).map_err(network)?;
    let mut seen_soa = false;
    loop {
        let bytes = connection.receive().map_err(network)?;
        let judged = if seen_soa {
            query.judge_next(&bytes)
        } else {
            query.judge(&bytes)
        };
        let reply = match judged {
            Received::Reply(reply) => reply,
            Received::Malformed => return Err(malformed(server)),
            Received::Unrelated => {
                outcome.ignored += 1;
                continue;
            }
        };
        if reply.rcode != OptRcode::NOERROR {
            return Err(rcode(reply.rcode, &reply, server));
        }
        if reply.answer.is_empty() && !seen_soa {
            return Err(incomplete(server, "no zone in the answer"));
        }
        for record in &reply.answer {
            let soa = record.rtype == Rtype::SOA && record.owner == *name;
            if !seen_soa && !soa {
                return Err(incomplete(
                    server,
                    "the transfer does not begin with the SOA",
                ));
            }
            sink(record, outcome);
            if soa && seen_soa {
                return Ok(());
            }
            seen_soa = true;
        }
    }
}

impl Attempt<'_> {
    fn run(&mut self) -> Outcome {
        let mut next_send = Instant::now();
        let (mut turn, mut round) = (0, 0);
        let mut patience = PATIENCE;
        loop {
            let now = Instant::now();
            if now >= self.deadline {
                return self.failed();
            }
            if now >= next_send {
                let count = self.peers.len();
                let Some(index) =
                    (turn..turn + count).find(|i| self.peers[i % count].failure.is_none())
                else {
                    return self.failed();
                };
                // A round is over when the first server's turn comes again.
                if index / count > round {
                    round = index / count;
                    patience *= 2;
                }
                turn = index + 1;
                next_send = match self.send(index % count) {
                    Ok(None) => Instant::now() + patience,
                    Ok(Some(outcome)) => return outcome,
                    Err(failure) => {
                        self.peers[index % count].failure = Some(failure);
                        now
                    }
                };
                continue;
            }
            for index in self.wait(next_send.min(self.deadline)) {
                match self.receive(index) {
                    Ok(None) => {}
                    Ok(Some(outcome)) => return outcome,
                    Err(failure) => {
                        self.peers[index].failure = Some(failure);
                        next_send = Instant::now();
                    }
                }
            }
        }
    }

    /// Sends a query; over TCP, waits for its answer too.
    fn send(&mut self, index: usize) -> Result<Option<Outcome>, (Status, Failure)> {
        self.pace(index);
        let server = self.peers[index].server;
        if self.settings.tcp || server.protocol == Protocol::Tcp {
            return self.by_tcp(index);
        }
        let query = self.query(index)?;
        let message = query.encode().map_err(|_| malformed(&server))?;
        let peer = &mut self.peers[index];
        let socket = match &mut peer.socket {
            Some(socket) => socket,
            none => none.insert(open(server.address).map_err(|e| of_io(&e, &server))?),
        };
        socket.send(&message).map_err(|e| of_io(&e, &server))?;
        peer.queries.push(query);
        self.tries += 1;
        Ok(None)
    }

    /// Waits for this query's turn at the server's rate.
    fn pace(&self, index: usize) {
        let Some((gap, slots)) = &self.settings.pace else {
            return;
        };
        let mut slots = slots
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let slot = slots[index].max(Instant::now());
        slots[index] = slot + *gap;
        drop(slots);
        std::thread::sleep(slot.saturating_duration_since(Instant::now()));
    }

    fn query(&self, index: usize) -> Result<Query, (Status, Failure)> {
        Ok(Query {
            id: random_id().map_err(|e| local(&e))?,
            name: self.name.clone(),
            rtype: self.rtype,
            recurse: self.settings.recurse,
            edns: self.peers[index].edns.then_some(self.settings.edns),
        })
    }

    /// The peers with something to read, when there is or it is `until`.
    fn wait(&self, until: Instant) -> Vec<usize> {
        let open: Vec<usize> = (0..self.peers.len())
            .filter(|&i| self.peers[i].socket.is_some())
            .collect();
        let sockets = open.iter().filter_map(|&i| self.peers[i].socket.as_ref());
        let mut fds: Vec<PollFd<'_>> = sockets.map(|s| PollFd::new(s, PollFlags::IN)).collect();
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).ok();
        // Interrupted or refused, the sockets are looked at and the clock
        // decides.
        let _ = poll(&mut fds, timeout.as_ref());
        open.into_iter()
            .zip(&fds)
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|(i, _)| i)
            .collect()
    }

    fn receive(&mut self, index: usize) -> Result<Option<Outcome>, (Status, Failure)> {
        let peer = &self.peers[index];
        let Some(socket) = &peer.socket else {
            return Ok(None);
        };
        let mut buffer = vec![0; 65535];
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                return Ok(None);
            }
            Err(_) if peer.failure.is_some() => return Ok(None),
            Err(e) => return Err(of_io(&e, &peer.server)),
        };
        let bytes = &buffer[..length];
        let judged = peer.queries.iter().map(|q| q.judge(bytes));
        let judged = judged
            .into_iter()
            .find(|r| !matches!(r, Received::Unrelated))
            .unwrap_or(Received::Unrelated);
        match judged {
            Received::Unrelated => {
                self.ignored += 1;
                Ok(None)
            }
            // Cut short in the middle of a record, with TC to say so.
            Received::Malformed if bytes[2] & 2 != 0 => self.by_tcp(index),
            Received::Malformed => Err(malformed(&self.peers[index].server)),
            Received::Reply(reply) if reply.truncated => self.by_tcp(index),
            Received::Reply(reply) => self.accept(index, reply, Protocol::Udp),
        }
    }

    fn by_tcp(&mut self, index: usize) -> Result<Option<Outcome>, (Status, Failure)> {
        let server = self.peers[index].server;
        let others = self.peers.iter().filter(|p| p.failure.is_none()).count() as u32;
        let left = self.deadline.saturating_duration_since(Instant::now());
        // Leave the servers not yet tried their share.
        let deadline = Instant::now() + left / others.max(1);
        let query = self.query(index)?;
        let message = query.encode().map_err(|_| malformed(&server))?;
        self.tries += 1;
        let network = |e: io::Error| of_io(&e, &server);
        let mut connection = Connection::open(server.address, deadline).map_err(network)?;
        connection.send(&message).map_err(network)?;
        loop {
            let bytes = connection.receive().map_err(network)?;
            match query.judge(&bytes) {
                Received::Reply(reply) if reply.truncated => return Err(malformed(&server)),
                Received::Reply(reply) => return self.accept(index, reply, Protocol::Tcp),
                Received::Malformed => return Err(malformed(&server)),
                Received::Unrelated => self.ignored += 1,
            }
        }
    }

    /// Judges an answer that is the server's own.
    fn accept(
        &mut self,
        index: usize,
        reply: Box<Reply>,
        protocol: Protocol,
    ) -> Result<Option<Outcome>, (Status, Failure)> {
        let peer = &mut self.peers[index];
        let server = peer.server;
        let no_edns = matches!(
            reply.rcode,
            OptRcode::FORMERR | OptRcode::NOTIMP | OptRcode::BADVERS
        );
        if no_edns && peer.edns {
            peer.edns = false;
            return match protocol {
                Protocol::Udp => self.send(index),
                Protocol::Tcp => self.by_tcp(index),
            };
        }
        let (status, records) = answer::follow(&reply, self.name, self.rtype);
        if let Status::Rcode(code) = status {
            return Err(rcode(code, &reply, &server));
        }
        let failure = (status == Status::Incomplete)
            .then(|| incomplete(&server, "the answer does not lead to the end").1);
        Ok(Some(Outcome {
            status,
            records,
            reply: Some(reply),
            server: Some(server),
            protocol,
            tries: self.tries,
            ignored: self.ignored,
            failure,
        }))
    }

    /// No server is left or the time is over: what a server said counts more
    /// than silence.
    fn failed(&mut self) -> Outcome {
        let said = |p: &&Peer| matches!(p.failure, Some((Status::Rcode(_), _)));
        let peer = self
            .peers
            .iter()
            .find(said)
            .or_else(|| self.peers.iter().find(|p| p.failure.is_none()))
            .or_else(|| self.peers.last());
        let server = peer.map(|p| p.server);
        let (status, failure) = peer.and_then(|p| p.failure.clone()).unwrap_or_else(|| {
            let from = server.map_or(String::new(), |s| format!(" from {s}"));
            (
                Status::Timeout,
                Failure {
                    kind: Kind::Timeout,
                    message: format!("no answer{from} in time"),
                },
            )
        });
        Outcome {
            status,
            records: Vec::new(),
            reply: None,
            server,
            protocol: match server {
                Some(s) if !self.settings.tcp => s.protocol,
                _ => Protocol::Tcp,
            },
            tries: self.tries,
            ignored: self.ignored,
            failure: Some(failure),
        }
    }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn random_id() -> io::Result<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u16::from_be_bytes(bytes))
}

fn local(error: &io::Error) -> (Status, Failure) {
    let message = common::error::sentence(error);
    let kind = Kind::System;
    (Status::System, Failure { kind, message })
}

fn of_io(error: &io::Error, server: &Server) -> (Status, Failure) {
    let kind = Kind::of_io(error);
    let status = match kind {
        Kind::Timeout => Status::Timeout,
        Kind::Protocol => Status::Malformed,
        Kind::Permission | Kind::System => Status::System,
        _ => Status::Unreachable,
    };
    let message = match kind {
        Kind::Timeout => format!("no answer from {server} in time"),
        Kind::Protocol => format!("{server} closed the connection before its answer was whole"),
        _ => format!("{server}: {}", common::error::sentence(error)),
    };
    (status, Failure { kind, message })
}

fn malformed(server: &Server) -> (Status, Failure) {
    let message = format!("malformed answer from {server}");
    let kind = Kind::Protocol;
    (Status::Malformed, Failure { kind, message })
}

fn incomplete(server: &Server, why: &str) -> (Status, Failure) {
    let message = format!("incomplete answer from {server}: {why}");
    let kind = Kind::Protocol;
    (Status::Incomplete, Failure { kind, message })
}

fn rcode(code: OptRcode, reply: &Reply, server: &Server) -> (Status, Failure) {
    let status = Status::Rcode(code);
    let mut message = format!("{server} answered {}", status.name());
    for note in &reply.extended {
        message.push_str(" (");
        message.push_str(note);
        message.push(')');
    }
    let kind = Kind::Server;
    (status, Failure { kind, message })
}
