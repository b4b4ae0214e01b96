//! The probes that wait to be sent in one system call.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use net::sys::{self, Message, SendFlags};
use socket2::SockAddr;

/// A batch of messages to send.
#[derive(Debug, Default)]
pub(crate) struct SendBatch {
    /// The bytes of all messages.
    data: Vec<u8>,
    /// The start and end of each message in `data`, and its destination.
    messages: Vec<(usize, usize, SockAddr)>,
}

impl SendBatch {
    /// Adds a message that `write` appends to a buffer.
    pub(crate) fn push(&mut self, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.data.len();
        write(&mut self.data);
        self.messages.push((start, self.data.len(), to.into()));
    }

    /// Removes all messages from the batch.
    pub(crate) fn clear(&mut self) {
        self.data.clear();
        self.messages.clear();
    }

    /// Sends the messages from index `from` on without blocking. Returns the
    /// number of messages that were sent; an error is about the first of them.
    pub(crate) fn send(&self, socket: impl AsFd, from: usize) -> io::Result<usize> {
        let messages = self.messages[from..].iter();
        let messages = messages.map(|(start, end, to)| Message {
            data: &self.data[*start..*end],
            to: Some(to),
            control: &[],
        });
        sys::send(socket, messages, SendFlags::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn messages_are_sent_from_an_index_on() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        let mut batch = SendBatch::default();
        for data in [b"first", b"other", b"third"] {
            batch.push(to, |buffer| buffer.extend_from_slice(data));
        }
        assert_eq!(batch.send(&sender, 1).unwrap(), 2);
        let mut buffer = [0; 8];
        for data in [b"other", b"third"] {
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], data);
        }
        batch.clear();
        assert_eq!(batch.send(&sender, 0).unwrap(), 0);
    }
}
