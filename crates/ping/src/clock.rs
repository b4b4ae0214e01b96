//! The monotonic and the wall clock, and the conversion between them.
//!
//! All times in this crate are nanoseconds on the monotonic clock since the run
//! began. The kernel stamps received packets with the wall clock, which may be
//! set at any time. [`TimestampMapper`] converts a timestamp to the monotonic
//! clock by an offset that is measured when the packet is read. It ignores the
//! timestamp if the wall clock has jumped or the result is impossible.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds on the monotonic clock since the run began.
pub(crate) type Nanos = u64;

/// The wall clock was set if the offset between the clocks changes by more than
/// this, in nanoseconds.
const MAX_DRIFT: u64 = 1_000_000;

/// Reads the monotonic and the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: u64,
    /// How far a test has set the wall clock forward, in nanoseconds.
    #[cfg(test)]
    pub(crate) step: &'static std::sync::atomic::AtomicI64,
}

/// The step for tests that do not set the wall clock.
#[cfg(test)]
static NO_STEP: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);

fn read(id: ClockId) -> u64 {
    let time = clock_gettime(id);
    (time.tv_sec as u64).wrapping_mul(1_000_000_000) + time.tv_nsec as u64
}

impl Clock {
    /// Creates a clock that starts now.
    pub(crate) fn start() -> Self {
        // One less, so that 0 is before every reading.
        Self {
            start: read(ClockId::Monotonic) - 1,
            #[cfg(test)]
            step: &NO_STEP,
        }
    }

    /// Reads the wall clock.
    #[cfg_attr(
        not(test),
        allow(clippy::unused_self, reason = "a test may set the wall clock")
    )]
    fn real(self) -> u64 {
        let real = read(ClockId::Realtime);
        #[cfg(test)]
        let real = real.wrapping_add_signed(self.step.load(std::sync::atomic::Ordering::Relaxed));
        real
    }

    /// Returns the time since the start.
    pub(crate) fn now(self) -> Nanos {
        read(ClockId::Monotonic) - self.start
    }

    /// Returns the wall clock's time minus the monotonic time, and the time of
    /// the last reading.
    fn offset(self) -> (i64, Nanos) {
        // The wall clock is read between two readings of the monotonic clock.
        // If the process was interrupted there, read again.
        let (mut best, mut last) = ((u64::MAX, 0), 0);
        for _ in 0..3 {
            let before = self.now();
            let real = self.real();
            let after = self.now();
            let spread = after - before;
            last = after;
            if spread < best.0 {
                let middle = before + spread / 2;
                best = (spread, real.wrapping_sub(middle).cast_signed());
            }
            if spread < 1_000 {
                break;
            }
        }
        (best.1, last)
    }
}

/// Converts a time on the monotonic clock to the wall clock.
pub(crate) fn wall_time(clock: Clock, at: Nanos) -> SystemTime {
    let real = at.cast_signed().saturating_add(clock.offset().0);
    SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(real).unwrap_or_default())
}

/// Converts the kernel's receive timestamps to the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimestampMapper {
    now: Nanos,
    offset: i64,
    /// Whether the wall clock has not been set since the refresh before the
    /// last one, so that the timestamps of packets just read are correct.
    is_trusted: bool,
}

impl TimestampMapper {
    /// Measures the offset between the clocks for the first time.
    pub(crate) fn new(clock: Clock) -> Self {
        let (offset, now) = clock.offset();
        Self {
            now,
            offset,
            is_trusted: true,
        }
    }

    /// Measures the offset between the clocks again, and returns the time. Call
    /// it whenever packets have just been read.
    pub(crate) fn refresh(&mut self, clock: Clock) -> Nanos {
        let (offset, now) = clock.offset();
        self.is_trusted = offset.abs_diff(self.offset) < MAX_DRIFT;
        self.offset = offset;
        self.now = now;
        now
    }

    /// Returns when the reply to a probe sent at `sent_at` arrived: its
    /// timestamp if that is plausible, otherwise the time at which it was read.
    pub(crate) fn arrival(&self, timestamp: Option<u64>, sent_at: Nanos) -> Nanos {
        let Some(timestamp) = timestamp.filter(|_| self.is_trusted) else {
            return self.now;
        };
        let at = timestamp.cast_signed().wrapping_sub(self.offset);
        match u64::try_from(at) {
            Ok(at) if at >= sent_at && at <= self.now => at,
            _ => self.now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plausible_timestamp_is_used() {
        let timestamps = TimestampMapper {
            now: 5_000_000,
            offset: 1_000_000_000,
            is_trusted: true,
        };
        assert_eq!(
            timestamps.arrival(Some(1_004_000_000), 3_000_000),
            4_000_000
        );
        // Before the send, in the future, or missing.
        for timestamp in [Some(1_002_000_000), Some(1_006_000_000), Some(0), None] {
            assert_eq!(timestamps.arrival(timestamp, 3_000_000), 5_000_000);
        }
        let stepped = TimestampMapper {
            is_trusted: false,
            ..timestamps
        };
        assert_eq!(stepped.arrival(Some(1_004_000_000), 3_000_000), 5_000_000);
    }

    #[test]
    fn setting_the_wall_clock_is_noticed_once() {
        let clock = Clock::start();
        let mut timestamps = TimestampMapper::new(clock);
        timestamps.refresh(clock);
        assert!(timestamps.is_trusted);
        timestamps.offset += 3_600_000_000_000;
        timestamps.refresh(clock);
        assert!(!timestamps.is_trusted);
        timestamps.refresh(clock);
        assert!(timestamps.is_trusted);
    }
}
