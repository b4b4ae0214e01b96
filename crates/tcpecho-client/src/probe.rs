//! `-c` and `-i`: sends a message every interval, prints a line for each echo,
//! and ends with a summary.
//!
//! Messages are sent on schedule whether or not the previous echo has arrived;
//! the [`EchoTracker`] matches echoes with messages. With `--reconnect` each
//! message has its own connection, and one message is in flight at a time. Over
//! UDP, [`datagram`] sends and receives. [`report`] prints.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use common::app::Io;
use common::{Error, Exit, Kind, Result};

use crate::config::{Payload, ProbeOptions, Verbosity};
use crate::connection::{self, Connection, TLS_ALERT_HINT};
use crate::dial::Dialer;
use crate::output;
use crate::pattern::{MessageId, Pattern};
use crate::stats::{Jitter, Latencies};
use crate::tag::{self, Tags};
use crate::tracker::{EchoTracker, Matching};
use crate::wait::{ShutdownSignal, Wake};

mod datagram;
mod pending;
mod report;

use pending::PendingSend;

/// The size of a read in bytes, at least that of the largest datagram.
const CHUNK_SIZE: usize = 64 * 1024;

/// The state of a run.
#[derive(Debug)]
struct ProbeRun<'a> {
    dialer: &'a Dialer,
    options: &'a ProbeOptions,
    shutdown: &'a ShutdownSignal,
    quiet: bool,
    target: String,
    /// The address of the last connection.
    address: Option<String>,
    /// The generator of messages, unless a message was given.
    pattern: Option<Pattern>,
    connection: Option<Connection>,
    /// Whether a TLS alert has arrived over the connection, without TLS.
    has_tls_alert: bool,
    /// The message that is being sent.
    pending: PendingSend,
    /// The time at which the peer last accepted bytes of `pending`.
    last_progress: Instant,
    tracker: EchoTracker,
    tags: Option<Tags>,
    latencies: Latencies,
    jitter: Jitter,
    started: Instant,
    /// The due time of the next message.
    next: Instant,
    /// The error of the last connect, if it failed.
    connect_error: Option<Error>,
}

/// Sends messages as `options` specify and reports their echoes.
pub(crate) fn run(
    dialer: &Dialer,
    options: &ProbeOptions,
    shutdown: &ShutdownSignal,
    verbosity: Verbosity,
    io: &mut Io,
) -> Result<Exit> {
    let target = dialer.target_name();
    let reporter = verbosity.verbose.then(|| io.report.clone());
    let (mut connection, mut address) = (None, None);
    // A signal during the connect ends the run before the first message.
    let mut is_interrupted = false;
    if !options.reconnect {
        match dialer.dial_with_retries(shutdown, reporter.as_ref())? {
            Some(dialed) => {
                if verbosity.verbose {
                    output::connected(io, &target, &dialed);
                }
                datagram::enable_error_queue(&dialed.connection);
                connection = Some(dialed.connection);
                address = Some(dialed.address);
            }
            None => is_interrupted = true,
        }
    }
    let tags = match &options.payload {
        Payload::Generated(sizes) if dialer.options.udp && sizes.min >= tag::MIN_SIZE => {
            Some(Tags::new(run_key()))
        }
        Payload::Generated(_) | Payload::Fixed(_) => None,
    };
    let now = Instant::now();
    let mut run = ProbeRun {
        dialer,
        options,
        shutdown,
        quiet: verbosity.quiet,
        target,
        address,
        pattern: match &options.payload {
            Payload::Generated(sizes) => Some(Pattern::new(0, *sizes)),
            Payload::Fixed(_) => None,
        },
        connection,
        has_tls_alert: false,
        pending: PendingSend::default(),
        last_progress: now,
        tracker: EchoTracker::new(match (dialer.options.udp, tags) {
            (false, _) => Matching::Stream,
            (true, Some(tags)) => Matching::Tagged(tags),
            (true, None) => Matching::Untagged,
        }),
        tags,
        latencies: Latencies::default(),
        jitter: Jitter::default(),
        started: now,
        next: now,
        connect_error: None,
    };
    let exit = if is_interrupted {
        Exit::Negative
    } else {
        run.run_loop(io)?
    };
    run.tracker.finish(
        run.started.elapsed(),
        options.has_explicit_timeout.then_some(options.timeout),
    );
    let exit = match exit {
        Exit::Success if !run.tracker.is_success() => Exit::Negative,
        other => other,
    };
    run.show_summary(io)?;
    Ok(exit)
}

/// Returns a key that differs from run to run.
fn run_key() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos() as u64;
    now ^ u64::from(std::process::id()) << 32
}

impl ProbeRun<'_> {
    /// Runs until all messages are sent and none is in flight. Returns `Yes` if
    /// the run was not ended early; the counts then decide about the status.
    fn run_loop(&mut self, io: &mut Io) -> Result<Exit> {
        let mut chunk = vec![0; CHUNK_SIZE];
        loop {
            if self.can_send() && self.next <= Instant::now() && !self.send_next(io)? {
                break;
            }
            if let Err(error) = self.transfer(&mut chunk, io)? {
                let continues = self.handle_loss(io, &error)?;
                if !continues {
                    return Ok(Exit::Negative);
                }
            }
            let mut events = Vec::new();
            self.tracker.expire(self.started.elapsed(), &mut events);
            self.report(io, &events)?;
            if self.tracker.is_idle() {
                if self.options.reconnect {
                    self.pending = PendingSend::default();
                    self.connection = None;
                    // Late echoes cannot arrive without the connection.
                    self.tracker.record_connection_failure();
                }
                if !self.has_more() {
                    break;
                }
            }
            if self.stall_deadline().is_some_and(|at| at <= Instant::now()) {
                let error = Error::new(Kind::Timeout, self.pending.describe_stall());
                if !self.handle_loss(io, &error)? {
                    return Ok(Exit::Negative);
                }
            }
            io.out.flush()?;
            if self.wait()? == Wake::Shutdown {
                break;
            }
        }
        if self.tracker.received == 0
            && let Some(error) = self.connect_error.take().filter(|_| self.address.is_none())
        {
            io.fail(&error)?;
            return Ok(error.exit());
        }
        Ok(Exit::Success)
    }

    /// Returns whether there are more messages to send.
    fn has_more(&self) -> bool {
        self.options
            .repeat
            .count
            .is_none_or(|count| self.tracker.sent < count)
    }

    /// Returns whether the next message may be sent once it is due.
    fn can_send(&self) -> bool {
        // With an interval of zero, or a connection for each message, the next
        // one waits for the previous echo.
        let one_in_flight = self.options.reconnect || self.options.repeat.interval.is_zero();
        self.has_more()
            && self.pending.is_sent()
            && (!one_in_flight || self.tracker.is_idle())
            && !self.tracker.is_full()
    }

    /// Returns the time at which the run gives up on a peer that does not read.
    /// Returns `None` unless the pending message has timed out and blocks the
    /// next.
    fn stall_deadline(&self) -> Option<Instant> {
        if self.pending.is_sent() || !self.tracker.is_idle() {
            return None;
        }
        self.last_progress.checked_add(self.options.timeout)
    }

    /// Starts to send the next message, or counts it as lost if the connect
    /// fails; returns false after a signal.
    fn send_next(&mut self, io: &mut Io) -> Result<bool> {
        let seq = self.tracker.sent + 1;
        // After a delay the schedule starts again from now, without a burst.
        self.next = (self.next + self.options.repeat.interval).max(Instant::now());
        if self.options.reconnect {
            match self.dialer.dial_with_retries(self.shutdown, None) {
                Ok(Some(dialed)) => {
                    datagram::enable_error_queue(&dialed.connection);
                    self.address = Some(dialed.address);
                    self.connection = Some(dialed.connection);
                    self.has_tls_alert = false;
                }
                Ok(None) => return Ok(false),
                Err(error) if error.exit() == Exit::LocalError => return Err(error),
                Err(error) => {
                    self.tracker
                        .record_send_failure(seq, self.started.elapsed());
                    self.report_failure(io, seq, &error)?;
                    self.connect_error = Some(error);
                    return Ok(true);
                }
            }
        }
        let payload = self.payload(seq);
        let now = self.started.elapsed();
        let expires = now.saturating_add(self.options.timeout);
        self.pending = PendingSend::new(Rc::clone(&payload));
        self.last_progress = Instant::now();
        self.tracker.record_sent(seq, payload, now, expires);
        Ok(true)
    }

    /// Returns the contents of message `seq`.
    fn payload(&self, seq: u64) -> Rc<[u8]> {
        match (&self.options.payload, &self.pattern) {
            (Payload::Fixed(bytes), _) => Rc::clone(bytes),
            (Payload::Generated(_), None) => Rc::default(),
            (Payload::Generated(_), Some(pattern)) => {
                let id = MessageId {
                    connection: 0,
                    sequence: seq,
                };
                let mut message = pattern.message(id);
                if let Some(tags) = self.tags {
                    tags.write(seq, &mut message);
                }
                message.into()
            }
        }
    }

    /// Sends and receives without waiting. The inner error is that of the
    /// connection, the outer one a local error.
    fn transfer(&mut self, chunk: &mut [u8], io: &mut Io) -> Result<Result<()>> {
        let Some(connection) = &mut self.connection else {
            return Ok(Ok(()));
        };
        if connection.is_datagram() {
            return self.transfer_datagrams(chunk, io).map(Ok);
        }
        // Bytes that have arrived are read even after a send has failed.
        let before = self.pending.rest().len();
        let send_error = self.pending.send(connection).err();
        if self.pending.rest().len() < before {
            self.last_progress = Instant::now();
        }
        let mut events = Vec::new();
        let outcome = loop {
            match connection.read(chunk) {
                Ok(0) => {
                    break Err(match &send_error {
                        Some(e) => connection::explain(e),
                        None => Error::new(Kind::Reset, "the peer closed the connection"),
                    });
                }
                Ok(n) => {
                    self.has_tls_alert |= matches!(connection, Connection::Tcp(_))
                        && connection::is_tls_alert(&chunk[..n]);
                    let now = self.started.elapsed();
                    self.tracker.receive_bytes(&chunk[..n], now, &mut events);
                    if send_error.is_none() {
                        break Ok(());
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    break match &send_error {
                        Some(e) => Err(connection::explain(e)),
                        None => Ok(()),
                    };
                }
                Err(e) => break Err(connection::explain(&e)),
            }
        };
        self.report(io, &events)?;
        Ok(outcome.map_err(|error| {
            if self.has_tls_alert {
                error.hint(TLS_ALERT_HINT)
            } else {
                error
            }
        }))
    }

    /// Counts all messages in flight as lost after the connection has failed.
    /// Returns whether the run continues.
    fn handle_loss(&mut self, io: &mut Io, error: &Error) -> Result<bool> {
        self.pending = PendingSend::default();
        self.connection = None;
        for seq in self.tracker.record_connection_failure() {
            self.report_failure(io, seq, error)?;
        }
        if !self.options.reconnect && self.has_more() {
            output::report_as_answer(io, &error.clone().with_subject(&self.target), None)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Waits for the connection, the next due time, or the next timeout.
    fn wait(&self) -> Result<Wake> {
        let due = self.can_send().then_some(self.next);
        let expiry = self
            .tracker
            .next_expiry()
            .and_then(|expiry| self.started.checked_add(expiry));
        let deadline = [due, expiry, self.stall_deadline()]
            .into_iter()
            .flatten()
            .min();
        let connection = self.connection.as_ref();
        if connection.is_some_and(Connection::has_buffered_input) {
            return Ok(Wake::Ready);
        }
        let mut fds = Vec::with_capacity(2);
        fds.extend(connection.and_then(|c| c.poll_fd(true, !self.pending.is_sent())));
        self.shutdown.wait(&mut fds, deadline)
    }
}
