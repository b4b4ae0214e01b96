//! The statistics of one target, in constant memory. It does no I/O.
//!
//! Times are nanoseconds. Duplicates, late and corrupt replies are counted but
//! do not enter the round-trip times. All arithmetic on times is in `f64` or
//! saturates.

use common::latency::Percentiles;

use crate::clock::Nanos;

/// The minimum number of consecutive losses that make an outage.
const OUTAGE: u64 = 2;

/// The counters and round-trip times of a target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    /// Probes sent, including those that the system refused to send.
    pub(crate) sent: u64,
    /// Probes that were answered within their timeout.
    pub(crate) received: u64,
    /// Probes that timed out, met an error, or came back corrupt.
    pub(crate) lost: u64,
    /// Replies after the timeout of their probe.
    pub(crate) late: u64,
    /// Further replies to a probe that was answered before.
    pub(crate) duplicates: u64,
    /// Replies to an earlier probe than a reply before them.
    pub(crate) reordered: u64,
    /// Replies with wrong data, a wrong checksum, or too few bytes.
    pub(crate) corrupt: u64,
    /// Replies from an address other than the target's.
    pub(crate) foreign: u64,
    /// ICMP errors, and probes that could not be sent.
    pub(crate) errors: u64,
    /// Probes that the system refused to send.
    pub(crate) unsent: u64,
    /// Periods of two or more consecutive losses.
    pub(crate) outages: u64,
    /// The length of the longest outage, from its first probe to the next reply.
    pub(crate) longest_outage: Nanos,
    /// iputils' `pipe`: the most probes sent from a probe to its reply, both
    /// included.
    pub(crate) pipe: u64,
    /// When the first probe was sent.
    pub(crate) first_sent: Nanos,
    /// When the last probe was sent.
    pub(crate) last_sent: Nanos,
    /// Consecutive losses up to now.
    consecutive_losses: u64,
    /// When the first of the consecutive losses was sent.
    losses_since: Nanos,
    /// Losses since the last reply of any kind, a late one included.
    pub(crate) losses_since_reply: u64,
    min: Nanos,
    max: Nanos,
    mean: f64,
    /// The sum of squared deviations from the mean (Welford's algorithm).
    squared_deviations: f64,
    jitter: f64,
    last_rtt: Option<Nanos>,
    ewma: f64,
    highest_seq: u64,
    /// With two digits, so that a watched list of many targets needs little
    /// memory.
    rtts: Percentiles<2>,
}

/// The round-trip times of a target in summary, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RttSummary {
    /// The shortest round trip.
    pub(crate) min: f64,
    /// The arithmetic mean of all times.
    pub(crate) avg: f64,
    /// The longest round trip.
    pub(crate) max: f64,
    /// The standard deviation, which iputils calls `mdev`.
    pub(crate) mdev: f64,
    /// The 50th percentile (median).
    pub(crate) p50: f64,
    /// The 90th percentile by nearest rank.
    pub(crate) p90: f64,
    /// The 99th percentile by nearest rank.
    pub(crate) p99: f64,
    /// The interarrival jitter of RFC 3550, section 6.4.1.
    pub(crate) jitter: f64,
}

impl Stats {
    /// Counts a probe that was sent at `at`.
    pub(crate) fn record_sent(&mut self, at: Nanos) {
        if self.sent == 0 {
            self.first_sent = at;
        }
        self.sent += 1;
        self.last_sent = at;
    }

    /// Updates `pipe`: a reply or an ICMP error to this probe arrived.
    pub(crate) fn acknowledge(&mut self, seq: u64) {
        self.pipe = self.pipe.max((self.sent + 1).saturating_sub(seq));
    }

    /// Counts the first reply to a probe, if it is in time. Returns whether it
    /// is out of order.
    pub(crate) fn record_reply(&mut self, seq: u64, rtt: Nanos, now: Nanos) -> bool {
        self.received += 1;
        self.losses_since_reply = 0;
        self.end_outage(now);
        let is_reordered = seq < self.highest_seq;
        self.highest_seq = self.highest_seq.max(seq);
        self.reordered += u64::from(is_reordered);
        self.add_rtt(rtt);
        is_reordered
    }

    fn add_rtt(&mut self, rtt: Nanos) {
        let value = rtt as f64;
        if self.received == 1 {
            (self.min, self.max) = (rtt, rtt);
            self.ewma = value;
        } else {
            self.min = self.min.min(rtt);
            self.max = self.max.max(rtt);
            self.ewma += (value - self.ewma) / 8.0;
        }
        let delta = value - self.mean;
        self.mean += delta / self.received as f64;
        self.squared_deviations += delta * (value - self.mean);
        if let Some(last) = self.last_rtt {
            self.jitter += (rtt.abs_diff(last) as f64 - self.jitter) / 16.0;
        }
        self.last_rtt = Some(rtt);
        self.rtts.record(rtt, 1);
    }

    /// Counts the loss of a probe that was sent at `sent_at`.
    pub(crate) fn record_loss(&mut self, sent_at: Nanos) {
        self.lost += 1;
        if self.consecutive_losses == 0 {
            self.losses_since = sent_at;
        }
        self.consecutive_losses += 1;
        self.losses_since_reply += 1;
    }

    /// Counts a late reply. Its probe stays lost, but the host is up.
    pub(crate) fn record_late(&mut self) {
        self.late += 1;
        self.losses_since_reply = 0;
    }

    /// Takes back a loss: the probe was answered in time after all.
    pub(crate) fn retract_loss(&mut self) {
        self.lost = self.lost.saturating_sub(1);
        self.consecutive_losses = self.consecutive_losses.saturating_sub(1);
    }

    /// Ends a series of losses, because a reply came or the run ends.
    pub(crate) fn end_outage(&mut self, now: Nanos) {
        if self.consecutive_losses >= OUTAGE {
            self.outages += 1;
            let length = now.saturating_sub(self.losses_since);
            self.longest_outage = self.longest_outage.max(length);
        }
        self.consecutive_losses = 0;
    }

    /// Returns the lost probes in percent of the settled ones, or `None` if no
    /// probe is settled.
    pub(crate) fn loss_percent(&self) -> Option<f64> {
        self.loss_percent_with(0)
    }

    /// Returns the loss with `overdue` further probes counted as lost.
    pub(crate) fn loss_percent_with(&self, overdue: u64) -> Option<f64> {
        let lost = self.lost + overdue;
        let settled = self.received + lost;
        (settled > 0).then(|| lost as f64 * 100.0 / settled as f64)
    }

    /// Returns iputils' exponentially weighted moving average, with weight 1/8.
    pub(crate) fn ewma(&self) -> Nanos {
        self.ewma as Nanos
    }

    /// Returns the longest round trip so far, or 0.
    pub(crate) fn max_rtt(&self) -> Nanos {
        self.max
    }

    /// Returns the summary of the round-trip times, or `None` without a reply.
    pub(crate) fn rtt_summary(&self) -> Option<RttSummary> {
        let [p50, p90, p99] = self.rtts.quantiles([0.5, 0.9, 0.99])?;
        let (min, max) = (self.min, self.max);
        // The middle of a histogram bucket may be outside the extremes.
        let within = |time: u64| time.clamp(min, max) as f64;
        Some(RttSummary {
            min: min as f64,
            avg: self.mean,
            max: max as f64,
            mdev: (self.squared_deviations / self.received as f64)
                .max(0.0)
                .sqrt(),
            p50: within(p50),
            p90: within(p90),
            p99: within(p99),
            jitter: self.jitter,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_three_replies() {
        let mut stats = Stats::default();
        for (seq, rtt) in [(1, 10_000), (3, 30_000), (2, 20_000)] {
            stats.record_sent(seq);
            let is_reordered = stats.record_reply(seq, rtt, 0);
            assert_eq!(is_reordered, seq == 2);
        }
        let rtts = stats.rtt_summary().unwrap();
        assert_eq!((rtts.min, rtts.avg, rtts.max), (1e4, 2e4, 3e4));
        assert!((rtts.mdev - 8_164.966).abs() < 0.001);
        assert_eq!((rtts.p50, rtts.p90, rtts.p99), (2e4, 3e4, 3e4));
        // 20000/16, then (10000 - 1250)/16 more.
        assert!((rtts.jitter - 1_796.875).abs() < 1e-9);
        assert_eq!((stats.reordered, stats.loss_percent()), (1, Some(0.0)));
        // 10000, then 20000/8 more, then 7500/8 more.
        assert_eq!(stats.ewma(), 13_437);
    }

    #[test]
    fn a_probe_in_flight_is_not_lost() {
        let mut stats = Stats::default();
        assert_eq!(stats.loss_percent(), None);
        for _ in 0..5 {
            stats.record_sent(0);
        }
        stats.record_reply(1, 5, 0);
        stats.record_reply(2, 5, 0);
        stats.record_reply(3, 5, 0);
        stats.record_loss(7);
        assert_eq!(stats.loss_percent(), Some(25.0));
        stats.retract_loss();
        assert_eq!(stats.loss_percent(), Some(0.0));
    }

    #[test]
    fn two_consecutive_losses_make_an_outage() {
        let mut stats = Stats::default();
        stats.record_loss(100);
        stats.record_reply(2, 5, 200);
        assert_eq!(stats.outages, 0);
        for sent in [300, 400, 500] {
            stats.record_loss(sent);
        }
        stats.record_reply(6, 5, 600);
        assert_eq!((stats.outages, stats.longest_outage), (1, 300));
        // Of three losses one is taken back; two are enough.
        for sent in [700, 800, 900] {
            stats.record_loss(sent);
        }
        stats.retract_loss();
        stats.end_outage(1_000);
        assert_eq!((stats.outages, stats.longest_outage), (2, 300));
    }

    #[test]
    fn percentiles_are_within_the_extremes() {
        let mut stats = Stats::default();
        for seq in 0..600 {
            stats.record_reply(seq, 1_000_003, 0);
        }
        let rtts = stats.rtt_summary().unwrap();
        let expected = 1_000_003.0;
        assert_eq!(
            (rtts.p50, rtts.p90, rtts.p99),
            (expected, expected, expected)
        );
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut stats = Stats::default();
        for rtt in [u64::MAX, 0, u64::MAX] {
            stats.record_reply(1, rtt, 0);
        }
        let rtts = stats.rtt_summary().unwrap();
        assert!(rtts.mdev.is_finite() && rtts.avg.is_finite());
    }
}
