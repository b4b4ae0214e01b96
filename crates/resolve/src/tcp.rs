//! Messages over TCP (RFC 7766): a length before each, and one deadline over
//! connecting, writing and reading, however slowly the bytes come.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// A connection to a server.
pub(crate) struct Connection {
    stream: TcpStream,
    deadline: Instant,
}

impl Connection {
    /// Connects; everything on the connection ends at `deadline`.
    pub(crate) fn open(address: SocketAddr, deadline: Instant) -> io::Result<Self> {
        let left = left(deadline)?;
        let stream = TcpStream::connect_timeout(&address, left)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, deadline })
    }

    /// Sends one message.
    pub(crate) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let length = u16::try_from(message.len())
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // One segment: some servers read the length alone and give up.
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(message);
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write_all(&framed)
    }

    /// Receives one message.
    pub(crate) fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 2];
        self.fill(&mut length)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.fill(&mut message)?;
        Ok(message)
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            self.stream.set_read_timeout(Some(left(self.deadline)?))?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => buffer = &mut buffer[n..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// What is left until `deadline`; an error of kind `TimedOut` when nothing is.
fn left(deadline: Instant) -> io::Result<std::time::Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        std::time::Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}
