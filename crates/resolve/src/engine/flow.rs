//! How fast a server is asked: a window of queries in flight, a measure of
//! its round trips, and a pace. Nothing here does I/O or reads a clock.

use std::time::{Duration, Instant};

/// Retransmits never follow faster than this, however quick a server is.
const RTO_MIN: Duration = Duration::from_millis(50);

/// So many samples say what a server's round trips are like.
const SAMPLES: u32 = 8;

/// The smallest window.
const SMALLEST: f64 = 16.0;

/// How many queries a server may have in flight. Judged once for every window
/// of outcomes. Much loss halves it; some loss is chance and no sign of
/// anything. It grows as long as that makes answers come faster, and shrinks
/// slowly while queries only wait in a queue.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    size: f64,
    start: f64,
    max: f64,
    answered: u32,
    lost: u32,
    /// Seconds that the lost ones were waited for, all together.
    waited: f64,
    /// How many are being waited for, on average, that are lost: they burden
    /// nobody, and should not keep others from being asked.
    hanging: f64,
    since: Option<Instant>,
    /// Answers a second, at their best.
    best: f64,
}

impl Window {
    pub(crate) fn new(start: usize, max: usize) -> Self {
        let start = start.min(max) as f64;
        Self {
            size: start,
            start,
            max: max as f64,
            answered: 0,
            lost: 0,
            waited: 0.0,
            hanging: 0.0,
            since: None,
            best: 0.0,
        }
    }

    /// Queries that may be in flight, or seem to be.
    pub(crate) fn size(&self) -> usize {
        (self.size + self.hanging) as usize
    }

    /// Lets it grow up to `max`.
    pub(crate) fn set_max(&mut self, max: usize) {
        self.max = max as f64;
        self.size = self.size.min(self.max);
    }

    /// An answer came; `crowded` if queries seem to wait in a queue.
    pub(crate) fn answered(&mut self, crowded: bool, now: Instant) {
        self.answered += 1;
        self.judge(crowded, now);
    }

    /// No answer came in the time that was waited.
    pub(crate) fn lost(&mut self, waited: Duration, now: Instant) {
        self.lost += 1;
        self.waited += waited.as_secs_f64();
        self.judge(false, now);
    }

    /// One counted as lost was only late.
    pub(crate) fn late(&mut self) {
        if self.lost > 0 {
            self.waited -= self.waited / f64::from(self.lost);
            self.lost -= 1;
        }
    }

    fn judge(&mut self, crowded: bool, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let total = f64::from(self.answered + self.lost);
        if total < self.size {
            return;
        }
        let elapsed = now.saturating_duration_since(since).as_secs_f64();
        let rate = f64::from(self.answered) / elapsed.max(1e-6);
        let loss = f64::from(self.lost) / total;
        let hanging = (self.waited / elapsed.max(1e-6)).min(self.size);
        self.hanging += (hanging - self.hanging) / 4.0;
        if loss > 0.2 {
            self.size = (self.size / 2.0).max(SMALLEST.min(self.max));
            self.hanging = 0.0;
            self.best = 0.0;
        } else if rate > self.best * 1.1 {
            self.best = rate;
            if loss < 0.1 {
                self.size = (self.size * 1.5).min(self.max);
            }
        } else {
            // What was best once need not be for ever.
            self.best *= 0.995;
            if crowded && self.size > self.start {
                self.size = (self.size * 0.9).max(self.start);
            }
        }
        (self.answered, self.lost, self.waited, self.since) = (0, 0, 0.0, Some(now));
    }
}

/// Round trips (RFC 6298). Every query has an id of its own, so a late answer
/// is a true sample and not an ambiguous one. The more queries are in flight,
/// the less each sample weighs (RFC 7323, appendix G): a batch that came late
/// because this process had to wait says little about the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoundTrips {
    /// Smoothed, variation and smallest, in seconds.
    measured: Option<(f64, f64, f64)>,
    samples: u32,
}

impl RoundTrips {
    /// Whether there has been a sample.
    pub(crate) fn any(&self) -> bool {
        self.samples > 0
    }

    /// Whether the last sample made the round trips known: not before there
    /// are some, for one fast answer says nothing about the others.
    pub(crate) fn now_known(&self) -> bool {
        self.samples == SAMPLES
    }

    /// One more, while so many queries were in flight.
    pub(crate) fn sample(&mut self, rtt: Duration, flying: usize) {
        let rtt = rtt.as_secs_f64();
        self.samples = self.samples.saturating_add(1);
        let share = 1.0 / (flying as f64 / 2.0).max(1.0);
        self.measured = Some(match self.measured {
            None => (rtt, rtt / 2.0, rtt),
            Some((smoothed, variation, least)) => (
                smoothed + (rtt - smoothed) / 8.0 * share,
                variation + ((rtt - smoothed).abs() - variation) / 4.0 * share,
                least.min(rtt),
            ),
        });
    }

    /// How long a lookup that has `whole` waits for the answer to a query
    /// after so many others were not answered; `unmeasured` is the first wait
    /// before anything was. Once round trips are known there is time for five
    /// queries wherever the way allows it: a wait as long as the lookup itself
    /// would give up names for one lost packet.
    pub(crate) fn timeout(&self, unmeasured: Duration, whole: Duration, before: u32) -> Duration {
        let more = 1 << before.min(6);
        match self.measured {
            None => unmeasured * more,
            Some((smoothed, variation, _)) => {
                // Never less than the way takes: a query must not count as
                // lost before its answer can have come.
                let way = Duration::from_secs_f64(smoothed * 1.5) + RTO_MIN;
                let most = (whole / 8).max(way);
                let once = Duration::from_secs_f64(smoothed + 4.0 * variation).clamp(RTO_MIN, most);
                (once * more).min(most * 2)
            }
        }
    }

    /// Whether queries seem to wait in a queue, on the way or at the server.
    pub(crate) fn crowded(&self) -> bool {
        self.measured
            .is_some_and(|(smoothed, _, least)| smoothed > 4.0 * least)
    }
}

/// At most so many queries a second, evenly; a moment missed is made up for,
/// but for no more than ten milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    gap: Duration,
    next: Option<Instant>,
}

const ARREARS: Duration = Duration::from_millis(10);

impl Pace {
    pub(crate) fn new(rate: u32) -> Self {
        Self {
            gap: Duration::from_secs(1) / rate.max(1),
            next: None,
        }
    }

    /// When the next query may be sent; `None` for now.
    pub(crate) fn wait(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }

    /// A query is being sent.
    pub(crate) fn sent(&mut self, now: Instant) {
        let earliest = now.checked_sub(ARREARS).unwrap_or(now);
        let slot = self.next.map_or(now, |next| next.max(earliest));
        self.next = Some(slot + self.gap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window and a clock.
    struct Course(Window, Instant);

    impl Course {
        /// So many answers, at so many a second.
        fn answers(&mut self, count: u32, rate: u32, crowded: bool) -> usize {
            for _ in 0..count {
                self.1 += Duration::from_secs(1) / rate;
                self.0.answered(crowded, self.1);
            }
            self.0.size()
        }

        fn losses(&mut self, count: u32) -> usize {
            (0..count).for_each(|_| self.0.lost(Duration::ZERO, self.1));
            self.0.size()
        }
    }

    #[test]
    fn a_window_grows_while_that_helps_and_shrinks_with_loss() {
        let mut course = Course(Window::new(100, 1000), Instant::now());
        assert_eq!(course.answers(100, 1000, false), 150);
        assert_eq!(course.answers(149, 1500, false), 150);
        assert_eq!(
            course.losses(1),
            225,
            "one in a hundred and fifty is chance"
        );
        assert_eq!(
            course.answers(225, 1500, false),
            225,
            "no faster than before"
        );
        assert!(course.answers(2250, 1500, true) < 150, "a queue");
        assert_eq!(course.losses(1000), 16);
    }

    /// Outcomes of one window of 100, the lost ones last, at a rate that is new.
    fn after(answered: u32, lost: u32) -> usize {
        let mut course = Course(Window::new(100, 1000), Instant::now());
        course.answers(answered, 1000, false);
        course.losses(lost)
    }

    #[test]
    fn the_share_of_losses_decides() {
        assert_eq!(after(91, 9), 150, "less than a tenth");
        assert_eq!(after(90, 10), 100, "a tenth: no reason to grow");
        assert_eq!(after(80, 20), 100, "a fifth: no reason to shrink");
        assert_eq!(after(79, 21), 50, "more than a fifth");
        assert_eq!(after(0, 100), 50, "all of them");
        assert_eq!(after(0, 99), 100, "not judged before the window is over");
    }

    /// A loss says nothing about a queue.
    #[test]
    fn a_window_that_ends_with_a_loss_is_not_crowded() {
        let mut course = Course(Window::new(100, 1000), Instant::now());
        assert_eq!(course.answers(100, 1000, false), 150);
        assert_eq!(course.answers(149, 1000, true), 150);
        assert_eq!(course.losses(1), 150);
    }

    #[test]
    fn late_is_not_lost() {
        let mut window = Window::new(16, 1000);
        let mut now = Instant::now();
        for _ in 0..16 {
            now += Duration::from_millis(1);
            window.lost(Duration::from_millis(50), now);
            window.late();
            window.answered(false, now);
        }
        assert_eq!(window.size(), 24);
    }

    /// Two of a hundred lost, each waited for as long as fifty answers take
    /// to come: one at a time hangs.
    #[test]
    fn what_is_lost_takes_nobody_s_place() {
        let course = |waited| {
            let mut window = Window::new(100, 100);
            let mut now = Instant::now();
            for n in 0..10_000 {
                now += Duration::from_micros(10);
                if n % 50 == 49 {
                    window.lost(Duration::from_millis(waited), now);
                } else {
                    window.answered(false, now);
                }
            }
            window.size()
        };
        assert_eq!(course(0), 100);
        assert_eq!(course(5), 109, "ten of them, nearly");
        let most = course(1000);
        assert!((190..=200).contains(&most), "{most}: as many again at most");
        let mut window = Window::new(100, 100);
        let now = Instant::now();
        (0..100).for_each(|_| window.lost(Duration::from_secs(1), now));
        assert_eq!(window.size(), 50, "this is no chance loss");
    }

    #[test]
    fn timeouts_follow_the_round_trips() {
        let mut trips = RoundTrips::default();
        let second = Duration::from_secs(1);
        let whole = 5 * second;
        assert_eq!(trips.timeout(second, whole, 0), second);
        assert_eq!(trips.timeout(second, whole, 1), 2 * second);
        trips.sample(Duration::from_micros(100), 1);
        assert_eq!(trips.timeout(second, whole, 0), RTO_MIN);
        assert_eq!(trips.timeout(second, whole, 2), 4 * RTO_MIN);
        (0..100).for_each(|_| trips.sample(Duration::from_millis(400), 1));
        let timeout = trips.timeout(second, whole, 0).as_millis();
        assert!((400..500).contains(&timeout), "{timeout}");
        assert!(trips.crowded());
    }

    #[test]
    fn round_trips_are_known_after_some_samples_once() {
        let mut trips = RoundTrips::default();
        assert!(!trips.any());
        let known: Vec<u32> = (1..=20)
            .filter(|_| {
                trips.sample(Duration::from_millis(5), 1);
                trips.now_known()
            })
            .collect();
        assert_eq!(known, [SAMPLES]);
        assert!(trips.any());
    }

    #[test]
    fn a_quick_server_is_not_pressed() {
        let mut trips = RoundTrips::default();
        let second = Duration::from_secs(1);
        for _ in 0..1000 {
            trips.sample(Duration::from_micros(20), 1);
            assert_eq!(trips.timeout(second, 5 * second, 0), RTO_MIN);
        }
        // Each further wait is twice as long, up to a quarter of the whole.
        let waits: Vec<u128> = (0..8)
            .map(|n| trips.timeout(second, 5 * second, n).as_millis())
            .collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1250, 1250, 1250]);
    }

    /// A server of 700 ms is waited for longer than an eighth of 5 s, and one
    /// that takes as long as the lookup may last is not asked in between.
    #[test]
    fn slow_servers_have_their_time() {
        let whole = Duration::from_secs(5);
        for (rtt, least, most) in [(200, 250, 625), (700, 1000, 1100), (5000, 7000, 7600)] {
            let mut trips = RoundTrips::default();
            (0..50).for_each(|_| trips.sample(Duration::from_millis(rtt), 100));
            let wait = trips.timeout(whole, whole, 0).as_millis();
            assert!((least..=most).contains(&wait), "{wait} for {rtt}");
            let again = trips.timeout(whole, whole, 1).as_millis();
            assert!(again >= wait && again <= 2 * most, "{again} after {wait}");
        }
    }

    #[test]
    fn one_late_batch_among_many_is_no_sign() {
        let mut trips = RoundTrips::default();
        let second = Duration::from_secs(1);
        (0..1000).for_each(|_| trips.sample(Duration::from_millis(1), 128));
        (0..32).for_each(|_| trips.sample(Duration::from_millis(500), 128));
        let timeout = trips.timeout(second, 5 * second, 0).as_millis();
        assert!(timeout < 400, "{timeout}");
    }

    #[test]
    fn there_is_time_for_five_queries() {
        let mut trips = RoundTrips::default();
        let second = Duration::from_secs(1);
        let whole = 5 * second;
        // As much variation as a busy machine makes.
        (0..100).for_each(|n| trips.sample(second * (n % 2) * 4 / 5, 1));
        let four: Duration = (0..4).map(|n| trips.timeout(second, whole, n)).sum();
        assert!(four < whole, "{four:?}");
    }

    #[test]
    fn a_wait_is_never_shorter_than_the_way() {
        for (rtt, whole) in [(200, 1000), (700, 5000), (4000, 5000)] {
            let mut trips = RoundTrips::default();
            let rtt = Duration::from_millis(rtt);
            let whole = Duration::from_millis(whole);
            for _ in 0..100 {
                trips.sample(rtt, 128);
                let timeout = trips.timeout(whole, whole, 0);
                assert!(timeout > rtt, "{timeout:?} for {rtt:?}");
            }
        }
    }

    #[test]
    fn a_pace_is_kept() {
        let start = Instant::now();
        let mut pace = Pace::new(1000);
        let mut now = start;
        let mut sent = 0;
        while now < start + Duration::from_secs(1) {
            if let Some(next) = pace.wait(now) {
                now = next;
            } else {
                pace.sent(now);
                sent += 1;
            }
        }
        assert_eq!(sent, 1000);
        // After a long silence there is no flood.
        let later = now + Duration::from_secs(60);
        let mut burst = 0;
        while pace.wait(later).is_none() {
            pace.sent(later);
            burst += 1;
        }
        assert!(burst <= 12, "{burst}");
    }
}
