//! Runs the mode that [`Config`] describes. The modes that exchange one message
//! or copy standard input are here; the others have their own modules.

use std::io::Seek;
use std::time::{Duration, Instant};

use common::app::Io;
use common::{Error, Exit, Kind, Result};

use crate::cli::Cli;
use crate::config::{Body, Config, MessageOptions, Mode, Verbosity};
use crate::connection::{Connection, TLS_ALERT_HINT};
use crate::dial::{Dialed, Dialer};
use crate::exchange::{Exchange, Rule, Verdict, WINDOW};
use crate::output;
use crate::output::exchange::{ExchangeReport, Received, ReplyCapture};
use crate::relay::{EndReason, Input, Relay, ReplyHandler, TimeLimit};
use crate::stdout::StdoutWriter;
use crate::wait::ShutdownSignal;
use crate::{bench, connect_only, connection, probe};

/// Runs the tool with the options of the command line.
pub(crate) fn run(cli: &Cli, io: &mut Io) -> Result<Exit> {
    let config = Config::new(cli)?;
    let dialer = Dialer::new(config.dial)?;
    let shutdown = ShutdownSignal::new()?;
    let verbosity = config.verbosity;
    match config.mode {
        Mode::Message(message) => send_message(&dialer, message, &shutdown, verbosity, io),
        Mode::PassThrough {
            idle_timeout,
            timeout_is_success,
        } => {
            let limit = match idle_timeout {
                None => TimeLimit::Never,
                Some(timeout) if dialer.options.udp => TimeLimit::IdleAfterInput(timeout),
                Some(timeout) => TimeLimit::Idle(timeout),
            };
            pass_through(&dialer, limit, timeout_is_success, &shutdown, verbosity, io)
        }
        Mode::Probe(options) => probe::run(&dialer, &options, &shutdown, verbosity, io),
        Mode::Bench(options) => bench::run(&dialer, &options, &shutdown, verbosity, io),
        Mode::ConnectOnly(repeat) => connect_only::run(&dialer, repeat, &shutdown, verbosity, io),
    }
}

/// Sends a message and verifies the reply; with `--retry`, repeats this until
/// the reply is correct.
fn send_message(
    dialer: &Dialer,
    mut message: MessageOptions,
    shutdown: &ShutdownSignal,
    verbosity: Verbosity,
    io: &mut Io,
) -> Result<Exit> {
    let mut retries_left = dialer.options.retry;
    loop {
        let (stdin, stdout) = io.raw_streams().map_err(|e| Error::local(&e))?;
        let mut exchange = Exchange::new(message.rule.clone());
        if message.half_close {
            exchange = exchange.half_close();
        }
        if dialer.options.udp {
            exchange = exchange.datagram();
        }
        let mut can_resend = true;
        let input = match &mut message.body {
            Body::Bytes(bytes) => {
                exchange.push_input(bytes.clone());
                exchange.end_input();
                None
            }
            Body::File(file, name) => {
                // A pipe can be read only once.
                can_resend = file.rewind().is_ok();
                let file = file.try_clone().map_err(|e| Error::local(&e))?;
                let name = name.clone();
                Some(Input { file, name })
            }
            Body::Stdin => {
                can_resend = false;
                Some(Input::stdin(stdin))
            }
        };
        let mut capture = io.json.then(ReplyCapture::default);
        let mut held = HeldReply::new(can_resend && retries_left > 0);
        let mut on_reply = |bytes: &[u8], stdout: &mut StdoutWriter| {
            match &mut capture {
                Some(capture) => capture.push(bytes),
                None if verbosity.quiet => {}
                None => held.push(bytes, stdout),
            }
            Ok(())
        };
        let mut attempt = Attempt {
            dialer,
            shutdown,
            exchange,
            input,
            limit: TimeLimit::Never,
            timeout_is_success: message.rule == Rule::Any,
            stdout: StdoutWriter::new(stdout, io.terminal.stdout),
        };
        let timeout = Some(message.timeout);
        let outcome = attempt.run(
            &mut retries_left,
            timeout,
            verbosity.verbose,
            &mut on_reply,
            io,
        )?;
        let Some(outcome) = outcome else {
            return Ok(Exit::Negative);
        };
        if let Some(failure) = outcome.failure(&attempt)
            && is_retryable_exchange(failure.kind())
            && retries_left > 0
            && can_resend
            && held.can_discard()
        {
            let failure = failure.with_subject(dialer.target_name());
            let reporter = verbosity.verbose.then(|| io.report.clone());
            if dialer.wait_for_retry(&mut retries_left, &failure, shutdown, reporter.as_ref())? {
                continue;
            }
        }
        held.release(&mut attempt.stdout);
        attempt.stdout.finish(shutdown)?;
        return outcome.report(&attempt, capture.as_ref(), verbosity.verbose, io);
    }
}

/// Returns whether a retry may succeed after an error of this kind.
fn is_retryable_exchange(kind: Kind) -> bool {
    use Kind::{Mismatch, Protocol, Refused, Reset, Timeout, Unreachable};
    matches!(
        kind,
        Mismatch | Protocol | Refused | Reset | Timeout | Unreachable
    )
}

/// The maximum number of bytes of a reply that are held back for a possible
/// retry.
const MAX_HELD_REPLY: usize = 1 << 20;

/// The reply of an attempt, held back while the attempt may be retried. A reply
/// that is too long for this is printed as it arrives.
struct HeldReply {
    bytes: Option<Vec<u8>>,
    has_printed: bool,
}

impl HeldReply {
    fn new(hold: bool) -> Self {
        Self {
            bytes: hold.then(Vec::new),
            has_printed: false,
        }
    }

    fn push(&mut self, bytes: &[u8], stdout: &mut StdoutWriter) {
        if let Some(held) = &mut self.bytes {
            held.extend_from_slice(bytes);
            if held.len() <= MAX_HELD_REPLY {
                return;
            }
            self.release(stdout);
        } else {
            stdout.push(bytes);
        }
        self.has_printed = true;
    }

    /// Returns whether no byte of the reply was printed.
    fn can_discard(&self) -> bool {
        !self.has_printed
    }

    /// Prints the bytes that are held back.
    fn release(&mut self, stdout: &mut StdoutWriter) {
        if let Some(held) = self.bytes.take() {
            stdout.push(&held);
        }
    }
}

/// Copies standard input to the peer, and the peer's bytes to standard output.
fn pass_through(
    dialer: &Dialer,
    limit: TimeLimit,
    timeout_is_success: bool,
    shutdown: &ShutdownSignal,
    verbosity: Verbosity,
    io: &mut Io,
) -> Result<Exit> {
    let mut exchange = Exchange::new(Rule::Any).half_close();
    if dialer.options.udp {
        exchange = exchange.without_eof();
    }
    // At a terminal, the run ends when the peer closes the connection.
    if !io.terminal.stdin {
        exchange = exchange.send_after_peer_eof();
    }
    let (stdin, stdout) = io.raw_streams().map_err(|e| Error::local(&e))?;
    let json = io.json;
    let mut on_reply = |bytes: &[u8], stdout: &mut StdoutWriter| {
        match (verbosity.quiet, json) {
            (true, _) => {}
            (_, true) => stdout.record(&Received::new(bytes))?,
            _ => stdout.push(bytes),
        }
        Ok(())
    };
    let mut attempt = Attempt {
        dialer,
        shutdown,
        exchange,
        input: Some(Input::stdin(stdin)),
        limit,
        timeout_is_success,
        stdout: StdoutWriter::new(stdout, io.terminal.stdout && !json),
    };
    let mut retries_left = dialer.options.retry;
    let outcome = attempt.run(
        &mut retries_left,
        None,
        verbosity.verbose,
        &mut on_reply,
        io,
    )?;
    let Some(outcome) = outcome else {
        return Ok(Exit::Negative);
    };
    outcome.report(&attempt, None, verbosity.verbose, io)
}

/// One connection with its exchange.
struct Attempt<'a> {
    dialer: &'a Dialer,
    shutdown: &'a ShutdownSignal,
    exchange: Exchange,
    input: Option<Input>,
    limit: TimeLimit,
    /// Whether a timeout ends the exchange with success.
    timeout_is_success: bool,
    stdout: StdoutWriter,
}

/// The outcome of an [`Attempt`] that has connected.
struct Outcome {
    dialed: Dialed,
    reason: EndReason,
    started: Instant,
}

impl Attempt<'_> {
    /// Connects and runs the exchange. `timeout` limits both together. Returns
    /// `None` if a signal arrives before the connection is open.
    fn run(
        &mut self,
        retries_left: &mut u32,
        timeout: Option<Duration>,
        verbose: bool,
        on_reply: ReplyHandler<'_>,
        io: &mut Io,
    ) -> Result<Option<Outcome>> {
        let reporter = verbose.then(|| io.report.clone());
        let dialed = self
            .dialer
            .dial_retrying(retries_left, self.shutdown, reporter.as_ref())?;
        let Some(mut dialed) = dialed else {
            return Ok(None);
        };
        if verbose {
            output::connected(io, &self.dialer.target_name(), &dialed);
        }
        let started = Instant::now();
        if let Some(timeout) = timeout {
            // Failed connects before a retry do not count.
            let left = timeout.saturating_sub(dialed.connect);
            self.limit = started
                .checked_add(left)
                .map_or(TimeLimit::Never, TimeLimit::At);
        }
        let mut relay = Relay {
            connection: &mut dialed.connection,
            input: self.input.take(),
            stdout: &mut self.stdout,
            limit: self.limit,
            shutdown: self.shutdown,
        };
        let reason = relay.run(&mut self.exchange, on_reply)?;
        Ok(Some(Outcome {
            dialed,
            reason,
            started,
        }))
    }
}

impl Outcome {
    /// Returns the error of a failed attempt, or `None`.
    fn failure(&self, attempt: &Attempt<'_>) -> Option<Error> {
        let failure = failure_of(&attempt.exchange, &self.reason, attempt.timeout_is_success)?;
        let is_plain_tcp = matches!(self.dialed.connection, Connection::Tcp(_));
        Some(if is_plain_tcp && attempt.exchange.is_tls_alert() {
            failure.hint(TLS_ALERT_HINT)
        } else {
            failure
        })
    }

    /// Prints the record and the error of the attempt; returns its status.
    fn report(
        self,
        attempt: &Attempt<'_>,
        capture: Option<&ReplyCapture>,
        verbose: bool,
        io: &mut Io,
    ) -> Result<Exit> {
        let target = attempt.dialer.target_name();
        let failure = self.failure(attempt);
        let report = ExchangeReport {
            target: &target,
            dialed: &self.dialed,
            exchange: &attempt.exchange,
            is_success: failure.is_none(),
            capture,
            duration: self.started.elapsed(),
        };
        report.show(io, verbose)?;
        match failure {
            None => Ok(Exit::Success),
            Some(failure) => {
                let error = failure.with_subject(target);
                io.report.error(&error);
                output::error(io, &error, Some(&self.dialed.address), None)?;
                Ok(error.exit())
            }
        }
    }
}

/// Returns the error of a failed exchange. A wrong byte is an error however the
/// exchange ended.
fn failure_of(exchange: &Exchange, reason: &EndReason, timeout_is_success: bool) -> Option<Error> {
    let progress = exchange.progress();
    let verdict = exchange.verdict();
    if let Verdict::Differs(difference) = verdict {
        let text = format!("the reply {difference}");
        return Some(Error::new(Kind::Mismatch, text));
    }
    match reason {
        // Copying standard input may be interrupted at any time.
        EndReason::Done | EndReason::Interrupted if verdict == Verdict::Correct => None,
        EndReason::Done => {
            let event = if exchange.is_datagram() {
                "the reply ended"
            } else {
                "the peer closed the connection"
            };
            let text = format!("{event} after {progress}");
            Some(Error::new(Kind::Mismatch, text))
        }
        EndReason::TimedOut if timeout_is_success => None,
        EndReason::TimedOut => {
            let text = match exchange.bytes_received() {
                0 => "timed out without a reply".to_owned(),
                _ => format!("timed out after {progress}"),
            };
            let error = Error::new(Kind::Timeout, text);
            let error = if exchange.is_window_full() {
                let mib = WINDOW >> 20;
                error.hint(format!(
                    "at most {mib} MiB are sent ahead of the echo; use --no-verify to remove this limit"
                ))
            } else {
                error
            };
            Some(error)
        }
        EndReason::Interrupted => {
            let text = format!("interrupted after {progress}");
            Some(Error::new(Kind::Missing, text))
        }
        EndReason::Failed(e) if exchange.bytes_received() == 0 => Some(connection::explain(e)),
        EndReason::Failed(e) => Some(connection::explain(e).and(format_args!("after {progress}"))),
    }
}
