//! The counts and latencies of a load test, of the entire run and of the current
//! interval.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::stats::Latencies;

/// The number of different errors that are counted separately.
const MAX_REASONS: usize = 50;

/// The reason under which all further errors are counted.
const OTHER_REASON: &str = "another reason";

/// The counts of an interval, or of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The number of connections that were opened; with `--reconnect`, of those
    /// that were used and closed in order.
    pub(crate) connections: u64,
    /// The number of correct echoes.
    pub(crate) messages: u64,
    /// The number of bytes of the correct echoes.
    pub(crate) bytes: u64,
    /// The number of wrong echoes.
    pub(crate) corrupt: u64,
    /// The number of failed connections, missing echoes and unsent messages.
    pub(crate) errors: u64,
}

impl Counts {
    /// Returns the difference from `earlier` counts of the same run.
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

/// The counts and latencies of one interval.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    pub(crate) counts: Counts,
    /// The latencies of the correct echoes.
    pub(crate) latencies: Latencies,
}

/// The statistics of a run.
#[derive(Debug, Default)]
pub(crate) struct LoadStats {
    connections: u64,
    messages: u64,
    bytes: u64,
    /// The number of wrong echoes.
    pub(crate) corrupt: u64,
    /// The number of failed connections, by reason.
    pub(crate) errors: BTreeMap<String, u64>,
    /// The number of echoes that had not arrived by the end of the run.
    pub(crate) missing: u64,
    /// The number of messages that were due and had not been sent by the end of
    /// the run, without those of failed connections.
    pub(crate) unsent: u64,
    /// The latencies of the correct echoes.
    pub(crate) latencies: Latencies,
    /// The latencies of the current interval.
    interval: Latencies,
    /// The counts at the start of the current interval.
    interval_start: Counts,
    /// The send lateness of messages; empty without a schedule.
    pub(crate) lateness: Latencies,
    /// The time of the latest echo or connection, in nanoseconds.
    counted_at: u64,
    /// A latency in nanoseconds and the number of echoes that have it. The
    /// echoes of one read often have equal latencies, which are recorded
    /// together.
    latest: (u64, u64),
    /// The sum of the kernel's round-trip times, and their number.
    tcp_rtt: (Duration, u32),
    tcp_retransmits: Option<u64>,
}

impl LoadStats {
    /// Counts a correct echo with its latency. Call [`Self::end_read`] after the
    /// echoes of a read.
    pub(crate) fn record_echo(&mut self, size: usize, nanos: u64) {
        self.messages += 1;
        self.bytes += size as u64;
        if self.latest.0 != nanos {
            self.record_latest();
            self.latest.0 = nanos;
        }
        self.latest.1 += 1;
    }

    /// Records the latencies of the echoes that were read at `now`.
    pub(crate) fn end_read(&mut self, now: u64) {
        self.record_latest();
        self.counted_at = self.counted_at.max(now);
    }

    fn record_latest(&mut self) {
        let (nanos, count) = std::mem::take(&mut self.latest);
        if count > 0 {
            self.latencies.record_n(nanos, count);
            self.interval.record_n(nanos, count);
        }
    }

    /// Counts a connection that was opened or, with `--reconnect`, closed in
    /// order.
    pub(crate) fn record_connection(&mut self, now: u64) {
        self.connections += 1;
        self.counted_at = self.counted_at.max(now);
    }

    /// Records the send lateness of a message, in nanoseconds.
    pub(crate) fn record_lateness(&mut self, nanos: u64) {
        self.lateness.record_nanos(nanos);
    }

    /// Returns the counts so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            connections: self.connections,
            messages: self.messages,
            bytes: self.bytes,
            corrupt: self.corrupt,
            errors: self.error_count(),
        }
    }

    /// Ends the current interval and starts the next one.
    pub(crate) fn next_interval(&mut self) -> Interval {
        let counts = self.counts();
        let interval = Interval {
            counts: counts.since(self.interval_start),
            latencies: std::mem::take(&mut self.interval),
        };
        self.interval_start = counts;
        interval
    }

    /// Returns the duration that the counts are of: `elapsed`, during which
    /// messages were sent, or longer if echoes arrived after that.
    pub(crate) fn duration(&self, elapsed: Duration) -> Duration {
        elapsed.max(Duration::from_nanos(self.counted_at))
    }

    /// Counts a failed connection.
    pub(crate) fn record_error(&mut self, reason: impl Into<String>) {
        let mut reason = reason.into();
        // The peer can make up names in errors about its certificate.
        if self.errors.len() >= MAX_REASONS && !self.errors.contains_key(&reason) {
            OTHER_REASON.clone_into(&mut reason);
        }
        *self.errors.entry(reason).or_default() += 1;
    }

    /// Returns the number of errors of all kinds, without wrong echoes.
    pub(crate) fn error_count(&self) -> u64 {
        self.errors.values().sum::<u64>() + self.missing + self.unsent
    }

    /// Adds the kernel's statistics of a connection that is being closed.
    pub(crate) fn record_tcp_info(&mut self, rtt: Duration, retransmits: u32) {
        if self.tcp_rtt.1 < u32::MAX {
            self.tcp_rtt = (self.tcp_rtt.0.saturating_add(rtt), self.tcp_rtt.1 + 1);
        }
        let sum = self.tcp_retransmits.unwrap_or(0) + u64::from(retransmits);
        self.tcp_retransmits = Some(sum);
    }

    /// Returns the mean of the kernel's round-trip times.
    pub(crate) fn tcp_rtt(&self) -> Option<Duration> {
        (self.tcp_rtt.1 > 0).then(|| self.tcp_rtt.0 / self.tcp_rtt.1)
    }

    /// Returns the number of segments that the kernel retransmitted.
    pub(crate) fn tcp_retransmits(&self) -> Option<u64> {
        self.tcp_retransmits
    }

    /// Returns whether an echo was received, and all echoes were and are correct.
    pub(crate) fn is_success(&self) -> bool {
        self.messages > 0 && self.corrupt == 0 && self.error_count() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_add_up_to_the_run() {
        let mut stats = LoadStats::default();
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
        stats.record_connection(1);
        stats.record_echo(10, 500);
        stats.end_read(1);
        assert_eq!(add(stats.next_interval()), Some(Duration::from_nanos(500)));
        // The latencies of an interval are its own.
        stats.record_echo(20, 3);
        stats.record_echo(30, 4);
        stats.corrupt += 1;
        stats.record_error("reset");
        stats.end_read(2);
        assert_eq!(add(stats.next_interval()), Some(Duration::from_nanos(4)));
        stats.missing += 2;
        stats.unsent += 3;
        assert_eq!(add(stats.next_interval()), None);
        assert_eq!(sum, stats.counts());
        assert_eq!((sum.messages, sum.bytes, sum.errors), (3, 60, 6));
    }

    #[test]
    fn the_number_of_reasons_is_bounded() {
        let mut stats = LoadStats::default();
        for n in 0..10_000 {
            stats.record_error(format!("name {n}"));
        }
        stats.record_error("name 1");
        assert_eq!(stats.errors.len(), MAX_REASONS + 1);
        assert_eq!(
            (stats.errors["name 1"], stats.errors[OTHER_REASON]),
            (2, 9950)
        );
        assert_eq!(stats.error_count(), 10_001);
    }

    #[test]
    fn the_duration_includes_the_last_closed_connection() {
        let mut stats = LoadStats::default();
        stats.end_read(3);
        stats.record_connection(7);
        stats.record_connection(5);
        assert_eq!(stats.duration(Duration::ZERO), Duration::from_nanos(7));
    }

    #[test]
    fn the_round_trip_times_of_the_kernel_are_averaged() {
        let mut stats = LoadStats::default();
        assert_eq!((stats.tcp_rtt(), stats.tcp_retransmits()), (None, None));
        stats.record_tcp_info(Duration::from_micros(10), 2);
        stats.record_tcp_info(Duration::from_micros(30), 3);
        assert_eq!(stats.tcp_rtt(), Some(Duration::from_micros(20)));
        assert_eq!(stats.tcp_retransmits(), Some(5));
    }

    #[test]
    fn equal_latencies_are_all_counted() {
        let mut stats = LoadStats::default();
        for nanos in [0, 0, 7, 7, 7, 9, 7] {
            stats.record_echo(10, nanos);
        }
        stats.end_read(5);
        stats.end_read(4);
        assert_eq!((stats.messages, stats.bytes), (7, 70));
        assert_eq!(stats.duration(Duration::ZERO), Duration::from_nanos(5));
        assert_eq!(
            stats.duration(Duration::from_nanos(9)),
            Duration::from_nanos(9)
        );
        assert_eq!(stats.latencies.count(), 7);
        assert_eq!(stats.latencies.mean(), Some(Duration::from_nanos(37 / 7)));
        assert_eq!(stats.latencies.max(), Some(Duration::from_nanos(9)));
    }
}
