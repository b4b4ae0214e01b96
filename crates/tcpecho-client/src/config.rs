//! The settings of a run, derived from the command line. Options that cannot be
//! combined are rejected before a file or a socket is opened.

use std::os::unix::ffi::OsStringExt;
use std::rc::Rc;
use std::time::Duration;

use common::{Error, Result};

use crate::cli::Cli;
use crate::dial;
use crate::exchange::Rule;
use crate::message::Sizes;
use crate::target::{self, Target};

mod body;
mod conflicts;

pub(crate) use body::Body;
use body::{datagram_max, message_body, read_whole};
use conflicts::{check_bench, check_connect_only, check_connection, reject_if};

/// The default timeout of a connect, an exchange or an echo.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of a run.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) dial: dial::DialOptions,
    pub(crate) mode: Mode,
    pub(crate) verbosity: Verbosity,
}

/// The options `--quiet` and `--verbose`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verbosity {
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
}

/// The mode of a run, with its settings.
#[derive(Debug)]
pub(crate) enum Mode {
    /// Sends a message and verifies the reply.
    Message(MessageOptions),
    /// Copies stdin to the peer and the peer's bytes to stdout.
    PassThrough {
        /// The idle time after which the run ends; over UDP it counts from
        /// the end of the input.
        idle_timeout: Option<Duration>,
        /// Whether a run that ends by this timeout is a success.
        timeout_is_success: bool,
    },
    /// Sends messages one by one and times each echo.
    Probe(ProbeOptions),
    /// Times handshakes and sends nothing.
    ConnectOnly(Repeat),
    /// Runs a load test.
    Bench(LoadOptions),
}

/// The settings of a load test.
#[derive(Debug)]
pub(crate) struct LoadOptions {
    /// The number of concurrent connections, 1 or more.
    pub(crate) connections: usize,
    /// The time for which messages are sent.
    pub(crate) duration: Duration,
    pub(crate) sizes: Sizes,
    /// The number of messages in flight per connection; unused with `rate`.
    pub(crate) pipeline: u64,
    /// Messages per second over all connections, sent on schedule without
    /// waiting for echoes; with `reconnect`, connections per second.
    pub(crate) rate: Option<f64>,
    /// Whether each message uses a new connection.
    pub(crate) reconnect: bool,
    /// The seed of the messages' contents.
    pub(crate) seed: u64,
    /// The time limit for connecting, and for the echoes after the end of the
    /// load.
    pub(crate) timeout: Duration,
}

/// The settings of an exchange of one message.
#[derive(Debug)]
pub(crate) struct MessageOptions {
    pub(crate) body: Body,
    /// The reply that is expected.
    pub(crate) rule: Rule,
    /// Whether the sending side is shut down after the message.
    pub(crate) half_close: bool,
    /// The time limit for the connect and the exchange together.
    pub(crate) timeout: Duration,
}

/// The settings of a run of messages that are sent one by one.
#[derive(Debug)]
pub(crate) struct ProbeOptions {
    pub(crate) repeat: Repeat,
    pub(crate) payload: Payload,
    /// Whether each message uses a new connection.
    pub(crate) reconnect: bool,
    /// The time after which a message without an echo is lost.
    pub(crate) timeout: Duration,
    /// Whether the timeout was given on the command line.
    pub(crate) has_explicit_timeout: bool,
}

/// The contents of the messages that are sent one by one.
#[derive(Debug)]
pub(crate) enum Payload {
    /// The same bytes in every message.
    Fixed(Rc<[u8]>),
    /// Generated messages of these sizes, which all differ.
    Generated(Sizes),
}

/// The number of messages or connects, and the time between them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeat {
    /// The number of repetitions; `None` repeats until a signal arrives.
    pub(crate) count: Option<u64>,
    /// The time from one start to the next.
    pub(crate) interval: Duration,
    /// Whether `-c` or `-i` was given; then the run ends with a summary.
    pub(crate) is_repeated: bool,
}

impl Config {
    /// Checks and resolves the command line. Opens the file of the message.
    pub(crate) fn new(cli: &Cli) -> Result<Self> {
        let (target, message) = target::operands(&cli.operands)?;
        let family = check_connection(cli, &target)?;
        let timeout = cli.timeout.unwrap_or(TIMEOUT);
        reject_if(
            cli.half_close && cli.udp,
            "--half-close",
            "cannot be used with --udp, which has no end of file",
        )?;
        let is_repeated = cli.count.is_some() || cli.interval.is_some();
        let repeat = Repeat {
            count: match (is_repeated, cli.count) {
                (false, _) => Some(1),
                (true, count) => count,
            },
            interval: cli.interval.unwrap_or(Duration::from_secs(1)),
            is_repeated,
        };
        let mode = if cli.load.bench {
            check_bench(cli, message.is_some())?;
            Mode::Bench(load(cli, timeout))
        } else if cli.connect_only {
            check_connect_only(cli, message.is_some())?;
            Mode::ConnectOnly(repeat)
        } else if is_repeated {
            Mode::Probe(probe(cli, &target, message, repeat, timeout)?)
        } else {
            for (given, option) in [
                (cli.size.is_some(), "--size"),
                (cli.reconnect, "--reconnect"),
            ] {
                reject_if(given, option, "requires -c, -i or --bench")?;
            }
            exchange(cli, &target, message, timeout)?
        };
        if !cli.load.bench {
            for (given, option) in cli.load.given() {
                reject_if(given, option, "requires --bench")?;
            }
        }
        Ok(Self {
            dial: dial::DialOptions {
                tls: tls_options(cli, &target)?,
                target,
                family,
                udp: cli.udp,
                source: cli.source,
                interface: cli.interface.clone(),
                timeout,
                retry: cli.retry,
                retry_delay: cli.retry_delay.unwrap_or(Duration::from_secs(1)),
                connect_only: cli.connect_only,
            },
            mode,
            verbosity: Verbosity {
                quiet: cli.quiet,
                verbose: cli.verbose,
            },
        })
    }
}

/// Rejects `--tls`, which this build does not support.
#[cfg(not(feature = "tls"))]
fn tls_options(cli: &Cli, _: &Target) -> Result<Option<crate::tls::TlsOptions>> {
    reject_if(
        cli.tls,
        "--tls",
        "is not supported by this build, which was made with '--no-default-features'",
    )?;
    Ok(None)
}

/// Returns the settings of TLS, or `None` without `--tls`.
#[cfg(feature = "tls")]
fn tls_options(cli: &Cli, target: &Target) -> Result<Option<crate::tls::TlsOptions>> {
    use common::endpoint::Host;
    if !cli.tls.on {
        return Ok(None);
    }
    reject_if(cli.udp, "--tls", "cannot be used with --udp")?;
    let host = match target {
        Target::Unix(_) | Target::Abstract(_) => {
            return Err(Error::usage("--tls cannot be used with a unix: target"));
        }
        Target::Inet(endpoint, _) => match &endpoint.host {
            Host::Any => "localhost".to_owned(),
            Host::Address(address) => address.to_string(),
            Host::Name(name) => {
                let bad = |why| Error::input(name, why);
                common::zone::to_ascii(name).map_err(bad)?
            }
        },
    };
    Ok(Some(crate::tls::TlsOptions {
        cacert: cli.tls.cacert.clone(),
        insecure: cli.tls.insecure,
        server_name: cli.tls.server_name.clone().unwrap_or(host),
    }))
}

fn load(cli: &Cli, timeout: Duration) -> LoadOptions {
    let load = &cli.load;
    LoadOptions {
        connections: load.connections.unwrap_or(1) as usize,
        duration: load.duration.unwrap_or(Duration::from_secs(10)),
        sizes: cli.size.unwrap_or_default(),
        pipeline: u64::from(load.pipeline.unwrap_or(1)),
        rate: load.rate,
        reconnect: cli.reconnect,
        seed: load.seed.unwrap_or(0),
        timeout,
    }
}

fn probe(
    cli: &Cli,
    target: &Target,
    message: Option<Vec<u8>>,
    repeat: Repeat,
    timeout: Duration,
) -> Result<ProbeOptions> {
    let counted = "cannot be used with -c or -i, which verify every echo";
    reject_if(cli.expect.is_some(), "--expect", counted)?;
    reject_if(cli.no_verify, "--no-verify", counted)?;
    let open = "cannot be used with -c or -i, which keep the connection open";
    reject_if(cli.half_close, "--half-close", open)?;
    let payload = match message_body(cli, target, message)? {
        Some(body) => {
            let limit = 1 << 30;
            let bytes = read_whole(body, limit, "the message is longer than 1 GiB")?;
            reject_if(
                cli.size.is_some(),
                "--size",
                "cannot be used with a message",
            )?;
            if bytes.is_empty() && !cli.udp {
                return Err(Error::usage(
                    "an empty message cannot be used with -c or -i: it has no echo",
                ));
            }
            Payload::Fixed(bytes.into())
        }
        None => Payload::Generated(cli.size.unwrap_or_default()),
    };
    if let Payload::Generated(sizes) = &payload
        && cli.udp
        && sizes.max > datagram_max(cli, target)
    {
        let max = datagram_max(cli, target);
        return Err(Error::usage(format!(
            "--size must be at most {max} over UDP"
        )));
    }
    Ok(ProbeOptions {
        repeat,
        payload,
        reconnect: cli.reconnect,
        timeout,
        has_explicit_timeout: cli.timeout.is_some(),
    })
}

fn exchange(
    cli: &Cli,
    target: &Target,
    message: Option<Vec<u8>>,
    timeout: Duration,
) -> Result<Mode> {
    let body = message_body(cli, target, message)?;
    let expect = cli.expect.clone().map(OsStringExt::into_vec);
    let body = match (body, &expect) {
        (Some(body), _) => body,
        (None, Some(_)) => {
            reject_if(cli.udp, "--expect", "requires a message with --udp")?;
            // If stdin is empty, the peer is expected to speak first.
            Body::Stdin
        }
        (None, None) => {
            // The end of standard input is always passed on, with or without
            // --half-close.
            return Ok(Mode::PassThrough {
                idle_timeout: if cli.udp { Some(timeout) } else { cli.timeout },
                timeout_is_success: cli.no_verify,
            });
        }
    };
    Ok(Mode::Message(MessageOptions {
        body,
        rule: match expect {
            Some(text) => Rule::Text(text),
            None if cli.no_verify => Rule::Any,
            None => Rule::Echo,
        },
        half_close: cli.half_close,
        timeout,
    }))
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
