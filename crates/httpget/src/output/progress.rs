//! Progress bars on stderr, for transfers that take more than a second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar is shown after this time.
const SHOW_AFTER: Duration = Duration::from_secs(1);
/// The interval between updates of a bar.
const UPDATE_INTERVAL: Duration = Duration::from_millis(100);
/// The period over which the speed is measured.
const WINDOW: Duration = Duration::from_secs(5);

// The name takes the rest of the line, so that the bar never wraps.
const KNOWN: &str = "{wide_msg} {bar:16} {percent}% {bytes}/{total_bytes} {prefix}";
const UNKNOWN: &str = "{wide_msg} {spinner} {bytes} {prefix}";
/// The template for a narrow terminal.
const KNOWN_NARROW: &str = "{wide_msg} {percent}% {prefix}";
const NARROW: u16 = 80;

/// The progress bars of a run.
#[derive(Debug)]
pub(crate) struct Progress(Option<MultiProgress>);

/// The progress bar of one transfer, which is removed when dropped.
#[derive(Debug)]
pub(crate) struct Bar {
    bars: Option<MultiProgress>,
    name: String,
    start: u64,
    total: Option<u64>,
    /// The time of the next update; the bar is shown from `shown_at` on.
    due: Instant,
    shown_at: Instant,
    meter: SpeedMeter,
    shown: Option<ProgressBar>,
}

/// A meter of the current speed.
#[derive(Debug)]
struct SpeedMeter {
    /// The bytes at some times, the oldest first.
    samples: VecDeque<(Instant, u64)>,
}

impl SpeedMeter {
    fn new(now: Instant, bytes: u64) -> Self {
        Self {
            samples: VecDeque::from([(now, bytes)]),
        }
    }

    /// Adds a sample and returns the speed in bytes per second.
    fn add(&mut self, now: Instant, bytes: u64) -> f64 {
        self.samples.push_back((now, bytes));
        // Keeps one sample that is at least a period old.
        while let Some(&(second, _)) = self.samples.get(1)
            && now - second >= WINDOW
        {
            self.samples.pop_front();
        }
        let (since, earlier) = self.samples[0];
        let passed = (now - since).as_secs_f64();
        if passed > 0.0 {
            bytes.saturating_sub(earlier) as f64 / passed
        } else {
            0.0
        }
    }
}

/// Formats the speed, and the time until the end.
fn format_speed(speed: f64, left: Option<u64>) -> String {
    let rate = HumanBytes(speed as u64);
    if let Some(left) = left {
        let seconds = if speed > 0.0 {
            (left as f64 / speed).ceil() as u64
        } else {
            u64::MAX
        };
        let (minutes, hours) = (seconds / 60, seconds / 3600);
        return match seconds {
            0..60 => format!("{rate}/s {seconds}s"),
            60..3600 => format!("{rate}/s {minutes}m{:02}s", seconds % 60),
            3600..360_000 => format!("{rate}/s {hours}h{:02}m", minutes % 60),
            _ => format!("{rate}/s -"),
        };
    }
    format!("{rate}/s")
}

impl Progress {
    /// Returns the bars of a run; none are shown if `shown` is false.
    pub(crate) fn new(shown: bool) -> Self {
        Self(shown.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10))))
    }

    /// Returns the bar of a transfer that starts at offset `start`; it is not shown if
    /// `is_visible` is false.
    pub(crate) fn bar(&self, is_visible: bool, name: &str, start: u64, total: Option<u64>) -> Bar {
        let bars = self.0.clone().filter(|_| is_visible);
        let name = match &bars {
            Some(_) => common::text::escape(name.as_bytes()),
            None => "".into(),
        };
        let now = Instant::now();
        Bar {
            bars,
            name: name.into_owned(),
            start,
            total,
            due: now + UPDATE_INTERVAL,
            shown_at: now + SHOW_AFTER,
            meter: SpeedMeter::new(now, start),
            shown: None,
        }
    }

    /// Calls `say` while the bars are hidden.
    pub(crate) fn suspend<T>(&self, say: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bars) => bars.suspend(say),
            None => say(),
        }
    }
}

impl Bar {
    /// Sets the number of bytes received.
    pub(crate) fn advance(&mut self, bytes: u64) {
        let Some(bars) = &self.bars else { return };
        let now = Instant::now();
        if now < self.due {
            return;
        }
        self.due = now + UPDATE_INTERVAL;
        let speed = self.meter.add(now, bytes);
        if now < self.shown_at {
            return;
        }
        let bar = self.shown.get_or_insert_with(|| {
            let is_narrow = rustix::termios::tcgetwinsize(rustix::stdio::stderr())
                .is_ok_and(|size| size.ws_col > 0 && size.ws_col < NARROW);
            let (bar, style) = match self.total {
                Some(total) if is_narrow => (ProgressBar::new(total), KNOWN_NARROW),
                Some(total) => (ProgressBar::new(total), KNOWN),
                None => (ProgressBar::no_length(), UNKNOWN),
            };
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bars.add(
                bar.with_position(self.start)
                    .with_message(self.name.clone()),
            )
        });
        bar.set_prefix(format_speed(
            speed,
            self.total.map(|total| total.saturating_sub(bytes)),
        ));
        bar.set_position(bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let (Some(bar), Some(bars)) = (self.shown.take(), &self.bars) {
            bar.finish_and_clear();
            bars.remove(&bar);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_that_of_the_last_seconds() {
        let start = Instant::now();
        // Bytes that were there before do not count.
        let mut meter = SpeedMeter::new(start, 5_000_000);
        let at = |tenths: u32| start + UPDATE_INTERVAL * tenths;
        for tenths in 1..=100 {
            let bytes = 5_000_000 + u64::from(tenths) * 100_000;
            let speed = meter.add(at(tenths), bytes);
            assert!((speed - 1e6).abs() < 1.0, "{tenths}: {speed}");
        }
        // The transfer slows down to a tenth.
        let mut speed = 0.0;
        for tenths in 101..=151 {
            speed = meter.add(at(tenths), 15_000_000 + u64::from(tenths - 100) * 10_000);
        }
        assert!((speed - 1e5).abs() < 1.0, "{speed}");
        assert!(meter.samples.len() <= 52);
    }

    #[test]
    fn the_remaining_time_is_formatted() {
        for (speed, left, text) in [
            (1024.0, Some(1024 * 90), "1.00 KiB/s 1m30s"),
            (1024.0, Some(100), "1.00 KiB/s 1s"),
            (1.0, Some(7300), "1 B/s 2h01m"),
            (0.0, Some(7300), "0 B/s -"),
            (2_097_152.0, None, "2.00 MiB/s"),
        ] {
            assert_eq!(format_speed(speed, left), text);
        }
    }
}
