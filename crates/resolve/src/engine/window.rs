//! The congestion window: how many queries may be in flight to one server.
//!
//! Libraries for congestion control count bytes and treat every loss as congestion.
//! The caller passes in the time, so that nothing here reads a clock.

use std::time::{Duration, Instant};

/// The smallest window, in queries.
const MIN_WINDOW: f64 = 16.0;

/// The number of queries that may be in flight to one server.
///
/// The window is evaluated once per window of outcomes. A loss above 20 % halves
/// it; a lower loss may be random and is ignored. It grows as long as that
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
    /// no load on the server, so they must not hold back other queries.
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

    /// A loss does not indicate a queue.
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
}
