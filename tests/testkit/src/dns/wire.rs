//! DNS messages: parsing of queries and serialization of answers (RFC 1035, EDNS
//! of RFC 6891). The code is independent of the resolver's, so that the same bug
//! cannot be in both.

use std::fmt::Write;

/// Numbers of the record types that the tests use.
#[allow(missing_docs, reason = "the names are those of the types")]
pub mod rtype {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const DNAME: u16 = 39;
    pub const OPT: u16 = 41;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
}

/// The EDNS part of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edns {
    /// The advertised UDP payload size in bytes.
    pub size: u16,
    /// Whether DO is set, which asks for DNSSEC records.
    pub dnssec_ok: bool,
    /// Option codes with their data.
    pub options: Vec<(u16, Vec<u8>)>,
}

/// A query with one question.
#[derive(Debug, Clone)]
pub struct Query {
    /// The id of the message.
    pub id: u16,
    /// The flags word: QR, opcode, AA, TC, RD, RA, Z, AD, CD, RCODE.
    pub flags: u16,
    /// The name in presentation form with a final dot, case as sent.
    pub name: String,
    /// The name as labels, case as sent.
    pub name_wire: Vec<u8>,
    /// The type of the question.
    pub qtype: u16,
    /// The class of the question, 1 for the Internet.
    pub class: u16,
    /// The OPT record, if one was sent.
    pub edns: Option<Edns>,
    /// The bytes of the complete message.
    pub bytes: Vec<u8>,
}

impl Query {
    /// Parses a message. Returns `None` if it is not a query with one question.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let two = bytes.get(at..at + 2)?;
            Some(u16::from_be_bytes([two[0], two[1]]))
        };
        if word(2)? & 0x8000 != 0 || word(4)? != 1 {
            return None;
        }
        let mut at = 12;
        while *bytes.get(at)? != 0 {
            at += 1 + usize::from(bytes[at]);
        }
        let name_wire = bytes[12..=at].to_vec();
        let (qtype, class) = (word(at + 1)?, word(at + 3)?);
        at += 5;
        let mut edns = None;
        // The only additional record of a query is OPT, with the root as its name.
        if word(10)? == 1 && bytes.get(at) == Some(&0) && word(at + 1)? == rtype::OPT {
            let end = at + 11 + usize::from(word(at + 9)?);
            let mut options = Vec::new();
            let mut option = at + 11;
            while option < end {
                let length = usize::from(word(option + 2)?);
                let data = bytes.get(option + 4..option + 4 + length)?;
                options.push((word(option)?, data.to_vec()));
                option += 4 + length;
            }
            edns = Some(Edns {
                size: word(at + 3)?,
                dnssec_ok: word(at + 7)? & 0x8000 != 0,
                options,
            });
        }
        Some(Self {
            id: word(0)?,
            flags: word(2)?,
            name: present(&name_wire),
            name_wire,
            qtype,
            class,
            edns,
            bytes: bytes.to_vec(),
        })
    }

    /// Whether RD (recursion desired) is set.
    pub fn recursion_desired(&self) -> bool {
        self.flags & 0x0100 != 0
    }

    /// Returns an empty answer to this query.
    pub fn response(&self) -> Response {
        Response {
            id: self.id,
            // QR and RA, with the opcode, RD and CD of the query.
            flags: 0x8080 | (self.flags & 0x7910),
            question: Some((self.name_wire.clone(), self.qtype, self.class)),
            edns: self.edns.as_ref().map(|_| Vec::new()),
            ..Response::default()
        }
    }
}

/// A resource record of class IN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The owner name as labels.
    pub name: Vec<u8>,
    /// The number of the type.
    pub rtype: u16,
    /// The time to live in seconds.
    pub ttl: u32,
    /// The data, with uncompressed names.
    pub rdata: Vec<u8>,
}

impl Record {
    /// Creates a record; `name` is in presentation form.
    pub fn new(name: &str, rtype: u16, ttl: u32, rdata: impl Into<Vec<u8>>) -> Self {
        Self {
            name: labels(name),
            rtype,
            ttl,
            rdata: rdata.into(),
        }
    }
}

/// An answer under construction.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Response {
    /// The id of the message.
    pub id: u16,
    /// The flags word without the RCODE.
    pub flags: u16,
    /// The RCODE; values above 15 need EDNS.
    pub rcode: u16,
    /// Name, type and class of the question.
    pub question: Option<(Vec<u8>, u16, u16)>,
    /// The records of the answer section.
    pub answers: Vec<Record>,
    /// The records of the authority section.
    pub authority: Vec<Record>,
    /// The additional section, without OPT.
    pub additional: Vec<Record>,
    /// The options of the OPT record; `None` for a message without OPT.
    pub edns: Option<Vec<(u16, Vec<u8>)>>,
}

impl Response {
    /// Sets the response code (RCODE).
    pub fn rcode(mut self, rcode: u16) -> Self {
        self.rcode = rcode;
        self
    }

    /// Sets AA (authoritative answer).
    pub fn authoritative(mut self) -> Self {
        self.flags |= 0x0400;
        self
    }

    /// Sets TC and empties the sections.
    pub fn truncated(mut self) -> Self {
        self.flags |= 0x0200;
        self.answers.clear();
        self.authority.clear();
        self.additional.clear();
        self
    }

    /// Sets AD (authenticated data).
    pub fn authenticated(mut self) -> Self {
        self.flags |= 0x0020;
        self
    }

    /// Adds a record to the answer section.
    pub fn answer(mut self, record: Record) -> Self {
        self.answers.push(record);
        self
    }

    /// Adds a record to the authority section.
    pub fn authority(mut self, record: Record) -> Self {
        self.authority.push(record);
        self
    }

    /// Adds a record to the additional section.
    pub fn additional(mut self, record: Record) -> Self {
        self.additional.push(record);
        self
    }

    /// Adds an EDNS option, and OPT if it is missing.
    pub fn option(mut self, code: u16, data: impl Into<Vec<u8>>) -> Self {
        self.edns.get_or_insert_default().push((code, data.into()));
        self
    }

    /// Serializes the message. Owners equal to the question's name are compressed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let additional = self.additional.len() + usize::from(self.edns.is_some());
        let counts = [
            usize::from(self.question.is_some()),
            self.answers.len(),
            self.authority.len(),
            additional,
        ];
        out.extend(self.id.to_be_bytes());
        out.extend((self.flags | (self.rcode & 0xf)).to_be_bytes());
        for count in counts {
            out.extend((count as u16).to_be_bytes());
        }
        let mut asked: &[u8] = &[];
        if let Some((name, qtype, class)) = &self.question {
            asked = name;
            out.extend(name);
            out.extend(qtype.to_be_bytes());
            out.extend(class.to_be_bytes());
        }
        let sections = [&self.answers, &self.authority, &self.additional];
        for record in sections.into_iter().flatten() {
            if !asked.is_empty() && record.name.eq_ignore_ascii_case(asked) {
                out.extend([0xc0, 12]);
            } else {
                out.extend(&record.name);
            }
            out.extend(record.rtype.to_be_bytes());
            out.extend(1u16.to_be_bytes());
            out.extend(record.ttl.to_be_bytes());
            out.extend((record.rdata.len() as u16).to_be_bytes());
            out.extend(&record.rdata);
        }
        if let Some(options) = &self.edns {
            out.push(0);
            out.extend(rtype::OPT.to_be_bytes());
            out.extend(1232u16.to_be_bytes());
            out.extend([(self.rcode >> 4) as u8, 0, 0, 0]);
            let data: Vec<u8> = options
                .iter()
                .flat_map(|(code, data)| {
                    let mut option = code.to_be_bytes().to_vec();
                    option.extend((data.len() as u16).to_be_bytes());
                    option.extend(data);
                    option
                })
                .collect();
            out.extend((data.len() as u16).to_be_bytes());
            out.extend(data);
        }
        out
    }
}

/// Converts a name in presentation form, with `\DDD` and `\c` escapes and an
/// optional final dot, to labels. Lengths are not checked, since a test may need
/// invalid ones.
pub fn labels(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut label = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'.', _) => flush(&mut out, &mut label),
            (b'\\', [a, b, c, after @ ..]) if a.is_ascii_digit() => {
                let digit = |d: &u8| u32::from(d - b'0');
                label.push((digit(a) * 100 + digit(b) * 10 + digit(c)) as u8);
                rest = after;
            }
            (b'\\', [c, after @ ..]) => {
                label.push(*c);
                rest = after;
            }
            (byte, _) => label.push(*byte),
        }
    }
    flush(&mut out, &mut label);
    out.push(0);
    out
}

/// Writes a label, unless it is empty.
fn flush(out: &mut Vec<u8>, label: &mut Vec<u8>) {
    if !label.is_empty() {
        out.push(label.len() as u8);
        out.append(label);
    }
}

/// Converts labels to presentation form with a final dot.
pub fn present(wire: &[u8]) -> String {
    let mut out = String::new();
    let mut at = 0;
    while let Some(&length) = wire.get(at).filter(|&&length| length > 0) {
        let end = (at + 1 + usize::from(length)).min(wire.len());
        for &byte in &wire[at + 1..end] {
            match byte {
                b'.' | b'\\' => out.extend(['\\', char::from(byte)]),
                0x21..=0x7e => out.push(char::from(byte)),
                _ => write!(out, "\\{byte:03}").expect("write to a string"),
            }
        }
        out.push('.');
        at = end;
    }
    if out.is_empty() {
        out.push('.');
    }
    out
}
