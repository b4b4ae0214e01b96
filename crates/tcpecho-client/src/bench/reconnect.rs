//! The queue of the slots that connect again, with `--reconnect`.
//!
//! A slot is idle and ready to connect, or waits after a failed connection, so
//! that a peer that refuses is not flooded with connects. The times are those
//! since the start of the run.

use std::time::Duration;

/// The time from the failure of a connection to the next connect of its slot.
const BACKOFF: Duration = Duration::from_millis(10);

/// The slots without a connection, by their index.
#[derive(Debug, Default)]
pub(super) struct ReconnectQueue {
    idle: Vec<usize>,
    backing_off: Vec<usize>,
    /// The time at which the slots that back off become idle.
    backoff_until: Duration,
}

impl ReconnectQueue {
    /// Creates a queue of idle slots. The last one is connected first.
    pub(super) fn new(idle: impl Iterator<Item = usize>) -> Self {
        Self {
            idle: idle.collect(),
            ..Self::default()
        }
    }

    /// Adds a slot that is ready to connect.
    pub(super) fn push(&mut self, index: usize) {
        self.idle.push(index);
    }

    /// Adds a slot that has failed at `now`.
    pub(super) fn push_failed(&mut self, index: usize, now: Duration) {
        self.backoff_until = now + BACKOFF;
        self.backing_off.push(index);
    }

    /// Makes the slots idle that have backed off long enough.
    pub(super) fn end_backoff(&mut self, now: Duration) {
        if now >= self.backoff_until {
            self.idle.append(&mut self.backing_off);
        }
    }

    /// Removes and returns an idle slot.
    pub(super) fn pop(&mut self) -> Option<usize> {
        self.idle.pop()
    }

    /// Returns the number of idle slots.
    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Returns after which time [`Self::end_backoff`] is due at the latest. `None`
    /// if no slot is backing off.
    pub(super) fn backoff(&self) -> Option<Duration> {
        (!self.backing_off.is_empty()).then_some(BACKOFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_slot_becomes_idle_after_its_backoff() {
        let now = Duration::from_secs(1);
        let mut queue = ReconnectQueue::new([2, 1].into_iter());
        queue.push_failed(0, now);
        assert_eq!((queue.idle(), queue.backoff()), (2, Some(BACKOFF)));
        queue.end_backoff(now);
        assert_eq!(queue.idle(), 2);
        queue.end_backoff(now + BACKOFF);
        assert_eq!((queue.idle(), queue.backoff()), (3, None));
        assert_eq!(queue.pop(), Some(0));
        assert_eq!(queue.pop(), Some(1));
    }
}
