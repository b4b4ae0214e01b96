//! The records: `start reply timeout late notice error summary`, one JSON
//! object a line. Keys are only ever added; those that do not apply are null.

use std::net::IpAddr;

use common::app::Io;
use common::text::escape;
use common::{Kind, Result, time};
use serde::Serialize;

use super::{undecided, unsent};
use crate::clock::{Clock, Nanos, wall};
use crate::event::{Event, Observer, Overdue, Refusal, Reply};
use crate::icmp::{Described, IcmpError};
use crate::packet::Version;
use crate::stats::Stats;
use crate::target::{Target, Targets};

/// The first probe of a target goes out.
#[derive(Debug, Serialize)]
pub(crate) struct Start {
    r#type: &'static str,
    target: String,
    address: IpAddr,
    /// Bytes of data.
    size: u16,
    time: String,
}

/// An echo reply.
#[derive(Debug, Serialize)]
pub(crate) struct Answered {
    r#type: &'static str,
    target: String,
    address: IpAddr,
    seq: u64,
    bytes: usize,
    ttl: Option<u8>,
    rtt_ms: Option<f64>,
    time: String,
    duplicate: bool,
    reordered: bool,
    corrupt: bool,
    /// The source, if that is not the address that was asked.
    from: Option<IpAddr>,
}

/// A probe was given up.
#[derive(Debug, Serialize)]
pub(crate) struct Timeout {
    r#type: &'static str,
    target: String,
    address: IpAddr,
    seq: u64,
    time: String,
}

/// A probe met an error, or an operand cannot be probed.
#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    r#type: &'static str,
    target: Option<String>,
    kind: &'static str,
    message: String,
    address: Option<IpAddr>,
    seq: Option<u64>,
    icmp: Option<Described>,
    rtt_ms: Option<f64>,
    time: String,
}

/// The keys of [`Failed`] that other tools' errors do not have.
pub(crate) const ERROR_KEYS: &[&str] = &["address", "seq", "icmp", "rtt_ms"];

/// A router's advice about a probe, which may still be answered.
#[derive(Debug, Serialize)]
pub(crate) struct Notice {
    r#type: &'static str,
    target: String,
    address: IpAddr,
    seq: u64,
    message: String,
    icmp: Described,
    time: String,
}

/// What all probes of a target add up to.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    r#type: &'static str,
    target: String,
    address: Option<IpAddr>,
    sent: u64,
    received: u64,
    lost: u64,
    in_flight: u64,
    loss_percent: Option<f64>,
    foreign: u64,
    late: u64,
    duplicates: u64,
    reordered: u64,
    corrupt: u64,
    errors: u64,
    min_ms: Option<f64>,
    avg_ms: Option<f64>,
    max_ms: Option<f64>,
    mdev_ms: Option<f64>,
    p50_ms: Option<f64>,
    p90_ms: Option<f64>,
    p99_ms: Option<f64>,
    jitter_ms: Option<f64>,
    duration_ms: f64,
    outages: u64,
    longest_outage_ms: f64,
    dropped: u64,
    time: String,
}

/// A record of any type.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Record {
    /// See [`Start`].
    Start(Start),
    /// See [`Answered`].
    Answered(Answered),
    /// See [`Timeout`].
    Timeout(Timeout),
    /// See [`Notice`].
    Notice(Notice),
    /// See [`Failed`].
    Failed(Failed),
    /// See [`Summary`].
    Summary(Summary),
}

/// Milliseconds; whole nanoseconds, so that no digits are made up.
fn ms(nanos: f64) -> f64 {
    nanos.round() / 1e6
}

pub(crate) fn now(clock: Clock) -> String {
    time::rfc3339(wall(clock, clock.now()))
}

/// The kind of a local error, which decides what it means for the status.
pub(crate) fn kind_of(errno: i32) -> Kind {
    match errno {
        libc::EPERM | libc::EACCES => Kind::Permission,
        libc::ENOBUFS | libc::ENOMEM | libc::EINVAL => Kind::System,
        // A way that takes no packet of this size, or none of this family.
        _ => Kind::Unreachable,
    }
}

impl Record {
    /// A target's first probe.
    pub(crate) fn start(clock: Clock, target: &Target, size: u16) -> Self {
        Self::Start(Start {
            r#type: "start",
            target: target.operand(),
            address: target.address,
            size,
            time: now(clock),
        })
    }

    /// What an event is in a record, if it is one.
    pub(crate) fn of(clock: Clock, target: &Target, event: &Event<'_>) -> Option<Self> {
        Some(match event {
            Event::Sent | Event::Outstanding { .. } => return None,
            Event::Reply(reply) => Self::answered("reply", clock, target, reply),
            Event::Late(reply) => Self::answered("late", clock, target, reply),
            Event::Timeout { seq } => Self::Timeout(Timeout {
                r#type: "timeout",
                target: target.operand(),
                address: target.address,
                seq: *seq,
                time: now(clock),
            }),
            Event::Advice { seq, error } => Self::Notice(Notice {
                r#type: "notice",
                target: target.operand(),
                address: target.address,
                seq: *seq,
                message: error.text(),
                icmp: error.described(),
                time: now(clock),
            }),
            Event::Icmp { seq, rtt, error } => Self::Failed(Failed {
                icmp: Some(error.described()),
                rtt_ms: rtt.map(|rtt| ms(rtt as f64)),
                ..failed(clock, target, *seq, icmp_kind(error), error.text())
            }),
            Event::Unsent { seq, errno, mtu } => {
                let message = unsent(*errno, *mtu);
                Self::Failed(failed(clock, target, *seq, kind_of(*errno), message))
            }
        })
    }

    fn answered(kind: &'static str, clock: Clock, target: &Target, reply: &Reply<'_>) -> Self {
        Self::Answered(Answered {
            r#type: kind,
            target: target.operand(),
            address: target.address,
            seq: reply.seq,
            bytes: reply.bytes,
            ttl: reply.ttl,
            rtt_ms: reply.rtt.map(|rtt| ms(rtt as f64)),
            time: now(clock),
            duplicate: reply.duplicate,
            reordered: reply.reordered,
            corrupt: reply.damage.is_some(),
            from: Some(reply.from).filter(|from| *from != target.address),
        })
    }

    /// An operand that cannot be probed.
    pub(crate) fn refused(clock: Clock, refusal: &Refusal) -> Self {
        let error = &refusal.error;
        Self::Failed(Failed {
            r#type: "error",
            target: error.operand().map(str::to_owned),
            kind: error.kind().name(),
            message: error.explanation(),
            address: refusal.address,
            seq: None,
            icmp: None,
            rtt_ms: None,
            time: now(clock),
        })
    }

    /// Why the search for the path MTU of a target found none.
    pub(crate) fn no_mtu(clock: Clock, target: &Target, kind: Kind, message: String) -> Self {
        Self::Failed(Failed {
            seq: None,
            icmp: target.last_error.map(|error| error.described()),
            ..failed(clock, target, 0, kind, message)
        })
    }

    /// The summary of a target that no probe could be made for.
    pub(crate) fn unresolved(clock: Clock, target: &str, address: Option<IpAddr>) -> Self {
        let stats = Stats::default();
        Self::Summary(Self::add_up(clock, target.to_owned(), address, &stats, 0))
    }

    /// A target's summary as things stand. `drops` are the replies this
    /// machine dropped, where they can be this target's alone.
    pub(crate) fn summary(clock: Clock, target: &Target, drops: u64) -> Self {
        let address = Some(target.address);
        Self::Summary(Self::add_up(
            clock,
            target.operand(),
            address,
            &target.stats,
            drops,
        ))
    }

    /// The figures of a target in one interval.
    pub(crate) fn interval(clock: Clock, target: &Target, stats: &Stats) -> Self {
        let address = Some(target.address);
        Self::Summary(Summary {
            r#type: "interval",
            ..Self::add_up(clock, target.operand(), address, stats, 0)
        })
    }

    fn add_up(
        clock: Clock,
        target: String,
        address: Option<IpAddr>,
        stats: &Stats,
        drops: u64,
    ) -> Summary {
        let times = stats.times();
        let duration: Nanos = match stats.sent {
            0 => 0,
            _ => clock.now().saturating_sub(stats.first_sent),
        };
        Summary {
            r#type: "summary",
            target,
            address,
            sent: stats.sent,
            received: stats.received,
            lost: stats.lost,
            in_flight: stats.sent.saturating_sub(stats.received + stats.lost),
            loss_percent: stats.loss_percent(),
            foreign: stats.foreign,
            late: stats.late,
            duplicates: stats.duplicates,
            reordered: stats.reordered,
            corrupt: stats.corrupt,
            errors: stats.errors,
            min_ms: times.map(|t| ms(t.min)),
            avg_ms: times.map(|t| ms(t.avg)),
            max_ms: times.map(|t| ms(t.max)),
            mdev_ms: times.map(|t| ms(t.mdev)),
            p50_ms: times.map(|t| ms(t.p50)),
            p90_ms: times.map(|t| ms(t.p90)),
            p99_ms: times.map(|t| ms(t.p99)),
            jitter_ms: times.map(|t| ms(t.jitter)),
            duration_ms: ms(duration as f64),
            outages: stats.outages,
            longest_outage_ms: ms(stats.longest_outage as f64),
            dropped: drops,
            time: now(clock),
        }
    }
}

/// The record of a probe that met an error.
fn failed(clock: Clock, target: &Target, seq: u64, kind: Kind, message: String) -> Failed {
    Failed {
        r#type: "error",
        target: Some(target.operand()),
        kind: kind.name(),
        message,
        address: Some(target.address),
        seq: Some(seq),
        icmp: None,
        rtt_ms: None,
        time: now(clock),
    }
}

pub(crate) fn icmp_kind(error: &IcmpError) -> Kind {
    match (error.version, error.kind) {
        (Version::V4, 12) | (Version::V6, 4) => Kind::Protocol,
        _ => Kind::Unreachable,
    }
}

/// An error of this machine's own has its line on standard error as well, once
/// for each target; what routers say is in the records alone.
pub(crate) fn tell_unsent(io: &Io, target: &Target, event: &Event<'_>) {
    if let Event::Unsent { errno, mtu, .. } = event
        && target.stats.unsent == 1
    {
        let operand = target.operand();
        let (operand, why) = (escape(operand.as_bytes()), unsent(*errno, *mtu));
        io.report.line(format_args!("{operand}: {why}"));
    }
}

/// Which records are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection {
    /// `-q`: only `start`, `error` and `summary`.
    pub(crate) quiet: bool,
    /// `--alive` or `--unreachable`: only the summaries of targets that
    /// answered, or of those that did not.
    pub(crate) answered: Option<bool>,
}

impl Selection {
    pub(crate) fn has_start(self) -> bool {
        self.answered.is_none()
    }

    pub(crate) fn has_event(self, event: &Event<'_>) -> bool {
        let is_error = matches!(event, Event::Icmp { .. } | Event::Unsent { .. });
        self.answered.is_none() && (!self.quiet || is_error)
    }

    pub(crate) fn has_summary(self, target: &Target) -> bool {
        self.answered
            .is_none_or(|answered| answered == target.answered)
    }

    /// Of a target that no probe could be made for.
    pub(crate) fn has_unresolved(self) -> bool {
        self.answered.is_none_or(|answered| !answered)
    }
}

/// The face.
#[derive(Debug)]
pub(crate) struct Json {
    selection: Selection,
    size: u16,
}

impl Json {
    /// A face for probes with `size` bytes of data.
    pub(crate) fn new(selection: Selection, size: u16) -> Self {
        Self { selection, size }
    }

    fn summary(&self, io: &mut Io, clock: Clock, target: &Target, drops: u64) -> Result<()> {
        if self.selection.has_summary(target) {
            io.out.json(&Record::summary(clock, target, drops))?;
        }
        Ok(())
    }
}

impl Observer for Json {
    fn started(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        if self.selection.has_start() {
            io.out.json(&Record::start(clock, target, self.size))?;
        }
        Ok(())
    }

    fn refused(&mut self, io: &mut Io, clock: Clock, refusal: &Refusal) -> Result<()> {
        io.report.error(&refusal.error);
        io.out.json(&Record::refused(clock, refusal))?;
        match refusal.target() {
            Some(target) if self.selection.has_unresolved() => {
                io.out
                    .json(&Record::unresolved(clock, target, refusal.address))
            }
            _ => Ok(()),
        }
    }

    fn event(
        &mut self,
        io: &mut Io,
        clock: Clock,
        target: &Target,
        event: &Event<'_>,
    ) -> Result<()> {
        tell_unsent(io, target, event);
        match Record::of(clock, target, event) {
            Some(record) if self.selection.has_event(event) => io.out.json(&record),
            _ => Ok(()),
        }
    }

    fn interval(
        &mut self,
        io: &mut Io,
        clock: Clock,
        target: &Target,
        stats: &Stats,
    ) -> Result<()> {
        io.out.json(&Record::interval(clock, target, stats))
    }

    fn ended(&mut self, io: &mut Io, clock: Clock, target: &Target) -> Result<()> {
        self.summary(io, clock, target, 0)
    }

    fn snapshot(&mut self, io: &mut Io, targets: &Targets, _: &Overdue) -> Result<()> {
        undecided(io, targets);
        Ok(())
    }

    fn finish(&mut self, io: &mut Io, clock: Clock, targets: &Targets, drops: u64) -> Result<()> {
        for (_, target) in targets.undecided() {
            self.summary(io, clock, target, drops)?;
        }
        Ok(())
    }
}
