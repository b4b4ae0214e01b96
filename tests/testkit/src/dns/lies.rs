//! The ways a server can lie, each a message or two made from the honest
//! answer. A resolver must ignore what is no answer to its question, give up
//! on what is broken, and not be led astray by what is only odd; which of the
//! three is for its own tests to say.

use std::time::Duration;

use super::Transport;
use super::behaviour::Action;
use super::wire::{Query, Record, Response, labels, rtype};
use super::zone::Zone;

/// One lie. Over a stream most servers here are honest: only the lies whose
/// names say so are told there, after a truncated answer over UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say what is wrong")]
pub enum Lie {
    WrongId,
    WrongName,
    ParentName,
    WrongType,
    WrongClass,
    WrongOpcode,
    WrongPort,
    NotAReply,
    Echo,
    Empty,
    OneByte,
    ElevenBytes,
    BareNoError,
    NoQuestion,
    TwoQuestions,
    QuestionMissing,
    ForeignCookie,
    Silence,
    ManyWrongIds,
    PointerToItself,
    PointerForward,
    PointersInACircle,
    PointerBeyondTheEnd,
    PointerIntoTheHeader,
    ReservedLabel,
    OverlongName,
    OverlongLabel,
    TooManyAnswers,
    TooManyAdditional,
    LengthBeyondTheEnd,
    AddressTooShort,
    AddressTooLong,
    TargetPointsAtItself,
    CutInARecord,
    TrailingBytes,
    FalseFirst,
    Twice,
    Late,
    AliasLoop,
    AliasToNowhere,
    ForeignRecords,
    ForeignClass,
    OnlyInAdditional,
    Referral,
    FormErrWithEdns,
    BadVersWithEdns,
    BareFormErrWithEdns,
    UnknownRcode,
    TruncatedAndStreamCloses,
    TruncatedAndStreamTrickles,
    TruncatedAndStreamTruncates,
    TruncatedAndStreamCutsShort,
    TruncatedAndStreamAnswersAnother,
    TruncatedInARecord,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 54] = [
        Self::WrongId,
        Self::WrongName,
        Self::ParentName,
        Self::WrongType,
        Self::WrongClass,
        Self::WrongOpcode,
        Self::WrongPort,
        Self::NotAReply,
        Self::Echo,
        Self::Empty,
        Self::OneByte,
        Self::ElevenBytes,
        Self::BareNoError,
        Self::NoQuestion,
        Self::TwoQuestions,
        Self::QuestionMissing,
        Self::ForeignCookie,
        Self::Silence,
        Self::ManyWrongIds,
        Self::PointerToItself,
        Self::PointerForward,
        Self::PointersInACircle,
        Self::PointerBeyondTheEnd,
        Self::PointerIntoTheHeader,
        Self::ReservedLabel,
        Self::OverlongName,
        Self::OverlongLabel,
        Self::TooManyAnswers,
        Self::TooManyAdditional,
        Self::LengthBeyondTheEnd,
        Self::AddressTooShort,
        Self::AddressTooLong,
        Self::TargetPointsAtItself,
        Self::CutInARecord,
        Self::TrailingBytes,
        Self::FalseFirst,
        Self::Twice,
        Self::Late,
        Self::AliasLoop,
        Self::AliasToNowhere,
        Self::ForeignRecords,
        Self::ForeignClass,
        Self::OnlyInAdditional,
        Self::Referral,
        Self::FormErrWithEdns,
        Self::BadVersWithEdns,
        Self::BareFormErrWithEdns,
        Self::UnknownRcode,
        Self::TruncatedAndStreamCloses,
        Self::TruncatedAndStreamTrickles,
        Self::TruncatedAndStreamTruncates,
        Self::TruncatedAndStreamCutsShort,
        Self::TruncatedAndStreamAnswersAnother,
        Self::TruncatedInARecord,
    ];

    /// What is put on the wire.
    pub(super) fn plan(self, query: &Query, transport: Transport, zone: &Zone) -> Vec<Action> {
        let honest = zone.answer(query);
        if transport != Transport::Udp {
            return self.over_a_stream(query, honest);
        }
        match self {
            Self::WrongPort => return vec![Action::SendFromElsewhere(honest.to_bytes())],
            Self::Silence => return Vec::new(),
            Self::Twice => {
                let twice = || Action::Send(honest.to_bytes());
                return vec![twice(), twice()];
            }
            Self::Late => {
                return vec![
                    Action::Pause(Duration::from_millis(1500)),
                    Action::Send(honest.to_bytes()),
                ];
            }
            Self::FalseFirst => {
                let mut other = query.response().rcode(3);
                other.id ^= 0x5555;
                return vec![
                    Action::Send(other.to_bytes()),
                    Action::Send(honest.to_bytes()),
                ];
            }
            Self::ManyWrongIds => {
                let mut actions: Vec<Action> = (1..100u16)
                    .map(|n| {
                        let mut other = query.response().rcode(3);
                        other.id = other.id.wrapping_add(n);
                        Action::Send(other.to_bytes())
                    })
                    .collect();
                actions.push(Action::Send(honest.to_bytes()));
                return actions;
            }
            _ => {}
        }
        let bytes = self
            .other_answer(query, &honest)
            .map(|response| response.to_bytes())
            .or_else(|| self.bytes(query, &honest))
            .unwrap_or_else(|| honest.truncated().to_bytes());
        vec![Action::Send(bytes)]
    }

    /// A message that is well-formed, and wrong all the same.
    fn other_answer(self, query: &Query, honest: &Response) -> Option<Response> {
        let name = &query.name;
        let mut lie = honest.clone();
        match self {
            Self::WrongId => lie.id ^= 0x5555,
            Self::WrongName => {
                lie.question = Some((labels("unrelated.test"), query.qtype, query.class));
            }
            Self::ParentName => {
                let parent = name.split_once('.').map_or("", |(_, parent)| parent);
                lie.question = Some((labels(parent), query.qtype, query.class));
            }
            Self::WrongType => {
                lie.question = Some((query.name_wire.clone(), query.qtype ^ 32, query.class));
            }
            Self::WrongClass => lie.question = Some((query.name_wire.clone(), query.qtype, 3)),
            Self::WrongOpcode => lie.flags |= 4 << 11,
            Self::NotAReply => lie.flags &= !0x8000,
            Self::BareNoError => {
                lie = Response {
                    id: query.id,
                    flags: 0x8080,
                    ..Response::default()
                }
            }
            Self::NoQuestion => lie.question = None,
            Self::ForeignCookie => lie = lie.option(10, *b"notoursXservercookie"),
            Self::AliasLoop => {
                lie.answers = vec![
                    Record::new(name, rtype::CNAME, 60, labels("pool.test")),
                    Record::new("pool.test", rtype::CNAME, 60, query.name_wire.clone()),
                ];
            }
            Self::AliasToNowhere => {
                lie.answers = vec![Record::new(name, rtype::CNAME, 60, labels("away.example"))];
                // A server that follows aliases would know what is there.
                lie.flags &= !0x0080;
            }
            Self::ForeignRecords => {
                lie.answers = vec![Record::new("other.test", query.qtype, 60, [192, 0, 2, 66])];
            }
            Self::OnlyInAdditional => {
                lie.additional = std::mem::take(&mut lie.answers);
            }
            Self::Referral => {
                lie.answers.clear();
                lie.authority = vec![Record::new("test", rtype::NS, 60, labels("ns.test"))];
            }
            Self::FormErrWithEdns if query.edns.is_some() => lie = query.response().rcode(1),
            Self::BadVersWithEdns if query.edns.is_some() => lie = query.response().rcode(16),
            Self::BareFormErrWithEdns if query.edns.is_some() => {
                lie = query.response().rcode(1);
                lie.question = None;
                lie.edns = None;
            }
            Self::FormErrWithEdns | Self::BadVersWithEdns | Self::BareFormErrWithEdns => {}
            Self::UnknownRcode => lie = query.response().rcode(13),
            _ => return None,
        }
        Some(lie)
    }

    /// A message that is not well-formed.
    fn bytes(self, query: &Query, honest: &Response) -> Option<Vec<u8>> {
        let whole = honest.to_bytes();
        let mut bare = query.response();
        bare.edns = None;
        // A question and one answer, whose owner and data are to be lied about.
        let one = |owner: &[u8], length: u16, data: &[u8], qtype: u16| {
            let mut bytes = bare.to_bytes();
            bytes[7] = 1;
            bytes.extend(owner);
            bytes.extend(qtype.to_be_bytes());
            bytes.extend([0, 1, 0, 0, 0, 60]);
            bytes.extend(length.to_be_bytes());
            bytes.extend(data);
            bytes
        };
        let here = bare.to_bytes().len() as u16;
        let pointer = |at: u16| (0xc000 | at).to_be_bytes();
        let address = [192, 0, 2, 66];
        let qtype = query.qtype;
        let asked: &[u8] = &[0xc0, 12];
        Some(match self {
            Self::Echo => query.bytes.clone(),
            Self::Empty => Vec::new(),
            Self::OneByte => whole[..1].to_vec(),
            Self::ElevenBytes => whole[..11].to_vec(),
            Self::TwoQuestions => {
                let mut bytes = bare.to_bytes();
                bytes[5] = 2;
                bytes.extend(&bare.to_bytes()[12..]);
                bytes
            }
            Self::QuestionMissing => whole[..12].to_vec(),
            Self::PointerToItself => one(&pointer(here), 4, &address, qtype),
            Self::PointerForward => one(&pointer(here + 12), 4, &[1, b'a', 0, 0], qtype),
            Self::PointersInACircle => {
                let owner = [&[1, b'a'][..], &pointer(here)].concat();
                one(&owner, 4, &address, qtype)
            }
            Self::PointerBeyondTheEnd => one(&pointer(0x3fff), 4, &address, qtype),
            // The id and flags, read as labels, lead anywhere but to a name.
            Self::PointerIntoTheHeader => one(&pointer(2), 4, &address, qtype),
            Self::ReservedLabel => one(&[0x41, b'a', 0], 4, &address, qtype),
            Self::OverlongName => {
                let mut owner = Vec::new();
                for _ in 0..5 {
                    owner.push(63);
                    owner.extend([b'a'; 63]);
                }
                owner.push(0);
                one(&owner, 4, &address, qtype)
            }
            Self::OverlongLabel => {
                let mut owner = vec![0x8a];
                owner.extend([b'a'; 138]);
                owner.push(0);
                one(&owner, 4, &address, qtype)
            }
            Self::TooManyAnswers => {
                let mut bytes = one(asked, 4, &address, qtype);
                bytes[7] = 3;
                bytes
            }
            Self::TooManyAdditional => {
                let mut bytes = one(asked, 4, &address, qtype);
                bytes[11] = 9;
                bytes
            }
            Self::LengthBeyondTheEnd => one(asked, 400, &address, qtype),
            Self::AddressTooShort => one(asked, 3, &address[..3], qtype),
            Self::AddressTooLong => one(asked, 5, &[192, 0, 2, 66, 1], qtype),
            Self::TargetPointsAtItself => one(asked, 2, &pointer(here + 12), rtype::CNAME),
            Self::CutInARecord => {
                let bytes = one(asked, 4, &address, qtype);
                bytes[..bytes.len() - 6].to_vec()
            }
            Self::TruncatedInARecord => {
                let mut bytes = one(asked, 4, &address, qtype);
                bytes[2] |= 2;
                bytes.truncate(bytes.len() - 6);
                bytes
            }
            Self::TrailingBytes => [&whole[..], b"and more"].concat(),
            Self::ForeignClass => {
                let mut bytes = one(asked, 4, &address, qtype);
                bytes[usize::from(here) + 5] = 3;
                bytes
            }
            _ => return None,
        })
    }

    fn over_a_stream(self, query: &Query, honest: Response) -> Vec<Action> {
        match self {
            Self::TruncatedAndStreamCloses => vec![Action::Close],
            Self::TruncatedAndStreamTrickles => vec![Action::Trickle(honest.to_bytes())],
            Self::TruncatedAndStreamTruncates => {
                vec![Action::Send(honest.truncated().to_bytes())]
            }
            Self::TruncatedAndStreamCutsShort => {
                vec![Action::CutShort(honest.to_bytes()), Action::Close]
            }
            Self::TruncatedAndStreamAnswersAnother => {
                let mut other = query.response().rcode(3);
                other.question = Some((labels("unrelated.test"), query.qtype, query.class));
                vec![
                    Action::Send(other.to_bytes()),
                    Action::Send(honest.to_bytes()),
                ]
            }
            _ => vec![Action::Send(honest.to_bytes())],
        }
    }
}
