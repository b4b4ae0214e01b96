//! Zone transfers (AXFR, RFC 5936) over TCP or TLS. Records are passed on as they
//! arrive, from the SOA record to its repetition at the end.

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
use crate::engine::failure::{self, ServerFailure};
use crate::engine::{Settings, random_id};
use crate::lookup::{Failure, Lookup, QueryType};
use crate::server::{Protocol, Server, Transport};
use crate::tls;
use crate::wire::edns::CookieRule;
use crate::wire::query::compose;
use crate::wire::reply::{Classified, Record, Reply, classify, classify_next};
use crate::wire::{OwnedName, Question};

/// The receiver of the records; its error ends the transfer.
pub(crate) type RecordSink<'a> = &'a mut dyn FnMut(&Record<'_>) -> Result<()>;

/// Transfers a zone from the first server that provides it. The records go to
/// `sink` and not into the lookup.
pub(crate) fn transfer(
    settings: &Settings,
    name: &OwnedName,
    sink: RecordSink<'_>,
) -> Result<Lookup> {
    let started = Instant::now();
    let query_type = QueryType::Type(Rtype::AXFR);
    let mut lookup = Lookup::failed(query_type, Status::Timeout, None);
    for server in &settings.servers {
        lookup.server = Some(server.label.clone());
        lookup.protocol = Some(match server.transport {
            Transport::Tls { .. } => Protocol::Tls,
            _ => Protocol::Tcp,
        });
        lookup.tries += 1;
        let mut has_records = false;
        let mut sink_result = Ok(());
        let mut on_record = |record: &Record<'_>| {
            has_records = true;
            sink_result = sink(record);
            sink_result.is_ok()
        };
        let result = transfer_from(settings, server, name, &mut on_record);
        sink_result?;
        match result {
            Ok(()) => {
                lookup.status = Status::Found;
                lookup.failure = None;
                break;
            }
            Err((status, failure)) => {
                lookup.failure = Some(failure);
                lookup.status = if has_records {
                    Status::Incomplete
                } else {
                    status
                };
                // Another server cannot continue the records that were passed on.
                if has_records {
                    break;
                }
            }
        }
    }
    lookup.elapsed = started.elapsed();
    Ok(lookup)
}

/// Transfers a zone from one server. `on_record` returns whether to continue.
fn transfer_from(
    settings: &Settings,
    server: &Server,
    name: &OwnedName,
    on_record: &mut dyn FnMut(&Record<'_>) -> bool,
) -> Result<(), ServerFailure> {
    let label = &*server.label;
    // The deadline is for the next message, since a large zone may take a long time.
    let deadline = Rc::new(Cell::new(Instant::now() + settings.timeout));
    let mut zone = ZoneProgress::new(name);
    let from_io = |e: io::Error, has_started: bool| match e.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock if has_started => {
            failure::transfer_timeout(label)
        }
        _ => failure::from_io(&e, label),
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
    sent.map_err(|e| from_io(e, false))?;
    loop {
        let has_started = zone.first_soa.is_some();
        let mut length = [0; 2];
        connection
            .read_exact(&mut length)
            .map_err(|e| from_io(e, has_started))?;
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        connection
            .read_exact(&mut bytes)
            .map_err(|e| from_io(e, has_started))?;
        let classified = if has_started {
            classify_next(&bytes, id, &question)
        } else {
            classify(&bytes, id, &question, CookieRule::Ignore)
        };
        let reply = match classified {
            Classified::Reply(reply) | Classified::WithoutQuestion(reply) => reply,
            Classified::Unrelated | Classified::MissingCookie => continue,
            Classified::Malformed => return Err(failure::malformed(label)),
        };
        if zone.add(&reply, label, on_record)? {
            return Ok(());
        }
        // Messages without records must not keep a transfer alive.
        if !reply.answer.is_empty() {
            deadline.set(Instant::now() + settings.timeout);
        }
    }
}

/// The progress of a transfer.
#[derive(Debug)]
struct ZoneProgress<'a> {
    name: &'a OwnedName,
    /// The data of the SOA record at the start, in presentation format.
    first_soa: Option<String>,
}

impl<'a> ZoneProgress<'a> {
    fn new(name: &'a OwnedName) -> Self {
        Self {
            name,
            first_soa: None,
        }
    }

    /// Passes on the records of a message. Returns whether the transfer has ended,
    /// because the zone is complete or because `on_record` returned false.
    fn add(
        &mut self,
        reply: &Reply<'_>,
        label: &str,
        on_record: &mut dyn FnMut(&Record<'_>) -> bool,
    ) -> Result<bool, ServerFailure> {
        if reply.rcode != OptRcode::NOERROR {
            return Err(failure::rcode(reply.rcode, reply, label));
        }
        if reply.answer.is_empty() && self.first_soa.is_none() {
            return Err(failure::incomplete(
                label,
                "the first message has no records",
            ));
        }
        for record in &reply.answer {
            let is_soa = record.rtype == Rtype::SOA && record.owner.name_eq(self.name);
            let Ok(text) = record.text() else {
                return Err(failure::malformed(label));
            };
            match &self.first_soa {
                None if !is_soa => {
                    let why = "the transfer does not start with the SOA record";
                    return Err(failure::incomplete(label, why));
                }
                None => self.first_soa = Some(text),
                Some(first) if is_soa && *first != text => {
                    on_record(record);
                    // RFC 5936, section 2.2 requires two equal SOA records.
                    let why = "the SOA records at the start and at the end differ; \
                               the zone changed during the transfer";
                    return Err(failure::incomplete(label, why));
                }
                Some(_) if is_soa => {
                    on_record(record);
                    return Ok(true);
                }
                Some(_) => {}
            }
            if !on_record(record) {
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
) -> Result<Box<dyn ReadWrite>, ServerFailure> {
    let from_io = |e: io::Error| failure::from_io(&e, &server.label);
    match (&server.transport, &settings.tls) {
        (Transport::Udp(address) | Transport::Tcp(address), _) => {
            let stream = DeadlineStream::connect(*address, Rc::clone(deadline));
            Ok(Box::new(stream.map_err(from_io)?))
        }
        (Transport::Tls { address, name }, Some(config)) => {
            let stream = DeadlineStream::connect(*address, Rc::clone(deadline));
            let stream = stream.map_err(from_io)?;
            let session = tls::session(config, name).map_err(from_io)?;
            Ok(Box::new(tls::blocking(session, stream)))
        }
        _ => Err((
            Status::System,
            Failure {
                kind: Kind::Input,
                message: format!(
                    "{}: zone transfers need TCP or TLS; use tcp:// or tls://",
                    server.label
                ),
            },
        )),
    }
}

/// A blocking connection on which every operation ends at a deadline, however
/// slowly bytes arrive. The deadline may be moved.
struct DeadlineStream {
    stream: TcpStream,
    deadline: Rc<Cell<Instant>>,
}

impl DeadlineStream {
    fn connect(address: SocketAddr, deadline: Rc<Cell<Instant>>) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, time_until(deadline.get())?)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, deadline })
    }
}

impl Read for DeadlineStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream
            .set_read_timeout(Some(time_until(self.deadline.get())?))?;
        self.stream.read(buffer)
    }
}

impl Write for DeadlineStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream
            .set_write_timeout(Some(time_until(self.deadline.get())?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Returns the time until `deadline`, or an error of kind `TimedOut` after it.
fn time_until(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::reply::read;
    use domain::base::message_builder::MessageBuilder;
    use domain::base::rdata::UnknownRecordData;

    fn name(text: &str) -> OwnedName {
        OwnedName::vec_from_str(text).unwrap()
    }

    /// Adds a message with these owners and types, and returns how many records
    /// were passed on with the result.
    fn add(zone: &mut ZoneProgress<'_>, records: &[(&str, Rtype)]) -> (usize, String) {
        let mut answer = MessageBuilder::new_vec().answer();
        for (owner, rtype) in records {
            let length = if *rtype == Rtype::SOA { 22 } else { 4 };
            let data = UnknownRecordData::from_octets(*rtype, vec![0; length]).unwrap();
            answer.push((name(owner), 60, data)).unwrap();
        }
        let bytes = answer.finish();
        let mut count = 0;
        let mut on_record = |_: &Record<'_>| {
            count += 1;
            true
        };
        let result = zone.add(&read(&bytes).unwrap(), "S", &mut on_record);
        let text = match result {
            Ok(true) => "complete".to_owned(),
            Ok(false) => "incomplete".to_owned(),
            Err((_, failure)) => failure.message,
        };
        (count, text)
    }

    #[test]
    fn a_transfer_ends_with_the_soa_of_the_zone() {
        let apex = name("x.test");
        let mut zone = ZoneProgress::new(&apex);
        let first = [("x.test", Rtype::SOA), ("a.x.test", Rtype::A)];
        assert_eq!(add(&mut zone, &first), (2, "incomplete".to_owned()));
        // Neither an empty message nor the SOA of another zone is the end.
        assert_eq!(add(&mut zone, &[]), (0, "incomplete".to_owned()));
        let other = [("sub.x.test", Rtype::SOA)];
        assert_eq!(add(&mut zone, &other), (1, "incomplete".to_owned()));
        // The owner is compared without case; further records are ignored.
        let last = [("X.TEST", Rtype::SOA), ("b.x.test", Rtype::A)];
        assert_eq!(add(&mut zone, &last), (1, "complete".to_owned()));
    }

    #[test]
    fn a_transfer_starts_with_the_soa_of_the_zone() {
        let apex = name("x.test");
        let no_soa = "incomplete answer from S: the transfer does not start with the SOA record";
        let empty = "incomplete answer from S: the first message has no records";
        for (records, message) in [
            (
                &[("a.x.test", Rtype::A), ("x.test", Rtype::SOA)][..],
                no_soa,
            ),
            (&[("other.test", Rtype::SOA)], no_soa),
            (&[], empty),
        ] {
            let mut zone = ZoneProgress::new(&apex);
            assert_eq!(add(&mut zone, records), (0, message.to_owned()));
        }
    }
}
