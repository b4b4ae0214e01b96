//! Who is probed next, and when a target is decided: the part of a run that
//! differs between one host watched and a million swept.

pub(crate) mod floor;
pub(crate) mod list;
pub(crate) mod mtu;
pub(crate) mod steady;

use std::os::fd::BorrowedFd;

use common::Error;

use crate::clock::Nanos;
use crate::target::{TargetId, Targets};

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Send a probe now, with so many bytes of data.
    Probe {
        /// To whom.
        target: TargetId,
        /// Bytes of data.
        size: u16,
    },
    /// Tell if the last probe is not yet answered, for the next is due; then
    /// ask again.
    Outstanding {
        /// Whose.
        target: TargetId,
    },
    /// Report an operand that cannot be probed; then ask again.
    Refused(Error),
    /// Nothing before this moment, unless something happens.
    At(Nanos),
    /// Nothing until something happens.
    Idle,
    /// Nothing any more.
    Done,
}

/// How a probe was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Answered in time.
    Answered,
    /// Its time passed.
    Lost,
    /// An ICMP error came, it could not be sent, or something corrupt came
    /// back. Its time has not passed yet.
    Failed,
    /// It could not be sent, and further ones could not be either.
    Unsendable,
    /// The time of a probe that has failed before passed.
    Expired,
}

/// A plan.
pub(crate) trait Plan {
    /// What to do now.
    fn next(&mut self, now: Nanos, targets: &mut Targets) -> Next;

    /// A probe went out, or was tried to.
    fn sent(&mut self, id: TargetId, at: Nanos, targets: &mut Targets);

    /// A probe was settled. Returns whether that decides its target.
    fn settled(&mut self, id: TargetId, how: Settled, now: Nanos, targets: &mut Targets) -> bool;

    /// A probe was longer than a link takes. Told before it is settled.
    fn too_big(&mut self, _id: TargetId, _mtu: u32) {}

    /// How long a probe has, as things stand.
    fn timeout(&self, targets: &Targets) -> Nanos;

    /// The errors of operands that are not read to their end when the run is.
    fn unresolved(&mut self) -> Vec<Error> {
        Vec::new()
    }

    /// How late probes went out by their period on average, if that is longer
    /// than the period.
    fn lag(&self) -> Option<Nanos> {
        None
    }

    /// Whether there was nobody left to ask when the run was ended.
    fn is_complete(&mut self) -> bool {
        true
    }

    /// When everything ends.
    fn deadline(&self) -> Option<Nanos>;

    /// A descriptor that becomes readable when an idle plan may have more.
    fn wake(&self) -> Option<BorrowedFd<'_>>;
}

/// How many bytes of data each probe carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataSizes {
    /// The first probe's.
    pub(crate) min: u16,
    /// The most.
    pub(crate) max: u16,
    /// How many more each further probe has; after the most, from the start.
    pub(crate) step: u16,
}

impl DataSizes {
    /// The same for all.
    pub(crate) fn fixed(size: u16) -> Self {
        Self {
            min: size,
            max: size,
            step: 1,
        }
    }

    /// That of a target's probe number `index`, from 0.
    pub(crate) fn of(self, index: u64) -> u16 {
        let steps = u64::from((self.max - self.min) / self.step.max(1)) + 1;
        self.min + (index % steps) as u16 * self.step
    }

    /// How many different ones there are.
    pub(crate) fn count(self) -> u64 {
        u64::from((self.max - self.min) / self.step.max(1)) + 1
    }
}

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// An answer, be it late.
    Up,
    /// Three lost probes in a row, and no late answer between them.
    Down,
}

/// Losses in a row that mean a host is down.
const DOWN: u64 = 3;

impl Until {
    /// Whether a target has got there.
    pub(crate) fn reached(self, target: &crate::target::Target) -> bool {
        match self {
            Self::Up => target.answered || target.stats.late > 0,
            Self::Down => target.stats.silent >= DOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_round() {
        let sizes = DataSizes {
            min: 10,
            max: 25,
            step: 10,
        };
        assert_eq!([0, 1, 2, 3].map(|n| sizes.of(n)), [10, 20, 10, 20]);
        assert_eq!((sizes.count(), DataSizes::fixed(56).of(9)), (2, 56));
    }
}
