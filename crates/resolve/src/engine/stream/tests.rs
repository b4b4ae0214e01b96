//! A connection alone, with the other end in the test's hand.

use std::net::TcpListener;

use super::*;

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn queue(stream: &mut Stream, ids: &mut Ids, flight: u32) -> u16 {
    let compose = |id: u16, out: &mut Vec<u8>| out.extend(id.to_be_bytes());
    stream.send(ids, flight, compose).unwrap()
}

/// Drives until `done`, waiting for the socket in between.
fn until(stream: &mut Stream, done: impl Fn(&Stream) -> bool) {
    use rustix::event::{PollFd, PollFlags, poll};
    while !done(stream) {
        let flags = if stream.wants_write() {
            PollFlags::IN | PollFlags::OUT
        } else {
            PollFlags::IN
        };
        poll(&mut [PollFd::new(&*stream, flags)], None).unwrap();
        stream.drive(Instant::now()).unwrap();
    }
}

#[test]
fn no_more_go_out_at_once_than_the_limit() {
    let (listener, address) = listener();
    let mut ids = Ids::new();
    let mut stream = Stream::open(address, None, 2).unwrap();
    let sent: Vec<u16> = (0..5).map(|n| queue(&mut stream, &mut ids, n)).collect();
    let (mut peer, _) = listener.accept().unwrap();
    until(&mut stream, |stream| !stream.wants_write());
    assert_eq!(stream.flying, 2);
    let flights: Vec<Option<u32>> = sent.iter().map(|id| Some(stream.flight(*id)?.0)).collect();
    assert_eq!(flights, [Some(0), Some(1), None, None, None]);
    let mut frame = [0; 8];
    peer.read_exact(&mut frame).unwrap();
    assert_eq!(frame[..4], [[0, 2], sent[0].to_be_bytes()].concat());
    // One that never went out, and one that did.
    stream.release(sent[2]);
    assert!(!stream.wants_write());
    peer.write_all(&frame[..4]).unwrap();
    until(&mut stream, |stream: &Stream| stream.inbox.is_ready());
    assert_eq!(stream.next().as_deref(), Some(&frame[2..4]));
    stream.release(sent[0]);
    assert!(stream.wants_write());
    until(&mut stream, |stream| !stream.wants_write());
    peer.read_exact(&mut frame[..4]).unwrap();
    assert_eq!(frame[2..4], sent[3].to_be_bytes(), "the next that is left");
    // It answered one and left two.
    assert_eq!(stream.next_limit(), 1);
    stream.release(sent[1]);
    stream.release(sent[3]);
    assert_eq!(stream.next_limit(), 2, "nothing was left unanswered");
}

#[test]
fn a_connection_that_goes_on_may_have_more() {
    let (listener, address) = listener();
    let mut ids = Ids::new();
    let mut stream = Stream::open(address, None, 1).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    for flight in 0..12 {
        let id = queue(&mut stream, &mut ids, flight);
        until(&mut stream, |stream| !stream.wants_write());
        let mut frame = [0; 4];
        peer.read_exact(&mut frame).unwrap();
        peer.write_all(&frame).unwrap();
        until(&mut stream, |stream: &Stream| stream.inbox.is_ready());
        stream.next();
        stream.release(id);
    }
    assert_eq!(
        stream.limit,
        1 << 22,
        "four times as many by each but the first"
    );
}

#[test]
fn what_came_counts_though_nothing_can_be_sent() {
    let (listener, address) = listener();
    let mut ids = Ids::new();
    let mut stream = Stream::open(address, None, usize::MAX).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    queue(&mut stream, &mut ids, 0);
    until(&mut stream, |stream| !stream.wants_write());
    peer.write_all(&[0, 1, 7]).unwrap();
    // Closed with the query unread: a reset, behind the answer.
    drop(peer);
    let ended = loop {
        queue(&mut stream, &mut ids, 1);
        if let Err(error) = stream.drive(Instant::now()) {
            break error;
        }
    };
    assert_eq!(stream.next().as_deref(), Some(&[7][..]), "{ended}");
}

/// Otherwise the loop above would turn without end until the server's
/// word comes.
#[cfg(feature = "tls")]
#[test]
fn a_handshake_is_no_reason_to_wait_for_the_socket() {
    let (listener, address) = listener();
    let config = crate::tls::for_tls(&crate::tls::Trust::default()).unwrap();
    let session = crate::tls::session(&config, "localhost").unwrap();
    let mut ids = Ids::new();
    let mut stream = Stream::open(address, Some(Box::new(session)), usize::MAX).unwrap();
    queue(&mut stream, &mut ids, 0);
    let (mut peer, _) = listener.accept().unwrap();
    until(&mut stream, |stream| !stream.wants_write());
    let mut hello = [0; 3];
    peer.read_exact(&mut hello).unwrap();
    assert_eq!(hello, [22, 3, 1], "no handshake record");
    assert!(!stream.is_established() && stream.flight(0).is_none());
}
