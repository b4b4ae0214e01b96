//! The receive half of the engine: reads messages from the sockets and their
//! error queues in batches, has the tracker match them with probes, and reports
//! the results to the schedule and the observer.

use std::io;

use common::{Error, Result};
use net::sys::{RecvBatch, RecvLayout};

use super::{Engine, RunContext};
use crate::control::{self, Control, ExtendedError, Origin};
use crate::event::{Event, Reply};
use crate::icmp::IcmpError;
use crate::packet;
use crate::platform;
use crate::schedule::ProbeOutcome;

/// The value of [`Engine::pass_limit`] outside tests.
pub(super) const PASS_LIMIT: usize = 4096;

/// The maximum number of consecutive receive errors for which the error queue
/// has no message.
const MAX_UNEXPLAINED_ERRORS: u32 = 64;

/// The room for the control messages of one packet, in bytes. A timestamp, a TTL, a
/// drop count and an extended error with its address need 176.
const CONTROL: usize = 256;

/// Creates the receive buffers for `slots` packets of `size` bytes.
pub(super) fn batch(slots: usize, size: usize) -> RecvBatch {
    RecvBatch::new(RecvLayout {
        slots,
        size,
        control: CONTROL,
        has_address: true,
    })
}

/// A summary of the errors that were read from an error queue.
#[derive(Debug, Default)]
pub(super) struct QueuedErrors {
    /// The number of errors.
    count: usize,
    /// Whether any of them came from the network.
    pub(super) has_network_error: bool,
    /// The MTU, if the last local error is that a packet is too long.
    pub(super) local_mtu: Option<u32>,
}

impl Engine {
    /// Receives from the channels in use. Returns whether everything has been
    /// read.
    pub(super) fn receive_all(&mut self, context: &mut RunContext<'_>) -> Result<bool> {
        let mut is_drained = true;
        for index in 0..self.channels.len() {
            if self.channels[index].is_used {
                is_drained &= self.receive(index, context)?;
            }
        }
        Ok(is_drained)
    }

    /// Receives at most [`Engine::pass_limit`] messages from a channel. Returns
    /// whether everything has been read.
    pub(super) fn receive(&mut self, index: usize, context: &mut RunContext<'_>) -> Result<bool> {
        let (mut received, mut unexplained_errors) = (0, 0);
        while received < self.pass_limit {
            // As many messages as replies may come, since larger batches cost
            // more.
            let max = usize::try_from(self.tracker.in_flight).unwrap_or(usize::MAX);
            let max = max.clamp(1, self.recv_batch.slots());
            let socket = &self.channels[index].socket;
            let count = match self.recv_batch.receive(socket, max) {
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    // The error of a probe. The error queue has the details.
                    let errors = self.receive_errors(index, self.pass_limit - received, context)?;
                    received += errors.count.max(1);
                    unexplained_errors = if errors.has_network_error {
                        0
                    } else {
                        unexplained_errors + 1
                    };
                    if unexplained_errors > MAX_UNEXPLAINED_ERRORS {
                        return Err(Error::local(&e).with_subject("ICMP socket"));
                    }
                    continue;
                }
            };
            self.now = self.timestamps.refresh(self.clock);
            for slot in 0..count {
                self.handle_message(index, slot, context)?;
            }
            if count < max || self.tracker.in_flight == 0 {
                return Ok(true);
            }
            received += count;
        }
        Ok(false)
    }

    /// Handles one message of the receive batch.
    fn handle_message(
        &mut self,
        index: usize,
        slot: usize,
        context: &mut RunContext<'_>,
    ) -> Result<()> {
        let received = self.recv_batch.packet(slot);
        let control = control::parse(received.control);
        let channel = &mut self.channels[index];
        if let Some(drops) = control.drops {
            channel.drops = channel.drops.max(drops);
        }
        let (is_raw, has_ip_header) = (channel.socket.is_raw(), channel.socket.has_ip_header());
        let Some(from) = received.address().map(|name| name.ip()) else {
            return Ok(());
        };
        let Some(echo) = packet::reply(channel.version, has_ip_header, received.data) else {
            return self.handle_notice(index, slot, context);
        };
        if is_raw && echo.id != channel.identifier {
            if !channel.is_filtered {
                channel.is_filtered = true;
                let filtered = channel.socket.accept_only_replies_to(channel.identifier);
                filtered.map_err(|e| Error::local(&e).with_subject("ICMP socket"))?;
            }
            return Ok(());
        }
        let timeout = context.schedule.timeout(&self.tracker.targets);
        let arrival = |sent_at| self.timestamps.arrival(control.timestamp, sent_at);
        let data = channel.template.data();
        let matched = self
            .tracker
            .match_reply(&echo, from, data, timeout, arrival);
        let Some(matched) = matched else {
            return Ok(());
        };
        let reply = Reply {
            seq: matched.seq,
            from,
            is_foreign: matched.is_foreign,
            identifier: echo.id,
            bytes: echo.data.len() + packet::HEADER,
            ttl: control.ttl.or(echo.ttl),
            rtt: matched.rtt,
            is_duplicate: matched.is_duplicate,
            is_reordered: matched.is_reordered,
            corruption: matched.corruption,
        };
        let event = if matched.is_late {
            Event::LateReply(reply)
        } else {
            Event::Reply(reply)
        };
        let (id, outcome) = (matched.target, matched.outcome);
        if let Some(target) = self.tracker.targets.get(id) {
            context
                .observer
                .event(context.io, self.clock, target, &event)?;
        }
        self.settle(id, outcome, context)
    }

    /// Handles a message that is not an echo reply. Raw IPv4 sockets receive
    /// redirects and source quenches this way.
    fn handle_notice(
        &mut self,
        index: usize,
        slot: usize,
        context: &mut RunContext<'_>,
    ) -> Result<()> {
        if !platform::HAS_ERROR_QUEUE && self.handle_error_message(index, slot, context)? {
            return Ok(());
        }
        let received = self.recv_batch.packet(slot);
        let channel = &self.channels[index];
        let notice = packet::notice(received.data)
            .filter(|_| channel.socket.is_raw())
            .filter(|notice| notice.request.id == channel.identifier);
        let Some(notice) = notice else {
            return Ok(());
        };
        let error = IcmpError {
            version: channel.version,
            icmp_type: notice.icmp_type,
            code: notice.code,
            info: notice.info,
            from: received.address().map(|name| name.ip()),
        };
        let number = self.tracker.match_quoted(&notice.request, notice.to);
        match number.and_then(|number| self.tracker.identify(number)) {
            Some((id, seq)) => self.notify(id, &Event::Notice { seq, error }, context),
            None => Ok(()),
        }
    }

    /// Handles an ICMP error that a socket without an error queue has received. Returns
    /// whether the message was one about a probe.
    fn handle_error_message(
        &mut self,
        index: usize,
        slot: usize,
        context: &mut RunContext<'_>,
    ) -> Result<bool> {
        let received = self.recv_batch.packet(slot);
        let channel = &self.channels[index];
        let error = packet::error(
            channel.version,
            channel.socket.has_ip_header(),
            received.data,
        );
        let Some(error) = error.filter(|error| error.request.id == channel.identifier) else {
            return Ok(false);
        };
        let details = ExtendedError {
            errno: 0,
            origin: Origin::Icmp,
            icmp_type: error.icmp_type,
            code: error.code,
            info: error.info,
            offender: received.address().map(|name| name.ip()),
        };
        match self.tracker.match_quoted(&error.request, error.to) {
            Some(number) => {
                self.handle_icmp_error(index, number, &details, None, context)?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Reads at most `max` errors from the error queue of a socket.
    pub(super) fn receive_errors(
        &mut self,
        index: usize,
        max: usize,
        context: &mut RunContext<'_>,
    ) -> Result<QueuedErrors> {
        let mut errors = QueuedErrors::default();
        while errors.count < max {
            let slots = self.recv_batch.slots();
            let socket = &self.channels[index].socket;
            let count = match self.recv_batch.receive_errors(socket, slots) {
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            errors.count += count;
            self.now = self.timestamps.refresh(self.clock);
            for slot in 0..count {
                let received = self.recv_batch.packet(slot);
                let Control {
                    error: Some(error),
                    timestamp,
                    ..
                } = control::parse(received.control)
                else {
                    continue;
                };
                if error.origin == Origin::Local {
                    let is_too_long = error.errno == libc::EMSGSIZE;
                    errors.local_mtu = Some(error.info).filter(|_| is_too_long);
                    continue;
                }
                errors.has_network_error = true;
                let channel = &self.channels[index];
                let to = received.address().map(|name| name.ip());
                let echo = packet::quoted(channel.version, received.data);
                let (Some(to), Some(echo)) = (to, echo) else {
                    continue;
                };
                if channel.socket.is_raw() && echo.id != channel.identifier {
                    continue;
                }
                if let Some(number) = self.tracker.match_quoted(&echo, to) {
                    self.handle_icmp_error(index, number, &error, timestamp, context)?;
                }
            }
        }
        Ok(errors)
    }

    /// Handles an ICMP error about the probe `number`.
    fn handle_icmp_error(
        &mut self,
        index: usize,
        number: u64,
        error: &ExtendedError,
        timestamp: Option<u64>,
        context: &mut RunContext<'_>,
    ) -> Result<()> {
        let error = IcmpError {
            version: self.channels[index].version,
            icmp_type: error.icmp_type,
            code: error.code,
            info: error.info,
            from: error.offender,
        };
        if !error.is_error() {
            return match self.tracker.identify(number) {
                Some((id, seq)) => self.notify(id, &Event::Notice { seq, error }, context),
                None => Ok(()),
            };
        }
        // A packet filter of this host rejects a probe before the call that
        // sends it has returned.
        if let Some(at) = self.tracker.submitted_at(number) {
            self.mark_sent(number, at, context);
            self.notify_sent(number, context)?;
        }
        let sent_at = self.tracker.sent_at(number);
        let rtt = sent_at.map(|sent_at| {
            let arrival = self.timestamps.arrival(timestamp, sent_at);
            arrival.saturating_sub(sent_at)
        });
        match self.tracker.record_failure(number, false) {
            Some((id, seq, settles)) => {
                if let Some(mtu) = error.mtu() {
                    context.schedule.probe_too_big(id, mtu);
                } else if let Some(target) = self.tracker.targets.get_mut(id) {
                    target.last_error = Some(error);
                }
                self.notify(id, &Event::Icmp { seq, rtt, error }, context)?;
                let outcome = settles.then_some(ProbeOutcome::Failed);
                self.settle(id, outcome, context)
            }
            None => Ok(()),
        }
    }
}
