//! Copies the bytes of an [`Exchange`] in both directions: input to the peer,
//! and the peer's bytes to standard output.
//!
//! One `poll` waits for all descriptors, so neither direction waits for the
//! other. The peer is read only while standard output has room, and the input
//! only while the peer accepts it, so memory is bounded and a direction that
//! cannot proceed does not stop the other.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use common::{Error, Result};
use rustix::event::{PollFd, PollFlags};

use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::message::MAX_DATAGRAM;
use crate::stdout::StdoutWriter;
use crate::sys;
use crate::wait::{ShutdownSignal, Wake};

/// The size of a read, from either side, in bytes.
const CHUNK_SIZE: usize = 64 * 1024;

/// The time to wait for further input after the peer has ended its side, and
/// for its acknowledgement of the last bytes.
const INPUT_GRACE: Duration = Duration::from_millis(500);

/// The time between two checks for that acknowledgement.
const ACK_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The time limit of an exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TimeLimit {
    /// The exchange has no time limit.
    Never,
    /// The exchange ends at this time.
    At(Instant),
    /// The exchange ends after this time without a byte in either direction.
    Idle(Duration),
    /// The same, but only after the end of the input.
    IdleAfterInput(Duration),
}

/// The reason why an exchange ended.
#[derive(Debug)]
pub(crate) enum EndReason {
    /// The exchange is done.
    Done,
    /// The time limit has passed.
    TimedOut,
    /// A signal interrupted it.
    Interrupted,
    /// The connection has failed.
    Failed(io::Error),
}

/// A function that is called with each chunk of the reply.
pub(crate) type ReplyHandler<'a> = &'a mut dyn FnMut(&[u8], &mut StdoutWriter) -> Result<()>;

/// A descriptor from which the bytes to send are read.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) file: File,
    /// The name of the file for error messages.
    pub(crate) name: String,
}

impl Input {
    /// Reads from standard input.
    pub(crate) fn stdin(descriptor: OwnedFd) -> Self {
        Self {
            file: File::from(descriptor),
            name: "standard input".to_owned(),
        }
    }
}

/// The descriptors of an exchange and its time limit.
#[derive(Debug)]
pub(crate) struct Relay<'a> {
    pub(crate) connection: &'a mut Connection,
    /// The source of further input; `None` if the exchange has all of it.
    pub(crate) input: Option<Input>,
    pub(crate) stdout: &'a mut StdoutWriter,
    pub(crate) limit: TimeLimit,
    pub(crate) shutdown: &'a ShutdownSignal,
}

impl Relay<'_> {
    /// Runs until the exchange is done or has to be ended. In either case the
    /// bytes that were received are written to standard output.
    pub(crate) fn run(
        &mut self,
        exchange: &mut Exchange,
        on_reply: ReplyHandler<'_>,
    ) -> Result<EndReason> {
        let mut chunk = vec![0; CHUNK_SIZE];
        let reason = self.run_loop(exchange, on_reply, &mut chunk)?;
        self.stdout.finish(self.shutdown)?;
        Ok(reason)
    }

    fn run_loop(
        &mut self,
        exchange: &mut Exchange,
        on_reply: ReplyHandler<'_>,
        chunk: &mut [u8],
    ) -> Result<EndReason> {
        let mut last_activity = Instant::now();
        // The time of the last input, or of the peer's end of file.
        let mut last_input = last_activity;
        // After an error in sending, only bytes that have already arrived are
        // read.
        let mut send_error: Option<io::Error> = None;
        let mut is_last_round = false;
        loop {
            // The wait does not time out while the peer keeps sending, so the
            // deadline is checked here. One more round reads bytes that arrived
            // before the deadline.
            if matches!(self.limit, TimeLimit::At(deadline) if deadline <= Instant::now()) {
                if is_last_round {
                    return Ok(EndReason::TimedOut);
                }
                is_last_round = true;
            }
            if send_error.is_none() {
                match self.send(exchange) {
                    Ok(0) => {}
                    Ok(_) => last_activity = Instant::now(),
                    Err(e) => send_error = Some(e),
                }
            }
            if exchange.is_done() {
                return Ok(self.confirm_delivery(exchange, send_error));
            }
            let mut reads = self.can_read(exchange, send_error.is_some());
            if reads {
                match self.receive(exchange, on_reply, chunk, &mut send_error)? {
                    ReadOutcome::Progress => {
                        last_activity = Instant::now();
                        if exchange.waits_only_for_input() {
                            last_input = last_activity;
                        }
                    }
                    ReadOutcome::Failed(e) => return Ok(EndReason::Failed(e)),
                    ReadOutcome::Nothing => {}
                }
            }
            if exchange.is_done() {
                return Ok(self.confirm_delivery(exchange, send_error));
            }
            reads = self.can_read(exchange, send_error.is_some());
            let deadline = match self.limit {
                TimeLimit::At(deadline) => Some(deadline),
                TimeLimit::Idle(duration) => last_activity.checked_add(duration),
                TimeLimit::IdleAfterInput(duration) if exchange.input_has_ended() => {
                    last_activity.checked_add(duration)
                }
                TimeLimit::IdleAfterInput(_) | TimeLimit::Never => None,
            };
            // After the peer's end of file, input is still sent to it, but the
            // run does not wait for it without a limit.
            let input_deadline = (exchange.waits_only_for_input() && send_error.is_none())
                .then(|| last_input.checked_add(INPUT_GRACE))
                .flatten();
            let deadline = [deadline, input_deadline].into_iter().flatten().min();
            // Bytes that are buffered, or left on a broken connection, can be
            // read without an event.
            let has_more = reads && (self.connection.has_buffered_input() || send_error.is_some());
            let until = if has_more {
                Some(Instant::now())
            } else {
                deadline
            };
            let before = exchange.unsent().len();
            let wake = self.wait(exchange, reads, send_error.is_none(), chunk, until)?;
            if exchange.unsent().len() > before {
                last_input = Instant::now();
            }
            match wake {
                Wake::TimedOut if input_deadline.is_some_and(|at| at <= Instant::now()) => {
                    return Ok(EndReason::Done);
                }
                Wake::Shutdown => return Ok(EndReason::Interrupted),
                Wake::TimedOut if !has_more || deadline.is_some_and(|d| d <= Instant::now()) => {
                    return Ok(EndReason::TimedOut);
                }
                Wake::TimedOut | Wake::Ready => {}
            }
        }
    }

    /// Returns how a completed exchange ends. If bytes were sent after the peer's
    /// end of file, waits until they are acknowledged or a reset shows that the
    /// peer is gone.
    fn confirm_delivery(
        &mut self,
        exchange: &Exchange,
        send_error: Option<io::Error>,
    ) -> EndReason {
        match send_error {
            Some(e) if !exchange.unsent().is_empty() => return EndReason::Failed(e),
            _ if !exchange.sent_after_peer_eof() => return EndReason::Done,
            _ => {}
        }
        let deadline = Instant::now() + INPUT_GRACE;
        loop {
            match self.connection.check_error() {
                Err(e) => return EndReason::Failed(e),
                // The end of file may be unacknowledged, which counts as one byte.
                Ok(()) if sys::unacknowledged(&*self.connection) <= 1 => return EndReason::Done,
                Ok(()) if Instant::now() >= deadline => return EndReason::Done,
                Ok(()) => {}
            }
            if !matches!(self.shutdown.sleep(ACK_POLL_INTERVAL), Ok(Wake::TimedOut)) {
                return EndReason::Done;
            }
        }
    }

    /// Returns whether to read from the peer now.
    fn can_read(&self, exchange: &Exchange, is_broken: bool) -> bool {
        (is_broken || exchange.read_limit() > 0) && self.stdout.has_room()
    }

    /// Sends as much as the socket accepts; returns the number of bytes.
    fn send(&mut self, exchange: &mut Exchange) -> io::Result<usize> {
        let mut total = 0;
        self.connection.flush()?;
        while !exchange.sendable().is_empty() {
            match self.connection.write(exchange.sendable()) {
                Ok(n) => {
                    exchange.mark_sent(n);
                    total += n;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(total),
                Err(e) => return Err(e),
            }
        }
        if exchange.wants_empty_datagram() {
            match self.connection.write(&[]) {
                Ok(_) => exchange.mark_sent(0),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(total),
                Err(e) => return Err(e),
            }
        }
        if exchange.wants_half_close() {
            self.connection.shutdown_write()?;
            exchange.mark_half_closed();
        }
        Ok(total)
    }

    /// Reads once from the peer.
    fn receive(
        &mut self,
        exchange: &mut Exchange,
        on_reply: ReplyHandler<'_>,
        chunk: &mut [u8],
        send_error: &mut Option<io::Error>,
    ) -> Result<ReadOutcome> {
        let is_datagram = self.connection.is_datagram();
        // A short read would truncate a datagram.
        let size = match send_error {
            None if !is_datagram => chunk.len().min(exchange.read_limit()),
            _ => chunk.len(),
        };
        match self.connection.read(&mut chunk[..size]) {
            Ok(0) if !is_datagram => {
                exchange.peer_eof();
                match send_error.take() {
                    Some(e) => Ok(ReadOutcome::Failed(e)),
                    None => Ok(ReadOutcome::Progress),
                }
            }
            Ok(n) => {
                exchange.receive(&chunk[..n]);
                on_reply(&chunk[..n], self.stdout)?;
                if is_datagram {
                    exchange.end_of_datagram();
                }
                Ok(ReadOutcome::Progress)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => match send_error.take() {
                Some(e) => Ok(ReadOutcome::Failed(e)),
                None => Ok(ReadOutcome::Nothing),
            },
            Err(e) => Ok(ReadOutcome::Failed(e)),
        }
    }

    /// Waits for an event, then reads input and writes output. A connection
    /// that is not `open` is not polled, since its error would end every wait.
    fn wait(
        &mut self,
        exchange: &mut Exchange,
        reads: bool,
        open: bool,
        chunk: &mut [u8],
        deadline: Option<Instant>,
    ) -> Result<Wake> {
        let wants_input = open && exchange.wants_input();
        let input = self.input.as_ref().filter(|_| wants_input);
        let mut fds = vec![self.stdout.poll_fd()];
        if let Some(input) = input {
            fds.push(PollFd::from_borrowed_fd(input.file.as_fd(), PollFlags::IN));
        }
        let writes = !exchange.sendable().is_empty() || exchange.wants_empty_datagram();
        fds.extend(self.connection.poll_fd(reads, writes).filter(|_| open));
        let wake = self.shutdown.wait(&mut fds, deadline)?;
        let stdout_events = fds[0].revents();
        let has_input = input.is_some() && !fds[1].revents().is_empty();
        drop(fds);
        if wake != Wake::Ready {
            return Ok(wake);
        }
        self.stdout.handle_revents(stdout_events)?;
        // Over UDP, each read of the input is sent as one datagram.
        let size = if self.connection.is_datagram() {
            MAX_DATAGRAM
        } else {
            CHUNK_SIZE
        };
        if let Some(input) = self.input.as_mut().filter(|_| has_input) {
            match input.file.read(&mut chunk[..size]) {
                Ok(0) => exchange.end_input(),
                Ok(n) => exchange.push_input(chunk[..n].to_vec()),
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                    ) => {}
                Err(e) => return Err(Error::local(&e).with_subject(input.name.as_str())),
            }
        }
        Ok(wake)
    }
}

/// The outcome of one read from the peer.
enum ReadOutcome {
    /// Bytes or an end of file were read.
    Progress,
    /// There was nothing to read.
    Nothing,
    /// The connection failed, in this read or in sending before it.
    Failed(io::Error),
}
