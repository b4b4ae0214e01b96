//! The interface between the driver and the resolvers: the DNS engine, the wildcard
//! filter around it, and the system's resolver.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use common::Result;

use crate::lookup::Lookup;

/// A resolver that performs many lookups at the same time.
pub(crate) trait Backend {
    /// The description of one lookup.
    type Question;

    /// Returns whether another lookup may be submitted now.
    fn has_room(&self) -> bool;

    /// Starts a lookup; its result is returned with the same `token`.
    fn submit(&mut self, token: u64, question: Self::Question);

    /// Returns whether no lookup is pending.
    fn is_idle(&self) -> bool;

    /// Makes progress. If there is nothing to do, calls `before_wait` and waits
    /// for a result, for `extra_fd` to become readable, or until `until`.
    fn turn(
        &mut self,
        extra_fd: Option<BorrowedFd<'_>>,
        until: Option<Instant>,
        before_wait: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()>;

    /// Takes the results that arrived since the last call.
    fn take_finished(&mut self) -> Vec<(u64, Lookup)>;
}
