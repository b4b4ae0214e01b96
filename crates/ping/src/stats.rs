//! The statistics of one target, in constant memory. Pure.
//!
//! Times are nanoseconds. Duplicates, late and corrupt replies are counted and
//! enter no statistic. All arithmetic on times is in `f64` or saturates.

use crate::clock::Nanos;
use crate::histogram::Histogram;

/// Losses in a row that make an outage.
const OUTAGE: u64 = 2;

/// Counts and times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    /// Probes sent, or tried to.
    pub(crate) sent: u64,
    /// Probes answered in time.
    pub(crate) received: u64,
    /// Probes whose time passed, that met an error, or came back corrupt.
    pub(crate) lost: u64,
    /// Answers that came after their time.
    pub(crate) late: u64,
    /// Further answers to the same probe.
    pub(crate) duplicates: u64,
    /// Answers to an earlier probe than the one answered before.
    pub(crate) reordered: u64,
    /// Answers with wrong data or checksum, or cut short.
    pub(crate) corrupt: u64,
    /// Answers from another address than the one that was asked.
    pub(crate) foreign: u64,
    /// ICMP errors, and probes that could not be sent.
    pub(crate) errors: u64,
    /// Probes that this machine refused to send.
    pub(crate) unsent: u64,
    /// Stretches of two or more losses in a row.
    pub(crate) outages: u64,
    /// The longest of them, from the first lost probe to the next answered.
    pub(crate) longest_outage: Nanos,
    /// The most probes sent from one probe to its answer, both counted.
    pub(crate) pipe: u64,
    /// When the first and the last probe were sent.
    pub(crate) first_sent: Nanos,
    /// See [`Stats::first_sent`].
    pub(crate) last_sent: Nanos,
    /// Losses in a row up to now.
    run: u64,
    /// When the first of these was sent.
    run_started: Nanos,
    /// Losses in a row without an answer of any kind, a late one included.
    pub(crate) silent: u64,
    min: Nanos,
    max: Nanos,
    mean: f64,
    /// Sum of squared deviations from the mean (Welford).
    deviation: f64,
    jitter: f64,
    last: Option<Nanos>,
    average: f64,
    highest_seq: u64,
    times: Histogram,
}

/// What the times add up to, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Times {
    /// The shortest.
    pub(crate) min: f64,
    /// The mean.
    pub(crate) avg: f64,
    /// The longest.
    pub(crate) max: f64,
    /// The standard deviation.
    pub(crate) mdev: f64,
    /// Percentiles.
    pub p50: f64,
    /// See [`Times::p50`].
    pub p90: f64,
    /// See [`Times::p50`].
    pub p99: f64,
    /// RFC 3550, section 6.4.1.
    pub(crate) jitter: f64,
}

impl Stats {
    /// A probe went out.
    pub(crate) fn sent(&mut self, at: Nanos) {
        if self.sent == 0 {
            self.first_sent = at;
        }
        self.sent += 1;
        self.last_sent = at;
    }

    /// An answer of any kind came to this probe; iputils calls `pipe` how far
    /// back it was.
    pub(crate) fn acknowledge(&mut self, seq: u64) {
        self.pipe = self.pipe.max((self.sent + 1).saturating_sub(seq));
    }

    /// A first answer in time. Returns whether it came out of order.
    pub(crate) fn received(&mut self, seq: u64, rtt: Nanos, now: Nanos) -> bool {
        self.received += 1;
        self.silent = 0;
        self.end_run(now);
        let reordered = seq < self.highest_seq;
        self.highest_seq = self.highest_seq.max(seq);
        self.reordered += u64::from(reordered);
        self.time(rtt);
        reordered
    }

    fn time(&mut self, rtt: Nanos) {
        let value = rtt as f64;
        if self.received == 1 {
            (self.min, self.max) = (rtt, rtt);
            self.average = value;
        } else {
            self.min = self.min.min(rtt);
            self.max = self.max.max(rtt);
            self.average += (value - self.average) / 8.0;
        }
        let delta = value - self.mean;
        self.mean += delta / self.received as f64;
        self.deviation += delta * (value - self.mean);
        if let Some(last) = self.last {
            self.jitter += (rtt.abs_diff(last) as f64 - self.jitter) / 16.0;
        }
        self.last = Some(rtt);
        self.times.add(rtt);
    }

    /// A probe sent at `sent` is given up.
    pub(crate) fn lost(&mut self, sent: Nanos) {
        self.lost += 1;
        if self.run == 0 {
            self.run_started = sent;
        }
        self.run += 1;
        self.silent += 1;
    }

    /// A first answer after its time: no loss the less, but somebody is there.
    pub(crate) fn late(&mut self) {
        self.late += 1;
        self.silent = 0;
    }

    /// A probe given up is answered after all, and in time.
    pub(crate) fn found(&mut self) {
        self.lost = self.lost.saturating_sub(1);
        self.run = self.run.saturating_sub(1);
    }

    /// Losses end, by an answer or with the run.
    pub(crate) fn end_run(&mut self, now: Nanos) {
        if self.run >= OUTAGE {
            self.outages += 1;
            let length = now.saturating_sub(self.run_started);
            self.longest_outage = self.longest_outage.max(length);
        }
        self.run = 0;
    }

    /// Lost probes in percent of those settled; `None` while none is.
    pub(crate) fn loss_percent(&self) -> Option<f64> {
        self.loss_percent_with(0)
    }

    /// The same with further probes counted as lost.
    pub(crate) fn loss_percent_with(&self, overdue: u64) -> Option<f64> {
        let lost = self.lost + overdue;
        let settled = self.received + lost;
        (settled > 0).then(|| lost as f64 * 100.0 / settled as f64)
    }

    /// The exponentially weighted average of iputils, weight 1/8.
    pub(crate) fn ewma(&self) -> Nanos {
        self.average as Nanos
    }

    /// The longest time so far.
    pub(crate) fn max(&self) -> Nanos {
        self.max
    }

    /// Percentiles and the rest; `None` without an answer.
    pub(crate) fn times(&self) -> Option<Times> {
        let [p50, p90, p99] = self.times.percentiles([50, 90, 99])?;
        let (min, max) = (self.min, self.max);
        // The middle of a bucket may lie beyond the extremes.
        let within = |time: u64| time.clamp(min, max) as f64;
        Some(Times {
            min: min as f64,
            avg: self.mean,
            max: max as f64,
            mdev: (self.deviation / self.received as f64).max(0.0).sqrt(),
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
    fn the_numbers_of_three_replies() {
        let mut stats = Stats::default();
        for (seq, rtt) in [(1, 10_000), (3, 30_000), (2, 20_000)] {
            stats.sent(seq);
            let reordered = stats.received(seq, rtt, 0);
            assert_eq!(reordered, seq == 2);
        }
        let times = stats.times().unwrap();
        assert_eq!((times.min, times.avg, times.max), (1e4, 2e4, 3e4));
        assert!((times.mdev - 8_164.966).abs() < 0.001);
        assert_eq!((times.p50, times.p90, times.p99), (2e4, 3e4, 3e4));
        // 20000/16, then (10000 - 1250)/16 more.
        assert!((times.jitter - 1_796.875).abs() < 1e-9);
        assert_eq!((stats.reordered, stats.loss_percent()), (1, Some(0.0)));
    }

    #[test]
    fn what_is_in_flight_is_no_loss() {
        let mut stats = Stats::default();
        assert_eq!(stats.loss_percent(), None);
        for _ in 0..5 {
            stats.sent(0);
        }
        stats.received(1, 5, 0);
        stats.received(2, 5, 0);
        stats.received(3, 5, 0);
        stats.lost(7);
        assert_eq!(stats.loss_percent(), Some(25.0));
        stats.found();
        assert_eq!(stats.loss_percent(), Some(0.0));
    }

    #[test]
    fn outages() {
        let mut stats = Stats::default();
        stats.lost(100);
        stats.received(2, 5, 200);
        assert_eq!(stats.outages, 0);
        for sent in [300, 400, 500] {
            stats.lost(sent);
        }
        stats.received(6, 5, 600);
        assert_eq!((stats.outages, stats.longest_outage), (1, 300));
    }

    #[test]
    fn hostile_times_do_not_overflow() {
        let mut stats = Stats::default();
        for rtt in [u64::MAX, 0, u64::MAX] {
            stats.received(1, rtt, 0);
        }
        let times = stats.times().unwrap();
        assert!(times.mdev.is_finite() && times.avg.is_finite());
    }
}
