//! Tests of a single connection, with the test as its peer.

use std::net::TcpListener;

use super::*;

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Queues a message that consists of its ID, for the query with this serial number.
fn queue(stream: &mut Stream, ids: &mut QueryIds, serial: u32) -> u16 {
    let compose = |id: u16, message: &mut Vec<u8>| message.extend(id.to_be_bytes());
    let query = QueryId { lookup: 0, serial };
    stream.send(ids, query, compose).unwrap()
}

/// Drives the connection until `done`, waiting for the socket in between.
fn drive_until(stream: &mut Stream, done: impl Fn(&Stream) -> bool) {
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
fn no_more_queries_are_sent_than_the_limit() {
    let (listener, address) = listener();
    let mut ids = QueryIds::new();
    let mut stream = Stream::open(address, None, 2).unwrap();
    let sent: Vec<u16> = (0..5).map(|n| queue(&mut stream, &mut ids, n)).collect();
    let (mut peer, _) = listener.accept().unwrap();
    drive_until(&mut stream, |stream| !stream.wants_write());
    assert_eq!(stream.unanswered, 2);
    let serials: Vec<Option<u32>> = sent
        .iter()
        .map(|id| Some(stream.sent_query(*id)?.0.serial))
        .collect();
    assert_eq!(serials, [Some(0), Some(1), None, None, None]);
    let mut frame = [0; 8];
    peer.read_exact(&mut frame).unwrap();
    assert_eq!(frame[..4], [[0, 2], sent[0].to_be_bytes()].concat());
    // Releases a query that was never sent, then one that was answered.
    stream.release(sent[2]);
    assert!(!stream.wants_write());
    peer.write_all(&frame[..4]).unwrap();
    drive_until(&mut stream, |stream| stream.frames.is_ready());
    assert_eq!(stream.next_message().as_deref(), Some(&frame[2..4]));
    stream.release(sent[0]);
    assert!(stream.wants_write());
    drive_until(&mut stream, |stream| !stream.wants_write());
    peer.read_exact(&mut frame[..4]).unwrap();
    assert_eq!(frame[2..4], sent[3].to_be_bytes(), "the next in the queue");
    // One query was answered and two were not.
    assert_eq!(stream.limit_for_next(), 1);
    stream.release(sent[1]);
    stream.release(sent[3]);
    assert_eq!(stream.limit_for_next(), 2, "all were answered");
}

#[test]
fn the_limit_of_a_connection_that_stays_open_grows() {
    let (listener, address) = listener();
    let mut ids = QueryIds::new();
    let mut stream = Stream::open(address, None, 1).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    for serial in 0..12 {
        let id = queue(&mut stream, &mut ids, serial);
        drive_until(&mut stream, |stream| !stream.wants_write());
        let mut frame = [0; 4];
        peer.read_exact(&mut frame).unwrap();
        peer.write_all(&frame).unwrap();
        drive_until(&mut stream, |stream| stream.frames.is_ready());
        stream.next_message();
        stream.release(id);
    }
    assert_eq!(
        stream.limit,
        1 << 22,
        "four times as many after each answer but the first"
    );
}

#[test]
fn an_answer_counts_after_a_failed_write() {
    let (listener, address) = listener();
    let mut ids = QueryIds::new();
    let mut stream = Stream::open(address, None, usize::MAX).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    queue(&mut stream, &mut ids, 0);
    drive_until(&mut stream, |stream| !stream.wants_write());
    peer.write_all(&[0, 1, 7]).unwrap();
    // Closing with the query unread causes a reset after the answer.
    drop(peer);
    let error = loop {
        queue(&mut stream, &mut ids, 1);
        if let Err(error) = stream.drive(Instant::now()) {
            break error;
        }
    };
    assert_eq!(stream.next_message().as_deref(), Some(&[7][..]), "{error}");
}

/// Otherwise the engine would spin until the server answers.
#[cfg(feature = "tls")]
#[test]
fn a_handshake_does_not_wait_until_the_socket_is_writable() {
    let (listener, address) = listener();
    let authority = testkit::tls::Authority::new();
    let trust = crate::tls::trust(Some(&authority.ca_file())).unwrap();
    let config = crate::tls::for_tls(&trust).unwrap();
    let session = crate::tls::session(&config, "localhost").unwrap();
    let mut ids = QueryIds::new();
    let mut stream = Stream::open(address, Some(Box::new(session)), usize::MAX).unwrap();
    queue(&mut stream, &mut ids, 0);
    let (mut peer, _) = listener.accept().unwrap();
    drive_until(&mut stream, |stream| !stream.wants_write());
    let mut hello = [0; 3];
    peer.read_exact(&mut hello).unwrap();
    assert_eq!(hello, [22, 3, 1], "not a handshake record");
    assert!(!stream.is_established() && stream.sent_query(0).is_none());
}
