//! The classic format: one target, line for line as iputils' ping prints it.
//!
//! Times are truncated to microseconds, which iputils measures, and then rounded
//! to three digits. Figures that iputils does not have are printed before its
//! summary if the user asks for them, or on stderr after it ([`summary`]).

mod iputils;
mod summary;

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use common::Result;
use common::app::Io;
use common::text::escape;

use self::iputils::{MIN_TIMED_SIZE, append, format_rtt, write_data_dump};
use super::held_lines::{HeldLine, HeldLines};
use super::strerror;
use crate::clock::{Clock, Nanos, wall_time};
use crate::event::{Corruption, Event, Observer, OverdueCounts, Reply};
use crate::operand;
use crate::packet::IpVersion;
use crate::reverse_dns::ReverseDns;
use crate::target::{Target, Targets};

/// The options of the classic format.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClassicOptions {
    /// `-q`: print only the header and the summary.
    pub(crate) quiet: bool,
    /// `-v`: print the identifier in each line.
    pub(crate) verbose: bool,
    /// `-D`: prefix each line with the time.
    pub(crate) timestamps: bool,
    /// `-a`: ring the terminal's bell with each reply.
    pub(crate) audible: bool,
    /// `-3`: print times with three decimals.
    pub(crate) precise: bool,
    /// `-f`: print dots instead of lines.
    pub(crate) flood: bool,
    /// `--percentiles` or `-v`: print percentiles and jitter.
    pub(crate) percentiles: bool,
    /// Whether the summary ends with the pace, as with `-f`, `-A` and `-i 0`.
    pub(crate) has_pace: bool,
    /// `-p`: the pattern in hexadecimal digits.
    pub(crate) pattern: Option<String>,
    /// The number of data bytes in a probe.
    pub(crate) size: u16,
    /// The source address and interface, if `-I` was given.
    pub(crate) from: Option<String>,
    /// The name of the interface of link-local addresses.
    pub(crate) zone: Option<String>,
}

/// Prints the run of one target as iputils does.
#[derive(Debug)]
pub(crate) struct Classic {
    options: ClassicOptions,
    held: HeldLines,
}

impl Classic {
    /// Creates the format with a resolver for the names of addresses.
    pub(crate) fn new(options: ClassicOptions, names: ReverseDns) -> Self {
        Self {
            options,
            held: HeldLines::new(names),
        }
    }

    /// Whether iputils would measure times with data of this size.
    fn is_timed(&self) -> bool {
        self.options.size >= MIN_TIMED_SIZE
    }

    fn write_timestamp(&self, out: &mut Vec<u8>, clock: Clock) {
        if self.options.timestamps {
            let since_epoch = wall_time(clock, clock.now())
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            let (seconds, micros) = (since_epoch.as_secs(), since_epoch.subsec_micros());
            append(out, format_args!("[{seconds}.{micros:06}] "));
        }
    }

    /// Formats an address, a link-local one with its interface.
    fn format_address(&self, address: IpAddr) -> String {
        match (address, &self.options.zone) {
            (IpAddr::V6(v6), Some(zone)) if operand::is_scoped(v6) => {
                format!("{address}%{}", escape(zone.as_bytes()))
            }
            _ => address.to_string(),
        }
    }

    /// Returns the line of a reply.
    fn reply_line(
        &self,
        clock: Clock,
        reply: &Reply<'_>,
        is_late: bool,
        is_group: bool,
    ) -> HeldLine {
        let mut line = HeldLine::default();
        self.write_timestamp(&mut line.head, clock);
        append(&mut line.head, format_args!("{} bytes from ", reply.bytes));
        line.address = Some((reply.from, self.format_address(reply.from)));
        self.write_reply_tail(&mut line.tail, reply, is_late, is_group);
        line
    }

    /// Writes the part of a reply line after the address.
    fn write_reply_tail(
        &self,
        out: &mut Vec<u8>,
        reply: &Reply<'_>,
        is_late: bool,
        is_group: bool,
    ) {
        append(out, format_args!(": icmp_seq={}", reply.seq as u16));
        if self.options.verbose {
            append(out, format_args!(" ident={}", reply.identifier));
        }
        if let Some(ttl) = reply.ttl {
            append(out, format_args!(" ttl={ttl}"));
        }
        if reply.corruption == Some(Corruption::Truncated) {
            append(out, format_args!(" (truncated)\n"));
            return;
        }
        if let Some(rtt) = reply.rtt.filter(|_| self.is_timed()) {
            let rtt = format_rtt(rtt, self.options.precise);
            append(out, format_args!(" time={rtt} ms"));
        }
        if reply.is_duplicate && (!is_group || self.options.verbose) {
            append(out, format_args!(" (DUP!)"));
        }
        if is_late {
            append(out, format_args!(" (late)"));
        }
        if reply.corruption == Some(Corruption::Checksum) {
            append(out, format_args!(" (BAD CHECKSUM!)"));
        }
        if reply.is_foreign {
            append(out, format_args!(" (DIFFERENT ADDRESS!)"));
        }
        if let Some(Corruption::Data {
            offset,
            expected,
            data,
        }) = reply.corruption
        {
            write_data_dump(out, offset, expected, data);
        }
        if self.options.audible {
            out.push(0x07);
        }
        out.push(b'\n');
    }

    /// Prints the characters of a flood: a dot for each probe, which its reply
    /// erases.
    fn print_flood_mark(&self, io: &mut Io, event: &Event<'_>) -> Result<()> {
        let mark: &[u8] = match event {
            Event::Sent => b".",
            Event::Reply(reply) if reply.corruption == Some(Corruption::Checksum) => b"\x08C",
            // The first reply has erased the dot of the probe.
            Event::Reply(reply) | Event::LateReply(reply) if reply.is_duplicate => b"",
            Event::Reply(_) | Event::LateReply(_) => b"\x08 \x08",
            Event::Icmp { .. } => b"\x08E",
            Event::Unsent { .. } => b"E",
            Event::Timeout { .. } | Event::Outstanding { .. } | Event::Notice { .. } => b"",
        };
        io.out.bytes(mark)?;
        if self.options.audible && matches!(event, Event::Reply(_)) {
            io.out.bytes(b"\x07")?;
        }
        Ok(())
    }

    /// Returns the line of an event, if it has one.
    fn event_line(&self, clock: Clock, target: &Target, event: &Event<'_>) -> Option<HeldLine> {
        let mut line = HeldLine::default();
        match event {
            Event::Sent | Event::Timeout { .. } => return None,
            Event::Reply(reply) => {
                return Some(self.reply_line(clock, reply, false, target.is_group()));
            }
            Event::LateReply(reply) => {
                return Some(self.reply_line(clock, reply, true, target.is_group()));
            }
            Event::Outstanding { seq } => {
                self.write_timestamp(&mut line.head, clock);
                let seq = *seq as u16;
                append(
                    &mut line.head,
                    format_args!("no answer yet for icmp_seq={seq}\n"),
                );
            }
            Event::Icmp { seq, error, .. } | Event::Notice { seq, error } => {
                self.write_timestamp(&mut line.head, clock);
                append(&mut line.head, format_args!("From "));
                line.address = error.from.map(|from| (from, self.format_address(from)));
                let (seq, text) = (*seq as u16, error.text());
                append(&mut line.tail, format_args!(" icmp_seq={seq} {text}\n"));
            }
            Event::Unsent { mtu: Some(mtu), .. } => {
                line.is_error = true;
                let separator = match target.version() {
                    IpVersion::V4 => "=",
                    IpVersion::V6 => ": ",
                };
                append(
                    &mut line.head,
                    format_args!("local error: message too long, mtu{separator}{mtu}"),
                );
            }
            Event::Unsent { errno, .. } => {
                line.is_error = true;
                append(
                    &mut line.head,
                    format_args!("sendmsg: {}", strerror(*errno)),
                );
            }
        }
        Some(line)
    }
}

impl Observer for Classic {
    fn target_started(&mut self, io: &mut Io, _: Clock, target: &Target) -> Result<()> {
        let size = self.options.size;
        let out = io.out.buffer();
        if let Some(pattern) = self
            .options
            .pattern
            .as_ref()
            .filter(|_| !self.options.quiet)
        {
            append(out, format_args!("PATTERN: 0x{pattern}\n"));
        }
        let operand = target.operand();
        // As in iputils, the address has its zone only if that was typed.
        let address = if operand.contains('%') {
            self.format_address(target.address)
        } else {
            target.address.to_string()
        };
        let operand = escape(operand.as_bytes());
        append(out, format_args!("PING {operand} ({address}) "));
        if let Some(from) = &self.options.from {
            append(out, format_args!("from {from}: "));
        }
        match target.version() {
            IpVersion::V4 => {
                let packet_size = u32::from(size) + 28;
                append(out, format_args!("{size}({packet_size}) bytes of data.\n"));
            }
            IpVersion::V6 => append(out, format_args!("{size} data bytes\n")),
        }
        io.out.flush()
    }

    fn event(
        &mut self,
        io: &mut Io,
        clock: Clock,
        target: &Target,
        event: &Event<'_>,
    ) -> Result<()> {
        if self.options.quiet {
            return Ok(());
        }
        if self.options.flood {
            return self.print_flood_mark(io, event);
        }
        match self.event_line(clock, target, event) {
            Some(line) => self.held.print(io, line, clock.now()),
            None => Ok(()),
        }
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, overdue: &OverdueCounts) -> Result<()> {
        self.report_snapshot(io, targets, overdue);
        Ok(())
    }

    fn release_deadline(&self) -> Option<Nanos> {
        self.held.deadline()
    }

    fn is_holding(&self) -> bool {
        self.held.deadline().is_some()
    }

    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.held.wake_fd()
    }

    fn release(&mut self, io: &mut Io, clock: Clock, _: &Targets) -> Result<()> {
        self.held.release(io, clock.now())
    }

    fn finish(&mut self, io: &mut Io, _: Clock, targets: &Targets, drops: u64) -> Result<()> {
        self.held.release_all(io)?;
        self.print_summaries(io, targets, drops)
    }
}
