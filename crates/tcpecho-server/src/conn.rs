//! A connection's socket around its state machine.
//!
//! [`Conn::turn`] is all that happens when the socket is ready or a deadline
//! has come: send what waits, read once, send the answer, then ask the machine
//! what next. One read a turn is what keeps a fast peer from starving others.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::census::Census;
use crate::channel::{self, Channel};
use crate::event::{Event, Reason};
use crate::log::Log;
use crate::machine::{Machine, Rules, Step};
use crate::peer::Peer;
use crate::readiness::{Interest, Watched};
use crate::sys;

/// How long bytes on their way may get nowhere before their peer counts as
/// one that is behind: more than an acknowledgement is put off.
const STALL: Duration = Duration::from_millis(250);

/// Input discarded before a close, at most: more than a socket holds.
const DISCARDED: usize = 32 << 20;

/// What every connection of a server shares.
#[derive(Debug)]
pub(crate) struct Shared {
    /// How connections behave.
    pub(crate) rules: Rules,
    /// Where events go.
    pub(crate) log: Log,
    /// Who is here.
    pub(crate) census: Census,
    /// How connections are encrypted, if they are.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::Settings>,
}

/// How connections are ended from this side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// When they are over in any case.
    pub(crate) limit: Duration,
    /// Only those whose peers are behind with reading.
    pub(crate) owed_only: bool,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn<S: AsFd> {
    socket: Watched<S>,
    channel: Channel,
    machine: Machine,
    peer: Peer,
    /// In the last part of a drain: bytes that had arrived at the latest look,
    /// and since when there have been no more.
    arrived: Option<(i64, Duration)>,
    /// The deadline the worker's timer list has for it.
    pub(crate) armed: Option<Duration>,
}

impl<S: AsFd> Conn<S> {
    /// Connection `number` with its registered socket.
    pub(crate) fn new(
        socket: Watched<S>,
        channel: Channel,
        peer: Peer,
        number: u64,
        shared: &Shared,
        now: Duration,
    ) -> Self {
        Self {
            socket,
            channel,
            machine: Machine::new(&shared.rules, number, now),
            peer,
            arrived: None,
            armed: None,
        }
    }

    /// Does what can be done now. The reason, if that ended the connection.
    pub(crate) fn turn(
        &mut self,
        shared: &Shared,
        scratch: &mut [u8],
        now: Duration,
    ) -> Option<Reason> {
        let before = self.machine.bytes();
        self.exchange(shared, scratch, now);
        let after = self.machine.bytes();
        shared
            .census
            .moved((after.0 - before.0) as usize, (after.1 - before.1) as usize);
        self.settle(shared, now)
    }

    /// A deadline has come.
    pub(crate) fn timeout(
        &mut self,
        shared: &Shared,
        scratch: &mut [u8],
        now: Duration,
    ) -> Option<Reason> {
        self.machine.timeout(&shared.rules, now);
        if self.channel.has_input() {
            return self.turn(shared, scratch, now);
        }
        let before = self.machine.bytes();
        self.send_unsent(now);
        let after = self.machine.bytes();
        shared.census.moved(0, (after.1 - before.1) as usize);
        self.settle(shared, now)
    }

    /// Ends it from this side, if the cut is meant for it.
    pub(crate) fn cut(&mut self, shared: &Shared, cut: Cut, now: Duration) -> Option<Reason> {
        if !cut.owed_only || self.is_behind(now) {
            self.machine.cut(cut.limit);
        }
        self.settle(shared, now)
    }

    /// Why it ends if it is ended now, at the end of the run.
    pub(crate) fn abandoned(&self) -> Reason {
        self.machine.abandoned()
    }

    /// Whether the peer does not take what is for it: the socket has no room,
    /// or nothing has arrived for a while of what is on its way. Bytes in
    /// flight alone say nothing, every healthy peer has some.
    fn is_behind(&mut self, now: Duration) -> bool {
        if !self.machine.is_open() {
            return false;
        }
        if self.machine.owes() || self.channel.wants_room() {
            return true;
        }
        let in_flight = sys::unsent(self.socket.get()).cast_signed() as i64;
        let arrived = self.machine.bytes().1.cast_signed() - in_flight;
        match self.arrived {
            // Records are longer than what they carry, so it may get less.
            Some((before, since)) if in_flight > 0 && arrived <= before => now >= since + STALL,
            _ => {
                self.arrived = Some((arrived, now));
                false
            }
        }
    }

    /// When it wants to be looked at without an event.
    pub(crate) fn deadline(&self, shared: &Shared, now: Duration) -> Option<Duration> {
        // What the channel has to say comes first, and writability tells when
        // it can.
        if self.channel.has_input()
            && !self.channel.wants_room()
            && self.machine.read_limit(&shared.rules, now) > 0
        {
            return Some(now);
        }
        self.machine.deadline(&shared.rules, now)
    }

    /// Tells the log and the census that it is gone. True if the accepting
    /// loop wants to hear of it.
    pub(crate) fn farewell(&self, shared: &Shared, reason: Reason, now: Duration) -> bool {
        let (bytes_in, bytes_out) = self.machine.bytes();
        shared.log.event(&Event::Closed {
            peer: &self.peer,
            bytes_in,
            bytes_out,
            duration: self.machine.age(now),
            reason,
        });
        shared.census.leave(&self.peer, reason)
    }

    /// Sends what waits, reads once, answers.
    fn exchange(&mut self, shared: &Shared, scratch: &mut [u8], now: Duration) {
        if let Err(e) = self.channel.proceed(self.socket.get()) {
            return self.machine.failed(reason_of(e));
        }
        if self.channel.wants_room() || !self.channel.is_open() {
            return;
        }
        self.send_unsent(now);
        let limit = self.machine.read_limit(&shared.rules, now);
        if limit > 0 {
            let limit = limit.min(scratch.len());
            self.receive(shared, &mut scratch[..limit], now);
        } else if self.socket.interest() == Interest::Nothing {
            self.look_for_failure();
        }
    }

    fn send_unsent(&mut self, now: Duration) {
        while self.channel.is_open() && !self.machine.unsent().is_empty() {
            match self.channel.send(self.socket.get(), self.machine.unsent()) {
                Ok(n) => self.machine.sent_unsent(n, now),
                Err(Errno::AGAIN) => return,
                Err(e) => return self.machine.failed(reason_of(e)),
            }
        }
    }

    /// One read and its answer.
    fn receive(&mut self, shared: &Shared, scratch: &mut [u8], now: Duration) {
        let n = match self.channel.recv(self.socket.get(), scratch) {
            Ok(0) => return self.machine.eof(),
            Ok(n) => n,
            Err(Errno::AGAIN) => return,
            Err(e) => return self.machine.failed(reason_of(e)),
        };
        let chunk = &mut scratch[..n];
        // What is only discarded at the end was not taken in.
        if self.machine.is_open() {
            let protocol = self.peer.protocol();
            shared.log.received(&self.peer, protocol, chunk);
        }
        let answer = self.machine.received(&shared.rules, chunk, now);
        if answer.is_empty() {
            return self.send_unsent(now);
        }
        match self.channel.send(self.socket.get(), answer) {
            Ok(n) => self.machine.sent(answer, n, now),
            Err(Errno::AGAIN) => self.machine.sent(answer, 0, now),
            Err(e) => self.machine.failed(reason_of(e)),
        }
    }

    /// An event although nothing was waited for can only be the end: a reset,
    /// or an error that sits on the socket.
    fn look_for_failure(&mut self) {
        match rustix::net::sockopt::socket_error(self.socket.get()) {
            Ok(Ok(())) => {
                let mut byte = [0];
                // A look, not a read: what is there stays there.
                match rustix::net::recv(
                    self.socket.get(),
                    &mut byte[..],
                    RecvFlags::PEEK | RecvFlags::DONTWAIT,
                ) {
                    Ok(_) | Err(Errno::AGAIN) => {}
                    Err(e) => self.machine.failed(reason_of(e)),
                }
            }
            Ok(Err(e)) | Err(e) => self.machine.failed(reason_of(e)),
        }
    }

    /// Follows the machine until it waits or ends.
    fn settle(&mut self, shared: &Shared, now: Duration) -> Option<Reason> {
        loop {
            let interest = match self.machine.step(&shared.rules, now) {
                // What the channel has to say comes first.
                Step::Wait(_) if self.channel.wants_room() => Interest::Write,
                Step::Wait(_) if !self.channel.is_open() => Interest::Read,
                Step::Wait(interest) => interest,
                Step::Shutdown => {
                    if let Err(e) = self.channel.shutdown(self.socket.get()) {
                        self.machine.failed(reason_of(e));
                    }
                    continue;
                }
                Step::Close(reason) if self.is_said(reason) => {
                    if matches!(reason, Reason::Drain | Reason::MaxBytes) {
                        self.discard_input();
                    }
                    return Some(reason);
                }
                Step::Close(_) => Interest::Write,
                Step::Reset(reason) => {
                    // Closing with a linger time of zero sends a reset.
                    let zero = Some(Duration::ZERO);
                    let _ = rustix::net::sockopt::set_socket_linger(self.socket.get(), zero);
                    return Some(reason);
                }
            };
            if self.socket.set(interest).is_ok() {
                return None;
            }
            self.machine.failed(Reason::Error);
        }
    }

    /// Takes what has come and nobody wants: closed with it, the socket would
    /// send a reset, and what is still on its way to the peer would be lost.
    fn discard_input(&self) {
        let mut scratch = [0; 16 * 1024];
        let mut discarded = 0;
        while discarded < DISCARDED
            && let Ok(n @ 1..) = channel::recv(self.socket.get(), &mut scratch)
        {
            discarded += n;
        }
    }

    /// Whether an orderly end has gone out, as far as this channel has one.
    fn is_said(&mut self, reason: Reason) -> bool {
        let orderly = matches!(reason, Reason::Eof | Reason::MaxBytes);
        !orderly || self.channel.farewell(self.socket.get()).is_err() || !self.channel.wants_room()
    }
}

fn reason_of(error: Errno) -> Reason {
    match error {
        Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED | Errno::NOTCONN => Reason::Reset,
        _ => Reason::Error,
    }
}
