//! The modes: which one runs, and how an exchange is judged.

use std::io::Seek;
use std::time::Instant;

use common::app::Io;
use common::{Error, Exit, Kind, Result};

use crate::cli::Cli;
use crate::config::{Body, Config, Message, Mode};
use crate::dial::Dialer;
use crate::exchange::{Exchange, Rule, Verdict, WINDOW};
use crate::output::{self, Exchanged, Received, Reply};
use crate::pump::{Ending, Input, Limit, Pump, Receiver};
use crate::sink::Sink;
use crate::wait::Stop;
use crate::{bench, failure, handshake, probe};

/// Runs the tool.
pub(crate) fn run(cli: &Cli, io: &mut Io) -> Result<Exit> {
    let config = Config::new(cli)?;
    let dialer = Dialer::new(config.dial)?;
    let stop = Stop::new()?;
    let talk = (config.quiet, config.verbose);
    match config.mode {
        Mode::Message(message) => send(&dialer, message, &stop, talk, io),
        Mode::Relay { silence, any_end } => {
            let limit = match silence {
                None => Limit::Never,
                Some(silence) if dialer.plan.udp => Limit::SilenceAfterInput(silence),
                Some(silence) => Limit::Silence(silence),
            };
            relay(&dialer, limit, any_end, &stop, talk, io)
        }
        Mode::Probe(plan) => probe::run(&dialer, &plan, &stop, talk, io),
        Mode::Bench(plan) => bench::run(&dialer, &plan, &stop, talk, io),
        Mode::Handshake(pace) => handshake::run(&dialer, pace, &stop, talk, io),
    }
}

/// Sends a message and judges the reply; with `--retry` again until it is right.
fn send(
    dialer: &Dialer,
    mut message: Message,
    stop: &Stop,
    (quiet, verbose): (bool, bool),
    io: &mut Io,
) -> Result<Exit> {
    let mut left = dialer.plan.retry;
    loop {
        let (stdin, stdout) = io.raw_streams().map_err(|e| Error::local(&e))?;
        let mut exchange = Exchange::new(message.rule.clone());
        if message.half_close {
            exchange = exchange.half_close();
        }
        if dialer.plan.udp {
            exchange = exchange.datagram();
        }
        let mut repeatable = true;
        let input = match &mut message.body {
            Body::Bytes(bytes) => {
                exchange.input(bytes.clone());
                exchange.input_end();
                None
            }
            Body::File(file, name) => {
                // A pipe can be read once only.
                repeatable = file.rewind().is_ok();
                let file = file.try_clone().map_err(|e| Error::local(&e))?;
                let name = name.clone();
                Some(Input { file, name })
            }
            Body::Stdin => {
                repeatable = false;
                Some(Input::stdin(stdin))
            }
        };
        let mut reply = io.json.then(Reply::default);
        let mut held = Held::new(repeatable && left > 0);
        let mut take = |bytes: &[u8], sink: &mut Sink| {
            match &mut reply {
                Some(reply) => reply.push(bytes),
                None if quiet => {}
                None => held.push(bytes, sink),
            }
            Ok(())
        };
        let mut job = Job {
            dialer,
            stop,
            exchange,
            input,
            limit: Limit::At(Instant::now()),
            any_end: message.rule == Rule::Anything,
            sink: Sink::new(stdout, io.terminal.stdout),
        };
        // The bound holds from the try that succeeded on.
        let timeout = Some(message.timeout);
        let Some(done) = job.run(&mut left, timeout, verbose, &mut take, io)? else {
            return Ok(Exit::No);
        };
        if let Some(flaw) = done.flaw(&job).filter(|flaw| may_pass(flaw.kind()))
            && left > 0
            && held.may_be_dropped(repeatable)
        {
            let flaw = flaw.with_subject(dialer.name());
            let reporter = verbose.then(|| io.report.clone());
            if dialer.try_again(&mut left, &flaw, stop, reporter.as_ref())? {
                continue;
            }
        }
        held.release(&mut job.sink);
        job.sink.finish(stop)?;
        return done.report(&job, reply.as_ref(), verbose, io);
    }
}

/// Whether another try may end otherwise.
fn may_pass(kind: Kind) -> bool {
    use Kind::{Mismatch, Protocol, Refused, Reset, Timeout, Unreachable};
    matches!(
        kind,
        Mismatch | Protocol | Refused | Reset | Timeout | Unreachable
    )
}

/// Bytes of a reply that are held back while it may not be the last one.
const HELD_MAX: usize = 1 << 20;

/// The reply of a try that may be followed by another, or nothing once it is
/// printed as it comes.
struct Held {
    bytes: Option<Vec<u8>>,
    printed: bool,
}

impl Held {
    fn new(hold: bool) -> Self {
        Self {
            bytes: hold.then(Vec::new),
            printed: false,
        }
    }

    fn push(&mut self, bytes: &[u8], sink: &mut Sink) {
        if let Some(held) = &mut self.bytes {
            held.extend_from_slice(bytes);
            if held.len() <= HELD_MAX {
                return;
            }
            self.release(sink);
        } else {
            sink.push(bytes);
        }
        self.printed = true;
    }

    /// Whether the reply can be given up: nothing of it has been printed.
    fn may_be_dropped(&self, repeatable: bool) -> bool {
        repeatable && !self.printed
    }

    fn release(&mut self, sink: &mut Sink) {
        if let Some(held) = self.bytes.take() {
            sink.push(&held);
        }
    }
}

/// Passes stdin to the peer and the peer to stdout.
fn relay(
    dialer: &Dialer,
    limit: Limit,
    any_end: bool,
    stop: &Stop,
    (quiet, verbose): (bool, bool),
    io: &mut Io,
) -> Result<Exit> {
    let mut exchange = Exchange::new(Rule::Anything).half_close();
    if dialer.plan.udp {
        exchange = exchange.endless();
    }
    // At a terminal nobody wants to type on when the peer has closed.
    if !io.terminal.stdin {
        exchange = exchange.outlive_peer();
    }
    let (stdin, stdout) = io.raw_streams().map_err(|e| Error::local(&e))?;
    let json = io.json;
    let mut take = |bytes: &[u8], sink: &mut Sink| {
        match (quiet, json) {
            (true, _) => {}
            (_, true) => sink.record(&Received::new(bytes))?,
            _ => sink.push(bytes),
        }
        Ok(())
    };
    let mut job = Job {
        dialer,
        stop,
        exchange,
        input: Some(Input::stdin(stdin)),
        limit,
        any_end,
        sink: Sink::new(stdout, io.terminal.stdout && !json),
    };
    let mut left = dialer.plan.retry;
    let Some(done) = job.run(&mut left, None, verbose, &mut take, io)? else {
        return Ok(Exit::No);
    };
    done.report(&job, None, verbose, io)
}

/// An exchange to be run.
struct Job<'a> {
    dialer: &'a Dialer,
    stop: &'a Stop,
    exchange: Exchange,
    input: Option<Input>,
    limit: Limit,
    /// Whether the end of the time is as good an end as any.
    any_end: bool,
    sink: Sink,
}

/// How it went.
struct Done {
    connection: crate::dial::Connection,
    ending: Ending,
    started: Instant,
}

impl Job<'_> {
    /// Connects and pumps; `None` when a signal came before the connection.
    fn run(
        &mut self,
        left: &mut u32,
        timeout: Option<std::time::Duration>,
        verbose: bool,
        take: Receiver<'_>,
        io: &mut Io,
    ) -> Result<Option<Done>> {
        let reporter = verbose.then(|| io.report.clone());
        let dialed = self
            .dialer
            .dial_within(left, self.stop, reporter.as_ref())?;
        let Some(mut connection) = dialed else {
            return Ok(None);
        };
        if verbose {
            output::connected(io, &self.dialer.name(), &connection);
        }
        let started = Instant::now();
        if let Some(timeout) = timeout {
            let left = timeout.saturating_sub(connection.connect);
            self.limit = started.checked_add(left).map_or(Limit::Never, Limit::At);
        }
        let mut pump = Pump {
            link: &mut connection.link,
            input: self.input.take(),
            sink: &mut self.sink,
            limit: self.limit,
            stop: self.stop,
        };
        let ending = pump.run(&mut self.exchange, take)?;
        Ok(Some(Done {
            connection,
            ending,
            started,
        }))
    }
}

impl Done {
    /// What is wrong, if anything.
    fn flaw(&self, job: &Job<'_>) -> Option<Error> {
        judge(&job.exchange, &self.ending, job.any_end, job.limit)
    }

    /// Judges, reports, and gives the status.
    fn report(
        self,
        job: &Job<'_>,
        reply: Option<&Reply>,
        verbose: bool,
        io: &mut Io,
    ) -> Result<Exit> {
        let target = job.dialer.name();
        let judged = self.flaw(job);
        let exchanged = Exchanged {
            target: &target,
            connection: &self.connection,
            exchange: &job.exchange,
            ok: judged.is_none(),
            reply,
            duration: self.started.elapsed(),
        };
        exchanged.show(io, verbose)?;
        match judged {
            None => Ok(Exit::Yes),
            Some(flaw) => {
                let error = flaw.with_subject(target);
                io.report.error(&error);
                output::error(io, &error, Some(&self.connection.address), None)?;
                Ok(error.exit())
            }
        }
    }
}

/// What is wrong, if anything. A difference is certain, whatever came later.
fn judge(exchange: &Exchange, ending: &Ending, any_end: bool, limit: Limit) -> Option<Error> {
    let progress = exchange.progress();
    let verdict = exchange.verdict();
    if let Verdict::Differs(difference) = verdict {
        let text = format!("reply {difference}");
        return Some(Error::new(Kind::Mismatch, text));
    }
    match ending {
        // Passing bytes through may be ended at any time.
        Ending::Over | Ending::Stopped if verdict == Verdict::Right => None,
        Ending::Over => {
            let what = if exchange.is_datagram() {
                "the reply ends"
            } else {
                "the peer closed"
            };
            let text = format!("{what} after {progress}");
            Some(Error::new(Kind::Mismatch, text))
        }
        Ending::TimedOut if any_end => None,
        Ending::TimedOut => {
            let error = match (exchange.bytes_received(), limit) {
                (0, _) => "no reply in time".to_owned(),
                (_, Limit::At(_)) => format!("timed out after {progress}"),
                _ => format!("nothing more in time, after {progress}"),
            };
            let error = Error::new(Kind::Timeout, error);
            let error = if exchange.is_window_full() {
                let mib = WINDOW >> 20;
                error.hint(format!(
                    "no more than {mib} MiB are sent ahead of the echo; --no-verify sends on"
                ))
            } else {
                error
            };
            Some(error)
        }
        Ending::Stopped => {
            let text = format!("interrupted after {progress}");
            Some(Error::new(Kind::Missing, text))
        }
        Ending::Failed(e) => Some(failure::of(e).and(format_args!("after {progress}"))),
    }
}
