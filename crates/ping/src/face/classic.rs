//! The classic face: one host, line for line as iputils' ping prints it.
//!
//! Times are truncated to microseconds, as iputils measures them, and rounded
//! to three digits from there. What iputils does not know is told before its
//! summary if it was asked for, or on standard error after it.

use std::fmt::Write;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use common::app::Io;
use common::text::escape;
use common::{Out, Result};

use super::held::{Held, Line};
use super::iputils::{TIMED, dump, general, milli, put, time};
use super::strerror;
use crate::clock::{Clock, Nanos, wall};
use crate::event::{Damage, Event, Observer, Overdue, Reply};
use crate::names::Names;
use crate::operand;
use crate::packet::Version;
use crate::stats::Stats;
use crate::target::{Target, Targets};

/// The options.
#[derive(Clone, Debug, Default)]
pub(crate) struct Style {
    /// `-q`: header and summary only.
    pub(crate) quiet: bool,
    /// `-v`: the identifier in each line.
    pub(crate) verbose: bool,
    /// `-D`: the time before each line.
    pub(crate) stamped: bool,
    /// `-a`: a bell with each reply.
    pub(crate) audible: bool,
    /// `-3`: all digits of the time.
    pub(crate) precise: bool,
    /// `-f`: dots.
    pub(crate) flood: bool,
    /// `--percentiles`, or `-v`.
    pub(crate) percentiles: bool,
    /// Whether the summary ends with the pace: `-f`, `-A`, `-i 0`.
    pub(crate) paced: bool,
    /// `-p`: the pattern as hexadecimal digits.
    pub(crate) pattern: Option<String>,
    /// Bytes of data.
    pub(crate) size: u16,
    /// Source address and interface, if `-I` was given.
    pub(crate) from: Option<String>,
    /// The interface that link-local addresses are on.
    pub(crate) zone: Option<String>,
}

/// The face.
#[derive(Debug)]
pub(crate) struct Classic {
    style: Style,
    held: Held,
}

impl Classic {
    /// A face that asks `names` what addresses are called.
    pub(crate) fn new(style: Style, names: Names) -> Self {
        Self {
            style,
            held: Held::new(names),
        }
    }

    fn is_timed(&self) -> bool {
        self.style.size >= TIMED
    }

    fn stamp(&self, out: &mut Vec<u8>, clock: Clock) {
        if self.style.stamped {
            let time = wall(clock, clock.now());
            let since = time
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            put(
                out,
                format_args!("[{}.{:06}] ", since.as_secs(), since.subsec_micros()),
            );
        }
    }

    /// An address, a link-local one with its interface.
    fn number(&self, address: IpAddr) -> String {
        match (address, &self.style.zone) {
            (IpAddr::V6(v6), Some(zone)) if operand::has_scope(v6) => {
                format!("{address}%{}", escape(zone.as_bytes()))
            }
            _ => address.to_string(),
        }
    }

    /// The line of a reply.
    fn reply(&self, clock: Clock, reply: &Reply<'_>, late: bool, group: bool) -> Line {
        let mut line = Line::default();
        self.stamp(&mut line.head, clock);
        put(&mut line.head, format_args!("{} bytes from ", reply.bytes));
        line.address = Some((reply.from, self.number(reply.from)));
        self.rest_of_reply(&mut line.tail, reply, late, group);
        line
    }

    /// The part of a reply line after the address.
    fn rest_of_reply(&self, out: &mut Vec<u8>, reply: &Reply<'_>, late: bool, group: bool) {
        put(out, format_args!(": icmp_seq={}", reply.seq as u16));
        if self.style.verbose {
            put(out, format_args!(" ident={}", reply.ident));
        }
        if let Some(ttl) = reply.ttl {
            put(out, format_args!(" ttl={ttl}"));
        }
        if reply.damage == Some(Damage::Truncated) {
            put(out, format_args!(" (truncated)\n"));
            return;
        }
        if let Some(rtt) = reply.rtt.filter(|_| self.is_timed()) {
            put(
                out,
                format_args!(" time={} ms", time(rtt, self.style.precise)),
            );
        }
        if reply.duplicate && (!group || self.style.verbose) {
            put(out, format_args!(" (DUP!)"));
        }
        if late {
            put(out, format_args!(" (late)"));
        }
        if reply.damage == Some(Damage::Checksum) {
            put(out, format_args!(" (BAD CHECKSUM!)"));
        }
        if reply.foreign {
            put(out, format_args!(" (DIFFERENT ADDRESS!)"));
        }
        if let Some(Damage::Data { at, expected, data }) = reply.damage {
            dump(out, at, expected, data);
        }
        if self.style.audible {
            out.push(0x07);
        }
        out.push(b'\n');
    }

    fn summary(&self, out: &mut Out, target: &Target) -> Result<()> {
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
        for (count, what) in [
            (stats.duplicates, "duplicates"),
            (stats.corrupt, "corrupted"),
            (stats.errors, "errors"),
        ] {
            if count > 0 {
                write!(text, ", +{count} {what}").ok();
            }
        }
        if stats.sent > 0 {
            let took = (stats.last_sent - stats.first_sent + 500_000) / 1_000_000;
            write!(text, ", {}% packet loss, time {took}ms", general(loss)).ok();
        }
        text.push('\n');
        out.bytes(text.as_bytes())?;
        out.line(self.times(stats))
    }

    /// Percentiles, before the summary, if they were asked for: scripts rely on
    /// the form of the summary.
    fn percentiles(&self, out: &mut Out, stats: &Stats) -> Result<()> {
        let times = stats.times().filter(|_| self.is_timed());
        let Some(times) = times.filter(|_| self.style.percentiles) else {
            return Ok(());
        };
        let [p50, p90, p99, jitter] =
            [times.p50, times.p90, times.p99, times.jitter].map(|t| milli(t as Nanos));
        if self.style.flood && !self.style.quiet {
            // The line of dots ends here.
            out.line("")?;
        }
        out.line(format_args!(
            "p50/p90/p99/jitter = {p50}/{p90}/{p99}/{jitter} ms"
        ))
    }

    /// Counters that iputils does not have, where they are not zero.
    fn counters(io: &Io, stats: &Stats, drops: u64) {
        let counts = [
            (stats.late, "late"),
            (stats.reordered, "reordered"),
            (stats.corrupt, "corrupt"),
            (stats.foreign, "from another address"),
            (drops, "dropped by this host"),
        ];
        let told: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !told.is_empty() {
            io.report.line(told.join(", "));
        }
    }

    /// The line `rtt`, or what of it there is.
    fn times(&self, stats: &Stats) -> String {
        let mut parts = Vec::new();
        if let Some(times) = stats.times().filter(|_| self.is_timed()) {
            let [min, avg, max, mdev] =
                [times.min, times.avg, times.max, times.mdev].map(|t| milli(t as Nanos));
            parts.push(format!(
                "rtt min/avg/max/mdev = {min}/{avg}/{max}/{mdev} ms"
            ));
        }
        if stats.pipe > 1 {
            parts.push(format!("pipe {}", stats.pipe));
        }
        if self.style.paced && stats.received > 0 && stats.sent > 1 {
            let gap = (stats.last_sent - stats.first_sent) / (stats.sent - 1);
            let (gap, average) = (milli(gap), milli(stats.ewma()));
            parts.push(format!("ipg/ewma {gap}/{average} ms"));
        }
        parts.join(", ")
    }
}

impl Observer for Classic {
    fn started(&mut self, io: &mut Io, _: Clock, target: &Target) -> Result<()> {
        let size = self.style.size;
        let out = io.out.buffer();
        if let Some(pattern) = self.style.pattern.as_ref().filter(|_| !self.style.quiet) {
            put(out, format_args!("PATTERN: 0x{pattern}\n"));
        }
        let operand = target.operand();
        // As iputils has it: the zone in the number only if it was typed.
        let number = if operand.contains('%') {
            self.number(target.address)
        } else {
            target.address.to_string()
        };
        put(
            out,
            format_args!("PING {} ({number}) ", escape(operand.as_bytes())),
        );
        if let Some(from) = &self.style.from {
            put(out, format_args!("from {from}: "));
        }
        match target.version() {
            Version::V4 => put(
                out,
                format_args!("{size}({}) bytes of data.\n", u32::from(size) + 28),
            ),
            Version::V6 => put(out, format_args!("{size} data bytes\n")),
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
        if self.style.quiet {
            return Ok(());
        }
        if self.style.flood {
            let mark: &[u8] = match event {
                Event::Sent => b".",
                Event::Reply(reply) if reply.damage == Some(Damage::Checksum) => b"\x08C",
                // The dot of a probe that has been answered is gone.
                Event::Reply(reply) | Event::Late(reply) if reply.duplicate => b"",
                Event::Reply(_) | Event::Late(_) => b"\x08 \x08",
                Event::Icmp { .. } => b"\x08E",
                Event::Unsent { .. } => b"E",
                Event::Timeout { .. } | Event::Outstanding { .. } | Event::Advice { .. } => b"",
            };
            io.out.bytes(mark)?;
            if self.style.audible && matches!(event, Event::Reply(_)) {
                io.out.bytes(b"\x07")?;
            }
            return Ok(());
        }
        let mut line = Line::default();
        match event {
            Event::Sent | Event::Timeout { .. } => return Ok(()),
            Event::Reply(reply) => line = self.reply(clock, reply, false, target.is_group()),
            Event::Late(reply) => line = self.reply(clock, reply, true, target.is_group()),
            Event::Outstanding { seq } => {
                self.stamp(&mut line.head, clock);
                put(
                    &mut line.head,
                    format_args!("no answer yet for icmp_seq={}\n", *seq as u16),
                );
            }
            Event::Icmp { seq, error, .. } | Event::Advice { seq, error } => {
                self.stamp(&mut line.head, clock);
                put(&mut line.head, format_args!("From "));
                line.address = error.from.map(|from| (from, self.number(from)));
                put(
                    &mut line.tail,
                    format_args!(" icmp_seq={} {}\n", *seq as u16, error.text()),
                );
            }
            Event::Unsent { mtu: Some(mtu), .. } => {
                line.is_error = true;
                let equals = match target.version() {
                    Version::V4 => "=",
                    Version::V6 => ": ",
                };
                put(
                    &mut line.head,
                    format_args!("local error: message too long, mtu{equals}{mtu}"),
                );
            }
            Event::Unsent { errno, .. } => {
                line.is_error = true;
                put(
                    &mut line.head,
                    format_args!("sendmsg: {}", strerror(*errno)),
                );
            }
        }
        self.held.line(io, line, clock.now())
    }

    fn ended(&mut self, _: &mut Io, _: Clock, _: &Target) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, overdue: &Overdue) -> Result<()> {
        for (id, target) in targets.iter() {
            let stats = &target.stats;
            let overdue = overdue.get(&id).copied().unwrap_or(0);
            let mut text = format!(
                "\r{}/{} packets, {}% loss",
                stats.received,
                stats.sent,
                stats.loss_percent_with(overdue).unwrap_or(0.0) as u64
            );
            if let Some(times) = stats.times().filter(|_| self.is_timed()) {
                let [min, avg, max] = [times.min, times.avg, times.max].map(|t| milli(t as Nanos));
                let average = milli(stats.ewma());
                write!(text, ", min/avg/ewma/max = {min}/{avg}/{average}/{max} ms").ok();
            }
            text.push('\n');
            io.report.raw(text.as_bytes());
        }
        Ok(())
    }

    fn held(&self) -> Option<Nanos> {
        self.held.until()
    }

    fn is_holding(&self) -> bool {
        self.held.until().is_some()
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.held.wake()
    }

    fn release(&mut self, io: &mut Io, clock: Clock, _: &Targets) -> Result<()> {
        self.held.release(io, clock.now())
    }

    fn finish(&mut self, io: &mut Io, _: Clock, targets: &Targets, drops: u64) -> Result<()> {
        self.held.release_all(io)?;
        for (_, target) in targets.iter().filter(|(_, target)| target.sent > 0) {
            self.percentiles(&mut io.out, &target.stats)?;
            self.summary(&mut io.out, target)?;
            // In the order of the streams where both are one terminal.
            io.out.flush()?;
            Self::counters(io, &target.stats, drops);
        }
        Ok(())
    }
}
