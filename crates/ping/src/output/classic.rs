//! The classic format: one target, line for line as iputils' ping prints it.
//!
//! Times are truncated to microseconds, which iputils measures, and then rounded
//! to three digits. Figures that iputils does not have are printed before its
//! summary if the user asks for them, or on standard error after it.

use std::fmt::Write;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use common::app::Io;
use common::text::escape;
use common::{Out, Result};

use super::held_lines::{HeldLine, HeldLines};
use super::iputils::{
    MIN_TIMED_SIZE, append, format_millis, format_percent, format_rtt, write_data_dump,
};
use super::strerror;
use crate::clock::{Clock, Nanos, wall_time};
use crate::event::{Corruption, Event, Observer, OverdueCounts, Reply};
use crate::operand;
use crate::packet::IpVersion;
use crate::reverse_dns::ReverseDns;
use crate::stats::Stats;
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

    fn print_summary(&self, out: &mut Out, target: &Target) -> Result<()> {
        let stats = &target.stats;
        let mut text = String::new();
        let loss = stats.loss_percent().unwrap_or(0.0);
        write!(
            text,
            "\n--- {} ping statistics ---\n{} packets transmitted, {} received",
            escape(target.operand().as_bytes()),
            stats.sent,
            stats.received
        )
        .ok();
        for (count, noun) in [
            (stats.duplicates, "duplicates"),
            (stats.corrupt, "corrupted"),
            (stats.errors, "errors"),
        ] {
            if count > 0 {
                write!(text, ", +{count} {noun}").ok();
            }
        }
        if stats.sent > 0 {
            let millis = (stats.last_sent - stats.first_sent + 500_000) / 1_000_000;
            let loss = format_percent(loss);
            write!(text, ", {loss}% packet loss, time {millis}ms").ok();
        }
        text.push('\n');
        out.bytes(text.as_bytes())?;
        out.line(self.rtt_line(stats))
    }

    /// Prints percentiles before the summary, because scripts rely on the form of
    /// the summary.
    fn print_percentiles(&self, out: &mut Out, stats: &Stats) -> Result<()> {
        let rtts = stats.rtt_summary().filter(|_| self.is_timed());
        let Some(rtts) = rtts.filter(|_| self.options.percentiles) else {
            return Ok(());
        };
        let [p50, p90, p99, jitter] =
            [rtts.p50, rtts.p90, rtts.p99, rtts.jitter].map(|time| format_millis(time as Nanos));
        if self.options.flood && !self.options.quiet {
            // Ends the line of dots.
            out.line("")?;
        }
        out.line(format_args!(
            "p50/p90/p99/jitter = {p50}/{p90}/{p99}/{jitter} ms"
        ))
    }

    /// Reports the counters that iputils does not have and that are not zero.
    fn report_counters(io: &Io, stats: &Stats, drops: u64) {
        let counters = [
            (stats.late, "late"),
            (stats.reordered, "reordered"),
            (stats.corrupt, "corrupt"),
            (stats.foreign, "from another address"),
            (drops, "dropped by this host"),
        ];
        let texts: Vec<String> = counters
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, text)| format!("{count} {text}"))
            .collect();
        if !texts.is_empty() {
            io.report.line(texts.join(", "));
        }
    }

    /// Returns the last line of the summary, which is empty without replies.
    fn rtt_line(&self, stats: &Stats) -> String {
        let mut parts = Vec::new();
        if let Some(rtts) = stats.rtt_summary().filter(|_| self.is_timed()) {
            let [min, avg, max, mdev] =
                [rtts.min, rtts.avg, rtts.max, rtts.mdev].map(|time| format_millis(time as Nanos));
            parts.push(format!(
                "rtt min/avg/max/mdev = {min}/{avg}/{max}/{mdev} ms"
            ));
        }
        if stats.pipe > 1 {
            parts.push(format!("pipe {}", stats.pipe));
        }
        if self.options.has_pace && stats.received > 0 && stats.sent > 1 {
            let gap = (stats.last_sent - stats.first_sent) / (stats.sent - 1);
            let (gap, average) = (format_millis(gap), format_millis(stats.ewma()));
            parts.push(format!("ipg/ewma {gap}/{average} ms"));
        }
        parts.join(", ")
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
        for (id, target) in targets.iter() {
            let stats = &target.stats;
            let overdue = overdue.get(&id).copied().unwrap_or(0);
            let mut text = format!(
                "\r{}/{} packets, {}% loss",
                stats.received,
                stats.sent,
                stats.loss_percent_with(overdue).unwrap_or(0.0) as u64
            );
            if let Some(rtts) = stats.rtt_summary().filter(|_| self.is_timed()) {
                let [min, avg, max] =
                    [rtts.min, rtts.avg, rtts.max].map(|time| format_millis(time as Nanos));
                let ewma = format_millis(stats.ewma());
                write!(text, ", min/avg/ewma/max = {min}/{avg}/{ewma}/{max} ms").ok();
            }
            text.push('\n');
            io.report.raw(text.as_bytes());
        }
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
        for (_, target) in targets.iter().filter(|(_, target)| target.allocated > 0) {
            self.print_percentiles(&mut io.out, &target.stats)?;
            self.print_summary(&mut io.out, target)?;
            // The summary comes first if both streams are one terminal.
            io.out.flush()?;
            Self::report_counters(io, &target.stats, drops);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::test_io::TestIo;

    #[test]
    fn the_summary_is_that_of_iputils() {
        let options = ClassicOptions {
            size: 56,
            has_pace: true,
            percentiles: true,
            ..ClassicOptions::default()
        };
        let mut classic = Classic::new(options, ReverseDns::new(false).unwrap());
        let mut target = Target::new(None, [192, 0, 2, 1].into(), 0);
        target.allocated = 4;
        for at in [1_000_000, 3_000_000, 6_000_000, 7_600_000] {
            target.stats.record_sent(at);
        }
        target.stats.acknowledge(1);
        for (seq, rtt) in [(1, 2_000_999), (3, 4_000_000), (2, 3_000_000)] {
            target.stats.record_reply(seq, rtt, 0);
        }
        target.stats.record_loss(4_500_000);
        (target.stats.duplicates, target.stats.corrupt) = (1, 2);
        (target.stats.errors, target.stats.foreign) = (3, 4);
        target.stats.late = 5;
        let mut targets = Targets::default();
        targets.add(target);
        let mut io = TestIo::new();
        let clock = Clock::start();
        classic.finish(&mut io.io, clock, &targets, 6).unwrap();
        assert_eq!(
            io.text(),
            "p50/p90/p99/jitter = 3.000/4.000/4.000/0.179 ms\n\
             \n--- 192.0.2.1 ping statistics ---\n\
             4 packets transmitted, 3 received, +1 duplicates, +2 corrupted, +3 errors, \
             25% packet loss, time 7ms\n\
             rtt min/avg/max/mdev = 2.000/3.000/4.000/0.816 ms, pipe 4, ipg/ewma 2.200/2.344 ms\n\
             ping: 5 late, 1 reordered, 2 corrupt, 4 from another address, 6 dropped by this host\n"
        );
    }
}
