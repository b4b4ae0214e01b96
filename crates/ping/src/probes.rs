//! The probes of a run: a window over their numbers, from the oldest whose
//! answer would still be recognised to the newest.
//!
//! A probe's number counts all probes of the run and never wraps. It goes out
//! in the cookie, and its low 16 bits as the sequence number. Everything else
//! (when it was sent, to whom, what became of it) stays here, so nothing in a
//! reply has to be believed. Probes leave the window at its old end, once they
//! are settled and the window is long enough.

use std::collections::VecDeque;

use crate::clock::Nanos;

/// The longest window. Beyond it the oldest probes are given up before their
/// time, so that memory stays bounded at any rate and timeout.
const LONGEST: usize = 1 << 20;

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No answer yet.
    Pending,
    /// Answered in time.
    Answered,
    /// Answered by something corrupt so far.
    Spoiled,
    /// Its time passed without an answer.
    Lost,
    /// An ICMP error came, or it could not be sent.
    Failed,
}

/// One probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    /// When it was sent.
    pub(crate) sent: Nanos,
    /// The target's place in the table of targets.
    pub(crate) target: u32,
    /// Bytes of data it carried.
    pub(crate) size: u16,
    /// What became of it.
    pub(crate) state: State,
    /// Whether somebody has answered it, in time or late.
    pub(crate) seen: bool,
    /// Whether it has gone out, or was tried to, and counts as sent.
    pub(crate) is_out: bool,
    /// Its number among the probes of its target, from 1.
    pub(crate) seq: u64,
}

/// The window.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    window: VecDeque<Probe>,
    /// The number of the window's first probe.
    base: u64,
    /// The number of the first probe that has not been looked at by `expire`.
    due: u64,
    /// How many settled probes to remember.
    memory: usize,
}

impl Probes {
    /// An empty window that remembers `memory` probes after they are settled.
    /// Numbers start at 1, as iputils' sequence numbers do.
    pub(crate) fn new(memory: usize) -> Self {
        Self {
            window: VecDeque::new(),
            base: 1,
            due: 1,
            memory,
        }
    }

    /// The number the next probe gets.
    pub(crate) fn next_number(&self) -> u64 {
        self.base + self.window.len() as u64
    }

    /// Adds a probe.
    pub(crate) fn push(&mut self, probe: Probe) -> u64 {
        let number = self.next_number();
        self.window.push_back(probe);
        number
    }

    /// How many probes are in the window.
    pub(crate) fn len(&self) -> usize {
        self.window.len()
    }

    /// The window's first probe.
    pub(crate) fn oldest(&self) -> Option<&Probe> {
        self.window.front()
    }

    /// The probe of a number, if it is in the window.
    pub(crate) fn get(&mut self, number: u64) -> Option<&mut Probe> {
        let index = number.checked_sub(self.base)?;
        self.window.get_mut(usize::try_from(index).ok()?)
    }

    /// The probes that have gone out and wait for an answer, with their numbers,
    /// oldest first.
    pub(crate) fn pending(&self) -> impl DoubleEndedIterator<Item = (u64, &Probe)> {
        self.window
            .iter()
            .enumerate()
            .skip((self.due - self.base) as usize)
            .filter(|(_, probe)| probe.is_out && probe.state == State::Pending)
            .map(|(index, probe)| (self.base + index as u64, probe))
    }

    /// The numbers in the window whose low 16 bits are `seq`, newest first.
    pub(crate) fn numbers_of(&self, seq: u16) -> impl Iterator<Item = u64> + use<> {
        let (base, next) = (self.base, self.next_number());
        let back = (next as u16).wrapping_sub(seq);
        // The newest number with these bits lies 1 to 65536 before `next`.
        let back = if back == 0 { 0x1_0000 } else { u64::from(back) };
        let newest = next.checked_sub(back);
        std::iter::successors(newest, |n| n.checked_sub(0x1_0000)).take_while(move |n| *n >= base)
    }

    /// The next probe in order whose time is up, given how long each has, with
    /// its number. Call it until there is none.
    pub(crate) fn expire(&mut self, now: Nanos, timeout: Nanos) -> Option<(u64, &mut Probe)> {
        loop {
            let index = (self.due - self.base) as usize;
            let probe = self.window.get(index)?;
            match probe.state {
                // A target waits for its own turn even when an error came.
                State::Pending | State::Failed | State::Spoiled => {
                    let early = self.window.len() > LONGEST;
                    if probe.sent.saturating_add(timeout) > now && !early {
                        return None;
                    }
                }
                State::Answered | State::Lost => {
                    self.due += 1;
                    continue;
                }
            }
            let number = self.due;
            self.due += 1;
            return self.window.get_mut(index).map(|probe| (number, probe));
        }
    }

    /// When the next probe expires.
    pub(crate) fn next_expiry(&self, timeout: Nanos) -> Option<Nanos> {
        self.window
            .iter()
            .skip((self.due - self.base) as usize)
            .find(|probe| !matches!(probe.state, State::Answered | State::Lost))
            .map(|probe| probe.sent.saturating_add(timeout))
    }

    /// Takes a probe out at the old end, if it is settled and beyond what is
    /// remembered.
    pub(crate) fn retire(&mut self) -> Option<(u64, Probe)> {
        if self.base >= self.due || self.window.len() <= self.memory {
            return None;
        }
        let number = self.base;
        let probe = self.window.pop_front()?;
        self.base += 1;
        Some((number, probe))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn probe(sent: Nanos) -> Probe {
        Probe {
            sent,
            target: 0,
            size: 56,
            state: State::Pending,
            seen: false,
            is_out: true,
            seq: 1,
        }
    }

    #[test]
    fn probes_expire_in_order_and_are_remembered() {
        let mut probes = Probes::new(2);
        for sent in [10, 20, 30, 40] {
            probes.push(probe(sent));
        }
        probes.get(2).unwrap().state = State::Answered;
        assert_eq!(probes.next_expiry(100), Some(110));
        assert!(probes.expire(109, 100).is_none());
        assert_eq!(probes.expire(131, 100).unwrap().0, 1);
        assert_eq!(probes.expire(131, 100).unwrap().0, 3);
        assert!(probes.expire(131, 100).is_none());
        assert_eq!(probes.retire().unwrap().0, 1);
        assert_eq!(probes.retire().unwrap().0, 2);
        assert!(probes.retire().is_none());
        assert!(probes.get(2).is_none() && probes.get(3).is_some());
        assert!(probes.get(5).is_none());
        assert_eq!(probes.next_number(), 5);
    }

    #[test]
    fn more_than_a_sequence_number_holds() {
        let mut probes = Probes::new(usize::MAX);
        for sent in 0..70_000 {
            probes.push(probe(sent));
        }
        assert_eq!(probes.numbers_of(1).collect::<Vec<_>>(), [65_537, 1]);
        assert_eq!(probes.numbers_of(0).collect::<Vec<_>>(), [65_536]);
        assert_eq!(probes.numbers_of(60_000).collect::<Vec<_>>(), [60_000]);
        assert_eq!(
            probes.numbers_of(4_464).collect::<Vec<_>>(),
            [70_000, 4_464]
        );
    }

    proptest! {
        #[test]
        fn every_number_is_found_by_its_bits(count in 1usize..200, seq: u16) {
            let mut probes = Probes::new(usize::MAX);
            for sent in 0..count {
                probes.push(probe(sent as u64));
            }
            let found: Vec<u64> = probes.numbers_of(seq).collect();
            let expected: Vec<u64> = (1..=count as u64).filter(|n| *n as u16 == seq).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
