//! The records of a run: the types `start`, `reply`, `late`, `timeout`, `notice`,
//! `error`, `interval` and `summary`. [`record_stream`](super::record_stream)
//! decides which of them are written. Keys are only ever added; a key that does
//! not apply is null.

use std::net::IpAddr;

use common::{Kind, time};
use serde::Serialize;

use super::explain_unsent;
use crate::clock::{Clock, Nanos, wall_time};
use crate::event::{Event, RejectedOperand, Reply, send_error_kind};
use crate::icmp::{IcmpError, IcmpRecord};
use crate::stats::Stats;
use crate::target::Target;

/// The record of a target's first probe.
#[derive(Debug, Serialize)]
pub(crate) struct StartRecord {
    r#type: &'static str,
    target: String,
    address: IpAddr,
    /// The number of data bytes.
    size: u16,
    time: String,
}

/// The record of an echo reply, of type `reply` or `late`.
#[derive(Debug, Serialize)]
pub(crate) struct ReplyRecord {
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
    /// The source, if it is not the target's address.
    from: Option<IpAddr>,
}

/// The record of a probe that timed out.
#[derive(Debug, Serialize)]
pub(crate) struct TimeoutRecord {
    r#type: &'static str,
    target: String,
    address: IpAddr,
    seq: u64,
    time: String,
}

/// The record of a failed probe or of an operand that cannot be probed.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorRecord {
    r#type: &'static str,
    target: Option<String>,
    kind: &'static str,
    message: String,
    address: Option<IpAddr>,
    seq: Option<u64>,
    icmp: Option<IcmpRecord>,
    rtt_ms: Option<f64>,
    time: String,
}

/// The record of a redirect or source quench about a probe, which may still be
/// answered.
#[derive(Debug, Serialize)]
pub(crate) struct NoticeRecord {
    r#type: &'static str,
    target: String,
    address: IpAddr,
    seq: u64,
    message: String,
    icmp: IcmpRecord,
    time: String,
}

/// The statistics of a target, of type `summary` or `interval`.
#[derive(Debug, Serialize)]
pub(crate) struct SummaryRecord {
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
    Start(StartRecord),
    Reply(ReplyRecord),
    Timeout(TimeoutRecord),
    Notice(NoticeRecord),
    Error(ErrorRecord),
    Summary(SummaryRecord),
}

/// Converts nanoseconds to milliseconds. Whole nanoseconds have at most six
/// decimals.
fn to_ms(nanos: f64) -> f64 {
    nanos.round() / 1e6
}

/// Returns the current time in RFC 3339.
pub(crate) fn now(clock: Clock) -> String {
    time::rfc3339(wall_time(clock, clock.now()))
}

impl Record {
    /// Returns the record of a target's first probe.
    pub(crate) fn start(clock: Clock, target: &Target, size: u16) -> Self {
        Self::Start(StartRecord {
            r#type: "start",
            target: target.operand(),
            address: target.address,
            size,
            time: now(clock),
        })
    }

    /// Returns the record of an event, if it has one.
    pub(crate) fn of_event(clock: Clock, target: &Target, event: &Event<'_>) -> Option<Self> {
        Some(match event {
            Event::Sent | Event::Outstanding { .. } => return None,
            Event::Reply(reply) => Self::reply("reply", clock, target, reply),
            Event::LateReply(reply) => Self::reply("late", clock, target, reply),
            Event::Timeout { seq } => Self::Timeout(TimeoutRecord {
                r#type: "timeout",
                target: target.operand(),
                address: target.address,
                seq: *seq,
                time: now(clock),
            }),
            Event::Notice { seq, error } => Self::Notice(NoticeRecord {
                r#type: "notice",
                target: target.operand(),
                address: target.address,
                seq: *seq,
                message: error.text(),
                icmp: error.to_record(),
                time: now(clock),
            }),
            Event::Icmp { seq, rtt, error } => Self::Error(ErrorRecord {
                seq: Some(*seq),
                icmp: Some(error.to_record()),
                rtt_ms: rtt.map(|rtt| to_ms(rtt as f64)),
                ..target_error(clock, target, error.kind(), error.text())
            }),
            Event::Unsent { seq, errno, mtu } => {
                let message = explain_unsent(*errno, *mtu);
                Self::Error(ErrorRecord {
                    seq: Some(*seq),
                    ..target_error(clock, target, send_error_kind(*errno), message)
                })
            }
        })
    }

    fn reply(r#type: &'static str, clock: Clock, target: &Target, reply: &Reply<'_>) -> Self {
        Self::Reply(ReplyRecord {
            r#type,
            target: target.operand(),
            address: target.address,
            seq: reply.seq,
            bytes: reply.bytes,
            ttl: reply.ttl,
            rtt_ms: reply.rtt.map(|rtt| to_ms(rtt as f64)),
            time: now(clock),
            duplicate: reply.is_duplicate,
            reordered: reply.is_reordered,
            corrupt: reply.corruption.is_some(),
            from: Some(reply.from).filter(|from| *from != target.address),
        })
    }

    /// Returns the record of an operand that cannot be probed.
    pub(crate) fn rejected(clock: Clock, rejected: &RejectedOperand) -> Self {
        let error = &rejected.error;
        Self::Error(ErrorRecord {
            r#type: "error",
            target: error.subject().map(str::to_owned),
            kind: error.kind().name(),
            message: error.explanation(),
            address: rejected.address,
            seq: None,
            icmp: None,
            rtt_ms: None,
            time: now(clock),
        })
    }

    /// Returns the record of a search for the path MTU that found none.
    pub(crate) fn mtu_not_found(
        clock: Clock,
        target: &Target,
        kind: Kind,
        message: String,
    ) -> Self {
        Self::Error(ErrorRecord {
            icmp: target.last_error.map(IcmpError::to_record),
            ..target_error(clock, target, kind, message)
        })
    }

    /// Returns the summary of a target that was not probed because it does not
    /// resolve or has no route.
    pub(crate) fn unprobed_summary(clock: Clock, target: &str, address: Option<IpAddr>) -> Self {
        let stats = Stats::default();
        Self::Summary(summarize(clock, target.to_owned(), address, &stats, 0))
    }

    /// Returns the summary of a target. `drops` is the number of replies that
    /// this host has dropped, or 0 if they cannot be attributed to this target.
    pub(crate) fn summary(clock: Clock, target: &Target, drops: u64) -> Self {
        let address = Some(target.address);
        let stats = &target.stats;
        Self::Summary(summarize(clock, target.operand(), address, stats, drops))
    }

    /// Returns the statistics of a target in one interval.
    pub(crate) fn interval(clock: Clock, target: &Target, stats: &Stats) -> Self {
        let address = Some(target.address);
        Self::Summary(SummaryRecord {
            r#type: "interval",
            ..summarize(clock, target.operand(), address, stats, 0)
        })
    }
}

fn summarize(
    clock: Clock,
    target: String,
    address: Option<IpAddr>,
    stats: &Stats,
    drops: u64,
) -> SummaryRecord {
    let rtts = stats.rtt_summary();
    let duration: Nanos = match stats.sent {
        0 => 0,
        _ => clock.now().saturating_sub(stats.first_sent),
    };
    SummaryRecord {
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
        min_ms: rtts.map(|rtts| to_ms(rtts.min)),
        avg_ms: rtts.map(|rtts| to_ms(rtts.avg)),
        max_ms: rtts.map(|rtts| to_ms(rtts.max)),
        mdev_ms: rtts.map(|rtts| to_ms(rtts.mdev)),
        p50_ms: rtts.map(|rtts| to_ms(rtts.p50)),
        p90_ms: rtts.map(|rtts| to_ms(rtts.p90)),
        p99_ms: rtts.map(|rtts| to_ms(rtts.p99)),
        jitter_ms: rtts.map(|rtts| to_ms(rtts.jitter)),
        duration_ms: to_ms(duration as f64),
        outages: stats.outages,
        longest_outage_ms: to_ms(stats.longest_outage as f64),
        dropped: drops,
        time: now(clock),
    }
}

/// Returns the record of an error about a target as a whole.
fn target_error(clock: Clock, target: &Target, kind: Kind, message: String) -> ErrorRecord {
    ErrorRecord {
        r#type: "error",
        target: Some(target.operand()),
        kind: kind.name(),
        message,
        address: Some(target.address),
        seq: None,
        icmp: None,
        rtt_ms: None,
        time: now(clock),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Statistics in which every field is different.
    pub(crate) fn distinct_stats() -> Stats {
        let mut stats = Stats::default();
        for seq in 1..=200 {
            stats.record_reply(seq, 100_000 + 10_000 * seq, 0);
        }
        (stats.sent, stats.lost, stats.foreign, stats.late) = (255, 50, 21, 22);
        (stats.duplicates, stats.reordered, stats.corrupt) = (23, 24, 25);
        (stats.errors, stats.outages) = (26, 27);
        stats.longest_outage = 28_000_000;
        stats
    }

    #[test]
    fn every_field_of_a_summary_has_its_key() {
        let mut target = Target::new(Some("host.test".into()), [192, 0, 2, 1].into(), 0);
        *target.stats = distinct_stats();
        let record = Record::summary(Clock::start(), &target, 29);
        let mut record = serde_json::to_value(&record).unwrap();
        let duration = record["duration_ms"].take();
        assert!(duration.as_f64().unwrap() >= 0.0);
        record["time"].take();
        let expected = json!({
            "type": "summary", "target": "host.test", "address": "192.0.2.1",
            "sent": 255, "received": 200, "lost": 50, "in_flight": 5, "loss_percent": 20.0,
            "foreign": 21, "late": 22, "duplicates": 23, "reordered": 24, "corrupt": 25,
            "errors": 26, "min_ms": 0.11, "avg_ms": 1.105, "max_ms": 2.1,
            "mdev_ms": 0.577_343, "p50_ms": 1.1, "p90_ms": 1.9, "p99_ms": 2.08,
            "jitter_ms": 0.01,
            "duration_ms": Value::Null, "outages": 27, "longest_outage_ms": 28.0,
            "dropped": 29, "time": Value::Null,
        });
        assert_eq!(record, expected);
    }
}
