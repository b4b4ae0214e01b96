//! Misbehaviours of a DNS server, each one or a few messages derived from the
//! correct answer. A resolver must ignore messages that do not answer its
//! question, report malformed answers, and accept unusual ones. Its own tests
//! define the expected reaction to each misbehaviour.

use std::time::Duration;

use super::Transport;
use super::behaviour::Action;
use super::wire::{Query, Record, Response, labels, rtype};
use super::zone::Zone;

/// A misbehaviour. Most apply to UDP only, and answers over a stream are correct.
/// `TruncatedAndStream...` sends a truncated answer over UDP and misbehaves on the
/// stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names describe the misbehaviour")]
pub enum Misbehaviour {
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

impl Misbehaviour {
    /// All misbehaviours, in the order of the variants.
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

    /// Returns the actions of this misbehaviour.
    pub(super) fn actions(self, query: &Query, transport: Transport, zone: &Zone) -> Vec<Action> {
        let correct = zone.answer(query);
        if transport != Transport::Udp {
            return self.over_a_stream(query, correct);
        }
        match self {
            Self::WrongPort => return vec![Action::SendFromElsewhere(correct.to_bytes())],
            Self::Silence => return Vec::new(),
            Self::Twice => {
                let twice = || Action::Send(correct.to_bytes());
                return vec![twice(), twice()];
            }
            Self::Late => {
                return vec![
                    Action::Pause(Duration::from_millis(1500)),
                    Action::Send(correct.to_bytes()),
                ];
            }
            Self::FalseFirst => {
                let mut other = query.response().rcode(3);
                other.id ^= 0x5555;
                return vec![
                    Action::Send(other.to_bytes()),
                    Action::Send(correct.to_bytes()),
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
                actions.push(Action::Send(correct.to_bytes()));
                return actions;
            }
            _ => {}
        }
        let bytes = self
            .wrong_answer(query, &correct)
            .map(|response| response.to_bytes())
            .or_else(|| self.malformed_answer(query, &correct))
            .unwrap_or_else(|| correct.truncated().to_bytes());
        vec![Action::Send(bytes)]
    }

    /// Returns a well-formed message with wrong content.
    fn wrong_answer(self, query: &Query, correct: &Response) -> Option<Response> {
        let name = &query.name;
        let mut answer = correct.clone();
        match self {
            Self::WrongId => answer.id ^= 0x5555,
            Self::WrongName => {
                answer.question = Some((labels("unrelated.test"), query.qtype, query.class));
            }
            Self::ParentName => {
                let parent = name.split_once('.').map_or("", |(_, parent)| parent);
                answer.question = Some((labels(parent), query.qtype, query.class));
            }
            Self::WrongType => {
                answer.question = Some((query.name_wire.clone(), query.qtype ^ 32, query.class));
            }
            Self::WrongClass => answer.question = Some((query.name_wire.clone(), query.qtype, 3)),
            Self::WrongOpcode => answer.flags |= 4 << 11,
            Self::NotAReply => answer.flags &= !0x8000,
            Self::BareNoError => {
                answer = Response {
                    id: query.id,
                    flags: 0x8080,
                    ..Response::default()
                }
            }
            Self::NoQuestion => answer.question = None,
            Self::ForeignCookie => answer = answer.option(10, *b"notoursXservercookie"),
            Self::AliasLoop => {
                answer.answers = vec![
                    Record::new(name, rtype::CNAME, 60, labels("pool.test")),
                    Record::new("pool.test", rtype::CNAME, 60, query.name_wire.clone()),
                ];
            }
            Self::AliasToNowhere => {
                answer.answers = vec![Record::new(name, rtype::CNAME, 60, labels("away.example"))];
                // A server that follows aliases would return the target's records.
                answer.flags &= !0x0080;
            }
            Self::ForeignRecords => {
                answer.answers = vec![Record::new("other.test", query.qtype, 60, [192, 0, 2, 66])];
            }
            Self::OnlyInAdditional => {
                answer.additional = std::mem::take(&mut answer.answers);
            }
            Self::Referral => {
                answer.answers.clear();
                answer.authority = vec![Record::new("test", rtype::NS, 60, labels("ns.test"))];
            }
            Self::FormErrWithEdns if query.edns.is_some() => answer = query.response().rcode(1),
            Self::BadVersWithEdns if query.edns.is_some() => answer = query.response().rcode(16),
            Self::BareFormErrWithEdns if query.edns.is_some() => {
                answer = query.response().rcode(1);
                answer.question = None;
                answer.edns = None;
            }
            Self::FormErrWithEdns | Self::BadVersWithEdns | Self::BareFormErrWithEdns => {}
            Self::UnknownRcode => answer = query.response().rcode(13),
            _ => return None,
        }
        Some(answer)
    }

    /// Returns a malformed message.
    fn malformed_answer(self, query: &Query, correct: &Response) -> Option<Vec<u8>> {
        let message = correct.to_bytes();
        let mut empty = query.response();
        empty.edns = None;
        // A question and one answer with the given owner and data.
        let with_answer = |owner: &[u8], length: u16, data: &[u8], qtype: u16| {
            let mut bytes = empty.to_bytes();
            bytes[7] = 1;
            bytes.extend(owner);
            bytes.extend(qtype.to_be_bytes());
            bytes.extend([0, 1, 0, 0, 0, 60]);
            bytes.extend(length.to_be_bytes());
            bytes.extend(data);
            bytes
        };
        let end = empty.to_bytes().len() as u16;
        let pointer = |at: u16| (0xc000 | at).to_be_bytes();
        let address = [192, 0, 2, 66];
        let qtype = query.qtype;
        let owner_of_question: &[u8] = &[0xc0, 12];
        Some(match self {
            Self::Echo => query.bytes.clone(),
            Self::Empty => Vec::new(),
            Self::OneByte => message[..1].to_vec(),
            Self::ElevenBytes => message[..11].to_vec(),
            Self::TwoQuestions => {
                let mut bytes = empty.to_bytes();
                bytes[5] = 2;
                bytes.extend(&empty.to_bytes()[12..]);
                bytes
            }
            Self::QuestionMissing => message[..12].to_vec(),
            Self::PointerToItself => with_answer(&pointer(end), 4, &address, qtype),
            Self::PointerForward => with_answer(&pointer(end + 12), 4, &[1, b'a', 0, 0], qtype),
            Self::PointersInACircle => {
                let owner = [&[1, b'a'][..], &pointer(end)].concat();
                with_answer(&owner, 4, &address, qtype)
            }
            Self::PointerBeyondTheEnd => with_answer(&pointer(0x3fff), 4, &address, qtype),
            // The id and flags are not a valid name.
            Self::PointerIntoTheHeader => with_answer(&pointer(2), 4, &address, qtype),
            Self::ReservedLabel => with_answer(&[0x41, b'a', 0], 4, &address, qtype),
            Self::OverlongName => {
                let mut owner = Vec::new();
                for _ in 0..5 {
                    owner.push(63);
                    owner.extend([b'a'; 63]);
                }
                owner.push(0);
                with_answer(&owner, 4, &address, qtype)
            }
            Self::OverlongLabel => {
                let mut owner = vec![0x8a];
                owner.extend([b'a'; 138]);
                owner.push(0);
                with_answer(&owner, 4, &address, qtype)
            }
            Self::TooManyAnswers => {
                let mut bytes = with_answer(owner_of_question, 4, &address, qtype);
                bytes[7] = 3;
                bytes
            }
            Self::TooManyAdditional => {
                let mut bytes = with_answer(owner_of_question, 4, &address, qtype);
                bytes[11] = 9;
                bytes
            }
            Self::LengthBeyondTheEnd => with_answer(owner_of_question, 400, &address, qtype),
            Self::AddressTooShort => with_answer(owner_of_question, 3, &address[..3], qtype),
            Self::AddressTooLong => with_answer(owner_of_question, 5, &[192, 0, 2, 66, 1], qtype),
            Self::TargetPointsAtItself => {
                with_answer(owner_of_question, 2, &pointer(end + 12), rtype::CNAME)
            }
            Self::CutInARecord => {
                let bytes = with_answer(owner_of_question, 4, &address, qtype);
                bytes[..bytes.len() - 6].to_vec()
            }
            Self::TruncatedInARecord => {
                let mut bytes = with_answer(owner_of_question, 4, &address, qtype);
                bytes[2] |= 2;
                bytes.truncate(bytes.len() - 6);
                bytes
            }
            Self::TrailingBytes => [&message[..], b"trailing"].concat(),
            Self::ForeignClass => {
                let mut bytes = with_answer(owner_of_question, 4, &address, qtype);
                bytes[usize::from(end) + 5] = 3;
                bytes
            }
            _ => return None,
        })
    }

    fn over_a_stream(self, query: &Query, correct: Response) -> Vec<Action> {
        match self {
            Self::TruncatedAndStreamCloses => vec![Action::Close],
            Self::TruncatedAndStreamTrickles => vec![Action::Trickle(correct.to_bytes())],
            Self::TruncatedAndStreamTruncates => {
                vec![Action::Send(correct.truncated().to_bytes())]
            }
            Self::TruncatedAndStreamCutsShort => {
                vec![Action::CutShort(correct.to_bytes()), Action::Close]
            }
            Self::TruncatedAndStreamAnswersAnother => {
                let mut other = query.response().rcode(3);
                other.question = Some((labels("unrelated.test"), query.qtype, query.class));
                vec![
                    Action::Send(other.to_bytes()),
                    Action::Send(correct.to_bytes()),
                ]
            }
            _ => vec![Action::Send(correct.to_bytes())],
        }
    }
}
