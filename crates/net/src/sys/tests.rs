//! Tests of both implementations of batches, and of the socket options.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;

use rustix::net::SendFlags;
use socket2::SockAddr;

use super::{Message, RecvLayout, set_option, unacknowledged};

const LAYOUT: RecvLayout = RecvLayout {
    slots: 4,
    size: 8,
    control: 64,
    has_address: true,
};

fn message<'a>(data: &'a [u8], to: Option<&'a SockAddr>) -> Message<'a> {
    Message {
        data,
        to,
        control: &[],
    }
}

fn socket(address: &str) -> UdpSocket {
    UdpSocket::bind(address).unwrap()
}

/// Creates the tests of one implementation.
macro_rules! test_batches {
    ($module:ident) => {
        mod $module {
            use super::super::$module::{RecvBatch, send};
            use super::*;

            #[test]
            fn a_batch_is_received() {
                for any in ["127.0.0.1:0", "[::1]:0"] {
                    let (receiver, sender) = (socket(any), socket(any));
                    let mut batch = RecvBatch::new(LAYOUT);
                    let error = batch.receive(&receiver, 4).unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    let to = receiver.local_addr().unwrap().into();
                    let all = [&b"first"[..], b"a longer one", b"", b"4", b"5"];
                    let messages = all.map(|data| message(data, Some(&to)));
                    let sent = send(&sender, messages, SendFlags::empty());
                    assert_eq!(sent.unwrap(), 5);
                    // The kernel's errors do not appear in this queue.
                    assert!(batch.receive_errors(&receiver, 4).is_err());
                    let from = sender.local_addr().ok();
                    let mut received = Vec::new();
                    for (max, expected) in [(1, 1), (2, 2), (9, 2)] {
                        let count = batch.receive(&receiver, max).unwrap();
                        assert_eq!(count, expected);
                        assert_eq!(batch.packets().count(), expected);
                        for slot in 0..count {
                            let packet = batch.packet(slot);
                            assert_eq!(packet.address(), from);
                            assert!(packet.control.is_empty());
                            received.push((packet.data.to_vec(), packet.is_truncated));
                        }
                    }
                    let expected = [
                        (&b"first"[..], false),
                        (b"a longer", true),
                        (b"", false),
                        (b"4", false),
                        (b"5", false),
                    ];
                    let expected = expected.map(|(data, is_cut)| (data.to_vec(), is_cut));
                    assert_eq!(received, expected);
                }
            }

            #[test]
            fn a_packet_can_be_modified_in_its_buffer() {
                let (a, b) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
                a.connect(b.local_addr().unwrap()).unwrap();
                let mut batch = RecvBatch::new(LAYOUT);
                for _ in 0..2 {
                    let messages = [&b"abc"[..], b"de"].map(|data| message(data, None));
                    assert_eq!(send(&a, messages, SendFlags::empty()).unwrap(), 2);
                    assert_eq!(batch.receive(&b, 4).unwrap(), 2);
                    for packet in batch.packets_mut() {
                        assert_eq!(packet.address(), a.local_addr().ok());
                        packet.data[0] = b'X';
                    }
                    let data: Vec<&[u8]> = batch.packets().map(|packet| packet.data).collect();
                    assert_eq!(data, [&b"Xbc"[..], b"Xe"]);
                }
            }

            #[test]
            fn no_more_messages_are_sent_than_fit_in_a_batch() {
                let (a, b) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
                let to = b.local_addr().unwrap().into();
                let none: [Message<'_>; 0] = [];
                assert_eq!(send(&a, none, SendFlags::empty()).unwrap(), 0);
                let messages = (0..100).map(|_| message(b"x", Some(&to)));
                assert_eq!(send(&a, messages, SendFlags::empty()).unwrap(), 64);
                let mut batch = RecvBatch::new(RecvLayout {
                    slots: 100,
                    has_address: false,
                    ..LAYOUT
                });
                assert_eq!(batch.slots(), 100);
                assert_eq!(batch.receive(&b, 100).unwrap(), 64);
                assert!(batch.packets().all(|packet| packet.address().is_none()));
            }

            #[test]
            fn an_error_is_about_the_first_message() {
                let (a, b) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
                let to = b.local_addr().unwrap().into();
                let long = vec![0; 70_000];
                let messages = [&b"x"[..], &long, b"y"].map(|data| message(data, Some(&to)));
                let flags = SendFlags::empty();
                assert_eq!(send(&a, messages, flags).unwrap(), 1);
                assert!(send(&a, messages[1..].iter().copied(), flags).is_err());
                assert_eq!(send(&a, messages[2..].iter().copied(), flags).unwrap(), 1);
                let mut batch = RecvBatch::new(LAYOUT);
                assert_eq!(batch.receive(&b, 4).unwrap(), 2);
            }

            /// A refused message is reported once, by the receive after it.
            #[test]
            fn an_error_of_the_socket_is_returned_once() {
                let (a, b) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
                a.connect(b.local_addr().unwrap()).unwrap();
                drop(b);
                assert_eq!(
                    send(&a, [message(b"x", None)], SendFlags::empty()).unwrap(),
                    1
                );
                let mut batch = RecvBatch::new(LAYOUT);
                let kind = |result: io::Result<usize>| result.unwrap_err().kind();
                let refused = kind(batch.receive(&a, 4));
                assert_eq!(refused, io::ErrorKind::ConnectionRefused);
                assert_eq!(kind(batch.receive(&a, 4)), io::ErrorKind::WouldBlock);
            }
        }
    };
}

test_batches!(batch);
test_batches!(single);

#[test]
fn control_messages_are_sent_and_received() {
    let (a, b) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    set_option(&b, libc::IPPROTO_IP, libc::IP_RECVTTL, 1).unwrap();
    let to = b.local_addr().unwrap().into();
    let mut control = Vec::new();
    control.extend((size_of::<usize>() + 12).to_ne_bytes());
    for field in [libc::IPPROTO_IP, libc::IP_TTL, 42] {
        control.extend(field.to_ne_bytes());
    }
    control.resize(control.len().next_multiple_of(size_of::<usize>()), 0);
    let message = Message {
        control: &control,
        ..message(b"x", Some(&to))
    };
    let sent = super::batch::send(&a, [message], SendFlags::empty());
    assert_eq!(sent.unwrap(), 1);
    let mut batch = super::batch::RecvBatch::new(LAYOUT);
    assert_eq!(batch.receive(&b, 4).unwrap(), 1);
    let ttl = &batch.packet(0).control[size_of::<usize>() + 8..][..4];
    assert_eq!(ttl, 42_i32.to_ne_bytes());
}

#[test]
fn truncated_addresses_are_refused() {
    use super::socket_address;
    let v6: std::net::SocketAddr = "[fe80::1%7]:9".parse().unwrap();
    let mut bytes = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
    bytes.extend(9_u16.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    bytes.extend(7_u32.to_ne_bytes());
    assert_eq!(socket_address(&bytes), Some(v6));
    for length in 0..bytes.len() {
        assert_eq!(socket_address(&bytes[..length]), None);
    }
    bytes[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
    assert_eq!(socket_address(&bytes), None);
}

#[test]
fn options_are_set_or_refused() {
    let socket = socket("127.0.0.1:0");
    set_option(&socket, libc::IPPROTO_IP, libc::IP_RECVTTL, 1).unwrap();
    assert!(set_option(&socket, libc::IPPROTO_IP, 9999, 1).is_err());
    assert_eq!(unacknowledged(socket.as_fd()), 0);
}
