//! The behaviours of the DNS server, from correct to hostile, and the actions
//! that implement them.

use std::time::Duration;

use super::Transport;
use super::misbehaviour::Misbehaviour;
use super::wire::{Query, Response, labels, rtype};
use super::zone::Zone;

/// The reaction of the server to one query.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// The correct answer from the table, truncated over UDP if necessary.
    Answer,
    /// This answer, truncated over UDP if necessary.
    Respond(Response),
    /// No answer. A stream stays open.
    Drop,
    /// The correct answer after this time.
    Delay(Duration),
    /// An empty answer with this RCODE: 1 FORMERR, 2 SERVFAIL, 4 NOTIMP, 5
    /// REFUSED.
    Rcode(u16),
    /// FORMERR in a bare header of twelve bytes, as from servers without EDNS.
    BareFormErr,
    /// The correct answer with another id.
    WrongId,
    /// The correct answer with another question.
    WrongQuestion,
    /// The correct answer from another port (over UDP).
    WrongSource,
    /// A wrong answer with another id, then the correct one.
    UnrelatedFirst,
    /// The correct answer twice.
    Twice,
    /// The first bytes of the correct answer.
    CutTo(usize),
    /// An answer with an owner name that is a compression pointer to itself.
    PointerLoop,
    /// An empty answer with TC set, whatever the transport.
    Truncate,
    /// Closes the connection; over UDP sends nothing.
    Close,
    /// The correct answer, then the end of the connection.
    AnswerThenClose,
    /// The correct answer, then a reset of the connection.
    AnswerThenReset,
    /// The correct answer, then `close_notify`, but no FIN.
    AnswerThenNotify,
    /// The correct answer, sent together with the next answer of the connection.
    Hold,
    /// The correct answer byte by byte, over a stream.
    Trickle,
    /// A misbehaviour from the list of [`Misbehaviour`].
    Misbehave(Misbehaviour),
    /// These messages unchanged (with a length prefix on a stream).
    Raw(Vec<Vec<u8>>),
    /// These messages, then the end of the connection.
    RawThenClose(Vec<Vec<u8>>),
}

/// A single action of the server.
#[derive(Debug)]
pub(super) enum Action {
    Send(Vec<u8>),
    SendFromElsewhere(Vec<u8>),
    Pause(Duration),
    Close,
    Reset,
    /// Send `close_notify`, but no FIN.
    CloseNotify,
    /// Send together with the next message, on a stream.
    Hold(Vec<u8>),
    /// Send byte by byte, on a stream.
    Trickle(Vec<u8>),
    /// Send all but the last byte, on a stream.
    CutShort(Vec<u8>),
}

/// The number of records in one message of a zone transfer.
const PER_MESSAGE: usize = 100;

/// Returns the actions of a behaviour.
pub(super) fn actions(
    behaviour: Behaviour,
    query: &Query,
    transport: Transport,
    zone: &Zone,
) -> Vec<Action> {
    let correct = || -> Vec<Action> {
        if query.qtype == rtype::AXFR && transport != Transport::Udp {
            let messages = zone.transfer(query, PER_MESSAGE);
            return messages
                .iter()
                .map(|m| Action::Send(m.to_bytes()))
                .collect();
        }
        vec![Action::Send(fit(zone.answer(query), query, transport))]
    };
    let one = |response: Response| vec![Action::Send(fit(response, query, transport))];
    match behaviour {
        Behaviour::Answer => correct(),
        Behaviour::Respond(response) => one(response),
        Behaviour::Drop => Vec::new(),
        Behaviour::Delay(time) => {
            let mut actions = vec![Action::Pause(time)];
            actions.extend(correct());
            actions
        }
        Behaviour::Rcode(rcode) => one(query.response().rcode(rcode)),
        Behaviour::BareFormErr => {
            let mut response = query.response().rcode(1);
            response.question = None;
            response.edns = None;
            one(response)
        }
        Behaviour::WrongId => {
            let mut response = zone.answer(query);
            response.id ^= 0x5555;
            one(response)
        }
        Behaviour::WrongQuestion => {
            let mut response = zone.answer(query);
            response.question = Some((labels("unrelated.test"), query.qtype, query.class));
            one(response)
        }
        Behaviour::WrongSource => {
            vec![Action::SendFromElsewhere(fit(
                zone.answer(query),
                query,
                transport,
            ))]
        }
        Behaviour::UnrelatedFirst => {
            let mut response = query.response().rcode(3);
            response.id ^= 0x5555;
            let mut actions = one(response);
            actions.extend(correct());
            actions
        }
        Behaviour::Twice => correct().into_iter().chain(correct()).collect(),
        Behaviour::CutTo(n) => {
            let mut bytes = zone.answer(query).to_bytes();
            bytes.truncate(n);
            vec![Action::Send(bytes)]
        }
        Behaviour::PointerLoop => vec![Action::Send(pointer_loop(query))],
        Behaviour::Truncate => one(zone.answer(query).truncated()),
        Behaviour::Close => vec![Action::Close],
        Behaviour::AnswerThenClose => then(correct(), Action::Close),
        Behaviour::AnswerThenReset => then(correct(), Action::Reset),
        Behaviour::AnswerThenNotify => then(correct(), Action::CloseNotify),
        Behaviour::Hold => vec![Action::Hold(zone.answer(query).to_bytes())],
        Behaviour::Trickle => vec![Action::Trickle(zone.answer(query).to_bytes())],
        Behaviour::Misbehave(misbehaviour) => misbehaviour.actions(query, transport, zone),
        Behaviour::Raw(messages) => messages.into_iter().map(Action::Send).collect(),
        Behaviour::RawThenClose(messages) => {
            let sends = messages.into_iter().map(Action::Send);
            sends.chain(std::iter::once(Action::Close)).collect()
        }
    }
}

fn then(mut actions: Vec<Action>, last: Action) -> Vec<Action> {
    actions.push(last);
    actions
}

/// Serializes a message, truncated if it is too large for a datagram.
fn fit(response: Response, query: &Query, transport: Transport) -> Vec<u8> {
    let bytes = response.to_bytes();
    let max = query.edns.as_ref().map_or(512, |edns| edns.size.max(512));
    if transport == Transport::Udp && bytes.len() > usize::from(max) {
        return response.truncated().to_bytes();
    }
    bytes
}

/// Returns an answer with one A record. Its owner is a compression pointer to
/// itself.
fn pointer_loop(query: &Query) -> Vec<u8> {
    let mut response = query.response();
    response.edns = None;
    let mut bytes = response.to_bytes();
    bytes[7] = 1;
    let here = bytes.len() as u16;
    bytes.extend((0xc000 | here).to_be_bytes());
    bytes.extend([0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1]);
    bytes
}
