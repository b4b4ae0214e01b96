//! A name and type on its way to an answer, and the queries sent for it.

use std::time::Instant;

use super::failure::Fault;
use crate::answer::Status;
use crate::lookup::Lookup;
use crate::wire::{OwnedName, Question};

/// How a query went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Port(usize),
    Stream(usize),
    Https,
}

/// A query sent and not given up.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) job: u32,
    pub(crate) upstream: usize,
    pub(crate) via: Via,
    pub(crate) id: u16,
    /// Tells it from an earlier one in the same place.
    pub(crate) serial: u32,
    pub(crate) sent: Instant,
    /// Whether it counts as in flight; not once it is presumed lost.
    pub(crate) counted: bool,
    /// Whether it carries an OPT record.
    pub(crate) edns: bool,
}

/// A lookup under way. Servers are bits of the masks.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) serial: u32,
    pub(crate) ticket: u64,
    pub(crate) question: Question,
    /// Names to try if this one has no answer (the search list), last first.
    pub(crate) more: Vec<OwnedName>,
    /// The one server to ask, rather than all.
    pub(crate) only: Option<usize>,
    /// The server it begins with, and whose turn it is after that.
    pub(crate) first: usize,
    pub(crate) turn: usize,
    pub(crate) started: Option<Instant>,
    pub(crate) deadline: Instant,
    /// The number of the timer that counts.
    pub(crate) timer: u32,
    pub(crate) tries: u32,
    /// Tries since the current name's first.
    pub(crate) round: u32,
    pub(crate) failed: u64,
    /// Servers to ask without EDNS.
    pub(crate) plain: u64,
    /// Servers to ask over a stream, and those whose answer was truncated.
    pub(crate) stream: u64,
    pub(crate) truncated: u64,
    /// Servers that refused a cookie already.
    pub(crate) cookie: u64,
    /// Servers that seem to have answered over UDP without the cookie that
    /// proves it.
    pub(crate) unproven: u64,
    /// Connections that ended under it, some answered and all silent.
    pub(crate) reconnects: u8,
    pub(crate) barren: u8,
    /// The worst that a server said, and which.
    pub(crate) fault: Option<(usize, Fault)>,
    /// An answer that leads nowhere, better than none.
    pub(crate) fallback: Option<Box<Lookup>>,
    /// The message of the fault.
    pub(crate) message: Option<Box<[u8]>>,
    /// What each server said or did, if that is to be shown.
    pub(crate) told: Vec<(usize, Fault)>,
    /// That one of the names tried exists without data.
    pub(crate) nodata: Option<Box<Lookup>>,
    pub(crate) flights: Vec<u32>,
}

impl Job {
    /// How many of so many servers it can still ask.
    pub(crate) fn left(&self, servers: usize) -> usize {
        match self.only {
            Some(only) => usize::from(self.failed & 1 << only == 0),
            None => servers - self.failed.count_ones() as usize,
        }
    }

    /// Remembers what a server said or did, if it says more than what is
    /// known already.
    pub(crate) fn note(&mut self, upstream: usize, fault: Fault, message: Option<Box<[u8]>>) {
        self.failed |= 1 << upstream;
        let better = match &self.fault {
            None => true,
            Some((_, known)) => weight(&fault.0) > weight(&known.0),
        };
        if better {
            self.fault = Some((upstream, fault));
            self.message = message;
        }
    }
}

/// What a server said counts more than what it did, that more than silence.
pub(crate) fn weight(status: &Status) -> u8 {
    match status {
        Status::Rcode(_) => 4,
        Status::Malformed | Status::Tls | Status::System => 3,
        Status::Unreachable => 2,
        _ => 1,
    }
}

/// Things in places that are used again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Puts one in and tells where.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(at) = self.free.pop() {
            self.places[at as usize] = Some(value);
            return at;
        }
        self.places.push(Some(value));
        (self.places.len() - 1) as u32
    }

    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        self.places.get(at as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.places.get_mut(at as usize)?.as_mut()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().flatten()
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, at: u32) -> Option<T> {
        let value = self.places.get_mut(at as usize)?.take()?;
        self.free.push(at);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::Kind;

    #[test]
    fn places_are_used_again() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!(
            (slab.remove(a), slab.remove(a), slab.len()),
            (Some('a'), None, 1)
        );
        assert_eq!(slab.insert('c'), a);
        assert_eq!(
            (slab.get(a), slab.get(b), slab.get(9)),
            (Some(&'c'), Some(&'b'), None)
        );
    }

    #[test]
    fn a_word_weighs_more_than_silence() {
        use domain::base::iana::OptRcode;
        let order = [
            Status::Timeout,
            Status::Unreachable,
            Status::Malformed,
            Status::Rcode(OptRcode::SERVFAIL),
        ];
        assert!(order.windows(2).all(|w| weight(&w[0]) < weight(&w[1])));
        assert_eq!(Kind::Server.name(), "server");
    }
}
