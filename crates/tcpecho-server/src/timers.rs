//! Deadlines in order of time, at most one entry per token.
//!
//! The deadline of a connection mostly moves later: each byte postpones the idle
//! timeout. The owner keeps the current deadline; the entry here is changed
//! only when the deadline becomes earlier, or when the entry expired too early.
//! So the set is not modified in the common case.

use std::collections::BTreeSet;
use std::time::Duration;

/// Tokens ordered by the time at which their owners must be called.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    entries: BTreeSet<(Duration, usize)>,
}

impl Timers {
    /// Makes sure that `token` expires at `due` or earlier. `armed` is the time
    /// of its entry, which the owner stores.
    pub(crate) fn schedule(
        &mut self,
        token: usize,
        armed: &mut Option<Duration>,
        due: Option<Duration>,
    ) {
        let Some(due) = due else { return };
        match *armed {
            Some(earlier) if earlier <= due => {}
            later => {
                if let Some(later) = later {
                    self.entries.remove(&(later, token));
                }
                self.entries.insert((due, token));
                *armed = Some(due);
            }
        }
    }

    /// Removes the entry of a token.
    pub(crate) fn cancel(&mut self, token: usize, armed: &mut Option<Duration>) {
        if let Some(due) = armed.take() {
            self.entries.remove(&(due, token));
        }
    }

    /// Removes and returns the next expired token. The caller must clear the
    /// owner's `armed`.
    pub(crate) fn pop_expired(&mut self, now: Duration) -> Option<usize> {
        let (due, token) = *self.entries.first()?;
        if due > now {
            return None;
        }
        self.entries.pop_first();
        Some(token)
    }

    /// Returns the time of the first entry.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.entries.first().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn tokens_expire_once_and_in_order() {
        let mut timers = Timers::default();
        let (mut a, mut b) = (None, None);
        timers.schedule(1, &mut a, Some(ms(30)));
        timers.schedule(2, &mut b, Some(ms(20)));
        // A later deadline keeps the entry, an earlier one moves it.
        timers.schedule(1, &mut a, Some(ms(40)));
        assert_eq!(a, Some(ms(30)));
        timers.schedule(1, &mut a, Some(ms(10)));
        assert_eq!((a, timers.entries.len()), (Some(ms(10)), 2));
        assert_eq!(timers.next_deadline(), Some(ms(10)));
        assert_eq!(timers.pop_expired(ms(9)), None);
        assert_eq!(timers.pop_expired(ms(10)), Some(1));
        assert_eq!(timers.pop_expired(ms(10)), None);
        timers.cancel(2, &mut b);
        assert_eq!((b, timers.pop_expired(ms(99))), (None, None));
        assert_eq!(timers.next_deadline(), None);
    }
}
