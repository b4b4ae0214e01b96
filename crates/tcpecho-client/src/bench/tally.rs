//! What a load run counts.

use std::collections::BTreeMap;
use std::time::Duration;

use common::Result;

use crate::stats::Latencies;

/// Reasons of failure that are counted apart.
const REASONS_MAX: usize = 50;

/// What all further ones are called.
const OTHER: &str = "another reason";

/// What an interval counts, and a run as the sum of its intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Connections that were made; with `--reconnect` those that were used and
    /// closed in order.
    pub(crate) connections: u64,
    /// Echoes that came back right.
    pub(crate) messages: u64,
    /// Bytes of those.
    pub(crate) bytes: u64,
    /// Echoes that came back wrong.
    pub(crate) corrupt: u64,
    /// Everything else that went wrong.
    pub(crate) errors: u64,
}

impl Counts {
    /// What has been added since `earlier`.
    fn since(self, earlier: Self) -> Self {
        Self {
            connections: self.connections - earlier.connections,
            messages: self.messages - earlier.messages,
            bytes: self.bytes - earlier.bytes,
            corrupt: self.corrupt - earlier.corrupt,
            errors: self.errors - earlier.errors,
        }
    }
}

/// The figures of one interval.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    /// Its counts.
    pub(crate) counts: Counts,
    /// The latencies of its echoes.
    pub(crate) latencies: Latencies,
}

/// Counts of a run so far.
#[derive(Debug)]
pub(crate) struct Tally {
    connected: u64,
    messages: u64,
    bytes: u64,
    /// Echoes that came back wrong.
    pub(crate) corrupt: u64,
    /// Connections that failed, by reason.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Echoes that had not come back at the end.
    pub(crate) missing: u64,
    /// Messages that were due by the schedule and had not been sent at the end,
    /// on connections that had not failed.
    pub(crate) unsent: u64,
    /// The latencies of those that came back right.
    pub(crate) latencies: Latencies,
    /// Those of the current interval.
    interval: Latencies,
    /// The counts when it began.
    before: Counts,
    /// How much later than due messages were sent, with a schedule.
    pub(crate) lateness: Latencies,
    /// When the latest echo or connection was counted, in nanoseconds.
    counted_at: u64,
    /// Equal latencies that have just come in, as those of one read are when
    /// the messages had gone out by one write.
    latest: (u64, u64),
    /// The kernel's smoothed round-trip times, summed up, and their number.
    rtt: (Duration, u32),
    /// Segments sent again.
    retransmits: Option<u64>,
}

impl Tally {
    /// Nothing yet.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            connected: 0,
            messages: 0,
            bytes: 0,
            corrupt: 0,
            errors: BTreeMap::new(),
            missing: 0,
            unsent: 0,
            latencies: Latencies::new()?,
            interval: Latencies::new()?,
            before: Counts::default(),
            lateness: Latencies::new()?,
            counted_at: 0,
            latest: (0, 0),
            rtt: (Duration::ZERO, 0),
            retransmits: None,
        })
    }

    /// An echo came back right, after so long. To be followed by
    /// [`Self::settle`].
    pub(crate) fn echo(&mut self, size: usize, nanos: u64) {
        self.messages += 1;
        self.bytes += size as u64;
        if self.latest.0 != nanos {
            self.take_latest();
            self.latest.0 = nanos;
        }
        self.latest.1 += 1;
    }

    /// Takes the latest echoes into the statistics; `now` is when they came.
    pub(crate) fn settle(&mut self, now: u64) {
        self.take_latest();
        self.counted_at = self.counted_at.max(now);
    }

    fn take_latest(&mut self) {
        let (nanos, count) = std::mem::take(&mut self.latest);
        if count > 0 {
            self.latencies.record_equal(nanos, count);
            self.interval.record_equal(nanos, count);
        }
    }

    /// A connection was made or, with `--reconnect`, closed in order.
    pub(crate) fn connected(&mut self, now: u64) {
        self.connected += 1;
        self.counted_at = self.counted_at.max(now);
    }

    /// A message was sent so long after it was due.
    pub(crate) fn sent_late(&mut self, nanos: u64) {
        self.lateness.record_nanos(nanos);
    }

    /// The counts so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            connections: self.connected,
            messages: self.messages,
            bytes: self.bytes,
            corrupt: self.corrupt,
            errors: self.error_count(),
        }
    }

    /// Ends the current interval and begins the next.
    pub(crate) fn next_interval(&mut self) -> Result<Interval> {
        let counts = self.counts();
        let interval = Interval {
            counts: counts.since(self.before),
            latencies: std::mem::replace(&mut self.interval, Latencies::new()?),
        };
        self.before = counts;
        Ok(interval)
    }

    /// The time that the counts are of: that in which messages were sent, and
    /// that of the last echoes if they came after it.
    pub(crate) fn duration(&self, elapsed: Duration) -> Duration {
        elapsed.max(Duration::from_nanos(self.counted_at))
    }

    /// A connection failed.
    pub(crate) fn error(&mut self, why: impl Into<String>) {
        let mut why = why.into();
        // A peer chooses the names in the errors about its certificate.
        if self.errors.len() >= REASONS_MAX && !self.errors.contains_key(&why) {
            OTHER.clone_into(&mut why);
        }
        *self.errors.entry(why).or_default() += 1;
    }

    /// Everything that went wrong besides wrong bytes.
    pub(crate) fn error_count(&self) -> u64 {
        self.errors.values().sum::<u64>() + self.missing + self.unsent
    }

    /// What the kernel says of a connection.
    pub(crate) fn tcp_info(&mut self, rtt: Duration, retransmits: u32) {
        if self.rtt.1 < u32::MAX {
            self.rtt = (self.rtt.0.saturating_add(rtt), self.rtt.1 + 1);
        }
        let sum = self.retransmits.unwrap_or(0) + u64::from(retransmits);
        self.retransmits = Some(sum);
    }

    /// The mean of the kernel's round-trip times.
    pub(crate) fn tcp_rtt(&self) -> Option<Duration> {
        (self.rtt.1 > 0).then(|| self.rtt.0 / self.rtt.1)
    }

    /// Segments sent again.
    pub(crate) fn tcp_retransmits(&self) -> Option<u64> {
        self.retransmits
    }

    /// Whether something came back, all of it, and right.
    pub(crate) fn all_right(&self) -> bool {
        self.messages > 0 && self.corrupt == 0 && self.error_count() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_add_up_to_the_run() {
        let mut tally = Tally::new().unwrap();
        let mut sum = Counts::default();
        let mut add = |interval: Interval| {
            sum.connections += interval.counts.connections;
            sum.messages += interval.counts.messages;
            sum.bytes += interval.counts.bytes;
            sum.corrupt += interval.counts.corrupt;
            sum.errors += interval.counts.errors;
            assert_eq!(interval.latencies.count(), interval.counts.messages);
            interval.latencies.max()
        };
        tally.connected(1);
        tally.echo(10, 500);
        tally.settle(1);
        assert_eq!(
            add(tally.next_interval().unwrap()),
            Some(Duration::from_nanos(500))
        );
        // Its latencies are its own.
        tally.echo(20, 3);
        tally.echo(30, 4);
        tally.corrupt += 1;
        tally.error("reset");
        tally.settle(2);
        assert_eq!(
            add(tally.next_interval().unwrap()),
            Some(Duration::from_nanos(4))
        );
        tally.missing += 2;
        tally.unsent += 3;
        assert_eq!(add(tally.next_interval().unwrap()), None);
        assert_eq!(sum, tally.counts());
        assert_eq!((sum.messages, sum.bytes, sum.errors), (3, 60, 6));
    }

    #[test]
    fn reasons_are_bounded() {
        let mut tally = Tally::new().unwrap();
        for n in 0..10_000 {
            tally.error(format!("name {n}"));
        }
        tally.error("name 1");
        assert_eq!(tally.errors.len(), REASONS_MAX + 1);
        assert_eq!((tally.errors["name 1"], tally.errors[OTHER]), (2, 9950));
        assert_eq!(tally.error_count(), 10_001);
    }

    #[test]
    fn the_time_lasts_until_the_last_connection_was_closed() {
        let mut tally = Tally::new().unwrap();
        tally.settle(3);
        tally.connected(7);
        tally.connected(5);
        assert_eq!(tally.duration(Duration::ZERO), Duration::from_nanos(7));
    }

    #[test]
    fn round_trip_times_of_the_kernel_are_averaged() {
        let mut tally = Tally::new().unwrap();
        assert_eq!((tally.tcp_rtt(), tally.tcp_retransmits()), (None, None));
        tally.tcp_info(Duration::from_micros(10), 2);
        tally.tcp_info(Duration::from_micros(30), 3);
        assert_eq!(tally.tcp_rtt(), Some(Duration::from_micros(20)));
        assert_eq!(tally.tcp_retransmits(), Some(5));
    }

    #[test]
    fn equal_latencies_are_counted_one_by_one() {
        let mut tally = Tally::new().unwrap();
        for nanos in [0, 0, 7, 7, 7, 9, 7] {
            tally.echo(10, nanos);
        }
        tally.settle(5);
        tally.settle(4);
        assert_eq!((tally.messages, tally.bytes), (7, 70));
        assert_eq!(tally.duration(Duration::ZERO), Duration::from_nanos(5));
        assert_eq!(
            tally.duration(Duration::from_nanos(9)),
            Duration::from_nanos(9)
        );
        assert_eq!(tally.latencies.count(), 7);
        assert_eq!(tally.latencies.mean(), Some(Duration::from_nanos(37 / 7)));
        assert_eq!(tally.latencies.max(), Some(Duration::from_nanos(9)));
    }
}
