//! The DNS messages this tool sends and reads; the only module that knows the
//! codec crate's message types.
//!
//! A [`Query`] becomes bytes; bytes become a [`Reply`] if they answer exactly
//! that query. Parsing reads every record of every section, so a message with
//! a lying count or a bad name is malformed as a whole.

use domain::base::iana::{Class, Opcode, OptRcode, Rtype};
use domain::base::message::Message;
use domain::base::message_builder::MessageBuilder;
use domain::base::name::{Name, ToName};
use domain::base::rdata::{ParseRecordData, RecordData};
use domain::base::wire::ParseError;
use domain::dep::octseq::{Octets, Parser};

use crate::present;

/// A domain name of its own.
pub(crate) type OwnedName = Name<Vec<u8>>;

/// A question and how to ask it.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) id: u16,
    pub(crate) name: OwnedName,
    pub(crate) rtype: Rtype,
    pub(crate) recurse: bool,
    /// EDNS, or `None` after a server that does not know it.
    pub(crate) edns: Option<Edns>,
}

/// What the OPT record says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edns {
    pub(crate) size: u16,
    pub(crate) dnssec: bool,
    pub(crate) nsid: bool,
}

/// A record with its data as text.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) owner: OwnedName,
    pub(crate) rtype: Rtype,
    pub(crate) class: Class,
    pub(crate) ttl: u32,
    pub(crate) data: String,
    /// The target of a CNAME or DNAME.
    pub(crate) target: Option<OwnedName>,
}

/// An answer to the query it was matched with.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) id: u16,
    pub(crate) rcode: OptRcode,
    pub(crate) authoritative: bool,
    pub(crate) truncated: bool,
    pub(crate) recursion_available: bool,
    pub(crate) authenticated: bool,
    pub(crate) answer: Vec<Record>,
    pub(crate) authority: Vec<Record>,
    pub(crate) additional: Vec<Record>,
    /// The server's identifier (RFC 5001), as text.
    pub(crate) nsid: Option<String>,
    /// Extended errors (RFC 8914), as text.
    pub(crate) extended: Vec<String>,
}

/// What some bytes are to a query.
#[derive(Clone, Debug)]
pub(crate) enum Received {
    /// Its answer.
    Reply(Box<Reply>),
    /// Its answer, broken.
    Malformed,
    /// Nothing to do with it.
    Unrelated,
}

/// A message that could not be built: too long for its own good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooLong;

impl Query {
    /// The query's bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, TooLong> {
        let mut builder = MessageBuilder::new_vec();
        let header = builder.header_mut();
        header.set_id(self.id);
        header.set_rd(self.recurse);
        // AD in a query asks for AD in the answer (RFC 6840 section 5.7).
        header.set_ad(true);
        let mut question = builder.question();
        question
            .push((&self.name, self.rtype))
            .map_err(|_| TooLong)?;
        let mut additional = question.additional();
        if let Some(edns) = self.edns {
            additional
                .opt(|opt| {
                    opt.set_udp_payload_size(edns.size);
                    opt.set_dnssec_ok(edns.dnssec);
                    if edns.nsid {
                        opt.push_raw_option(3.into(), 0, |_| Ok(()))?;
                    }
                    Ok(())
                })
                .map_err(|_| TooLong)?;
        }
        Ok(additional.finish())
    }

    /// Judges a message that came from the server asked.
    pub(crate) fn judge(&self, bytes: &[u8]) -> Received {
        let Ok(message) = Message::from_slice(bytes) else {
            return Received::Unrelated;
        };
        let header = message.header();
        if header.id() != self.id || !header.qr() || header.opcode() != Opcode::QUERY {
            return Received::Unrelated;
        }
        match message.sole_question() {
            Ok(question)
                if question.qname().name_eq(&self.name)
                    && question.qtype() == self.rtype
                    && question.qclass() == Class::IN => {}
            // Servers that cannot read a query send its header back.
            _ if message.header_counts().qdcount() == 0 && header.rcode().to_int() != 0 => {}
            _ => return Received::Unrelated,
        }
        match read(message) {
            Ok(reply) => Received::Reply(Box::new(reply)),
            Err(_) => Received::Malformed,
        }
    }

    /// Reads a further message of a zone transfer, which may lack the
    /// question (RFC 5936 section 2.2.1).
    pub(crate) fn judge_next(&self, bytes: &[u8]) -> Received {
        match Message::from_slice(bytes) {
            Ok(message)
                if message.header().id() == self.id
                    && message.header().qr()
                    && message.header_counts().qdcount() == 0 =>
            {
                read(message).map_or(Received::Malformed, |r| Received::Reply(Box::new(r)))
            }
            _ => self.judge(bytes),
        }
    }
}

/// Record data on its way to text.
struct Data {
    rtype: Rtype,
    text: String,
    target: Option<OwnedName>,
    /// The bytes of an OPT record.
    options: Vec<u8>,
}

impl RecordData for Data {
    fn rtype(&self) -> Rtype {
        self.rtype
    }
}

impl<'a, Octs: Octets + ?Sized> ParseRecordData<'a, Octs> for Data {
    fn parse_rdata(
        rtype: Rtype,
        parser: &mut Parser<'a, Octs>,
    ) -> Result<Option<Self>, ParseError> {
        let mut data = Self {
            rtype,
            text: String::new(),
            target: None,
            options: Vec::new(),
        };
        if rtype == Rtype::OPT {
            data.options = vec![0; parser.remaining()];
            parser.parse_buf(&mut data.options)?;
            return Ok(Some(data));
        }
        if matches!(rtype, Rtype::CNAME | Rtype::DNAME) {
            let start = parser.pos();
            let name = domain::base::name::ParsedName::parse_ref(parser)?;
            data.target = Some(name.to_vec());
            parser.seek(start)?;
        }
        data.text = present::rdata(rtype, parser)?;
        Ok(Some(data))
    }
}

fn read(message: &Message<[u8]>) -> Result<Reply, ParseError> {
    let header = message.header();
    let mut reply = Reply {
        id: header.id(),
        rcode: OptRcode::from_rcode(header.rcode()),
        authoritative: header.aa(),
        truncated: header.tc(),
        recursion_available: header.ra(),
        authenticated: header.ad(),
        answer: Vec::new(),
        authority: Vec::new(),
        additional: Vec::new(),
        nsid: None,
        extended: Vec::new(),
    };
    let mut section = message.answer()?;
    for number in 0.. {
        for record in section.by_ref() {
            let record = record?;
            let Some(record) = record.into_record::<Data>()? else {
                continue;
            };
            let (rtype, class, ttl) = (record.rtype(), record.class(), record.ttl().as_secs());
            let (owner, data) = record.into_owner_and_data();
            if rtype == Rtype::OPT {
                let low = u16::from(header.rcode().to_int());
                reply.rcode = OptRcode::masked_from_int((ttl >> 24) as u16 * 16 + low);
                options(&data.options, &mut reply);
                continue;
            }
            let record = Record {
                owner: owner.to_vec(),
                rtype,
                class,
                ttl,
                data: data.text,
                target: data.target,
            };
            match number {
                0 => reply.answer.push(record),
                1 => reply.authority.push(record),
                _ => reply.additional.push(record),
            }
        }
        // A truncated message may end anywhere; it is asked again by TCP.
        match section.next_section()? {
            Some(next) => section = next,
            None => break,
        }
    }
    Ok(reply)
}

/// Notes the options that are shown; one that does not fit ends the list.
fn options(mut data: &[u8], reply: &mut Reply) {
    while let Some((head, rest)) = data.split_first_chunk::<4>() {
        let code = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let Some(value) = rest.get(..length) else {
            return;
        };
        data = &rest[length..];
        match (code, value) {
            (3, _) => reply.nsid = Some(present::string(value)),
            (15, [a, b, text @ ..]) => {
                let code = u16::from_be_bytes([*a, *b]);
                reply.extended.push(match text {
                    [] => format!("extended error {code}"),
                    _ => format!("extended error {code}: {}", present::string(text)),
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query() -> Query {
        Query {
            id: 7,
            name: OwnedName::vec_from_str("Example.Test").unwrap(),
            rtype: Rtype::A,
            recurse: true,
            edns: Some(Edns {
                size: 1232,
                dnssec: false,
                nsid: true,
            }),
        }
    }

    #[test]
    fn a_query_is_not_its_own_answer() {
        let query = query();
        let mut bytes = query.encode().unwrap();
        assert!(matches!(query.judge(&bytes), Received::Unrelated));
        bytes[2] |= 0x80;
        assert!(matches!(query.judge(&bytes), Received::Reply(_)));
        bytes[1] ^= 1;
        assert!(matches!(query.judge(&bytes), Received::Unrelated));
    }

    #[test]
    fn lying_counts_are_malformed() {
        let query = query();
        let mut bytes = query.encode().unwrap();
        bytes[2] |= 0x80;
        bytes[7] = 3;
        assert!(matches!(query.judge(&bytes), Received::Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tail in proptest::collection::vec(any::<u8>(), 0..300), counts in any::<[u8; 6]>()) {
            let query = query();
            let mut bytes = query.encode().unwrap();
            bytes[2] |= 0x80;
            bytes[6..12].copy_from_slice(&counts);
            bytes.extend(&tail);
            let _ = query.judge(&bytes);
            let _ = query.judge(&tail);
            let _ = query.judge_next(&tail);
        }
    }
}
