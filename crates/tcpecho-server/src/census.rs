//! Who is connected: the count against `--max-connections`, the counts by
//! address against `--max-per-ip`, and the totals of the summary.
//!
//! Shared by the accepting loop and the workers. The totals are plain atomic
//! counters; the counts by address exist only where the limit is set.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::event::Reason;
use crate::peer::Peer;

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Census {
    open: AtomicUsize,
    /// The accepting loop wants to hear of the next departure.
    watched: AtomicBool,
    max_per_ip: Option<u32>,
    by_ip: Mutex<HashMap<IpAddr, u32>>,
    connections: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    datagrams_in: AtomicU64,
    datagrams_out: AtomicU64,
}

/// The totals at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) connections: u64,
    pub(crate) refused: u64,
    pub(crate) cut: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) datagrams_in: u64,
    pub(crate) datagrams_out: u64,
}

impl Census {
    /// An empty house.
    pub(crate) fn new(max_per_ip: Option<u32>) -> Self {
        Self {
            max_per_ip,
            ..Self::default()
        }
    }

    /// A connection comes in; false if its address has enough of them. The
    /// one who was let in gets the connection's number.
    pub(crate) fn enter(&self, peer: &Peer) -> Option<u64> {
        if let (Some(max), Some(ip)) = (self.max_per_ip, peer.ip()) {
            let mut by_ip = self.by_ip.lock().unwrap_or_else(PoisonError::into_inner);
            let count = by_ip.entry(ip).or_insert(0);
            if *count >= max {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            *count += 1;
        }
        self.open.fetch_add(1, Ordering::SeqCst);
        Some(self.connections.fetch_add(1, Ordering::Relaxed))
    }

    /// A connection has ended. True if the accepting loop wants to hear of it.
    pub(crate) fn leave(&self, peer: &Peer, reason: Reason) -> bool {
        if let (Some(_), Some(ip)) = (self.max_per_ip, peer.ip()) {
            let mut by_ip = self.by_ip.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = by_ip.get_mut(&ip) {
                *count -= 1;
                if *count == 0 {
                    by_ip.remove(&ip);
                }
            }
        }
        if reason == Reason::Drain {
            self.cut.fetch_add(1, Ordering::Relaxed);
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
        self.watched.load(Ordering::SeqCst) && self.watched.swap(false, Ordering::SeqCst)
    }

    /// How many are connected.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Asks for word of the next departure. Look at [`Census::open`] after
    /// this, not before: the one in between would go unnoticed.
    pub(crate) fn watch(&self) {
        self.watched.store(true, Ordering::SeqCst);
    }

    /// Bytes moved.
    pub(crate) fn moved(&self, bytes_in: usize, bytes_out: usize) {
        if bytes_in > 0 {
            self.bytes_in.fetch_add(bytes_in as u64, Ordering::Relaxed);
        }
        if bytes_out > 0 {
            self.bytes_out
                .fetch_add(bytes_out as u64, Ordering::Relaxed);
        }
    }

    /// Datagrams moved, whose bytes count as moved, too.
    pub(crate) fn datagrams(&self, received: usize, sent: usize) {
        self.datagrams_in
            .fetch_add(received as u64, Ordering::Relaxed);
        self.datagrams_out.fetch_add(sent as u64, Ordering::Relaxed);
    }

    /// The totals so far.
    pub(crate) fn totals(&self) -> Totals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            connections: get(&self.connections),
            refused: get(&self.refused),
            cut: get(&self.cut),
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
            datagrams_in: get(&self.datagrams_in),
            datagrams_out: get(&self.datagrams_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_limit() {
        let census = Census::new(Some(2));
        let peer = |a: &str| Peer::inet(a.parse().unwrap());
        let (a, b) = (peer("10.0.0.1:1"), peer("10.0.0.2:1"));
        assert_eq!(census.enter(&a), Some(0));
        assert_eq!(census.enter(&peer("[::ffff:10.0.0.1]:2")), Some(1));
        assert_eq!(census.enter(&a), None);
        assert_eq!(census.enter(&b), Some(2));
        assert_eq!(census.enter(&Peer::Unnamed(0)), Some(3));
        assert!(!census.leave(&a, Reason::Eof));
        assert_eq!(census.enter(&a), Some(4));
        census.watch();
        assert!(census.leave(&b, Reason::Drain));
        assert!(!census.leave(&a, Reason::Eof));
        let totals = census.totals();
        assert_eq!((totals.connections, totals.refused, totals.cut), (5, 1, 1));
        assert_eq!(census.open(), 2);
        // An address without connections takes no memory.
        assert_eq!(census.by_ip.lock().unwrap().len(), 1);
    }
}
