//! From the options to what is to be done, with every contradiction refused
//! before anything is opened.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use common::address::Family;
use common::endpoint::Host;
use common::{Error, Kind, Result};

use crate::cli::Cli;
use crate::dial;
use crate::exchange::Rule;
use crate::message::Sizes;
use crate::target::{self, Target};

/// The most bytes of one datagram over IPv4, and over IPv6, whose header is not
/// part of the length (RFC 8200, section 3).
const DATAGRAM_MAX: usize = 65_507;
const DATAGRAM_MAX_V6: usize = 65_527;

/// The time for a connect, an exchange or an echo where none is given.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A run, resolved.
#[derive(Debug)]
pub(crate) struct Config {
    /// How to connect.
    pub(crate) dial: dial::Plan,
    /// What to do with the connection.
    pub(crate) mode: Mode,
    /// Say less.
    pub(crate) quiet: bool,
    /// Say more.
    pub(crate) verbose: bool,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Mode {
    /// Send a message and hold the reply against it.
    Message(Message),
    /// Pass stdin and the peer through.
    Relay {
        /// End after this silence; over datagrams once the input has ended.
        silence: Option<Duration>,
        /// Whether that is as good an end as any.
        any_end: bool,
    },
    /// Count and time echoes.
    Probe(Probe),
    /// Time handshakes.
    Handshake(Pace),
    /// Load.
    Bench(Load),
}

/// A load run.
#[derive(Debug)]
pub(crate) struct Load {
    /// How many connections at the same time, 1 or more.
    pub(crate) connections: usize,
    /// How long messages are sent.
    pub(crate) duration: Duration,
    /// The sizes of the messages.
    pub(crate) sizes: Sizes,
    /// Messages on their way on each connection, without a rate.
    pub(crate) pipeline: u64,
    /// Messages a second over all connections, sent on time whatever comes
    /// back; with `reconnect` connections a second.
    pub(crate) rate: Option<f64>,
    /// A new connection for every message.
    pub(crate) reconnect: bool,
    /// What the pattern follows from.
    pub(crate) seed: u64,
    /// The time for the connects, and for the last echoes.
    pub(crate) timeout: Duration,
}

/// An exchange of one message.
#[derive(Debug)]
pub(crate) struct Message {
    /// What is sent.
    pub(crate) body: Body,
    /// What may come back.
    pub(crate) rule: Rule,
    /// Whether the end of file is sent after it.
    pub(crate) half_close: bool,
    /// Bounds connect and exchange.
    pub(crate) timeout: Duration,
}

/// Where a message comes from.
#[derive(Debug)]
pub(crate) enum Body {
    /// The command line.
    Bytes(Vec<u8>),
    /// An open file and its name.
    File(File, String),
    /// Standard input.
    Stdin,
}

/// Echoes one by one.
#[derive(Debug)]
pub(crate) struct Probe {
    /// How many, how often.
    pub(crate) pace: Pace,
    /// The message given, or made-up ones of these sizes.
    pub(crate) payload: Payload,
    /// A new connection for each.
    pub(crate) reconnect: bool,
    /// The time for each echo.
    pub(crate) timeout: Duration,
    /// Whether that was asked for.
    pub(crate) timeout_given: bool,
}

/// What probes carry.
#[derive(Debug)]
pub(crate) enum Payload {
    /// The same bytes each time.
    Fixed(Rc<[u8]>),
    /// A pattern that differs each time.
    Made(Sizes),
}

/// How many times and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How many; `None` until a signal comes.
    pub(crate) count: Option<u64>,
    /// From one to the next.
    pub(crate) interval: Duration,
    /// Whether either was asked for, so that there is a summary.
    pub(crate) several: bool,
}

impl Config {
    /// Resolves the command line; opens the message's file.
    pub(crate) fn new(cli: &Cli) -> Result<Self> {
        let (target, message) = target::operands(&cli.operands)?;
        let family = check_connection(cli, &target)?;
        let timeout = cli.timeout.unwrap_or(TIMEOUT);
        let several = cli.count.is_some() || cli.interval.is_some();
        let pace = Pace {
            count: match (several, cli.count) {
                (false, _) => Some(1),
                (true, count) => count,
            },
            interval: cli.interval.unwrap_or(Duration::from_secs(1)),
            several,
        };
        let mode = if cli.load.bench {
            check_bench(cli, message.is_some())?;
            Mode::Bench(load(cli, timeout))
        } else if cli.connect_only {
            check_connect_only(cli, message.is_some())?;
            Mode::Handshake(pace)
        } else if several {
            Mode::Probe(probe(cli, &target, message, pace, timeout)?)
        } else {
            for (given, option) in [
                (cli.size.is_some(), "--size"),
                (cli.reconnect, "--reconnect"),
            ] {
                refuse(given, option, "needs -c, -i or --bench")?;
            }
            exchange(cli, &target, message, timeout)?
        };
        if !cli.load.bench {
            for (given, option) in cli.load.given() {
                refuse(given, option, "needs --bench")?;
            }
        }
        Ok(Self {
            dial: dial::Plan {
                tls: tls(cli, &target)?,
                target,
                family,
                udp: cli.udp,
                source: cli.source,
                interface: cli.interface.clone(),
                timeout,
                retry: cli.retry,
                retry_delay: cli.retry_delay,
                asks_presence: cli.connect_only,
            },
            mode,
            quiet: cli.quiet,
            verbose: cli.verbose,
        })
    }
}

fn refuse(given: bool, option: &str, why: &str) -> Result<()> {
    if given {
        return Err(Error::usage(format!("{option} {why}")));
    }
    Ok(())
}

/// The address family, once the options about the connection agree.
fn check_connection(cli: &Cli, target: &Target) -> Result<Family> {
    let family = cli.family.family();
    if let Target::Unix(_) | Target::Abstract(_) = target {
        let no_ip = "does not go with a unix: target";
        refuse(cli.udp, "--udp", no_ip)?;
        refuse(cli.source.is_some(), "--source", no_ip)?;
        refuse(cli.interface.is_some(), "--interface", no_ip)?;
        refuse(family == Family::V4, "-4", no_ip)?;
        refuse(family == Family::V6, "-6", no_ip)?;
    }
    if let Some(source) = cli.source.filter(|source| !family.admits(&source.ip())) {
        return Err(Error::usage(format!(
            "--source {} is not an {family} address",
            source.ip()
        )));
    }
    Ok(family)
}

/// A build without TLS says so.
#[cfg(not(feature = "tls"))]
fn tls(cli: &Cli, _: &Target) -> Result<Option<crate::tls::Plan>> {
    refuse(
        cli.tls,
        "--tls",
        "is not in this build, which was made with '--no-default-features'",
    )?;
    Ok(None)
}

/// What TLS is to be, if at all.
#[cfg(feature = "tls")]
fn tls(cli: &Cli, target: &Target) -> Result<Option<crate::tls::Plan>> {
    if !cli.tls.on {
        return Ok(None);
    }
    refuse(cli.udp, "--tls", "does not go with --udp")?;
    let host = match target {
        Target::Unix(_) | Target::Abstract(_) => {
            return Err(Error::usage("--tls does not go with a unix: target"));
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
    Ok(Some(crate::tls::Plan {
        cacert: cli.tls.cacert.clone(),
        insecure: cli.tls.insecure,
        server_name: cli.tls.server_name.clone().unwrap_or(host),
    }))
}

fn check_connect_only(cli: &Cli, message: bool) -> Result<()> {
    let sends = "does not go with --connect-only, which sends nothing";
    refuse(message, "MESSAGE", sends)?;
    refuse(cli.file.is_some(), "--file", sends)?;
    refuse(cli.hex.is_some(), "--hex", sends)?;
    refuse(cli.expect.is_some(), "--expect", sends)?;
    refuse(cli.no_verify, "--no-verify", sends)?;
    refuse(cli.half_close, "--half-close", sends)?;
    refuse(cli.size.is_some(), "--size", sends)?;
    refuse(
        cli.udp,
        "--udp",
        "does not go with --connect-only: a datagram socket has no handshake",
    )
}

fn check_bench(cli: &Cli, message: bool) -> Result<()> {
    let made = "does not go with --bench, which makes its own messages";
    refuse(message, "MESSAGE", made)?;
    refuse(cli.file.is_some(), "--file", made)?;
    refuse(cli.hex.is_some(), "--hex", made)?;
    refuse(cli.expect.is_some(), "--expect", made)?;
    let verifies = "does not go with --bench, which verifies every byte";
    refuse(cli.no_verify, "--no-verify", verifies)?;
    let not = "does not go with --bench";
    refuse(cli.half_close, "--half-close", not)?;
    refuse(cli.connect_only, "--connect-only", not)?;
    refuse(cli.count.is_some(), "-c", not)?;
    refuse(
        cli.interval.is_some(),
        "-i",
        "does not go with --bench; use --rate",
    )?;
    refuse(
        cli.udp,
        "--udp",
        "does not go with --bench: a lost datagram would stall its connection; \
         -c and -i count losses",
    )?;
    let in_step = "does not go with --rate, which sends on time whatever has come back";
    refuse(
        cli.load.rate.is_some() && cli.load.pipeline.is_some(),
        "--pipeline",
        in_step,
    )?;
    refuse(
        cli.reconnect && cli.load.pipeline.is_some(),
        "--pipeline",
        "does not go with --reconnect: one message for each connection",
    )
}

fn load(cli: &Cli, timeout: Duration) -> Load {
    let load = &cli.load;
    Load {
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

/// The one message given, in whichever form.
fn one_message(cli: &Cli, target: &Target, message: Option<Vec<u8>>) -> Result<Option<Body>> {
    let forms = [
        (message.is_some(), "MESSAGE"),
        (cli.file.is_some(), "--file"),
        (cli.hex.is_some(), "--hex"),
    ];
    let given: Vec<&str> = forms
        .iter()
        .filter(|form| form.0)
        .map(|form| form.1)
        .collect();
    if let [first, second, ..] = given[..] {
        return Err(Error::usage(format!("{first} does not go with {second}")));
    }
    let file = match &cli.file {
        Some(path) => Some(open(path)?),
        None => None,
    };
    let hex = cli.hex.clone().map(|hex| Body::Bytes(hex.0));
    let body = message.map(Body::Bytes).or(file).or(hex);
    // One datagram is one message, so it must be there as a whole.
    let body = match body {
        Some(body) if cli.udp => {
            let bytes = datagram(body, datagram_max(cli, target))?;
            Some(Body::Bytes(bytes))
        }
        body => body,
    };
    Ok(body)
}

fn open(path: &Path) -> Result<Body> {
    if path.as_os_str() == "-" {
        return Ok(Body::Stdin);
    }
    let name = path.display().to_string();
    let opened = File::open(path).and_then(|file| {
        if file.metadata()?.is_dir() {
            // Found now, and not by the first read when all is connected.
            return Err(std::io::ErrorKind::IsADirectory.into());
        }
        Ok(file)
    });
    match opened {
        Ok(file) => Ok(Body::File(file, name)),
        Err(e) => Err(Error::local(&e).with_subject(name)),
    }
}

/// All bytes of a message that must be in memory, up to `limit`.
fn whole(body: Body, limit: usize, too_long: &str) -> Result<Vec<u8>> {
    let bytes = match body {
        Body::Bytes(bytes) => bytes,
        Body::Stdin => return Err(Error::usage("--file - does not go with this")),
        Body::File(file, name) => {
            let mut bytes = Vec::new();
            file.take(limit as u64 + 1)
                .read_to_end(&mut bytes)
                .map_err(|e| Error::local(&e).with_subject(name))?;
            bytes
        }
    };
    if bytes.len() > limit {
        return Err(Error::new(Kind::Input, too_long));
    }
    Ok(bytes)
}

/// The most bytes of a datagram to the target; of a name it is not known yet.
fn datagram_max(cli: &Cli, target: &Target) -> usize {
    let v4 = match target {
        Target::Inet(endpoint, _) => {
            matches!(endpoint.host, Host::Address(address) if address.is_ipv4())
        }
        Target::Unix(_) | Target::Abstract(_) => false,
    };
    if v4 || cli.family.family() == Family::V4 {
        DATAGRAM_MAX
    } else {
        DATAGRAM_MAX_V6
    }
}

fn datagram(body: Body, max: usize) -> Result<Vec<u8>> {
    let too_long = format!("the message is too long for a datagram; at most {max} bytes");
    whole(body, max, &too_long)
}

fn probe(
    cli: &Cli,
    target: &Target,
    message: Option<Vec<u8>>,
    pace: Pace,
    timeout: Duration,
) -> Result<Probe> {
    let counted = "does not go with -c and -i, which verify every echo";
    refuse(cli.expect.is_some(), "--expect", counted)?;
    refuse(cli.no_verify, "--no-verify", counted)?;
    refuse(cli.half_close, "--half-close", counted)?;
    let payload = match one_message(cli, target, message)? {
        Some(body) => {
            let limit = 1 << 30;
            let bytes = whole(body, limit, "the message is longer than 1 GiB")?;
            refuse(cli.size.is_some(), "--size", "does not go with a message")?;
            if bytes.is_empty() && !cli.udp {
                return Err(Error::usage("an empty message has no echo to wait for"));
            }
            Payload::Fixed(bytes.into())
        }
        None => Payload::Made(cli.size.unwrap_or_default()),
    };
    if let Payload::Made(sizes) = &payload
        && cli.udp
        && sizes.max > datagram_max(cli, target)
    {
        let max = datagram_max(cli, target);
        return Err(Error::usage(format!("--size is at most {max} over UDP")));
    }
    Ok(Probe {
        pace,
        payload,
        reconnect: cli.reconnect,
        timeout,
        timeout_given: cli.timeout.is_some(),
    })
}

fn exchange(
    cli: &Cli,
    target: &Target,
    message: Option<Vec<u8>>,
    timeout: Duration,
) -> Result<Mode> {
    let body = one_message(cli, target, message)?;
    let expect = cli.expect.clone().map(OsStringExt::into_vec);
    let body = match (body, &expect) {
        (Some(body), _) => body,
        (None, Some(_)) => {
            refuse(cli.udp, "--expect", "needs a message over UDP")?;
            // With none of it a greeting is expected without being asked for.
            Body::Stdin
        }
        (None, None) => {
            refuse(
                cli.half_close,
                "--half-close",
                "needs a message; stdin's end is always sent",
            )?;
            return Ok(Mode::Relay {
                silence: if cli.udp { Some(timeout) } else { cli.timeout },
                any_end: cli.no_verify,
            });
        }
    };
    Ok(Mode::Message(Message {
        body,
        rule: match expect {
            Some(text) => Rule::Text(text),
            None if cli.no_verify => Rule::Anything,
            None => Rule::Echo,
        },
        half_close: cli.half_close,
        timeout,
    }))
}
