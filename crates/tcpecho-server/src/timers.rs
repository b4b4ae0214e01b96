//! Deadlines in order, one for each key at most.
//!
//! A connection's deadline mostly moves away from now (each byte puts off the
//! idle timeout). Only the owner knows that; an entry is moved when it gets
//! nearer, or when it came up and turned out to be too early. So the busy path
//! never touches the list.

use std::collections::BTreeSet;
use std::time::Duration;

/// Keys by the moment they want to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    entries: BTreeSet<(Duration, usize)>,
}

impl Timers {
    /// Makes sure that `key` comes up at `due` at the latest. `armed` is the
    /// owner's note of its entry.
    pub(crate) fn want(&mut self, key: usize, armed: &mut Option<Duration>, due: Option<Duration>) {
        let Some(due) = due else { return };
        match *armed {
            Some(earlier) if earlier <= due => {}
            later => {
                if let Some(later) = later {
                    self.entries.remove(&(later, key));
                }
                self.entries.insert((due, key));
                *armed = Some(due);
            }
        }
    }

    /// Forgets the entry of a key.
    pub(crate) fn cancel(&mut self, key: usize, armed: &mut Option<Duration>) {
        if let Some(due) = armed.take() {
            self.entries.remove(&(due, key));
        }
    }

    /// The next key that has come up; its owner's note is to be cleared.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<usize> {
        let (due, key) = *self.entries.first()?;
        if due > now {
            return None;
        }
        self.entries.pop_first();
        Some(key)
    }

    /// When the next one comes up.
    pub(crate) fn next(&self) -> Option<Duration> {
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
    fn one_entry_a_key_and_in_order() {
        let mut timers = Timers::default();
        let (mut a, mut b) = (None, None);
        timers.want(1, &mut a, Some(ms(30)));
        timers.want(2, &mut b, Some(ms(20)));
        // Later: stays. Earlier: moves.
        timers.want(1, &mut a, Some(ms(40)));
        assert_eq!(a, Some(ms(30)));
        timers.want(1, &mut a, Some(ms(10)));
        assert_eq!((a, timers.entries.len()), (Some(ms(10)), 2));
        assert_eq!(timers.next(), Some(ms(10)));
        assert_eq!(timers.pop(ms(9)), None);
        assert_eq!(timers.pop(ms(25)), Some(1));
        timers.cancel(2, &mut b);
        assert_eq!((b, timers.pop(ms(99)), timers.next()), (None, None, None));
    }
}
