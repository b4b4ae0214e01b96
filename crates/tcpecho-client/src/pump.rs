//! Moves the bytes of an [`Exchange`]: input to the peer, the peer to standard
//! output, both at once and neither waiting for the other.
//!
//! One `poll` waits for everything there is to wait for. The peer is read only
//! while standard output keeps up, the input only while the peer does; so
//! memory is bounded, and a direction that is stuck never stops the other.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use common::{Error, Result};
use rustix::event::{PollFd, PollFlags};

use crate::exchange::Exchange;
use crate::link::Link;
use crate::sink::Sink;
use crate::sys;
use crate::wait::{Stop, Woken};

/// Bytes read at once, from either side.
const CHUNK: usize = 64 * 1024;

/// Bytes of input in one datagram, at most: what IPv4 and UDP leave of 64 KiB.
const DATAGRAM: usize = 65_507;

/// How long input may be silent once the peer has ended its side, and how long
/// its acknowledgement of the last bytes is waited for.
const STARVED: Duration = Duration::from_millis(500);

/// How often that is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// Until it is over.
    Never,
    /// Until this moment.
    At(Instant),
    /// Until nothing has moved for so long.
    Silence(Duration),
    /// The same, once the input has ended.
    SilenceAfterInput(Duration),
}

/// Why the pump stopped.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The exchange is over.
    Over,
    /// The time is up.
    TimedOut,
    /// A signal asked for it.
    Stopped,
    /// The connection failed.
    Failed(io::Error),
}

/// What becomes of the bytes that come back: called with each chunk.
pub(crate) type Receiver<'a> = &'a mut dyn FnMut(&[u8], &mut Sink) -> Result<()>;

/// What is sent, from a descriptor.
#[derive(Debug)]
pub(crate) struct Input {
    /// Where it comes from.
    pub(crate) file: File,
    /// What that is called in an error.
    pub(crate) name: String,
}

impl Input {
    /// Standard input.
    pub(crate) fn stdin(descriptor: OwnedFd) -> Self {
        Self {
            file: File::from(descriptor),
            name: "standard input".to_owned(),
        }
    }
}

/// Everything one run of the pump works with.
#[derive(Debug)]
pub(crate) struct Pump<'a> {
    /// The connection.
    pub(crate) link: &'a mut Link,
    /// Input that still comes, from a descriptor.
    pub(crate) input: Option<Input>,
    /// Standard output.
    pub(crate) sink: &'a mut Sink,
    /// How long to go on.
    pub(crate) limit: Limit,
    /// The signals.
    pub(crate) stop: &'a Stop,
}

impl Pump<'_> {
    /// Runs until the exchange is over or something ends it. What has come is
    /// handed to standard output in any case.
    pub(crate) fn run(
        &mut self,
        exchange: &mut Exchange,
        receiver: Receiver<'_>,
    ) -> Result<Ending> {
        let mut chunk = vec![0; CHUNK];
        let ending = self.turn(exchange, receiver, &mut chunk)?;
        self.sink.finish(self.stop)?;
        Ok(ending)
    }

    fn turn(
        &mut self,
        exchange: &mut Exchange,
        receiver: Receiver<'_>,
        chunk: &mut [u8],
    ) -> Result<Ending> {
        let mut moved = Instant::now();
        // When input last came, or the peer ended.
        let mut fed = moved;
        // Once sending has failed only what has already come is of interest.
        let mut broken: Option<io::Error> = None;
        let mut overdue = false;
        loop {
            // A peer that always has something to read ends no wait by its
            // silence. What came before the deadline is looked for once more.
            if matches!(self.limit, Limit::At(deadline) if deadline <= Instant::now()) {
                if overdue {
                    return Ok(Ending::TimedOut);
                }
                overdue = true;
            }
            if broken.is_none() {
                match self.send(exchange) {
                    Ok(0) => {}
                    Ok(_) => moved = Instant::now(),
                    Err(e) => broken = Some(e),
                }
            }
            if exchange.is_over() {
                return Ok(self.delivered(exchange, broken));
            }
            let mut reading = self.reads(exchange, broken.is_some());
            if reading {
                match self.receive(exchange, receiver, chunk, &mut broken)? {
                    Received::Bytes => {
                        moved = Instant::now();
                        if exchange.waits_for_input_alone() {
                            fed = moved;
                        }
                    }
                    Received::Failed(e) => return Ok(Ending::Failed(e)),
                    Received::Nothing => {}
                }
            }
            if exchange.is_over() {
                return Ok(self.delivered(exchange, broken));
            }
            reading = self.reads(exchange, broken.is_some());
            let deadline = match self.limit {
                Limit::At(deadline) => Some(deadline),
                Limit::Silence(duration) => moved.checked_add(duration),
                Limit::SilenceAfterInput(duration) if exchange.input_has_ended() => {
                    moved.checked_add(duration)
                }
                Limit::SilenceAfterInput(_) | Limit::Never => None,
            };
            // A peer that has ended may still be fed, but not for ever.
            let starved = (exchange.waits_for_input_alone() && broken.is_none())
                .then(|| fed.checked_add(STARVED))
                .flatten();
            let deadline = [deadline, starved].into_iter().flatten().min();
            // What a broken connection still holds comes without an event.
            let more = reading && (self.link.holds_input() || broken.is_some());
            let until = if more { Some(Instant::now()) } else { deadline };
            let before = exchange.unsent().len();
            let woken = self.wait(exchange, reading, broken.is_none(), chunk, until)?;
            if exchange.unsent().len() > before {
                fed = Instant::now();
            }
            match woken {
                Woken::Due if starved.is_some_and(|at| at <= Instant::now()) => {
                    return Ok(Ending::Over);
                }
                Woken::Stopped => return Ok(Ending::Stopped),
                Woken::Due if !more || deadline.is_some_and(|d| d <= Instant::now()) => {
                    return Ok(Ending::TimedOut);
                }
                Woken::Due | Woken::Ready => {}
            }
        }
    }

    /// How an exchange ends that is over. What was sent after the peer's end may
    /// have met a peer that was not there any more.
    fn delivered(&mut self, exchange: &Exchange, broken: Option<io::Error>) -> Ending {
        match broken {
            Some(e) if !exchange.unsent().is_empty() => return Ending::Failed(e),
            _ if !exchange.fed_after_the_end() => return Ending::Over,
            _ => {}
        }
        let deadline = Instant::now() + STARVED;
        loop {
            match self.link.failure() {
                Err(e) => return Ending::Failed(e),
                // The end of file counts as one.
                Ok(()) if sys::unsent(&*self.link) <= 1 => return Ending::Over,
                Ok(()) if Instant::now() >= deadline => return Ending::Over,
                Ok(()) => {}
            }
            if !matches!(self.stop.pause(LOOK), Ok(Woken::Due)) {
                return Ending::Over;
            }
        }
    }

    /// Whether the peer is to be read now.
    fn reads(&self, exchange: &Exchange, broken: bool) -> bool {
        (broken || exchange.read_limit() > 0) && self.sink.has_room()
    }

    /// Sends what can be sent now; returns how much that was.
    fn send(&mut self, exchange: &mut Exchange) -> io::Result<usize> {
        let mut total = 0;
        self.link.flush()?;
        while !exchange.sendable().is_empty() {
            match self.link.write(exchange.sendable()) {
                Ok(n) => {
                    exchange.wrote(n);
                    total += n;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(total),
                Err(e) => return Err(e),
            }
        }
        if exchange.owes_datagram() {
            match self.link.write(&[]) {
                Ok(_) => exchange.wrote(0),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(total),
                Err(e) => return Err(e),
            }
        }
        if exchange.wants_half_close() {
            self.link.shutdown_write()?;
            exchange.half_closed();
        }
        Ok(total)
    }

    fn receive(
        &mut self,
        exchange: &mut Exchange,
        receiver: Receiver<'_>,
        chunk: &mut [u8],
        broken: &mut Option<io::Error>,
    ) -> Result<Received> {
        let datagram = self.link.is_datagram();
        // A datagram that is cut would look shorter than it is.
        let room = match broken {
            None if !datagram => chunk.len().min(exchange.read_limit()),
            _ => chunk.len(),
        };
        match self.link.read(&mut chunk[..room]) {
            Ok(0) if !datagram => {
                exchange.peer_end();
                match broken.take() {
                    Some(e) => Ok(Received::Failed(e)),
                    None => Ok(Received::Bytes),
                }
            }
            Ok(n) => {
                exchange.received(&chunk[..n]);
                receiver(&chunk[..n], self.sink)?;
                if datagram {
                    exchange.datagram_end();
                }
                Ok(Received::Bytes)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => match broken.take() {
                Some(e) => Ok(Received::Failed(e)),
                None => Ok(Received::Nothing),
            },
            Err(e) => Ok(Received::Failed(e)),
        }
    }

    /// Waits for whatever can move something, and moves input and output. A
    /// connection that is not `alive` is not waited for: its error would end
    /// every wait.
    fn wait(
        &mut self,
        exchange: &mut Exchange,
        reading: bool,
        alive: bool,
        chunk: &mut [u8],
        deadline: Option<Instant>,
    ) -> Result<Woken> {
        let takes_input = alive && exchange.wants_input();
        let input = self.input.as_ref().filter(|_| takes_input);
        let mut fds = vec![self.sink.poll_fd()];
        if let Some(input) = input {
            fds.push(PollFd::from_borrowed_fd(input.file.as_fd(), PollFlags::IN));
        }
        let writing = !exchange.sendable().is_empty() || exchange.owes_datagram();
        fds.extend(self.link.poll_fd(reading, writing).filter(|_| alive));
        let woken = self.stop.wait(&mut fds, deadline)?;
        let on_sink = fds[0].revents();
        let on_input = input.is_some() && !fds[1].revents().is_empty();
        drop(fds);
        if woken != Woken::Ready {
            return Ok(woken);
        }
        self.sink.polled(on_sink)?;
        // What is read at once is sent at once: one datagram, where it is one.
        let room = if self.link.is_datagram() {
            DATAGRAM
        } else {
            CHUNK
        };
        if let Some(input) = self.input.as_mut().filter(|_| on_input) {
            match input.file.read(&mut chunk[..room]) {
                Ok(0) => exchange.input_end(),
                Ok(n) => exchange.input(chunk[..n].to_vec()),
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                    ) => {}
                Err(e) => return Err(Error::local(&e).with_subject(input.name.as_str())),
            }
        }
        Ok(woken)
    }
}

/// What a read gave.
enum Received {
    Bytes,
    Nothing,
    Failed(io::Error),
}
