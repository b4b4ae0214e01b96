//! Zone transfers (AXFR, RFC 5936): over TCP or TLS, records handed out as
//! they come, from the SOA to its repetition.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::Kind;
use common::Result;
use domain::base::iana::{OptRcode, Rtype};
use domain::base::name::ToName;

use crate::answer::Status;
use crate::engine::failure::{self, Fault};
use crate::engine::{Settings, random_id};
use crate::lookup::{Asked, Failure, Lookup};
use crate::server::{Protocol, Server, Way};
use crate::tls;
use crate::wire::edns::CookieRule;
use crate::wire::query::compose;
use crate::wire::reply::{Judged, Record, Reply, judge, judge_next};
use crate::wire::{OwnedName, Question};

/// Where records go; an error of it ends the transfer.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(&Record<'_>) -> Result<()>;

/// Transfers a zone from the first server that gives it. The lookup has no
/// records; they went to `sink`.
pub(crate) fn transfer(settings: &Settings, name: &OwnedName, sink: Sink<'_>) -> Result<Lookup> {
    let started = Instant::now();
    let asked = Asked::Type(Rtype::AXFR);
    let mut lookup = Lookup::failed(asked, Status::Timeout, None);
    for server in &settings.servers {
        lookup.server = Some(server.label.clone());
        lookup.protocol = Some(match server.way {
            Way::Tls { .. } => Protocol::Tls,
            _ => Protocol::Tcp,
        });
        lookup.tries += 1;
        let mut begun = false;
        let mut broken = Ok(());
        let mut hand = |record: &Record<'_>| {
            begun = true;
            broken = sink(record);
            broken.is_ok()
        };
        let came = from_server(settings, server, name, &mut hand);
        broken?;
        match came {
            Ok(()) => {
                lookup.status = Status::Found;
                lookup.failure = None;
                break;
            }
            Err((status, failure)) => {
                lookup.failure = Some(failure);
                // What has been handed out cannot be taken back.
                lookup.status = if begun { Status::Incomplete } else { status };
                if begun {
                    break;
                }
            }
        }
    }
    lookup.elapsed = started.elapsed();
    Ok(lookup)
}

fn from_server(
    settings: &Settings,
    server: &Server,
    name: &OwnedName,
    hand: &mut dyn FnMut(&Record<'_>) -> bool,
) -> Result<(), Fault> {
    let label = &*server.label;
    // For what follows, not for all of it: a zone can take long.
    let deadline = Rc::new(Cell::new(Instant::now() + settings.timeout));
    let mut zone = Zone::new(name);
    let network = |e: io::Error, begun: bool| match e.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock if begun => failure::silence(label),
        _ => failure::of_io(&e, label),
    };
    let mut connection = connect(settings, server, &deadline)?;
    let id = random_id().map_err(|e| failure::local(&e))?;
    let question = Question::new(name.clone(), Rtype::AXFR);
    let mut query = vec![0, 0];
    compose(&mut query, id, false, &question, None);
    let length = (query.len() - 2) as u16;
    query[..2].copy_from_slice(&length.to_be_bytes());
    let sent = connection
        .write_all(&query)
        .and_then(|()| connection.flush());
    sent.map_err(|e| network(e, false))?;
    loop {
        let begun = zone.first.is_some();
        let mut length = [0; 2];
        connection
            .read_exact(&mut length)
            .map_err(|e| network(e, begun))?;
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        connection
            .read_exact(&mut bytes)
            .map_err(|e| network(e, begun))?;
        let judged = if begun {
            judge_next(&bytes, id, &question)
        } else {
            judge(&bytes, id, &question, CookieRule::Ignore)
        };
        let reply = match judged {
            Judged::Reply(reply) | Judged::Bare(reply) => reply,
            Judged::Unrelated | Judged::Unproven => continue,
            Judged::Malformed => return Err(failure::malformed(label)),
        };
        if zone.take(&reply, label, hand)? {
            return Ok(());
        }
        // Messages without a record do not keep a transfer alive.
        if !reply.answer.is_empty() {
            deadline.set(Instant::now() + settings.timeout);
        }
    }
}

/// A zone as far as it came.
#[derive(Debug)]
struct Zone<'a> {
    name: &'a OwnedName,
    /// The data of the SOA that it begins with, as text.
    first: Option<String>,
}

impl<'a> Zone<'a> {
    fn new(name: &'a OwnedName) -> Self {
        Self { name, first: None }
    }

    /// Hands over the records of a message; whether the zone is complete, or
    /// no more is wanted.
    fn take(
        &mut self,
        reply: &Reply<'_>,
        label: &str,
        hand: &mut dyn FnMut(&Record<'_>) -> bool,
    ) -> Result<bool, Fault> {
        if reply.rcode != OptRcode::NOERROR {
            return Err(failure::rcode(reply.rcode, reply, label));
        }
        if reply.answer.is_empty() && self.first.is_none() {
            return Err(failure::incomplete(label, "no zone in the answer"));
        }
        for record in &reply.answer {
            let soa = record.rtype == Rtype::SOA && record.owner.name_eq(self.name);
            let Ok(text) = record.text() else {
                return Err(failure::malformed(label));
            };
            match &self.first {
                None if !soa => {
                    let why = "the transfer does not begin with the SOA";
                    return Err(failure::incomplete(label, why));
                }
                None => self.first = Some(text),
                Some(first) if soa && *first != text => {
                    hand(record);
                    // RFC 5936, section 2.2.
                    let why = "the SOA at the end is not that of the start; \
                               the zone changed during the transfer";
                    return Err(failure::incomplete(label, why));
                }
                Some(_) if soa => {
                    hand(record);
                    return Ok(true);
                }
                Some(_) => {}
            }
            if !hand(record) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

fn connect(
    settings: &Settings,
    server: &Server,
    deadline: &Rc<Cell<Instant>>,
) -> Result<Box<dyn ReadWrite>, Fault> {
    let network = |e: io::Error| failure::of_io(&e, &server.label);
    match (&server.way, &settings.tls) {
        (Way::Udp(address) | Way::Tcp(address), _) => {
            let timed = Timed::connect(*address, Rc::clone(deadline)).map_err(network)?;
            Ok(Box::new(timed))
        }
        (Way::Tls { address, name }, Some(config)) => {
            let timed = Timed::connect(*address, Rc::clone(deadline)).map_err(network)?;
            let session = tls::session(config, name).map_err(network)?;
            Ok(Box::new(tls::blocking(session, timed)))
        }
        _ => Err((
            Status::System,
            Failure {
                kind: Kind::Input,
                message: format!("{}: zone transfers go over TCP or TLS", server.label),
            },
        )),
    }
}

/// A connection on which everything ends at a deadline, which may be put off,
/// however slowly the bytes come.
struct Timed {
    stream: TcpStream,
    deadline: Rc<Cell<Instant>>,
}

impl Timed {
    fn connect(address: SocketAddr, deadline: Rc<Cell<Instant>>) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, left(deadline.get())?)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, deadline })
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream
            .set_read_timeout(Some(left(self.deadline.get())?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream
            .set_write_timeout(Some(left(self.deadline.get())?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What is left until `deadline`; an error of kind `TimedOut` when nothing is.
fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}
