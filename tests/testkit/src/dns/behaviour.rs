//! The ways a DNS server can answer, from honest to hostile, each turned into
//! what is put on the wire.

use std::time::Duration;

use super::Transport;
use super::lies::Lie;
use super::wire::{Query, Response, labels, rtype};
use super::zone::Zone;

/// What the server does with one query.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// The table's answer, truncated over UDP if it must be.
    Answer,
    /// This answer, truncated over UDP if it must be.
    Respond(Response),
    /// No answer; a stream stays open.
    Drop,
    /// The table's answer after this time.
    Delay(Duration),
    /// An empty answer with this RCODE: 1 FORMERR, 2 SERVFAIL, 4 NOTIMP, 5
    /// REFUSED.
    Rcode(u16),
    /// FORMERR in a bare header of twelve bytes, as servers without EDNS do.
    BareFormErr,
    /// The table's answer under another id.
    WrongId,
    /// The table's answer to another question than the asked one.
    WrongQuestion,
    /// The table's answer from another port (over UDP).
    WrongSource,
    /// A false answer under another id first, then the table's.
    UnrelatedFirst,
    /// The table's answer twice.
    Twice,
    /// The table's answer cut to its first bytes.
    Short(usize),
    /// An answer whose owner name is a compression pointer to itself.
    PointerLoop,
    /// An empty answer with TC set, whatever the transport.
    Truncate,
    /// The connection is closed; over UDP nothing happens.
    Close,
    /// The table's answer, and the connection is closed.
    AnswerThenClose,
    /// The table's answer, and the connection is reset.
    AnswerThenReset,
    /// The table's answer and the end of TLS, but not of TCP.
    AnswerThenNotify,
    /// The table's answer, but not before the next one of the connection, and
    /// in one piece with that.
    Hold,
    /// The table's answer byte by byte, over a stream.
    Trickle,
    /// One of the lies.
    Lie(Lie),
    /// These messages as they are (framed by their length on a stream).
    Raw(Vec<Vec<u8>>),
    /// These messages, then the end of the connection.
    RawThenClose(Vec<Vec<u8>>),
}

/// One step on the wire.
#[derive(Debug)]
pub(super) enum Action {
    Send(Vec<u8>),
    SendFromElsewhere(Vec<u8>),
    Pause(Duration),
    Close,
    Reset,
    /// The end of TLS alone.
    Notify,
    /// To be sent together with what follows, on a stream.
    Hold(Vec<u8>),
    /// Byte by byte, on a stream.
    Trickle(Vec<u8>),
    /// All but the last byte, on a stream.
    CutShort(Vec<u8>),
}

/// Records in one message of a zone transfer.
const PER_MESSAGE: usize = 100;

/// The steps that make up a behaviour.
pub(super) fn plan(
    behaviour: Behaviour,
    query: &Query,
    transport: Transport,
    zone: &Zone,
) -> Vec<Action> {
    let honest = || -> Vec<Action> {
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
        Behaviour::Answer => honest(),
        Behaviour::Respond(response) => one(response),
        Behaviour::Drop => Vec::new(),
        Behaviour::Delay(time) => {
            let mut actions = vec![Action::Pause(time)];
            actions.extend(honest());
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
            actions.extend(honest());
            actions
        }
        Behaviour::Twice => honest().into_iter().chain(honest()).collect(),
        Behaviour::Short(n) => {
            let mut bytes = zone.answer(query).to_bytes();
            bytes.truncate(n);
            vec![Action::Send(bytes)]
        }
        Behaviour::PointerLoop => vec![Action::Send(pointer_loop(query))],
        Behaviour::Truncate => one(zone.answer(query).truncated()),
        Behaviour::Close => vec![Action::Close],
        Behaviour::AnswerThenClose => then(honest(), Action::Close),
        Behaviour::AnswerThenReset => then(honest(), Action::Reset),
        Behaviour::AnswerThenNotify => then(honest(), Action::Notify),
        Behaviour::Hold => vec![Action::Hold(zone.answer(query).to_bytes())],
        Behaviour::Trickle => vec![Action::Trickle(zone.answer(query).to_bytes())],
        Behaviour::Lie(lie) => lie.plan(query, transport, zone),
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

/// The message, truncated if it is too large for a datagram.
fn fit(response: Response, query: &Query, transport: Transport) -> Vec<u8> {
    let bytes = response.to_bytes();
    let most = query.edns.as_ref().map_or(512, |edns| edns.size.max(512));
    if transport == Transport::Udp && bytes.len() > usize::from(most) {
        return response.truncated().to_bytes();
    }
    bytes
}

/// One A record whose owner points at its own first byte.
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
