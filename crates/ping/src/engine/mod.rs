//! The engine: an event loop on one thread, with non-blocking sockets and
//! absolute deadlines.
//!
//! Each turn asks the [`Schedule`] for the probes that are due, sends them in one
//! call, and receives the messages that have arrived in another ([`send`],
//! [`recv`]). If no probe is due, it waits for the sockets until the schedule's
//! next action or the next timeout. The [`ProbeTracker`] matches messages with
//! probes; the engine reports the outcomes to the schedule and the observer.

mod recv;
mod send;

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;
use std::time::Duration;

use common::app::Io;
use common::{Error, Result};
use net::poll::{self, PollFd, PollFlags};
use net::signal::{self, Signals};
use net::sys::RecvBatch;

use crate::clock::{Clock, Nanos, TimestampMapper};
use crate::event::{Event, Observer, RejectedOperand};
use crate::packet::{IpVersion, Template};
use crate::schedule::{Action, ProbeOutcome, Schedule};
use crate::send_batch::SendBatch;
use crate::socket::IcmpSocket;
use crate::target::TargetId;
use crate::tracker::ProbeTracker;

/// Waits shorter than this are spent polling the sockets, because the system
/// would oversleep.
const SPIN: Nanos = 15_000;

/// While replies arrive faster than they are read, a probe is given up this long
/// after its timeout.
const OVERLOAD_GRACE: Nanos = 1_000_000_000;

/// A socket of one IP version with the probes that it is about to send.
#[derive(Debug)]
pub(crate) struct Channel {
    version: IpVersion,
    socket: IcmpSocket,
    /// The ICMP identifier of probes from a raw socket.
    identifier: u16,
    template: Template,
    send_batch: SendBatch,
    /// The numbers of the probes in the send batch.
    outgoing: Vec<u64>,
    /// Whether a probe has been sent.
    is_used: bool,
    /// The last value of the socket's drop counter.
    drops: u32,
    /// Whether a socket filter drops the replies to other processes.
    is_filtered: bool,
}

impl Channel {
    /// Creates a channel over an open socket.
    pub(crate) fn new(
        version: IpVersion,
        socket: IcmpSocket,
        identifier: u16,
        template: Template,
    ) -> Self {
        Self {
            version,
            socket,
            identifier,
            template,
            send_batch: SendBatch::default(),
            outgoing: Vec::new(),
            is_used: false,
            drops: 0,
            is_filtered: false,
        }
    }

    /// Returns the IP version of the socket.
    pub(crate) fn version(&self) -> IpVersion {
        self.version
    }
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The schedule is done or the observer is satisfied.
    Done,
    /// The deadline of the run has passed.
    Deadline,
    /// SIGINT or SIGTERM was received.
    Interrupted,
}

/// The sizes of the engine's buffers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BufferSizes {
    /// The maximum number of probes that one call sends.
    pub(crate) batch: usize,
    /// The length of the longest message to receive, in bytes.
    pub(crate) max_message: usize,
}

/// Sends probes and receives replies.
#[derive(Debug)]
pub(crate) struct Engine {
    clock: Clock,
    timestamps: TimestampMapper,
    channels: Vec<Channel>,
    signals: Signals,
    /// The targets and probes of the run.
    pub(crate) tracker: ProbeTracker,
    recv_batch: RecvBatch,
    batch: usize,
    /// The maximum number of messages to receive before signals, the deadline
    /// and due probes are handled.
    pass_limit: usize,
    /// The time of this turn, for purposes that need no better precision.
    now: Nanos,
}

/// The objects of a run that most methods need.
struct RunContext<'a> {
    schedule: &'a mut dyn Schedule,
    observer: &'a mut dyn Observer,
    io: &'a mut Io,
}

impl Engine {
    /// Creates an engine over open sockets.
    pub(crate) fn new(
        clock: Clock,
        channels: Vec<Channel>,
        signals: Signals,
        tracker: ProbeTracker,
        sizes: BufferSizes,
    ) -> Self {
        // At most 256 KiB for large messages, and more slots than probes in a
        // batch, so that a call that does not fill them all has read everything.
        let max_slots = 2 * sizes.batch.max(2);
        let slots = (256 * 1024 / sizes.max_message.max(1)).clamp(1, max_slots);
        Self {
            clock,
            timestamps: TimestampMapper::new(clock),
            channels,
            signals,
            tracker,
            recv_batch: recv::batch(slots, sizes.max_message),
            batch: sizes.batch,
            pass_limit: recv::PASS_LIMIT,
            now: 0,
        }
    }

    /// Returns the number of replies that reached this host and found the
    /// receive buffer of a socket full.
    pub(crate) fn dropped_replies(&self) -> u64 {
        let channels = self.channels.iter().filter(|channel| channel.drops > 0);
        channels
            .map(|channel| {
                u64::from(channel.drops).saturating_sub(channel.socket.checksum_errors())
            })
            .sum()
    }

    /// Runs the event loop until the schedule is done, the deadline passes, or a
    /// signal arrives.
    pub(crate) fn run(
        &mut self,
        schedule: &mut dyn Schedule,
        observer: &mut dyn Observer,
        io: &mut Io,
    ) -> Result<StopReason> {
        let context = &mut RunContext {
            schedule,
            observer,
            io,
        };
        loop {
            if self.handle_signals(context)? {
                self.receive_all(context)?;
                return Ok(StopReason::Interrupted);
            }
            let deadline = context.schedule.deadline();
            if deadline.is_some_and(|deadline| self.clock.now() >= deadline) {
                self.receive_all(context)?;
                return Ok(StopReason::Deadline);
            }
            if context.observer.is_satisfied() {
                return Ok(StopReason::Done);
            }
            let next = self.queue_due_probes(context)?;
            if context.observer.release_deadline().is_some() {
                let targets = &self.tracker.targets;
                context.observer.release(context.io, self.clock, targets)?;
            }
            if self.queued_probes() > 0 {
                for channel in 0..self.channels.len() {
                    self.send(channel, context)?;
                }
                self.receive_all(context)?;
            } else {
                match next {
                    Action::Done if !context.observer.is_holding() => return Ok(StopReason::Done),
                    Action::WaitUntil(at) => self.wait(Some(at), context)?,
                    _ => self.wait(None, context)?,
                }
            }
            self.expire(context)?;
        }
    }

    /// Handles pending signals. Returns whether one of them ends the run.
    fn handle_signals(&mut self, context: &mut RunContext<'_>) -> Result<bool> {
        if !self.signals.pending() {
            return Ok(false);
        }
        for signal in self.signals.take() {
            if signal != signal::SIGQUIT {
                return Ok(true);
            }
            let overdue = self.tracker.count_overdue(self.clock.now());
            let targets = &self.tracker.targets;
            context.observer.snapshot(context.io, targets, &overdue)?;
        }
        Ok(false)
    }

    fn queued_probes(&self) -> usize {
        let channels = self.channels.iter();
        channels.map(|channel| channel.outgoing.len()).sum()
    }

    /// Puts the probes that are due into the send batches. Returns the action
    /// that is not due yet.
    fn queue_due_probes(&mut self, context: &mut RunContext<'_>) -> Result<Action> {
        let now = self.clock.now();
        self.now = now;
        while self.queued_probes() < self.batch {
            match context.schedule.next_action(now, &mut self.tracker.targets) {
                Action::SendProbe { target, size } => self.queue_probe(target, size, context)?,
                Action::ReportOutstanding { target } => {
                    if let Some(seq) = self.tracker.last_unanswered(target) {
                        self.notify(target, &Event::Outstanding { seq }, context)?;
                    }
                }
                Action::Reject(error) => {
                    let rejected = RejectedOperand::new(error);
                    let observer = &mut context.observer;
                    observer.operand_rejected(context.io, self.clock, &rejected)?;
                }
                other => return Ok(other),
            }
        }
        Ok(Action::WaitForEvent)
    }

    fn queue_probe(&mut self, id: TargetId, size: u16, context: &mut RunContext<'_>) -> Result<()> {
        let Some(target) = self.tracker.targets.get(id) else {
            return Ok(());
        };
        if target.allocated == 0 {
            let observer = &mut context.observer;
            observer.target_started(context.io, self.clock, target)?;
        }
        let (version, to) = (target.version(), socket_addr(target.address, target.scope));
        let number = self.tracker.allocate(id, size);
        let mut channels = self.channels.iter_mut();
        let Some(channel) = channels.find(|channel| channel.version == version) else {
            self.mark_sent(number, self.clock.now(), context);
            return self.record_unsent(number, libc::EAFNOSUPPORT, None, context);
        };
        let size = usize::from(size);
        let cookie = self.tracker.cookies.make(number, size);
        channel.outgoing.push(number);
        channel.is_used = true;
        let template = &channel.template;
        channel.send_batch.push(to, |buffer| {
            template.write(buffer, size, number as u16, cookie);
        });
        Ok(())
    }

    /// Gives up the probes that have timed out. It receives all messages first,
    /// because a reply may have come since the sockets were last read.
    fn expire(&mut self, context: &mut RunContext<'_>) -> Result<()> {
        let timeout = context.schedule.timeout(&self.tracker.targets);
        let mut now = self.now;
        if self.tracker.has_expired(now, timeout) && !self.receive_all(context)? {
            now = now.saturating_sub(OVERLOAD_GRACE);
        }
        while let Some((id, seq, outcome)) = self.tracker.expire(now, timeout) {
            if outcome == ProbeOutcome::Lost {
                self.notify(id, &Event::Timeout { seq }, context)?;
            }
            self.settle(id, Some(outcome), context)?;
        }
        self.tracker.prune();
        Ok(())
    }

    /// Reports an event of a target to the observer.
    fn notify(&self, id: TargetId, event: &Event<'_>, context: &mut RunContext<'_>) -> Result<()> {
        match self.tracker.targets.get(id) {
            Some(target) => context
                .observer
                .event(context.io, self.clock, target, event),
            None => Ok(()),
        }
    }

    /// Reports the outcome of a probe to the schedule, and to the observer if it
    /// decides the target.
    fn settle(
        &mut self,
        id: TargetId,
        outcome: Option<ProbeOutcome>,
        context: &mut RunContext<'_>,
    ) -> Result<()> {
        let Some(outcome) = outcome else {
            return Ok(());
        };
        let targets = &mut self.tracker.targets;
        if targets.get(id).is_none_or(|target| target.is_decided) {
            return Ok(());
        }
        let now = self.now;
        if !context.schedule.probe_ended(id, outcome, now, targets) {
            return Ok(());
        }
        self.tracker.lose_overdue_of(id, now);
        if let Some(target) = self.tracker.targets.get_mut(id) {
            target.stats.end_outage(now);
            target.is_decided = true;
            let observer = &mut context.observer;
            observer.target_decided(context.io, self.clock, target)?;
        }
        Ok(())
    }

    /// Waits until a message arrives, another thread or a signal wakes the
    /// engine, the schedule's next action is due at `due`, or a timeout passes.
    /// Then receives the messages that have arrived.
    fn wait(&mut self, due: Option<Nanos>, context: &mut RunContext<'_>) -> Result<()> {
        let timeout = context.schedule.timeout(&self.tracker.targets);
        let deadlines = [
            due,
            self.tracker.probes.next_expiry(timeout),
            context.schedule.deadline(),
            context.observer.release_deadline(),
        ];
        let deadline = deadlines.into_iter().flatten().min();
        let now = self.clock.now();
        if deadline.is_some_and(|deadline| deadline < now + SPIN) {
            self.receive_all(context)?;
            return Ok(());
        }
        context.io.out.flush()?;
        let wakers = [context.schedule.wake_fd(), context.observer.wake_fd()];
        let sockets = self.channels.iter().map(|channel| channel.socket.as_fd());
        let mut fds: Vec<PollFd<'_>> = sockets
            .chain([self.signals.as_fd()])
            .chain(wakers.into_iter().flatten())
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        let limit = deadline.map(|deadline| deadline.saturating_sub(self.clock.now()));
        poll_fds(&mut fds, limit)?;
        self.now = self.clock.now();
        let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        for (index, ready) in (0..self.channels.len()).zip(ready) {
            if ready.intersects(PollFlags::ERR) {
                self.receive_errors(index, self.pass_limit, context)?;
            }
            if ready.intersects(PollFlags::IN | PollFlags::ERR) {
                self.receive(index, context)?;
            }
        }
        Ok(())
    }

    /// Waits until a message arrives or `limit` has passed.
    fn wait_for_messages(&self, limit: Nanos) -> Result<()> {
        let sockets = self.channels.iter().map(|channel| channel.socket.as_fd());
        let mut fds: Vec<PollFd<'_>> = sockets
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        poll_fds(&mut fds, Some(limit))
    }
}

/// Polls descriptors for `limit` nanoseconds, or without a limit. A signal ends
/// the call early.
fn poll_fds(fds: &mut [PollFd<'_>], limit: Option<Nanos>) -> Result<()> {
    poll::wait_once(fds, limit.map(Duration::from_nanos)).map_err(|e| Error::local(&e))?;
    Ok(())
}

fn socket_addr(address: IpAddr, scope: u32) -> SocketAddr {
    match address {
        IpAddr::V4(_) => SocketAddr::new(address, 0),
        IpAddr::V6(v6) => SocketAddrV6::new(v6, 0, 0, scope).into(),
    }
}

#[cfg(test)]
mod tests;
