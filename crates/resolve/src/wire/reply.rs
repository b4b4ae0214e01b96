//! Replies: whether a message answers a question, and the records in it.
//!
//! Every record of every section is parsed, so a message with a wrong count or an
//! invalid owner is malformed as a whole. Record data is kept as bytes and
//! parsed, including the names in it, when it is shown.

use domain::base::iana::{Class, Opcode, OptRcode, Rtype};
use domain::base::message::Message;
use domain::base::name::ParsedName;
use domain::base::rdata::{ParseRecordData, RecordData};
use domain::base::wire::ParseError;
use domain::dep::octseq::{Octets, Parser};

use super::edns::{self, CookieOption, CookieRule};
use super::query::{HEADER, Question};
use crate::presentation;

/// A name that refers to the bytes of a message.
pub(crate) type MessageName<'a> = ParsedName<&'a [u8]>;

/// The relation of a message to a question.
#[derive(Debug)]
pub(crate) enum Classified<'a> {
    /// It answers the question.
    Reply(Reply<'a>),
    /// It answers the question but is invalid.
    Malformed,
    /// It is an error without a question section, as sent by servers without EDNS.
    WithoutQuestion(Reply<'a>),
    /// It does not answer the question.
    Unrelated,
    /// It lacks the required cookie, so it may be forged.
    MissingCookie,
}

/// A record that refers to the bytes of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) owner: MessageName<'a>,
    pub(crate) rtype: Rtype,
    pub(crate) class: Class,
    pub(crate) ttl: u32,
    message: &'a [u8],
    start: usize,
    length: usize,
}

/// A parsed message from a server.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) rcode: OptRcode,
    pub(crate) authoritative: bool,
    pub(crate) truncated: bool,
    pub(crate) recursion_desired: bool,
    pub(crate) recursion_available: bool,
    pub(crate) authenticated: bool,
    pub(crate) answer: Vec<Record<'a>>,
    pub(crate) authority: Vec<Record<'a>>,
    /// The additional section without the OPT record.
    pub(crate) additional: Vec<Record<'a>>,
    /// The UDP size, the flags and the options of the OPT record.
    pub(crate) opt: Option<(u16, u16, &'a [u8])>,
}

/// Classifies a message from the server by the rules of RFC 5452, section 9.1: ID,
/// QR, opcode and question must match the query, and the cookie must satisfy `rule`.
pub(crate) fn classify<'a>(
    bytes: &'a [u8],
    id: u16,
    question: &Question,
    rule: CookieRule<'_>,
) -> Classified<'a> {
    if !is_reply(bytes, id) {
        return Classified::Unrelated;
    }
    // Without the question only an error is accepted, neither data nor NXDOMAIN.
    let lacks_question = bytes[4..6] == [0, 0] && !matches!(bytes[3] & 15, 0 | 3);
    if !lacks_question && (bytes[4..6] != [0, 1] || !question.is_in(&bytes[HEADER..])) {
        return Classified::Unrelated;
    }
    let Ok(reply) = read(bytes) else {
        return if rule.is_required() {
            Classified::MissingCookie
        } else {
            Classified::Malformed
        };
    };
    if !rule.admits(reply.cookie()) {
        return Classified::MissingCookie;
    }
    if lacks_question {
        Classified::WithoutQuestion(reply)
    } else {
        Classified::Reply(reply)
    }
}

/// Classifies a further message of a zone transfer, which may lack the question
/// (RFC 5936, section 2.2.1).
pub(crate) fn classify_next<'a>(bytes: &'a [u8], id: u16, question: &Question) -> Classified<'a> {
    if is_reply(bytes, id) && bytes[4..6] == [0, 0] {
        return read(bytes).map_or(Classified::Malformed, Classified::Reply);
    }
    classify(bytes, id, question, CookieRule::Ignore)
}

fn is_reply(bytes: &[u8], id: u16) -> bool {
    bytes.len() >= HEADER
        && bytes[..2] == id.to_be_bytes()
        && bytes[2] & 0x80 != 0
        && Opcode::from_int(bytes[2] >> 3 & 15) == Opcode::QUERY
}

/// Returns whether a message, valid or not, has the TC flag.
pub(crate) fn is_truncated(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER && bytes[2] & 2 != 0
}

/// Parses a message. Fails if any section of it is invalid.
pub(crate) fn read(bytes: &[u8]) -> Result<Reply<'_>, ParseError> {
    let message = Message::from_slice(bytes).map_err(|_| ParseError::ShortInput)?;
    let header = message.header();
    let mut reply = Reply {
        bytes,
        rcode: OptRcode::from_rcode(header.rcode()),
        authoritative: header.aa(),
        truncated: header.tc(),
        recursion_desired: header.rd(),
        recursion_available: header.ra(),
        authenticated: header.ad(),
        answer: Vec::new(),
        authority: Vec::new(),
        additional: Vec::new(),
        opt: None,
    };
    let mut section = message.answer()?;
    for section_number in 0.. {
        for record in section.by_ref() {
            let Some(record) = record?.into_record::<Data>()? else {
                continue;
            };
            let (rtype, class, ttl) = (record.rtype(), record.class(), record.ttl().as_secs());
            let (owner, Data(_, start, length)) = record.into_owner_and_data();
            if rtype == Rtype::OPT {
                let low = u16::from(header.rcode().to_int());
                reply.rcode = OptRcode::masked_from_int((ttl >> 24) as u16 * 16 + low);
                let options = bytes.get(start..start + length).unwrap_or_default();
                reply.opt = Some((class.to_int(), ttl as u16, options));
                continue;
            }
            let record = Record {
                owner,
                rtype,
                class,
                ttl,
                message: bytes,
                start,
                length,
            };
            match section_number {
                0 => reply.answer.push(record),
                1 => reply.authority.push(record),
                _ => reply.additional.push(record),
            }
        }
        match section.next_section()? {
            Some(next) => section = next,
            None => break,
        }
    }
    Ok(reply)
}

impl<'a> Record<'a> {
    /// Returns the data in presentation format. Fails if a name in it does not
    /// parse, or if an address has a wrong length.
    pub(crate) fn text(&self) -> Result<String, ParseError> {
        // An address with another length makes the message malformed.
        let length = match (self.class, self.rtype) {
            (Class::IN, Rtype::A) => 4,
            (Class::IN, Rtype::AAAA) => 16,
            _ => self.length,
        };
        if length != self.length {
            return Err(ParseError::form_error("address of a wrong length"));
        }
        presentation::rdata(self.rtype, &mut self.parser()?)
    }

    /// Returns the data in presentation format, or in that of RFC 3597 if it is
    /// invalid.
    pub(crate) fn any_text(&self) -> String {
        self.text()
            .unwrap_or_else(|_| presentation::unknown(self.data()))
    }

    /// Returns the bytes of the data.
    pub(crate) fn data(&self) -> &'a [u8] {
        self.message
            .get(self.start..self.start + self.length)
            .unwrap_or_default()
    }

    /// Returns the name at the start of the data, such as the target of a CNAME.
    pub(crate) fn target(&self) -> Option<MessageName<'a>> {
        ParsedName::parse_ref(&mut self.parser().ok()?).ok()
    }

    /// Creates a parser for the data, which can follow compression pointers to earlier
    /// parts of the message.
    fn parser(&self) -> Result<Parser<'a, [u8]>, ParseError> {
        // The parser must not read beyond the data.
        let mut parser = Parser::from_ref(&self.message[..self.start + self.length]);
        parser.seek(self.start)?;
        Ok(parser)
    }
}

impl Reply<'_> {
    /// Returns the names of the flags that are set, as in dig.
    pub(crate) fn flags(&self) -> Vec<&'static str> {
        const FLAGS: [(usize, u8, &str); 7] = [
            (2, 0x80, "qr"),
            (2, 0x04, "aa"),
            (2, 0x02, "tc"),
            (2, 0x01, "rd"),
            (3, 0x80, "ra"),
            (3, 0x20, "ad"),
            (3, 0x10, "cd"),
        ];
        let set = |(at, bit, _): &&(usize, u8, &str)| self.bytes[*at] & bit != 0;
        FLAGS.iter().filter(set).map(|(_, _, name)| *name).collect()
    }

    /// Returns the COOKIE option.
    pub(crate) fn cookie(&self) -> CookieOption<'_> {
        self.opt.map_or(CookieOption::Absent, |(_, _, options)| {
            edns::cookie(options)
        })
    }

    /// Returns the extended errors (RFC 8914) as text.
    pub(crate) fn extended_errors(&self) -> Vec<String> {
        let options = self.opt.map(|(_, _, options)| options);
        let errors = edns::extended_errors(options.unwrap_or_default());
        errors.map(|error| error.to_string()).collect()
    }
}

/// The type of a record, and the offset and length of its data.
struct Data(Rtype, usize, usize);

impl RecordData for Data {
    fn rtype(&self) -> Rtype {
        self.0
    }
}

impl<'a, Octs: Octets + ?Sized> ParseRecordData<'a, Octs> for Data {
    fn parse_rdata(
        rtype: Rtype,
        parser: &mut Parser<'a, Octs>,
    ) -> Result<Option<Self>, ParseError> {
        let data = Self(rtype, parser.pos(), parser.remaining());
        parser.advance(data.2)?;
        Ok(Some(data))
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnedName;
    use super::super::edns::{Cookie, EdnsOptions};
    use super::super::query::compose;
    use super::*;
    use proptest::prelude::*;

    fn question() -> Question {
        Question::new(OwnedName::vec_from_str("Example.Test").unwrap(), Rtype::A)
    }

    fn query() -> Vec<u8> {
        let options = EdnsOptions {
            size: 1232,
            dnssec: false,
            nsid: true,
            subnet: None,
        };
        let cookie = Cookie {
            client: *b"ourcooki",
            server: Vec::new(),
        };
        let mut message = Vec::new();
        let opt = options.record(Some(&cookie), None);
        compose(&mut message, 7, true, &question(), Some(&opt));
        message
    }

    #[test]
    fn only_an_answer_to_the_question_counts() {
        let mut bytes = query();
        let is_accepted = |bytes: &[u8]| {
            matches!(
                classify(bytes, 7, &question(), CookieRule::IfPresent(b"ourcooki")),
                Classified::Reply(_)
            )
        };
        assert!(!is_accepted(&bytes), "a query is not an answer");
        bytes[2] |= 0x80;
        assert!(is_accepted(&bytes));
        for (at, bit) in [(1, 1), (2, 0x28), (5, 2), (13, 1), (26, 1), (28, 2)] {
            let mut other = bytes.clone();
            other[at] ^= bit;
            assert!(!is_accepted(&other), "byte {at}");
        }
        bytes[14] ^= 0x20;
        assert!(is_accepted(&bytes), "case is ignored");
        let length = bytes.len();
        bytes[length - 1] ^= 1;
        assert!(!is_accepted(&bytes), "another client cookie");
    }

    #[test]
    fn a_wrong_count_is_malformed() {
        let mut bytes = query();
        bytes[2] |= 0x80;
        bytes[7] = 3;
        assert!(matches!(
            classify(&bytes, 7, &question(), CookieRule::Ignore),
            Classified::Malformed
        ));
        assert!(matches!(
            classify(
                b"\0\x07\x80\x01\0\0\0\0\0\0\0\0",
                7,
                &question(),
                CookieRule::Ignore
            ),
            Classified::WithoutQuestion(_)
        ));
    }

    #[test]
    fn further_messages_of_a_transfer_may_lack_only_the_question() {
        let next = |bytes: &[u8]| match classify_next(bytes, 7, &question()) {
            Classified::Reply(_) => "reply",
            Classified::Malformed => "malformed",
            Classified::WithoutQuestion(_) => "without question",
            Classified::Unrelated | Classified::MissingCookie => "unrelated",
        };
        let header = b"\0\x07\x84\0\0\0\0\0\0\0\0\0";
        assert_eq!(next(header), "reply");
        let rule = CookieRule::Ignore;
        assert!(matches!(
            classify(header, 7, &question(), rule),
            Classified::Unrelated
        ));
        // The right question is accepted, another one is not.
        let mut complete = query();
        complete[2] |= 0x80;
        assert_eq!(next(&complete), "reply");
        complete[14] ^= 1;
        assert_eq!(next(&complete), "unrelated");
        // Another ID, a query, another opcode, a wrong count, an error.
        for (at, byte, expected) in [
            (1, 8, "unrelated"),
            (2, 0x04, "unrelated"),
            (2, 0x94, "unrelated"),
            (7, 1, "malformed"),
            (3, 5, "reply"),
        ] {
            let mut other = *header;
            other[at] = byte;
            assert_eq!(next(&other), expected, "byte {at}");
        }
        assert_eq!(next(&header[..11]), "unrelated", "no whole header");
    }

    #[test]
    fn only_errors_count_without_the_question() {
        for rcode in 0..16 {
            let mut bytes = *b"\0\x07\x84\0\0\0\0\0\0\0\0\0";
            bytes[3] = rcode;
            let is_accepted = |rule| {
                let classified = classify(&bytes, 7, &question(), rule);
                matches!(classified, Classified::WithoutQuestion(_))
            };
            let expected = !matches!(rcode, 0 | 3);
            assert_eq!(is_accepted(CookieRule::Ignore), expected, "{rcode}");
            assert_eq!(
                is_accepted(CookieRule::IfPresent(b"ourcooki")),
                expected,
                "{rcode}"
            );
            assert!(!is_accepted(CookieRule::Required(b"ourcooki")), "{rcode}");
        }
    }

    /// Composes a reply with records of these types and data in its answer section.
    fn reply_with(records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        compose(&mut bytes, 7, true, &question(), None);
        bytes[2] |= 0x80;
        bytes[7] = records.len() as u8;
        for (rtype, data) in records {
            bytes.extend([0xc0, 12]);
            bytes.extend(rtype.to_be_bytes());
            bytes.extend([0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
            bytes.extend(*data);
        }
        bytes
    }

    #[test]
    fn an_address_of_a_wrong_length_is_malformed() {
        for (rtype, length) in [(1, 4), (28, 16)] {
            for wrong in [length - 1, length + 1] {
                let bytes = reply_with(&[(rtype, &vec![1; wrong])]);
                assert!(read(&bytes).unwrap().answer[0].text().is_err());
            }
            let bytes = reply_with(&[(rtype, &vec![1; length])]);
            assert!(read(&bytes).unwrap().answer[0].text().is_ok());
        }
    }

    #[test]
    fn data_ends_where_the_next_record_starts() {
        let bytes = reply_with(&[(16, b"\x03one"), (16, b"\x03two"), (65_280, &[1, 2])]);
        let reply = read(&bytes).unwrap();
        let texts: Vec<String> = reply.answer.iter().map(Record::any_text).collect();
        assert_eq!(texts, ["\"one\"", "\"two\"", "\\# 2 0102"]);
    }

    #[test]
    fn an_extended_rcode_has_twelve_bits() {
        // BADVERS is 16: a low part of 0, and 1 in the OPT record.
        let mut bytes = query();
        bytes[2] |= 0x80;
        let opt = bytes.len() - (11 + 4 + 12);
        assert_eq!(bytes[opt..opt + 3], [0, 0, 41]);
        bytes[opt + 5] = 1;
        assert_eq!(read(&bytes).unwrap().rcode, OptRcode::BADVERS);
        bytes[3] |= 7;
        assert_eq!(read(&bytes).unwrap().rcode, OptRcode::BADCOOKIE);
    }

    #[test]
    fn a_header_can_be_truncated() {
        let header = b"\0\x07\x82\0\0\0\0\0\0\0\0\0";
        assert!(is_truncated(header));
        assert!(!is_truncated(&header[..11]));
        assert!(!is_truncated(b"\0\x07\x80\0\0\0\0\0\0\0\0\0"));
    }

    proptest! {
        #[test]
        fn no_message_panics(tail in proptest::collection::vec(any::<u8>(), 0..300), counts in any::<[u8; 6]>()) {
            let mut bytes = query();
            bytes[2] |= 0x80;
            bytes[6..12].copy_from_slice(&counts);
            bytes.extend(&tail);
            for bytes in [&bytes, &tail] {
                if let Classified::Reply(reply) = classify(bytes, 7, &question(), CookieRule::Ignore) {
                    for record in reply.answer {
                        let _ = (record.any_text(), record.target());
                    }
                }
                let _ = classify_next(bytes, 7, &question());
            }
        }
    }
}
