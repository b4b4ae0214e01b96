//! UDP peers: an echo, and peers that lose, duplicate or corrupt datagrams.
//!
//! A [`UdpPeer`] receives on a free port of 127.0.0.1 and answers each datagram
//! with those that a closure returns.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A UDP peer. Dropping it closes the socket.
#[derive(Debug)]
pub struct UdpPeer {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UdpPeer {
    /// Starts a peer that answers each datagram with those that `answer` returns.
    /// `answer` gets the number of the datagram, from 0, and its content.
    pub fn start<F>(answer: F) -> Self
    where
        F: Fn(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static,
    {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind the address of a peer");
        let addr = socket.local_addr().expect("get the address of a socket");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_535];
            let mut number = 0;
            loop {
                let received = socket.recv_from(&mut buffer);
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // An error is the result of an ICMP error about an earlier answer.
                let Ok((n, from)) = received else { continue };
                for datagram in answer(number, &buffer[..n]) {
                    let _ = socket.send_to(&datagram, from);
                }
                number += 1;
            }
        });
        Self {
            addr,
            stop,
            thread: Some(thread),
        }
    }

    /// Echoes every datagram unchanged.
    pub fn echo() -> Self {
        Self::start(|_, datagram| vec![datagram.to_vec()])
    }

    /// Echoes every datagram except each `nth` one.
    pub fn lossy(nth: usize) -> Self {
        Self::start(move |number, datagram| {
            let lost = number % nth == nth - 1;
            (!lost).then(|| datagram.to_vec()).into_iter().collect()
        })
    }

    /// Echoes every datagram with its last byte inverted.
    pub fn corrupt() -> Self {
        Self::start(|_, datagram| {
            let mut datagram = datagram.to_vec();
            if let Some(last) = datagram.last_mut() {
                *last = !*last;
            }
            vec![datagram]
        })
    }

    /// Echoes every datagram twice.
    pub fn twice() -> Self {
        Self::start(|_, datagram| vec![datagram.to_vec(), datagram.to_vec()])
    }

    /// Receives datagrams and answers none.
    pub fn silent() -> Self {
        Self::start(|_, _| Vec::new())
    }

    /// Returns the address on which the peer receives.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for UdpPeer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // An empty datagram wakes the thread.
        let woken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|socket| socket.send_to(&[], self.addr));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_answered() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let exchange = |peer: &UdpPeer| {
            socket.send_to(b"abc", peer.addr()).unwrap();
            let mut buffer = [0; 16];
            let n = socket.recv(&mut buffer).unwrap();
            buffer[..n].to_vec()
        };
        assert_eq!(exchange(&UdpPeer::echo()), b"abc");
        assert_eq!(exchange(&UdpPeer::corrupt()), b"ab\x9c");
        let lossy = UdpPeer::lossy(2);
        assert_eq!(exchange(&lossy), b"abc");
        socket.send_to(b"lost", lossy.addr()).unwrap();
        assert_eq!(exchange(&lossy), b"abc");
    }
}
