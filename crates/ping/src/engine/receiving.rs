//! The engine's ear: what has arrived on the sockets and in their error
//! queues, read in batches, judged by the books, told to plan and observer.

use std::io;

use common::Result;

use super::{Engine, Parties};
use crate::control::{self, Control, ExtendedError, Origin};
use crate::event::{Event, Reply};
use crate::icmp::IcmpError;
use crate::packet;
use crate::plan::Settled;

/// [`Engine::pass`].
pub(super) const PASS: usize = 4096;

/// Errors of a socket in a row of which its error queue says nothing.
const ERRORS: u32 = 64;

/// The contents of an error queue.
#[derive(Debug, Default)]
pub(super) struct ErrorQueue {
    /// Number of errors.
    taken: usize,
    /// Whether any came from the network.
    pub(super) others: bool,
    /// The MTU, if the last local error said that a packet is too long.
    pub(super) too_long: Option<u32>,
}

impl Engine {
    /// Takes in what has arrived on the lines in use. Returns whether that is
    /// everything.
    pub(super) fn receive_all(&mut self, parties: &mut Parties<'_>) -> Result<bool> {
        let mut all = true;
        for index in 0..self.lines.len() {
            if self.lines[index].used {
                all &= self.receive(index, parties)?;
            }
        }
        Ok(all)
    }

    /// Takes in what has arrived, up to [`Engine::pass`] packets. Returns whether that
    /// is everything.
    pub(super) fn receive(&mut self, index: usize, parties: &mut Parties<'_>) -> Result<bool> {
        let (mut taken, mut errors) = (0, 0);
        while taken < self.pass {
            // As many as can have come; a look for more costs something.
            let most = usize::try_from(self.books.in_flight).unwrap_or(usize::MAX);
            let most = most.clamp(1, self.inbox.slots());
            let count = match self.inbox.receive(&self.lines[index].socket, false, most) {
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    // The error of a probe; what there is to know about it is
                    // in the error queue.
                    let queue = self.receive_errors(index, self.pass - taken, parties)?;
                    taken += queue.taken.max(1);
                    errors = if queue.others { 0 } else { errors + 1 };
                    if errors > ERRORS {
                        return Err(common::Error::local(&e).with_subject("ICMP socket"));
                    }
                    continue;
                }
            };
            self.now = self.stamps.refresh(self.clock);
            for slot in 0..count {
                self.reply(index, slot, parties)?;
            }
            if count < most || self.books.in_flight == 0 {
                return Ok(true);
            }
            taken += count;
        }
        Ok(false)
    }

    /// Deals with one packet.
    fn reply(&mut self, index: usize, slot: usize, parties: &mut Parties<'_>) -> Result<()> {
        let received = self.inbox.packet(slot);
        let control = control::parse(received.control);
        let line = &mut self.lines[index];
        if let Some(drops) = control.drops {
            line.drops = line.drops.max(drops);
        }
        let raw = line.socket.is_raw();
        let Some(from) = control::address(received.name).map(|name| name.ip()) else {
            return Ok(());
        };
        let Some(echo) = packet::reply(line.version, raw, received.data) else {
            let advice = packet::advice(received.data).filter(|_| raw);
            let advice = advice.filter(|advice| advice.request.id == line.id);
            let of = advice.and_then(|advice| {
                let number = self.books.quoted(&advice.request, advice.to.into())?;
                let (id, seq) = self.books.probe(number)?;
                Some((
                    id,
                    Event::Advice {
                        seq,
                        error: IcmpError {
                            version: line.version,
                            kind: advice.kind,
                            code: advice.code,
                            info: advice.info,
                            from: Some(from),
                        },
                    },
                ))
            });
            return match of {
                Some((id, event)) => self.tell(id, &event, parties),
                None => Ok(()),
            };
        };
        if raw && echo.id != line.id {
            if !line.alone {
                line.alone = true;
                let kept = line.socket.only_replies_to(line.id);
                kept.map_err(|e| common::Error::local(&e).with_subject("ICMP socket"))?;
            }
            return Ok(());
        }
        let timeout = parties.plan.timeout(&self.books.targets);
        let arrival = |sent| self.stamps.arrival(control.stamp, sent);
        let data = line.template.data();
        let Some(answer) = self.books.reply(&echo, from, data, timeout, arrival) else {
            return Ok(());
        };
        let reply = Reply {
            seq: answer.seq,
            from,
            foreign: answer.foreign,
            ident: echo.id,
            bytes: echo.data.len() + packet::HEADER,
            ttl: control.ttl.or(echo.ttl),
            rtt: answer.rtt,
            duplicate: answer.duplicate,
            reordered: answer.reordered,
            damage: answer.damage,
        };
        let event = if answer.late {
            Event::Late(reply)
        } else {
            Event::Reply(reply)
        };
        let (id, settled) = (answer.target, answer.settled);
        if let Some(target) = self.books.targets.get(id) {
            parties
                .observer
                .event(parties.io, self.clock, target, &event)?;
        }
        self.settle(id, settled, parties)
    }

    /// Takes in what the error queue of a socket holds, at most `most` errors.
    pub(super) fn receive_errors(
        &mut self,
        index: usize,
        most: usize,
        parties: &mut Parties<'_>,
    ) -> Result<ErrorQueue> {
        let mut queue = ErrorQueue::default();
        while queue.taken < most {
            let slots = self.inbox.slots();
            let count = match self.inbox.receive(&self.lines[index].socket, true, slots) {
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            queue.taken += count;
            self.now = self.stamps.refresh(self.clock);
            for slot in 0..count {
                let received = self.inbox.packet(slot);
                let Control {
                    error: Some(error),
                    stamp,
                    ..
                } = control::parse(received.control)
                else {
                    continue;
                };
                if error.origin == Origin::Local {
                    queue.too_long = Some(error.info).filter(|_| error.errno == libc::EMSGSIZE);
                    continue;
                }
                queue.others = true;
                let line = &self.lines[index];
                let to = control::address(received.name).map(|name| name.ip());
                let echo = packet::quoted(line.version, received.data);
                let (Some(to), Some(echo)) = (to, echo) else {
                    continue;
                };
                if line.socket.is_raw() && echo.id != line.id {
                    continue;
                }
                if let Some(number) = self.books.quoted(&echo, to) {
                    self.icmp_error(index, number, &error, stamp, parties)?;
                }
            }
        }
        Ok(queue)
    }

    fn icmp_error(
        &mut self,
        index: usize,
        number: u64,
        error: &ExtendedError,
        stamp: Option<u64>,
        parties: &mut Parties<'_>,
    ) -> Result<()> {
        let error = IcmpError {
            version: self.lines[index].version,
            kind: error.kind,
            code: error.code,
            info: error.info,
            from: error.offender,
        };
        if !error.is_error() {
            return match self.books.probe(number) {
                Some((id, seq)) => self.tell(id, &Event::Advice { seq, error }, parties),
                None => Ok(()),
            };
        }
        // A packet filter of this host answers before the call that sends has
        // returned.
        if let Some(at) = self.books.is_going_out(number) {
            self.mark_sent(number, at, parties);
            self.tell_sent(number, parties)?;
        }
        let sent = self.books.sent_at(number);
        let rtt = sent.map(|sent| self.stamps.arrival(stamp, sent).saturating_sub(sent));
        match self.books.failed(number, false) {
            Some((id, seq, settles)) => {
                if let Some(mtu) = error.mtu() {
                    parties.plan.too_big(id, mtu);
                } else if let Some(target) = self.books.targets.get_mut(id) {
                    target.last_error = Some(error);
                }
                self.tell(id, &Event::Icmp { seq, rtt, error }, parties)?;
                self.settle(id, settles.then_some(Settled::Failed), parties)
            }
            None => Ok(()),
        }
    }
}
