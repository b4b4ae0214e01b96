//! Round-trip times, and the retransmission timeouts derived from them.

use std::time::Duration;

/// The minimum retransmission timeout, even for a very fast server.
const MIN_RTO: Duration = Duration::from_millis(50);

/// The number of samples after which the round-trip time counts as known.
const MIN_SAMPLES: u32 = 8;

/// Measures round-trip times and derives timeouts from them (RFC 6298).
///
/// Every query has its own ID, so a late answer is a valid sample and not
/// an ambiguous one. The more queries are in flight, the less each sample weighs
/// (RFC 7323, appendix G): a batch that arrived late because this process had to
/// wait says little about the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct RttEstimator {
    /// The smoothed value, the variation and the minimum, in seconds.
    measured: Option<(f64, f64, f64)>,
    samples: u32,
}

impl RttEstimator {
    /// Returns whether a sample has been added.
    pub(crate) fn is_measured(&self) -> bool {
        self.samples > 0
    }

    /// Returns whether the last sample completed the [`MIN_SAMPLES`] after which
    /// the round-trip time counts as known. One fast answer is not enough.
    pub(crate) fn became_known(&self) -> bool {
        self.samples == MIN_SAMPLES
    }

    /// Adds a sample that was taken with `in_flight` queries in flight.
    pub(crate) fn sample(&mut self, rtt: Duration, in_flight: usize) {
        let rtt = rtt.as_secs_f64();
        self.samples = self.samples.saturating_add(1);
        let share = 1.0 / (in_flight as f64 / 2.0).max(1.0);
        self.measured = Some(match self.measured {
            None => (rtt, rtt / 2.0, rtt),
            Some((smoothed, variation, least)) => (
                smoothed + (rtt - smoothed) / 8.0 * share,
                variation + ((rtt - smoothed).abs() - variation) / 4.0 * share,
                least.min(rtt),
            ),
        });
    }

    /// Returns the retransmission timeout after `retransmits` retransmissions:
    /// `initial`, doubled each time, until there is a sample.
    ///
    /// A measured timeout leaves time for five queries within `lookup_timeout`
    /// if the round-trip time allows it: with a timeout as long as the lookup
    /// itself, a single lost packet would make the lookup fail.
    pub(crate) fn rto(
        &self,
        initial: Duration,
        lookup_timeout: Duration,
        retransmits: u32,
    ) -> Duration {
        let backoff = 1 << retransmits.min(6);
        match self.measured {
            None => initial * backoff,
            Some((smoothed, variation, _)) => {
                // A query must not count as lost before its answer can arrive.
                let least = Duration::from_secs_f64(smoothed * 1.5) + MIN_RTO;
                let most = (lookup_timeout / 8).max(least);
                let once = Duration::from_secs_f64(smoothed + 4.0 * variation).clamp(MIN_RTO, most);
                (once * backoff).min(most * 2)
            }
        }
    }

    /// Returns whether queries seem to wait in a queue, in the network or at the
    /// server.
    pub(crate) fn is_queuing(&self) -> bool {
        self.measured
            .is_some_and(|(smoothed, _, least)| smoothed > 4.0 * least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_follow_the_round_trips() {
        let mut rtt = RttEstimator::default();
        let second = Duration::from_secs(1);
        let lookup = 5 * second;
        assert_eq!(rtt.rto(second, lookup, 0), second);
        assert_eq!(rtt.rto(second, lookup, 1), 2 * second);
        rtt.sample(Duration::from_micros(100), 1);
        assert_eq!(rtt.rto(second, lookup, 0), MIN_RTO);
        assert_eq!(rtt.rto(second, lookup, 2), 4 * MIN_RTO);
        (0..100).for_each(|_| rtt.sample(Duration::from_millis(400), 1));
        let rto = rtt.rto(second, lookup, 0).as_millis();
        assert!((400..500).contains(&rto), "{rto}");
        assert!(rtt.is_queuing());
    }

    #[test]
    fn round_trips_become_known_once() {
        let mut rtt = RttEstimator::default();
        assert!(!rtt.is_measured());
        let known: Vec<u32> = (1..=20)
            .filter(|_| {
                rtt.sample(Duration::from_millis(5), 1);
                rtt.became_known()
            })
            .collect();
        assert_eq!(known, [MIN_SAMPLES]);
        assert!(rtt.is_measured());
    }

    #[test]
    fn a_fast_server_is_not_flooded() {
        let mut rtt = RttEstimator::default();
        let second = Duration::from_secs(1);
        for _ in 0..1000 {
            rtt.sample(Duration::from_micros(20), 1);
            assert_eq!(rtt.rto(second, 5 * second, 0), MIN_RTO);
        }
        // Each timeout is twice the one before, up to a quarter of the lookup's.
        let timeouts: Vec<u128> = (0..8)
            .map(|n| rtt.rto(second, 5 * second, n).as_millis())
            .collect();
        assert_eq!(timeouts, [50, 100, 200, 400, 800, 1250, 1250, 1250]);
    }

    /// A round-trip time of 700 ms is awaited for more than an eighth of 5 s, and
    /// a server that takes as long as the lookup may last is asked only once.
    #[test]
    fn slow_servers_have_enough_time() {
        let lookup = Duration::from_secs(5);
        for (sample, least, most) in [(200, 250, 625), (700, 1000, 1100), (5000, 7000, 7600)] {
            let mut rtt = RttEstimator::default();
            (0..50).for_each(|_| rtt.sample(Duration::from_millis(sample), 100));
            let first = rtt.rto(lookup, lookup, 0).as_millis();
            assert!((least..=most).contains(&first), "{first} for {sample}");
            let second = rtt.rto(lookup, lookup, 1).as_millis();
            assert!(
                second >= first && second <= 2 * most,
                "{second} after {first}"
            );
        }
    }

    #[test]
    fn one_late_batch_among_many_has_little_weight() {
        let mut rtt = RttEstimator::default();
        let second = Duration::from_secs(1);
        (0..1000).for_each(|_| rtt.sample(Duration::from_millis(1), 128));
        (0..32).for_each(|_| rtt.sample(Duration::from_millis(500), 128));
        let rto = rtt.rto(second, 5 * second, 0).as_millis();
        assert!(rto < 400, "{rto}");
    }

    /// With N queries in flight, a sample weighs 2/N of one alone.
    #[test]
    fn samples_weigh_less_with_many_queries_in_flight() {
        let rto_after = |in_flight| {
            let mut rtt = RttEstimator::default();
            rtt.sample(Duration::from_millis(100), 1);
            rtt.sample(Duration::from_millis(180), in_flight);
            // Smoothed 100 ms + 10 ms x weight; variation 50 ms + 7.5 ms x weight.
            let minute = Duration::from_secs(60);
            (rtt.rto(minute, minute, 0).as_secs_f64() * 1e3).round() as u32
        };
        for (in_flight, expected) in [(0, 340), (1, 340), (2, 340), (4, 320), (8, 310)] {
            assert_eq!(rto_after(in_flight), expected, "{in_flight}");
        }
    }

    /// The first sample sets a variation of 2 s, which the limit cuts off.
    #[test]
    fn a_timeout_leaves_a_margin_of_half_the_round_trip_and_50_ms() {
        let mut rtt = RttEstimator::default();
        rtt.sample(Duration::from_secs(4), 1);
        let second = Duration::from_secs(1);
        assert_eq!(rtt.rto(second, second, 0), Duration::from_millis(6050));
    }

    #[test]
    fn a_lookup_has_time_for_five_queries() {
        let mut rtt = RttEstimator::default();
        let second = Duration::from_secs(1);
        let lookup = 5 * second;
        // As much variation as a busy machine causes.
        (0..100).for_each(|n| rtt.sample(second * (n % 2) * 4 / 5, 1));
        let four: Duration = (0..4).map(|n| rtt.rto(second, lookup, n)).sum();
        assert!(four < lookup, "{four:?}");
    }

    #[test]
    fn a_timeout_is_longer_than_the_round_trip() {
        for (sample, lookup) in [(200, 1000), (700, 5000), (4000, 5000)] {
            let mut rtt = RttEstimator::default();
            let sample = Duration::from_millis(sample);
            let lookup = Duration::from_millis(lookup);
            for _ in 0..100 {
                rtt.sample(sample, 128);
                let rto = rtt.rto(lookup, lookup, 0);
                assert!(rto > sample, "{rto:?} for {sample:?}");
            }
        }
    }
}
