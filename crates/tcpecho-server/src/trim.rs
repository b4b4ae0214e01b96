//! When to return freed memory to the system after many connections closed.
//!
//! The memory of a connection is free again when it closes, but the allocator
//! keeps the pages: those of the largest number of connections so far, and more
//! if longer-lived allocations lie between them. Returning pages costs a walk
//! over the heap, and allocating them again costs too. So it is done only when
//! most connections of a peak have closed and no others follow for a moment.

use std::time::Duration;

/// The smallest peak after which memory is returned.
const MIN_PEAK: usize = 16;

/// The peak has passed once at most `1 / SHRINK_FACTOR` of its connections are
/// left.
const SHRINK_FACTOR: usize = 4;

/// How long the number of connections must stay that low.
const QUIET_PERIOD: Duration = Duration::from_secs(1);

/// Follows the number of connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct MemoryTrimmer {
    /// The maximum number of connections since memory was last returned.
    peak: usize,
    /// The end of the quiet period, if one has begun.
    due: Option<Duration>,
}

impl MemoryTrimmer {
    /// A connection opened; `open` is the number of connections now.
    pub(crate) fn connection_opened(&mut self, open: usize) {
        self.peak = self.peak.max(open);
        if open > self.peak / SHRINK_FACTOR {
            self.due = None;
        }
    }

    /// A connection closed; `open` is the number of connections now.
    pub(crate) fn connection_closed(&mut self, open: usize, now: Duration) {
        if self.peak >= MIN_PEAK && open <= self.peak / SHRINK_FACTOR {
            self.due.get_or_insert(now + QUIET_PERIOD);
        }
    }

    /// Returns when to call [`MemoryTrimmer::take_due`].
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.due
    }

    /// Returns whether memory must be returned now, and if so starts over with
    /// `open` connections.
    pub(crate) fn take_due(&mut self, open: usize, now: Duration) -> bool {
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.due = None;
            self.peak = open;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn open_connections(trimmer: &mut MemoryTrimmer, count: usize) {
        (1..=count).for_each(|open| trimmer.connection_opened(open));
    }

    #[test]
    fn memory_is_returned_once_after_a_peak() {
        let mut trimmer = MemoryTrimmer::default();
        open_connections(&mut trimmer, 40);
        for open in (10..40).rev() {
            trimmer.connection_closed(open, MS(open as u64));
        }
        // The quiet period began when a quarter was left; connections that
        // close later do not extend it.
        trimmer.connection_closed(9, MS(500));
        assert_eq!(trimmer.deadline(), Some(MS(1010)));
        assert!(!trimmer.take_due(9, MS(1009)));
        assert!(trimmer.take_due(9, MS(1010)));
        assert_eq!(trimmer.deadline(), None);
        // Nine connections are too few for another peak.
        trimmer.connection_closed(0, MS(2000));
        assert_eq!(trimmer.deadline(), None);
    }

    #[test]
    fn new_connections_end_the_quiet_period() {
        let mut trimmer = MemoryTrimmer::default();
        open_connections(&mut trimmer, 40);
        trimmer.connection_closed(10, MS(0));
        trimmer.connection_opened(11);
        assert!(!trimmer.take_due(11, MS(2000)));
        trimmer.connection_closed(10, MS(3000));
        assert!(trimmer.take_due(10, MS(4000)));
    }

    #[test]
    fn few_connections_at_a_time_are_not_a_peak() {
        let mut trimmer = MemoryTrimmer::default();
        for n in 0..100 {
            trimmer.connection_opened(n % 15 + 1);
            trimmer.connection_closed(n % 15, MS(n as u64));
            assert_eq!(trimmer.deadline(), None);
        }
    }
}
