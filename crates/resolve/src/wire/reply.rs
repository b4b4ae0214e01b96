//! Answers: whether some bytes are one to a question, and their records.
//!
//! Every record of every section is walked, so a message with a lying count
//! or a bad owner name is malformed as a whole. Data stays bytes until it is
//! shown; names inside it are checked then.

use domain::base::iana::{Class, Opcode, OptRcode, Rtype};
use domain::base::message::Message;
use domain::base::name::ParsedName;
use domain::base::rdata::{ParseRecordData, RecordData};
use domain::base::wire::ParseError;
use domain::dep::octseq::{Octets, Parser};

use super::edns::{self, CookieOption, CookieRule};
use super::query::{HEADER, Question};
use crate::present;

/// A name inside a message.
pub(crate) type MessageName<'a> = ParsedName<&'a [u8]>;

/// What some bytes are to a question.
#[derive(Debug)]
pub(crate) enum Judged<'a> {
    /// Its answer.
    Reply(Reply<'a>),
    /// Its answer, broken.
    Malformed,
    /// A failure without the question, as servers without EDNS send.
    Bare(Reply<'a>),
    /// Nothing to do with it.
    Unrelated,
    /// It lacks the required cookie, so it may be forged.
    Unproven,
}

/// A record in a message.
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

/// A message taken apart.
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
    /// Without the OPT record.
    pub(crate) additional: Vec<Record<'a>>,
    /// The OPT record: its UDP size, its flags word and its options.
    pub(crate) opt: Option<(u16, u16, &'a [u8])>,
}

/// Judges a message that came from the server asked, by the rules of RFC 5452
/// section 9.1: id, QR, opcode and the question must be the query's, and its
/// cookie what `rule` asks for.
pub(crate) fn judge<'a>(
    bytes: &'a [u8],
    id: u16,
    question: &Question,
    rule: CookieRule<'_>,
) -> Judged<'a> {
    if !is_reply(bytes, id) {
        return Judged::Unrelated;
    }
    // Without the question no answer is believed, neither a yes nor a no.
    let bare = bytes[4..6] == [0, 0] && !matches!(bytes[3] & 15, 0 | 3);
    if !bare && (bytes[4..6] != [0, 1] || !question.is_in(&bytes[HEADER..])) {
        return Judged::Unrelated;
    }
    let Ok(reply) = read(bytes) else {
        return if rule.is_required() {
            Judged::Unproven
        } else {
            Judged::Malformed
        };
    };
    if !rule.admits(reply.cookie()) {
        return Judged::Unproven;
    }
    if bare {
        Judged::Bare(reply)
    } else {
        Judged::Reply(reply)
    }
}

/// Judges a further message of a zone transfer, which may lack the question
/// (RFC 5936 section 2.2.1).
pub(crate) fn judge_next<'a>(bytes: &'a [u8], id: u16, question: &Question) -> Judged<'a> {
    if is_reply(bytes, id) && bytes[4..6] == [0, 0] {
        return read(bytes).map_or(Judged::Malformed, Judged::Reply);
    }
    judge(bytes, id, question, CookieRule::Ignore)
}

fn is_reply(bytes: &[u8], id: u16) -> bool {
    bytes.len() >= HEADER
        && bytes[..2] == id.to_be_bytes()
        && bytes[2] & 0x80 != 0
        && Opcode::from_int(bytes[2] >> 3 & 15) == Opcode::QUERY
}

/// Whether a message, broken or not, says that it was truncated.
pub(crate) fn says_truncated(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER && bytes[2] & 2 != 0
}

/// Takes a message apart.
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
    for number in 0.. {
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
            match number {
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
    /// The data as text. A name in it that does not parse is an error: the
    /// message is then broken.
    pub(crate) fn text(&self) -> Result<String, ParseError> {
        // An address of another length is none, and no unknown type either.
        let length = match (self.class, self.rtype) {
            (Class::IN, Rtype::A) => 4,
            (Class::IN, Rtype::AAAA) => 16,
            _ => self.length,
        };
        if length != self.length {
            return Err(ParseError::form_error("address of a wrong length"));
        }
        present::rdata(self.rtype, &mut self.parser()?)
    }

    /// The data as text, by RFC 3597 if it is broken.
    pub(crate) fn any_text(&self) -> String {
        self.text()
            .unwrap_or_else(|_| present::unknown(self.data()))
    }

    /// The data's bytes.
    pub(crate) fn data(&self) -> &'a [u8] {
        self.message
            .get(self.start..self.start + self.length)
            .unwrap_or_default()
    }

    /// The name the data begins with, such as a CNAME's target.
    pub(crate) fn target(&self) -> Option<MessageName<'a>> {
        ParsedName::parse_ref(&mut self.parser().ok()?).ok()
    }

    /// A parser limited to the data, that sees the message for compression.
    fn parser(&self) -> Result<Parser<'a, [u8]>, ParseError> {
        // Nothing behind the data may be reached.
        let mut parser = Parser::from_ref(&self.message[..self.start + self.length]);
        parser.seek(self.start)?;
        Ok(parser)
    }
}

impl Reply<'_> {
    /// The flags that are set, as dig names them.
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

    /// The COOKIE option.
    pub(crate) fn cookie(&self) -> CookieOption<'_> {
        self.opt.map_or(CookieOption::Absent, |(_, _, options)| {
            edns::cookie(options)
        })
    }

    /// Extended errors (RFC 8914) as text.
    pub(crate) fn extended_errors(&self) -> Vec<String> {
        let options = self.opt.map(|(_, _, options)| options);
        let errors = edns::extended_errors(options.unwrap_or_default());
        errors.map(|error| error.to_string()).collect()
    }
}

/// Where a record's data lies in the message: type, start, length.
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
    use super::super::edns::{Cookie, Wish};
    use super::super::query::compose;
    use super::*;
    use proptest::prelude::*;

    fn question() -> Question {
        Question::new(OwnedName::vec_from_str("Example.Test").unwrap(), Rtype::A)
    }

    fn query() -> Vec<u8> {
        let wish = Wish {
            size: 1232,
            dnssec: false,
            nsid: true,
            subnet: None,
        };
        let cookie = Cookie {
            client: *b"ourcooki",
            server: Vec::new(),
        };
        let mut out = Vec::new();
        let opt = wish.record(Some(&cookie), None);
        compose(&mut out, 7, true, &question(), Some(&opt));
        out
    }

    #[test]
    fn only_the_answer_to_the_question_counts() {
        let mut bytes = query();
        let judge = |bytes: &[u8]| {
            matches!(
                judge(bytes, 7, &question(), CookieRule::IfPresent(b"ourcooki")),
                Judged::Reply(_)
            )
        };
        assert!(!judge(&bytes), "a query is no answer");
        bytes[2] |= 0x80;
        assert!(judge(&bytes));
        for (at, bit) in [(1, 1), (2, 0x28), (5, 2), (13, 1), (26, 1), (28, 2)] {
            let mut other = bytes.clone();
            other[at] ^= bit;
            assert!(!judge(&other), "byte {at}");
        }
        bytes[14] ^= 0x20;
        assert!(judge(&bytes), "case does not count");
        let length = bytes.len();
        bytes[length - 1] ^= 1;
        assert!(!judge(&bytes), "somebody else's cookie");
    }

    #[test]
    fn lying_counts_are_malformed() {
        let mut bytes = query();
        bytes[2] |= 0x80;
        bytes[7] = 3;
        assert!(matches!(
            judge(&bytes, 7, &question(), CookieRule::Ignore),
            Judged::Malformed
        ));
        assert!(matches!(
            judge(
                b"\0\x07\x80\x01\0\0\0\0\0\0\0\0",
                7,
                &question(),
                CookieRule::Ignore
            ),
            Judged::Bare(_)
        ));
    }

    /// Further messages of a transfer may lack the question, and nothing else.
    #[test]
    fn messages_of_a_transfer() {
        let next = |bytes: &[u8]| match judge_next(bytes, 7, &question()) {
            Judged::Reply(_) => "reply",
            Judged::Malformed => "malformed",
            Judged::Bare(_) => "bare",
            Judged::Unrelated | Judged::Unproven => "unrelated",
        };
        let header = b"\0\x07\x84\0\0\0\0\0\0\0\0\0";
        assert_eq!(next(header), "reply");
        let rule = CookieRule::Ignore;
        assert!(matches!(
            judge(header, 7, &question(), rule),
            Judged::Unrelated
        ));
        // With the question, and with another one.
        let mut whole = query();
        whole[2] |= 0x80;
        assert_eq!(next(&whole), "reply");
        whole[14] ^= 1;
        assert_eq!(next(&whole), "unrelated");
        // Another id, a query, another opcode, a count that lies, no header.
        for (at, byte, is) in [
            (1, 8, "unrelated"),
            (2, 0x04, "unrelated"),
            (2, 0x94, "unrelated"),
            (7, 1, "malformed"),
            (3, 5, "reply"),
        ] {
            let mut other = *header;
            other[at] = byte;
            assert_eq!(next(&other), is, "byte {at}");
        }
        assert_eq!(next(&header[..11]), "unrelated");
    }

    /// A failure counts without the question; a yes and a no do not.
    #[test]
    fn failures_without_the_question() {
        for rcode in 0..16 {
            let mut bytes = *b"\0\x07\x84\0\0\0\0\0\0\0\0\0";
            bytes[3] = rcode;
            let bare = |rule| matches!(judge(&bytes, 7, &question(), rule), Judged::Bare(_));
            let expected = !matches!(rcode, 0 | 3);
            assert_eq!(bare(CookieRule::Ignore), expected, "{rcode}");
            assert_eq!(
                bare(CookieRule::IfPresent(b"ourcooki")),
                expected,
                "{rcode}"
            );
            assert!(!bare(CookieRule::Required(b"ourcooki")), "{rcode}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tail in proptest::collection::vec(any::<u8>(), 0..300), counts in any::<[u8; 6]>()) {
            let mut bytes = query();
            bytes[2] |= 0x80;
            bytes[6..12].copy_from_slice(&counts);
            bytes.extend(&tail);
            for bytes in [&bytes, &tail] {
                if let Judged::Reply(reply) = judge(bytes, 7, &question(), CookieRule::Ignore) {
                    for record in reply.answer {
                        let _ = (record.any_text(), record.target());
                    }
                }
                let _ = judge_next(bytes, 7, &question());
            }
        }
    }
}
