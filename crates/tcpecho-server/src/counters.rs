//! Connection counts for `--max-connections` and `--max-per-ip`, and the totals
//! of the summary.
//!
//! The accepting loop and the workers share one [`Counters`]. The totals are
//! atomic counters; connections are counted by address only if `--max-per-ip`
//! is given.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::address::Address;
use crate::event::Reason;

/// The counters of a server.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    open: AtomicUsize,
    /// Whether the accepting loop waits for a connection to close.
    notify_on_close: AtomicBool,
    max_per_ip: Option<u32>,
    open_by_ip: Mutex<HashMap<IpAddr, u32>>,
    connections: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    datagrams_received: AtomicU64,
    datagrams_sent: AtomicU64,
}

/// The values of the counters at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) connections: u64,
    pub(crate) refused: u64,
    pub(crate) cut: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) datagrams_received: u64,
    pub(crate) datagrams_sent: u64,
}

impl Counters {
    /// Creates counters that are all zero.
    pub(crate) fn new(max_per_ip: Option<u32>) -> Self {
        Self {
            max_per_ip,
            ..Self::default()
        }
    }

    /// Counts a new connection and returns its id, which is its number in the
    /// order of acceptance. Returns `None` and counts a refusal if the peer's
    /// address has reached `--max-per-ip`.
    pub(crate) fn connection_opened(&self, peer: &Address) -> Option<u64> {
        if let (Some(max), Some(ip)) = (self.max_per_ip, peer.ip()) {
            let mut open_by_ip = self
                .open_by_ip
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let count = open_by_ip.entry(ip).or_insert(0);
            if *count >= max {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            *count += 1;
        }
        self.open.fetch_add(1, Ordering::SeqCst);
        Some(self.connections.fetch_add(1, Ordering::Relaxed))
    }

    /// Counts the end of a connection. Returns true if the accepting loop must
    /// be woken, because it asked for that with [`Counters::notify_on_close`].
    #[must_use]
    pub(crate) fn connection_closed(&self, peer: &Address, reason: Reason) -> bool {
        if let (Some(_), Some(ip)) = (self.max_per_ip, peer.ip()) {
            let mut open_by_ip = self
                .open_by_ip
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = open_by_ip.get_mut(&ip) {
                *count -= 1;
                if *count == 0 {
                    open_by_ip.remove(&ip);
                }
            }
        }
        if reason == Reason::Drain {
            self.cut.fetch_add(1, Ordering::Relaxed);
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
        self.notify_on_close.load(Ordering::SeqCst)
            && self.notify_on_close.swap(false, Ordering::SeqCst)
    }

    /// Returns the number of open connections.
    pub(crate) fn open_connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Requests a wake-up when the next connection closes. Callers must read
    /// [`Counters::open_connections`] after this call, not before: a
    /// connection that closes in between would go unnoticed.
    pub(crate) fn notify_on_close(&self) {
        self.notify_on_close.store(true, Ordering::SeqCst);
    }

    /// Adds transferred bytes to the totals.
    pub(crate) fn add_bytes(&self, received: usize, sent: usize) {
        if received > 0 {
            self.bytes_received
                .fetch_add(received as u64, Ordering::Relaxed);
        }
        if sent > 0 {
            self.bytes_sent.fetch_add(sent as u64, Ordering::Relaxed);
        }
    }

    /// Adds datagrams to the totals. Their bytes are counted separately, by
    /// [`Counters::add_bytes`].
    pub(crate) fn add_datagrams(&self, received: usize, sent: usize) {
        self.datagrams_received
            .fetch_add(received as u64, Ordering::Relaxed);
        self.datagrams_sent
            .fetch_add(sent as u64, Ordering::Relaxed);
    }

    /// Returns the totals so far.
    pub(crate) fn totals(&self) -> Totals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            connections: get(&self.connections),
            refused: get(&self.refused),
            cut: get(&self.cut),
            bytes_received: get(&self.bytes_received),
            bytes_sent: get(&self.bytes_sent),
            datagrams_received: get(&self.datagrams_received),
            datagrams_sent: get(&self.datagrams_sent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_limit() {
        let counters = Counters::new(Some(2));
        let peer = |a: &str| Address::inet(a.parse().unwrap());
        let (a, b) = (peer("10.0.0.1:1"), peer("10.0.0.2:1"));
        assert_eq!(counters.connection_opened(&a), Some(0));
        // The mapped form of an address is the same address.
        let mapped = peer("[::ffff:10.0.0.1]:2");
        assert_eq!(counters.connection_opened(&mapped), Some(1));
        assert_eq!(counters.connection_opened(&a), None);
        assert_eq!(counters.connection_opened(&b), Some(2));
        // A Unix socket has no IP address, and no limit.
        assert_eq!(counters.connection_opened(&Address::Unnamed(0)), Some(3));
        assert!(!counters.connection_closed(&a, Reason::Eof));
        assert_eq!(counters.connection_opened(&a), Some(4));
        // The wake-up is requested once.
        counters.notify_on_close();
        assert!(counters.connection_closed(&b, Reason::Drain));
        assert!(!counters.connection_closed(&a, Reason::Eof));
        let totals = counters.totals();
        assert_eq!((totals.connections, totals.refused, totals.cut), (5, 1, 1));
        assert_eq!(counters.open_connections(), 2);
        // An address without open connections takes no memory.
        assert_eq!(counters.open_by_ip.lock().unwrap().len(), 1);
    }
}
