//! The targets of a list that have not been probed yet, and the limit on probes
//! to one address. The schedules of lists, [`sweep`](super::sweep) and
//! [`mtu`](super::mtu), take their targets from here and record every probe here.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use common::Error;

use super::min_interval::MinInterval;
use crate::clock::Nanos;
use crate::source::{NextTarget, TargetSource};
use crate::target::Target;

/// The result of asking for a new target.
#[derive(Debug)]
pub(super) enum NewTarget {
    /// A target that may be probed now.
    Ready(Target),
    /// The next target may be probed at this time.
    WaitUntil(Nanos),
    /// An operand that cannot be probed.
    Rejected(Error),
    /// No target is available, or not yet.
    None,
}

/// The source of a list, and the limit on probes to one address.
#[derive(Debug)]
pub(super) struct NewTargets {
    source: TargetSource,
    min_interval: MinInterval,
    /// A target that must wait, because its address was probed recently.
    deferred: Option<Target>,
    /// Whether the source had no target when it was last asked.
    waits_for_source: bool,
    is_exhausted: bool,
}

impl NewTargets {
    /// Creates the new targets of `source`.
    pub(super) fn new(source: TargetSource, min_interval: MinInterval) -> Self {
        Self {
            source,
            min_interval,
            deferred: None,
            waits_for_source: false,
            is_exhausted: false,
        }
    }

    /// Returns the next target, without blocking.
    pub(super) fn next(&mut self, now: Nanos) -> NewTarget {
        if self.is_exhausted {
            return NewTarget::None;
        }
        let next = match self.deferred.take() {
            Some(target) => NextTarget::Ready(target),
            None => self.source.next(),
        };
        match next {
            NextTarget::Ready(target) => match self.delay_until(target.address, now) {
                Some(due) => {
                    self.deferred = Some(target);
                    NewTarget::WaitUntil(due)
                }
                None => NewTarget::Ready(target),
            },
            NextTarget::Rejected(error) => NewTarget::Rejected(error),
            NextTarget::Pending => {
                self.waits_for_source = true;
                NewTarget::None
            }
            NextTarget::Exhausted => {
                self.is_exhausted = true;
                NewTarget::None
            }
        }
    }

    /// Whether the source has no further targets.
    pub(super) fn is_exhausted(&self) -> bool {
        self.is_exhausted
    }

    /// Returns when an address may be probed, or `None` if it may be probed now.
    pub(super) fn delay_until(&self, address: IpAddr, now: Nanos) -> Option<Nanos> {
        self.min_interval.delay_until(address, now)
    }

    /// Records a probe to an address.
    pub(super) fn record_probe(&mut self, address: IpAddr, now: Nanos) {
        self.min_interval.record(address, now);
    }

    /// Returns an error for each name that is still being looked up.
    pub(super) fn unresolved_names(&self) -> Vec<Error> {
        self.source.unresolved_names()
    }

    /// Whether no target is left, apart from names that are being looked up.
    pub(super) fn has_probed_all(&mut self) -> bool {
        if self.is_exhausted {
            return true;
        }
        let has_no_target = |next| matches!(next, NextTarget::Exhausted | NextTarget::Pending);
        self.deferred.is_none() && has_no_target(self.source.next())
    }

    /// Forgets that the source had no target, before it may be asked again.
    pub(super) fn stop_waiting(&mut self) {
        self.waits_for_source = false;
    }

    /// Returns a descriptor that becomes readable when there may be a new target,
    /// if the source had none.
    pub(super) fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.waits_for_source.then(|| self.source.wake_fd())
    }
}
