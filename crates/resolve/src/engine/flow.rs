//! Flow control: how fast a server is asked.
//!
//! [`CongestionWindow`] limits the queries in flight, [`RttEstimator`] derives
//! retransmission timeouts from round-trip times, and [`RateLimiter`] keeps the
//! queries per second below `--rate`. Nothing here does I/O or reads a clock.

use std::time::{Duration, Instant};

/// The shortest retransmission timeout, however fast a server is.
const MIN_RTO: Duration = Duration::from_millis(50);

/// The number of samples after which the round-trip time counts as known.
const MIN_SAMPLES: u32 = 8;

/// The smallest window, in queries.
const MIN_WINDOW: f64 = 16.0;

/// The number of queries that may be in flight to one server.
///
/// The window is evaluated once per window of outcomes. A loss above 20 % halves
/// it; a lower loss may be chance and says nothing. It grows as long as that
/// makes answers arrive faster, and shrinks slowly while queries only wait in a
/// queue.
#[derive(Clone, Debug)]
pub(crate) struct CongestionWindow {
    size: f64,
    initial: f64,
    max: f64,
    answered: u32,
    lost: u32,
    /// The sum of the times, in seconds, for which lost queries were awaited.
    waited: f64,
    /// The average number of lost queries that are still being awaited. They put
    /// no load on the server, so they must not keep other queries back.
    stalled: f64,
    /// The start of the current evaluation period.
    since: Option<Instant>,
    /// The highest rate so far, in answers per second.
    best_rate: f64,
}

impl CongestionWindow {
    /// Creates a window of `initial` queries that may grow to `max`.
    pub(crate) fn new(initial: usize, max: usize) -> Self {
        let initial = initial.min(max) as f64;
        Self {
            size: initial,
            initial,
            max: max as f64,
            answered: 0,
            lost: 0,
            waited: 0.0,
            stalled: 0.0,
            since: None,
            best_rate: 0.0,
        }
    }

    /// Returns how many queries may be in flight, lost ones included.
    pub(crate) fn size(&self) -> usize {
        (self.size + self.stalled) as usize
    }

    /// Sets the limit for growth and shrinks the window to it.
    pub(crate) fn set_max(&mut self, max: usize) {
        self.max = max as f64;
        self.size = self.size.min(self.max);
    }

    /// Records an answer; `is_queuing` if queries seem to wait in a queue.
    pub(crate) fn record_answer(&mut self, is_queuing: bool, now: Instant) {
        self.answered += 1;
        self.evaluate(is_queuing, now);
    }

    /// Records that a query timed out after `waited`.
    pub(crate) fn record_loss(&mut self, waited: Duration, now: Instant) {
        self.lost += 1;
        self.waited += waited.as_secs_f64();
        self.evaluate(false, now);
    }

    /// Takes back one loss: the answer arrived after the timeout.
    pub(crate) fn record_late_answer(&mut self) {
        if self.lost > 0 {
            self.waited -= self.waited / f64::from(self.lost);
            self.lost -= 1;
        }
    }

    fn evaluate(&mut self, is_queuing: bool, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let total = f64::from(self.answered + self.lost);
        if total < self.size {
            return;
        }
        let elapsed = now.saturating_duration_since(since).as_secs_f64();
        let rate = f64::from(self.answered) / elapsed.max(1e-6);
        let loss = f64::from(self.lost) / total;
        let stalled = (self.waited / elapsed.max(1e-6)).min(self.size);
        self.stalled += (stalled - self.stalled) / 4.0;
        if loss > 0.2 {
            self.size = (self.size / 2.0).max(MIN_WINDOW.min(self.max));
            self.stalled = 0.0;
            self.best_rate = 0.0;
        } else if rate > self.best_rate * 1.1 {
            self.best_rate = rate;
            if loss < 0.1 {
                self.size = (self.size * 1.5).min(self.max);
            }
        } else {
            // An old record must not prevent growth for the rest of the run.
            self.best_rate *= 0.995;
            if is_queuing && self.size > self.initial {
                self.size = (self.size * 0.9).max(self.initial);
            }
        }
        (self.answered, self.lost, self.waited, self.since) = (0, 0, 0.0, Some(now));
    }
}

/// Measures round-trip times and derives timeouts from them (RFC 6298).
///
/// Every query has an ID of its own, so a late answer is a valid sample and not
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
    /// Returns whether there has been a sample.
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
    /// if the round-trip time allows it: a timeout as long as the lookup itself
    /// would give up a name for one lost packet.
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

/// Spaces queries evenly at a fixed rate. A missed send time is made up for, but
/// for no more than [`MAX_CATCH_UP`].
#[derive(Clone, Debug)]
pub(crate) struct RateLimiter {
    interval: Duration,
    next: Option<Instant>,
}

const MAX_CATCH_UP: Duration = Duration::from_millis(10);

impl RateLimiter {
    /// Creates a limiter for `rate` queries per second.
    pub(crate) fn new(rate: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / rate.max(1),
            next: None,
        }
    }

    /// Returns when the next query may be sent, or `None` for now.
    pub(crate) fn next_send(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }

    /// Records that a query is sent now.
    pub(crate) fn record_send(&mut self, now: Instant) {
        let earliest = now.checked_sub(MAX_CATCH_UP).unwrap_or(now);
        let slot = self.next.map_or(now, |next| next.max(earliest));
        self.next = Some(slot + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window and a simulated clock.
    struct Simulation(CongestionWindow, Instant);

    impl Simulation {
        fn new() -> Self {
            Self(CongestionWindow::new(100, 1000), Instant::now())
        }

        /// Records `count` answers at `rate` per second; returns the size.
        fn answers(&mut self, count: u32, rate: u32, is_queuing: bool) -> usize {
            for _ in 0..count {
                self.1 += Duration::from_secs(1) / rate;
                self.0.record_answer(is_queuing, self.1);
            }
            self.0.size()
        }

        fn losses(&mut self, count: u32) -> usize {
            (0..count).for_each(|_| self.0.record_loss(Duration::ZERO, self.1));
            self.0.size()
        }
    }

    #[test]
    fn a_window_grows_while_that_helps_and_shrinks_with_loss() {
        let mut simulation = Simulation::new();
        assert_eq!(simulation.answers(100, 1000, false), 150);
        assert_eq!(simulation.answers(149, 1500, false), 150);
        assert_eq!(
            simulation.losses(1),
            225,
            "one loss in a hundred and fifty is chance"
        );
        assert_eq!(
            simulation.answers(225, 1500, false),
            225,
            "no faster than before"
        );
        assert!(simulation.answers(2250, 1500, true) < 150, "a queue");
        assert_eq!(simulation.losses(1000), 16);
    }

    /// The size after one window of 100 outcomes, the losses last, at a new rate.
    fn size_after(answered: u32, lost: u32) -> usize {
        let mut simulation = Simulation::new();
        simulation.answers(answered, 1000, false);
        simulation.losses(lost)
    }

    #[test]
    fn the_share_of_losses_decides() {
        assert_eq!(size_after(91, 9), 150, "less than a tenth");
        assert_eq!(size_after(90, 10), 100, "a tenth: no reason to grow");
        assert_eq!(size_after(80, 20), 100, "a fifth: no reason to shrink");
        assert_eq!(size_after(79, 21), 50, "more than a fifth");
        assert_eq!(size_after(0, 100), 50, "all of them");
        assert_eq!(size_after(0, 99), 100, "the window is not over yet");
    }

    /// A loss says nothing about a queue.
    #[test]
    fn a_window_that_ends_with_a_loss_is_not_queuing() {
        let mut simulation = Simulation::new();
        assert_eq!(simulation.answers(100, 1000, false), 150);
        assert_eq!(simulation.answers(149, 1000, true), 150);
        assert_eq!(simulation.losses(1), 150);
    }

    /// A queue shrinks a window to its initial size, but neither further nor back up.
    #[test]
    fn a_queue_shrinks_a_window_to_its_initial_size() {
        let mut simulation = Simulation::new();
        assert_eq!(simulation.answers(100, 1000, false), 150);
        for (count, size) in [(150, 135), (135, 121), (122, 109), (110, 100), (100, 100)] {
            assert_eq!(simulation.answers(count, 1000, true), size);
        }
        assert_eq!(simulation.losses(100), 50);
        assert_eq!(simulation.answers(50, 1000, false), 75);
        assert_eq!(simulation.answers(75, 1000, true), 75);
    }

    /// After a loss the network may be slower than before.
    #[test]
    fn a_window_grows_again_at_a_lower_rate() {
        let mut simulation = Simulation::new();
        assert_eq!(simulation.answers(100, 1000, false), 150);
        assert_eq!(simulation.losses(150), 75);
        assert_eq!(simulation.answers(75, 500, false), 112);
    }

    #[test]
    fn a_window_shrinks_to_a_new_limit() {
        let mut window = CongestionWindow::new(100, 1000);
        window.set_max(64);
        assert_eq!(window.size(), 64);
        window.set_max(1000);
        assert_eq!(window.size(), 64);
    }

    #[test]
    fn a_late_answer_is_not_a_loss() {
        let mut window = CongestionWindow::new(16, 1000);
        let mut now = Instant::now();
        for _ in 0..16 {
            now += Duration::from_millis(1);
            window.record_loss(Duration::from_millis(50), now);
            window.record_late_answer();
            window.record_answer(false, now);
        }
        assert_eq!(window.size(), 24);
    }

    /// Two of a hundred queries are lost. Each is awaited for the time of fifty
    /// answers, so that one stalls on average.
    #[test]
    fn lost_queries_do_not_use_up_the_window() {
        let size_with = |waited| {
            let mut window = CongestionWindow::new(100, 100);
            let mut now = Instant::now();
            for n in 0..10_000 {
                now += Duration::from_micros(10);
                if n % 50 == 49 {
                    window.record_loss(Duration::from_millis(waited), now);
                } else {
                    window.record_answer(false, now);
                }
            }
            window.size()
        };
        assert_eq!(size_with(0), 100);
        assert_eq!(size_with(5), 109, "nearly ten of them");
        let most = size_with(1000);
        assert!(
            (190..=200).contains(&most),
            "{most}: at most twice the size"
        );
        let mut window = CongestionWindow::new(100, 100);
        let now = Instant::now();
        (0..100).for_each(|_| window.record_loss(Duration::from_secs(1), now));
        assert_eq!(window.size(), 50, "this loss is not chance");
    }

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

    #[test]
    fn a_rate_is_kept() {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(1000);
        let mut now = start;
        let mut sent = 0;
        while now < start + Duration::from_secs(1) {
            if let Some(next) = limiter.next_send(now) {
                now = next;
            } else {
                limiter.record_send(now);
                sent += 1;
            }
        }
        assert_eq!(sent, 1000);
        // Ten milliseconds are made up for, a long silence is not.
        let later = now + Duration::from_secs(60);
        let mut burst = 0;
        while limiter.next_send(later).is_none() {
            limiter.record_send(later);
            burst += 1;
        }
        assert!((10..=12).contains(&burst), "{burst}");
    }
}
