//! Zone transfers (AXFR, RFC 5936): over TCP or TLS, records handed out as
//! they come, from the SOA to its repetition.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
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
use crate::wire::reply::{Judged, Record, judge, judge_next};
use crate::wire::{OwnedName, Question};

/// Where records go; an error of it ends the transfer.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(&Record<'_>) -> Result<()>;

/// Transfers a zone from the first server that gives it. The lookup has no
/// records; they went to `sink`.
pub(crate) fn transfer(settings: &Settings, name: &OwnedName, sink: Sink<'_>) -> Result<Lookup> {
    let started = Instant::now();
    let deadline = started + settings.timeout;
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
        let came = from_server(settings, server, name, deadline, &mut hand);
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
    deadline: Instant,
    hand: &mut dyn FnMut(&Record<'_>) -> bool,
) -> Result<(), Fault> {
    let label = &*server.label;
    let network = |e: io::Error| failure::of_io(&e, label);
    let mut connection = connect(settings, server, deadline)?;
    let id = random_id().map_err(|e| failure::local(&e))?;
    let question = Question::new(name.clone(), Rtype::AXFR);
    let mut query = vec![0, 0];
    compose(&mut query, id, false, &question, None);
    let length = (query.len() - 2) as u16;
    query[..2].copy_from_slice(&length.to_be_bytes());
    connection.write_all(&query).map_err(network)?;
    connection.flush().map_err(network)?;
    let mut begun = false;
    loop {
        let mut length = [0; 2];
        connection.read_exact(&mut length).map_err(network)?;
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        connection.read_exact(&mut bytes).map_err(network)?;
        let judged = if begun {
            judge_next(&bytes, id, &question)
        } else {
            judge(&bytes, id, &question, CookieRule::Ignore)
        };
        let reply = match judged {
            Judged::Reply(reply) => reply,
            Judged::Unrelated | Judged::Unproven => continue,
            Judged::Malformed | Judged::Bare => return Err(failure::malformed(label)),
        };
        if reply.rcode != OptRcode::NOERROR {
            return Err(failure::rcode(reply.rcode, &reply, label));
        }
        if reply.answer.is_empty() && !begun {
            return Err(failure::incomplete(label, "no zone in the answer"));
        }
        for record in &reply.answer {
            let soa = record.rtype == Rtype::SOA && record.owner.name_eq(name);
            if !begun && !soa {
                let why = "the transfer does not begin with the SOA";
                return Err(failure::incomplete(label, why));
            }
            if record.text().is_err() {
                return Err(failure::malformed(label));
            }
            if !hand(record) || (soa && begun) {
                return Ok(());
            }
            begun = true;
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

fn connect(
    settings: &Settings,
    server: &Server,
    deadline: Instant,
) -> Result<Box<dyn ReadWrite>, Fault> {
    let network = |e: io::Error| failure::of_io(&e, &server.label);
    match (&server.way, &settings.tls) {
        (Way::Udp(address) | Way::Tcp(address), _) => {
            let timed = Timed::connect(*address, deadline).map_err(network)?;
            Ok(Box::new(timed))
        }
        (Way::Tls { address, name }, Some(config)) => {
            let timed = Timed::connect(*address, deadline).map_err(network)?;
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

/// A connection on which everything ends at a deadline, however slowly the
/// bytes come.
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Timed {
    fn connect(address: SocketAddr, deadline: Instant) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, left(deadline)?)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, deadline })
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
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
