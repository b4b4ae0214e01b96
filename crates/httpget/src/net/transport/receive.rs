//! Reads heads and chunks, and passes ureq their canonical form.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use common::{Error, Kind};
use ureq::unversioned::transport::{Buffers, NextTimeout};

use super::errors::{cut_short, io_error, wrap_error};
use super::{State, UreqTransport, retry_interrupted};
use crate::http::chunked::Decoder;
use crate::http::framing::Framing;
use crate::http::head::{self, HEAD_MAX, Head};
use crate::net::exchange;

/// Bytes per read of a head or of chunks.
const READ_BUFFER: usize = 16 * 1024;
/// The overhead of coding a chunk again: eight digits and two line ends.
const CHUNK_EXTRA: usize = 12;
/// The maximum number of interim responses, and the limit on their total length.
const MAX_INFORMATIONAL: usize = 100;
const MAX_INFORMATIONAL_BYTES: usize = HEAD_MAX;

thread_local! {
    /// The buffer for reads of heads and chunks.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BUFFER]);
}

impl UreqTransport {
    /// Appends up to `READ_BUFFER` bytes to `raw`; returns 0 at the end.
    pub(super) fn read_raw(&mut self, timeout: NextTimeout) -> Result<usize, ureq::Error> {
        self.set_timeouts(timeout)?;
        let outcome = SCRATCH.with_borrow_mut(|scratch| {
            let n = retry_interrupted(|| self.stream.read(scratch))?;
            self.raw.extend_from_slice(&scratch[..n]);
            Ok(n)
        });
        outcome.map_err(|e| io_error(&e, timeout.for_read()))
    }

    /// Receives the head of the final response, and records those of interim ones.
    fn receive_final_head(&mut self, timeout: NextTimeout) -> Result<Head, ureq::Error> {
        loop {
            match head::find_end_from(&self.raw, &mut self.searched) {
                Some(end) if end <= HEAD_MAX => {
                    let head = Head::parse(&self.raw[..end]).map_err(wrap_error)?;
                    self.raw.drain(..end);
                    self.searched = 0;
                    match head.status {
                        101 => {
                            return Err(wrap_error(Error::new(
                                Kind::Protocol,
                                "unexpected 101 Switching Protocols",
                            )));
                        }
                        100..200 => {
                            let (count, bytes) = exchange::with_current(|exchange| {
                                let heads = &mut exchange.informational;
                                heads.push(head.raw);
                                (heads.len(), heads.iter().map(Vec::len).sum::<usize>())
                            });
                            if count > MAX_INFORMATIONAL || bytes > MAX_INFORMATIONAL_BYTES {
                                return Err(wrap_error(Error::new(
                                    Kind::Protocol,
                                    "too many interim responses",
                                )));
                            }
                        }
                        _ => return Ok(head),
                    }
                    continue;
                }
                None if self.raw.len() <= HEAD_MAX => {}
                _ => {
                    return Err(wrap_error(Error::new(
                        Kind::Protocol,
                        format!("the response head is longer than {HEAD_MAX} bytes"),
                    )));
                }
            }
            if self.read_raw(timeout)? == 0 {
                return Err(if self.raw.is_empty() {
                    wrap_error(Error::new(
                        Kind::Reset,
                        "the server closed the connection without a response",
                    ))
                } else {
                    cut_short("the response head was cut short")
                });
            }
            exchange::with_current(|exchange| {
                exchange.first_byte.get_or_insert_with(Instant::now);
            });
        }
    }

    /// Receives a head, and passes ureq its canonical form with the part of the body
    /// that was received with it.
    pub(super) fn receive_head(
        &mut self,
        is_head: bool,
        timeout: NextTimeout,
    ) -> Result<(), ureq::Error> {
        let head = self.receive_final_head(timeout)?;
        let framing = head.framing(is_head);
        let keeps_alive = head.keeps_alive();
        let is_partial = head.status == 206;
        let offset = exchange::with_current(|exchange| {
            exchange.head = Some(Arc::new(head));
            if is_partial {
                exchange.resume_offset
            } else {
                0
            }
        });
        let framing = framing.map_err(wrap_error)?;
        let (state, canonical) = match framing {
            Framing::Empty => (State::Done, "204 -\r\n".to_owned()),
            Framing::Length(n) => (
                State::Length {
                    left: n,
                    total: n,
                    offset,
                },
                format!("200 -\r\nContent-Length: {n}\r\n"),
            ),
            Framing::Chunked => (
                State::Chunked(Decoder::default()),
                "200 -\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            ),
            Framing::UntilClose => (State::Close, "200 -\r\n".to_owned()),
        };
        self.state = state;
        let connection = if keeps_alive {
            ""
        } else {
            "Connection: close\r\n"
        };
        self.push_input(format!("HTTP/1.1 {canonical}{connection}\r\n").as_bytes());
        match &mut self.state {
            State::Length { left, .. } => {
                let some = usize::try_from(*left).unwrap_or(usize::MAX);
                let some = some.min(self.raw.len());
                *left -= some as u64;
                let body: Vec<u8> = self.raw.drain(..some).collect();
                self.push_input(&body);
            }
            State::Close => {
                let body = std::mem::take(&mut self.raw);
                self.push_input(&body);
            }
            State::Chunked(_) if !self.raw.is_empty() => {
                self.forward_chunks();
            }
            _ => {}
        }
        Ok(())
    }

    /// Appends to the input of ureq, which has room for a head and a read.
    fn push_input(&mut self, bytes: &[u8]) {
        let free = self.buffers.input_append_buf();
        free[..bytes.len()].copy_from_slice(bytes);
        self.buffers.input_appended(bytes.len());
    }

    /// Decodes `raw` and passes it on as one chunk, followed by the last chunk if the
    /// body is complete. Returns whether anything was passed on.
    pub(super) fn forward_chunks(&mut self) -> bool {
        let State::Chunked(decoder) = &mut self.state else {
            return false;
        };
        let free = self.buffers.input_append_buf();
        let room = free.len().saturating_sub(CHUNK_EXTRA + 5);
        let mut data = Vec::with_capacity(room.min(self.raw.len()));
        match decoder.decode(&self.raw, &mut data, room) {
            Ok(used) => drop(self.raw.drain(..used)),
            Err(error) => self.decode_error = Some(error),
        }
        let done = decoder.is_done();
        let mut coded = Vec::with_capacity(data.len() + CHUNK_EXTRA + 5);
        if !data.is_empty() {
            coded.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
            coded.extend_from_slice(&data);
            coded.extend_from_slice(b"\r\n");
        }
        if done {
            coded.extend_from_slice(b"0\r\n\r\n");
            self.state = State::Done;
        }
        self.push_input(&coded);
        !coded.is_empty()
    }
}
