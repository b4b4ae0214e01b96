//! How to wait for an echo: asleep, or looking.
//!
//! A process that sleeps is woken some ten microseconds after what it waits
//! for, which is as long as a fast peer needs for an answer, and all of that
//! would count as the peer's latency. So the engine looks for a moment before
//! it sleeps, as long as answers usually come within it. Both loops wait alike:
//! else the open one, which has to look for the time, would measure less.
//!
//! Where many messages are on their way, the next answer is hardly ever waited
//! for, and to sleep until there are several of them is cheaper for both sides.

use std::time::Duration;

/// How long the engine looks before it sleeps, and how much earlier than a
/// message is due it ends its sleep.
pub(super) const LOOK: Duration = Duration::from_micros(150);

/// A longer pause counts as this: a stall must not be remembered for long.
const LONGEST: Duration = Duration::from_micros(600);

/// A closed loop with as many messages on their way does not look.
const MANY: u64 = 4;

/// The latest pauses.
#[derive(Debug)]
pub(super) struct Pauses {
    /// Whether looking is worth it at all.
    look: bool,
    /// Their length in nanoseconds, smoothed.
    usual: u64,
}

impl Pauses {
    /// Those of a run with so many messages on their way; `None` where that
    /// follows from a rate.
    pub(super) fn new(on_their_way: Option<u64>) -> Self {
        Self {
            look: on_their_way.is_none_or(|count| count < MANY),
            usual: 0,
        }
    }

    /// One was ended by something that came.
    pub(super) fn ended(&mut self, length: Duration) {
        let length = length.min(LONGEST).as_nanos() as u64;
        self.usual = (7 * self.usual + length) / 8;
    }

    /// Whether the next is likely to be shorter than a [`LOOK`], and to look is
    /// worth it.
    pub(super) fn are_short(&self) -> bool {
        self.look && u128::from(self.usual) < LOOK.as_nanos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pauses: &mut Pauses, micros: u64, times: u32) -> bool {
        for _ in 0..times {
            pauses.ended(Duration::from_micros(micros));
        }
        pauses.are_short()
    }

    #[test]
    fn a_far_peer_is_not_looked_for() {
        let mut pauses = Pauses::new(Some(3));
        assert!(after(&mut pauses, 60, 10));
        assert!(!after(&mut pauses, 5000, 3));
        assert!(after(&mut pauses, 60, 30));
        // One stall, however long, is no far peer.
        assert!(after(&mut pauses, 10_000_000, 1));
        assert!(!after(&mut pauses, 300, 30));
    }

    #[test]
    fn many_on_their_way_are_slept_for() {
        assert!(!after(&mut Pauses::new(Some(4)), 60, 10));
        assert!(after(&mut Pauses::new(None), 60, 10));
    }
}
