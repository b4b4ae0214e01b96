//! The probes of a run: a window over their numbers, from the oldest probe that
//! a reply can still be matched with to the newest.
//!
//! A number counts all probes of the run and never wraps. It is sent in the
//! cookie, and its low 16 bits are the sequence number. Everything else (time,
//! target, status) is kept here, so no part of a reply has to be trusted. Probes
//! leave the window at its old end, once they are settled and the window is
//! longer than the number of probes to remember.

use std::collections::VecDeque;

use crate::clock::Nanos;

/// The longest window. Beyond it the oldest probes expire before their timeout,
/// so that memory stays bounded at any rate and timeout.
const MAX_WINDOW: usize = 1 << 20;

/// The state of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeStatus {
    /// No reply has arrived yet.
    Pending,
    /// A correct reply arrived within the timeout.
    Answered,
    /// Only corrupt replies have arrived.
    Corrupt,
    /// The timeout passed without a reply.
    Lost,
    /// An ICMP error arrived, or the probe could not be sent.
    Failed,
}

/// One echo request of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    /// When it was sent.
    pub(crate) sent_at: Nanos,
    /// The id of its target.
    pub(crate) target: u32,
    /// The number of data bytes.
    pub(crate) size: u16,
    /// Its state: in flight, answered, lost or failed.
    pub(crate) status: ProbeStatus,
    /// Whether a correct reply has arrived, in time or late.
    pub(crate) has_reply: bool,
    /// Whether it counts as sent. A probe that the system refused also counts.
    pub(crate) is_sent: bool,
    /// Its sequence number within its target, from 1.
    pub(crate) seq: u64,
}

/// The window of probes.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    window: VecDeque<Probe>,
    /// The number of the first probe in the window.
    first_number: u64,
    /// The number of the first probe that `expire` has not passed.
    next_to_expire: u64,
    /// How many settled probes to remember.
    retained: usize,
}

impl Probes {
    /// Creates an empty window that remembers `retained` probes after they are
    /// settled. Numbers start at 1, as iputils' sequence numbers do.
    pub(crate) fn new(retained: usize) -> Self {
        Self {
            window: VecDeque::new(),
            first_number: 1,
            next_to_expire: 1,
            retained,
        }
    }

    /// Returns the number of the next probe.
    pub(crate) fn next_number(&self) -> u64 {
        self.first_number + self.window.len() as u64
    }

    /// Adds a probe and returns its number.
    pub(crate) fn push(&mut self, probe: Probe) -> u64 {
        let number = self.next_number();
        self.window.push_back(probe);
        number
    }

    /// Returns the number of probes in the window.
    pub(crate) fn len(&self) -> usize {
        self.window.len()
    }

    /// Returns the first probe in the window.
    pub(crate) fn oldest(&self) -> Option<&Probe> {
        self.window.front()
    }

    /// Returns a probe by its number, if it is in the window.
    pub(crate) fn get(&mut self, number: u64) -> Option<&mut Probe> {
        let index = number.checked_sub(self.first_number)?;
        self.window.get_mut(usize::try_from(index).ok()?)
    }

    /// Iterates over the probes in flight with their numbers, oldest first.
    pub(crate) fn pending(&self) -> impl DoubleEndedIterator<Item = (u64, &Probe)> {
        self.window
            .iter()
            .enumerate()
            .skip((self.next_to_expire - self.first_number) as usize)
            .filter(|(_, probe)| probe.is_sent && probe.status == ProbeStatus::Pending)
            .map(|(index, probe)| (self.first_number + index as u64, probe))
    }

    /// Iterates over the numbers in the window with `seq` as their low 16 bits,
    /// newest first.
    pub(crate) fn numbers_with_seq(&self, seq: u16) -> impl Iterator<Item = u64> + use<> {
        let (first, next) = (self.first_number, self.next_number());
        let back = (next as u16).wrapping_sub(seq);
        // The newest number with these bits is 1 to 65536 below `next`.
        let back = if back == 0 { 0x1_0000 } else { u64::from(back) };
        let newest = next.checked_sub(back);
        std::iter::successors(newest, |n| n.checked_sub(0x1_0000)).take_while(move |n| *n >= first)
    }

    /// Returns the next probe, in order, that was sent at least `timeout` before
    /// `now`, with its number. Answered and lost probes are passed over. Call it
    /// until it returns `None`.
    pub(crate) fn expire(&mut self, now: Nanos, timeout: Nanos) -> Option<(u64, &mut Probe)> {
        loop {
            let index = (self.next_to_expire - self.first_number) as usize;
            let probe = self.window.get(index)?;
            match probe.status {
                // The next probe of a target is due at the timeout of this one,
                // even if an error came before.
                ProbeStatus::Pending | ProbeStatus::Failed | ProbeStatus::Corrupt => {
                    let is_window_full = self.window.len() > MAX_WINDOW;
                    if probe.sent_at.saturating_add(timeout) > now && !is_window_full {
                        return None;
                    }
                }
                ProbeStatus::Answered | ProbeStatus::Lost => {
                    self.next_to_expire += 1;
                    continue;
                }
            }
            let number = self.next_to_expire;
            self.next_to_expire += 1;
            return self.window.get_mut(index).map(|probe| (number, probe));
        }
    }

    /// Returns when [`Probes::expire`] will return the next probe.
    pub(crate) fn next_expiry(&self, timeout: Nanos) -> Option<Nanos> {
        self.window
            .iter()
            .skip((self.next_to_expire - self.first_number) as usize)
            .find(|probe| !matches!(probe.status, ProbeStatus::Answered | ProbeStatus::Lost))
            .map(|probe| probe.sent_at.saturating_add(timeout))
    }

    /// Removes the oldest probe if it has expired and the window is longer than
    /// the number of probes to remember.
    pub(crate) fn retire(&mut self) -> Option<(u64, Probe)> {
        if self.first_number >= self.next_to_expire || self.window.len() <= self.retained {
            return None;
        }
        let number = self.first_number;
        let probe = self.window.pop_front()?;
        self.first_number += 1;
        Some((number, probe))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn probe(sent_at: Nanos) -> Probe {
        Probe {
            sent_at,
            target: 0,
            size: 56,
            status: ProbeStatus::Pending,
            has_reply: false,
            is_sent: true,
            seq: 1,
        }
    }

    #[test]
    fn probes_expire_in_order_and_are_remembered() {
        let mut probes = Probes::new(2);
        for sent in [10, 20, 30, 40] {
            probes.push(probe(sent));
        }
        probes.get(2).unwrap().status = ProbeStatus::Answered;
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
    fn numbers_exceed_the_sequence_numbers() {
        let mut probes = Probes::new(usize::MAX);
        for sent in 0..70_000 {
            probes.push(probe(sent));
        }
        assert_eq!(probes.numbers_with_seq(1).collect::<Vec<_>>(), [65_537, 1]);
        assert_eq!(probes.numbers_with_seq(0).collect::<Vec<_>>(), [65_536]);
        assert_eq!(
            probes.numbers_with_seq(60_000).collect::<Vec<_>>(),
            [60_000]
        );
        assert_eq!(
            probes.numbers_with_seq(4_464).collect::<Vec<_>>(),
            [70_000, 4_464]
        );
    }

    proptest! {
        #[test]
        fn every_number_is_found_by_its_sequence_number(count in 1usize..200, seq: u16) {
            let mut probes = Probes::new(usize::MAX);
            for sent in 0..count {
                probes.push(probe(sent as u64));
            }
            let found: Vec<u64> = probes.numbers_with_seq(seq).collect();
            let expected: Vec<u64> = (1..=count as u64).filter(|n| *n as u16 == seq).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
