//! The message that a run of single messages is sending.

use std::io;
use std::rc::Rc;

use crate::connection::Connection;

/// The message that is being sent, if any.
#[derive(Debug, Default)]
pub(super) struct PendingSend {
    message: Option<Rc<[u8]>>,
    /// The number of bytes that are sent.
    sent: usize,
}

impl PendingSend {
    /// Starts to send a message.
    pub(super) fn new(message: Rc<[u8]>) -> Self {
        Self {
            message: Some(message),
            sent: 0,
        }
    }

    /// Returns the bytes that are not sent yet.
    pub(super) fn rest(&self) -> &[u8] {
        self.message
            .as_ref()
            .map_or(&[], |message| &message[self.sent..])
    }

    /// Returns whether the message is sent completely. An empty datagram must
    /// also be sent.
    pub(super) fn is_sent(&self) -> bool {
        self.message.is_none()
    }

    /// Returns the error text for a peer that does not read the message.
    pub(super) fn describe_stall(&self) -> String {
        let (sent, all) = (self.sent, self.sent + self.rest().len());
        format!("the peer stopped reading after {sent} of {all} bytes of the last message")
    }

    /// Sends as many bytes as the connection accepts.
    pub(super) fn send(&mut self, connection: &mut Connection) -> io::Result<()> {
        connection.flush()?;
        while !self.rest().is_empty() {
            match connection.write(self.rest()) {
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        if self.rest().is_empty() {
            *self = Self::default();
        }
        Ok(())
    }
}
