//! The transport of ureq, and the only place where the framing of a response is
//! decided.
//!
//! ureq never sees the bytes of the server, only a canonical form of them: a head
//! with the status `200` (or `204` without a body) and only the headers of the
//! framing, then the body, with its chunks coded again. The real head is stored in
//! the [`exchange`]. So the leniency of ureq's parser does not matter: a body is
//! complete only if its [`Framing`] says so, and everything else is a
//! [`NetworkError`]. ureq manages the pool, the timeouts and the order of events.

mod errors;
mod receive;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::Error;
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport};

use super::abort::AbortHandle;
use super::exchange::{self, ConnectionInfo};
use super::stream::Stream;
use crate::http::chunked::Decoder;
pub(crate) use errors::wrap_error;
use errors::{cut_short, io_error};

/// Bytes per read of a body. The buffer and its copy must fit into the cache: with
/// twice the size, copying takes the kernel twice as long.
const INPUT_BUFFER: usize = 32 * 1024;
/// The buffer for the head that ureq writes; the head that is sent replaces it.
const OUTPUT_BUFFER: usize = 8 * 1024;
/// The part of a message that the transport expects next.
#[derive(Debug)]
enum State {
    /// No request has been sent yet, or the last exchange is over.
    Idle,
    /// The head of a response; `true` for the response to a HEAD request.
    Head(bool),
    /// A body of `total` bytes of which `left` are missing. It starts at `offset` of
    /// the representation.
    Length { left: u64, total: u64, offset: u64 },
    /// A body in the chunked transfer coding.
    Chunked(Decoder),
    /// A body that ends with the connection.
    Close,
    /// The response is complete.
    Done,
}

/// A connection in the form that ureq uses.
#[derive(Debug)]
pub(crate) struct UreqTransport {
    stream: Box<dyn Stream>,
    buffers: LazyBuffers,
    state: State,
    /// Received bytes that are not decoded yet: a part of a head, or of chunks.
    raw: Vec<u8>,
    /// The offset up to which `raw` was searched for the end of a head.
    searched: usize,
    /// The error of the chunked coding, to be returned after the data before it.
    decode_error: Option<Error>,
    connection: ConnectionInfo,
    /// The zone of the peer's IPv6 address, which is not a key of ureq's pool.
    zone: Option<String>,
    is_used: bool,
    /// The handle that aborts the current request.
    abort_handle: Option<Arc<AbortHandle>>,
    /// Whether the connection is in the pool.
    is_pooled: bool,
    timeouts: (Option<Duration>, Option<Duration>),
}

impl UreqTransport {
    pub(crate) fn new(
        stream: Box<dyn Stream>,
        connection: ConnectionInfo,
        zone: Option<String>,
    ) -> Self {
        Self {
            stream,
            buffers: LazyBuffers::new(INPUT_BUFFER, OUTPUT_BUFFER),
            state: State::Idle,
            raw: Vec::new(),
            searched: 0,
            decode_error: None,
            connection,
            zone,
            is_used: false,
            abort_handle: None,
            is_pooled: false,
            timeouts: (None, None),
        }
    }

    /// Sets the timeouts of the socket if they have changed.
    fn set_timeouts(&mut self, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let mut read = timeout.for_read().not_zero().map(|d| *d);
        let mut write = timeout.for_write().not_zero().map(|d| *d);
        if let Some(deadline) = exchange::deadline() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ureq::Error::Timeout(ureq::Timeout::Global));
            }
            read = Some(read.map_or(left, |read| read.min(left)));
            write = Some(write.map_or(left, |write| write.min(left)));
        }
        if self.timeouts != (read, write) {
            self.stream
                .set_timeouts(read, write)
                .map_err(|e| wrap_error(Error::local(&e)))?;
            self.timeouts = (read, write);
        }
        Ok(())
    }
}

impl Transport for UreqTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, _: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let first = !matches!(self.state, State::Head(_));
        if first {
            let is_head = self.buffers.output().starts_with(b"HEAD ");
            self.state = State::Head(is_head);
            let connection = if self.is_used {
                ConnectionInfo {
                    dns: None,
                    connect: None,
                    tls: None,
                    ..self.connection.clone()
                }
            } else {
                self.connection.clone()
            };
            self.abort_handle = exchange::with_current(|exchange| {
                exchange.connection = connection;
                exchange.reused = self.is_used;
                exchange.abort_handle.clone()
            });
            if let Some(handle) = &self.abort_handle {
                handle.attach(self.stream.shutdown_handle());
            }
            self.is_used = true;
            self.is_pooled = false;
        }
        // Sends the head of the request instead of the one that ureq wrote.
        let bytes = exchange::with_current(|exchange| std::mem::take(&mut exchange.request_head));
        self.set_timeouts(timeout)?;
        self.stream
            .write_all(&bytes)
            .and_then(|()| self.stream.flush())
            .map_err(|e| io_error(&e, timeout.for_write()))?;
        exchange::with_current(|exchange| {
            exchange.sent.extend_from_slice(&bytes);
            exchange.sent_at = Some(Instant::now());
        });
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        match &mut self.state {
            State::Idle | State::Done | State::Length { left: 0, .. } => Ok(false),
            &mut State::Head(is_head) => self.receive_head(is_head, timeout).map(|()| true),
            State::Chunked(_) => loop {
                if let Some(error) = self.decode_error.take() {
                    return Err(wrap_error(error));
                }
                if !self.raw.is_empty() && self.forward_chunks() {
                    return Ok(true);
                }
                if self.decode_error.is_none() && self.read_raw(timeout)? == 0 {
                    return Err(cut_short(
                        "the body was cut short: the connection closed before the last chunk",
                    ));
                }
            },
            State::Length { .. } | State::Close => {
                self.set_timeouts(timeout)?;
                let free = self.buffers.input_append_buf();
                let most = match &self.state {
                    State::Length { left, .. } => usize::try_from(*left).unwrap_or(usize::MAX),
                    _ => usize::MAX,
                };
                let most = most.min(free.len());
                let n = retry_interrupted(|| self.stream.read(&mut free[..most]))
                    .map_err(|e| io_error(&e, timeout.for_read()))?;
                self.buffers.input_appended(n);
                match &mut self.state {
                    State::Length {
                        left,
                        total,
                        offset,
                    } if n == 0 => Err(cut_short(format!(
                        "the body was cut short: {} of {} bytes received",
                        offset.saturating_add(*total - *left),
                        offset.saturating_add(*total)
                    ))),
                    State::Length { left, .. } => {
                        *left -= n as u64;
                        Ok(true)
                    }
                    _ => Ok(n > 0),
                }
            }
        }
    }

    fn is_open(&mut self) -> bool {
        // ureq calls this when it returns a connection to the pool and when it
        // takes it out again. The second call is enough to check the socket.
        let was_pooled = std::mem::replace(&mut self.is_pooled, true);
        if let Some(handle) = self.abort_handle.take() {
            handle.detach();
        }
        // The server sent bytes after the body, which no request asked for.
        if !self.raw.is_empty() {
            return false;
        }
        // The same address in another zone is another host.
        let is_same_zone = exchange::with_current(|exchange| exchange.zone == self.zone);
        !was_pooled || (is_same_zone && self.stream.is_idle())
    }

    /// ureq uses this only to refuse plain connections for https; the dialer has
    /// made the connection that the scheme requires.
    fn is_tls(&self) -> bool {
        self.connection.tls_info.is_some()
    }
}

/// Repeats a read that was interrupted by a signal.
fn retry_interrupted(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Request;
    use crate::net::stream::SocketStream;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_connection_serves_its_own_zone_only() {
        let (socket, _peer) = UnixStream::pair().unwrap();
        let zone = |zone: &'static str| {
            let request = Request {
                head: false,
                url: "http://[fe80::1]/",
                zone: Some(zone),
                headers: &[],
                proxy: None,
                target: None,
                resume_offset: 0,
                deadline: None,
                abort_handle: None,
            };
            exchange::begin(&request, b"");
        };
        zone("eth0");
        let stream = Box::new(SocketStream::new(socket));
        let mut wire =
            UreqTransport::new(stream, ConnectionInfo::default(), Some("eth0".to_owned()));
        // Returned to the pool, and taken out again.
        assert!(wire.is_open());
        assert!(wire.is_open());
        zone("eth1");
        assert!(!wire.is_open());
    }
}
