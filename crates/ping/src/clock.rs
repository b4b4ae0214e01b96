//! The two clocks and the way between them.
//!
//! Everything is counted on the monotonic clock, in nanoseconds since the run
//! began. The kernel stamps received packets with the wall clock, which
//! somebody may set in between; [`Stamps`] carries a stamp over to the
//! monotonic clock by an offset measured when the packet is read, and does not
//! believe it when the wall clock has jumped or the result cannot be.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds on the monotonic clock since the run began.
pub(crate) type Nanos = u64;

/// A change of the offset beyond this is a step of the wall clock.
const STEP: i64 = 1_000_000;

/// Reads the clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: u64,
    /// How far a test has set the wall clock forward.
    #[cfg(test)]
    pub(crate) step: &'static std::sync::atomic::AtomicI64,
}

/// Nobody sets this.
#[cfg(test)]
static STILL: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);

fn read(id: ClockId) -> u64 {
    let time = clock_gettime(id);
    (time.tv_sec as u64).wrapping_mul(1_000_000_000) + time.tv_nsec as u64
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        // One less, so that 0 is before everything.
        Self {
            start: read(ClockId::Monotonic) - 1,
            #[cfg(test)]
            step: &STILL,
        }
    }

    /// The wall clock.
    #[cfg_attr(not(test), allow(clippy::unused_self, reason = "a test may set it"))]
    fn real(self) -> u64 {
        let real = read(ClockId::Realtime);
        #[cfg(test)]
        let real = real.wrapping_add_signed(self.step.load(std::sync::atomic::Ordering::Relaxed));
        real
    }

    /// The time since the start.
    pub(crate) fn now(self) -> Nanos {
        read(ClockId::Monotonic) - self.start
    }

    /// Realtime minus our monotonic time, and the time of the last reading.
    fn offset(self) -> (i64, Nanos) {
        // The reading of the realtime clock lies between the other two; when
        // the process was interrupted there, try again.
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

/// A time on the monotonic clock as one of the wall clock.
pub(crate) fn wall(clock: Clock, at: Nanos) -> SystemTime {
    let real = at.cast_signed().saturating_add(clock.offset().0);
    SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(real).unwrap_or_default())
}

/// The kernel's stamps, carried over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamps {
    now: Nanos,
    offset: i64,
    /// Stamps older than this are no answer to the question when a packet
    /// came that we have just read.
    trusted: bool,
}

impl Stamps {
    /// Compares the clocks for the first time.
    pub(crate) fn new(clock: Clock) -> Self {
        let (offset, now) = clock.offset();
        Self {
            now,
            offset,
            trusted: true,
        }
    }

    /// Compares the clocks; call it when packets have just been read. Returns
    /// the time.
    pub(crate) fn refresh(&mut self, clock: Clock) -> Nanos {
        let (offset, now) = clock.offset();
        self.trusted = offset.abs_diff(self.offset) < STEP as u64;
        self.offset = offset;
        self.now = now;
        now
    }

    /// When a packet arrived that was not sent before `sent`: its stamp, if
    /// that is to be believed, else the time it was read.
    pub(crate) fn arrival(&self, stamp: Option<u64>, sent: Nanos) -> Nanos {
        let Some(stamp) = stamp.filter(|_| self.trusted) else {
            return self.now;
        };
        let at = stamp.cast_signed().wrapping_sub(self.offset);
        match u64::try_from(at) {
            Ok(at) if at >= sent && at <= self.now => at,
            _ => self.now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_believed_when_they_can_be() {
        let stamps = Stamps {
            now: 5_000_000,
            offset: 1_000_000_000,
            trusted: true,
        };
        assert_eq!(stamps.arrival(Some(1_004_000_000), 3_000_000), 4_000_000);
        // Before it was sent, after now, or none at all.
        for stamp in [Some(1_002_000_000), Some(1_006_000_000), Some(0), None] {
            assert_eq!(stamps.arrival(stamp, 3_000_000), 5_000_000);
        }
        let stepped = Stamps {
            trusted: false,
            ..stamps
        };
        assert_eq!(stepped.arrival(Some(1_004_000_000), 3_000_000), 5_000_000);
    }

    #[test]
    fn a_step_is_noticed_once() {
        let clock = Clock::start();
        let mut stamps = Stamps::new(clock);
        stamps.refresh(clock);
        assert!(stamps.trusted);
        stamps.offset += 3_600_000_000_000;
        stamps.refresh(clock);
        assert!(!stamps.trusted);
        stamps.refresh(clock);
        assert!(stamps.trusted);
    }
}
