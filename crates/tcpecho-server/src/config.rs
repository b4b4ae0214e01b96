//! The configuration of a run, resolved from the command line. Interactions
//! between options, and defaults that depend on the machine, are decided here.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use common::endpoint::{self, Endpoint, Host};
use common::{Error, Io, Kind, Result, zone};

use crate::cli::Cli;
use crate::fault::Faults;
use crate::listen::{self, ListenAddr};
use crate::machine::{MAX_SEND_BUFFER, Rules};
use crate::output::Format;
use crate::tls::TlsConfig;

mod conflicts;

/// The port if no operand is given.
const DEFAULT_PORT: u16 = 8080;

/// The default for `--udp-rate`.
const UDP_RATE: u32 = 10_000;

/// The largest default for `--workers`.
const MAX_DEFAULT_WORKERS: usize = 4;

/// The configuration of a run.
#[derive(Debug)]
pub(crate) struct Config {
    /// The operands as given, with the addresses they mean. Empty for the
    /// default address or inherited sockets.
    pub(crate) addrs: Vec<(String, ListenAddr)>,
    /// Whether to serve the socket that is standard input.
    pub(crate) inetd: bool,
    /// The options of listening sockets.
    pub(crate) listen: listen::ListenOptions,
    /// The rules that connections follow.
    pub(crate) rules: Rules,
    /// The maximum number of connections that are open at the same time, if
    /// given.
    pub(crate) max_connections: Option<usize>,
    /// The maximum number of open connections per IP address, if given.
    pub(crate) max_per_ip: Option<u32>,
    /// Whether datagrams to broadcast and multicast addresses get replies.
    pub(crate) broadcast: bool,
    /// The replies to datagrams per second and source outside loopback; 0
    /// disables the limit.
    pub(crate) udp_rate: u32,
    /// The number of connections after which the server ends.
    pub(crate) count: Option<u64>,
    /// How long the server runs.
    pub(crate) run_time: Option<Duration>,
    /// How long open connections may take to finish when the server ends.
    pub(crate) drain: Duration,
    /// The number of workers, at least 1.
    pub(crate) workers: usize,
    /// The format of the log, or `None` for no log.
    pub(crate) log: Option<Format>,
    /// Whether received bytes are logged.
    pub(crate) verbose: bool,
    /// The file to write the port to.
    pub(crate) port_file: Option<PathBuf>,
    /// The certificate and key, with TLS.
    pub(crate) tls: Option<TlsConfig>,
    /// The seed of the faults, if it was not given and must be reported.
    pub(crate) generated_seed: Option<u64>,
}

impl Config {
    /// Resolves a command line. If several operands are invalid, all but the
    /// last error are reported to `io`, and the last one is returned.
    pub(crate) fn resolve(cli: Cli, io: &mut Io) -> Result<Self> {
        let addrs = parse_operands(&cli.addrs, io)?;
        // An inherited socket may be for datagrams.
        let inherits = cli.sockets.inetd || io.env("LISTEN_FDS").is_some();
        conflicts::check(&cli, &addrs, inherits)?;
        let reply = cli.reply.map(|text| reply_bytes("--reply", text));
        let greeting = cli.greeting.map(|text| reply_bytes("--greeting", text));
        let faults = Faults {
            delay: cli.faults.delay,
            drop: cli.faults.drop.unwrap_or(0.0),
            corrupt: cli.faults.corrupt.unwrap_or(0.0),
            truncate: cli.faults.truncate.unwrap_or(0.0),
            reset: cli.faults.reset.unwrap_or(0.0),
            seed: cli.faults.seed.unwrap_or_else(generate_seed),
        };
        let faults = faults.any_enabled().then_some(faults);
        let generated_seed = match (&faults, cli.faults.seed) {
            (Some(faults), None) => Some(faults.seed),
            _ => None,
        };
        Ok(Self {
            addrs,
            inetd: cli.sockets.inetd,
            listen: listen::ListenOptions {
                family: cli.family.family(),
                backlog: i32::try_from(cli.limits.backlog).unwrap_or(i32::MAX),
                reuse_port: cli.sockets.reuse_port,
                udp: cli.udp,
                mode: cli.sockets.mode,
                interface: cli.sockets.interface,
            },
            rules: Rules {
                greeting: greeting.transpose()?.unwrap_or_default(),
                reply: reply.transpose()?,
                max_bytes: cli.limits.max_bytes,
                idle_timeout: (!cli.limits.idle_timeout.is_zero())
                    .then_some(cli.limits.idle_timeout),
                rate: cli.limits.rate,
                faults,
            },
            max_connections: cli.limits.max_connections.map(|n| n as usize),
            max_per_ip: cli.limits.max_per_ip,
            broadcast: cli.broadcast,
            udp_rate: cli.udp_rate.unwrap_or(UDP_RATE),
            count: if cli.shutdown.once {
                Some(1)
            } else {
                cli.shutdown.count
            },
            run_time: cli.shutdown.run_time,
            drain: cli.shutdown.drain,
            workers: cli.limits.workers.map_or_else(default_workers, usize::from),
            log: match (cli.quiet || cli.sockets.inetd, cli.common.json) {
                (true, _) => None,
                (false, true) => Some(Format::Json),
                (false, false) => Some(Format::Text),
            },
            verbose: cli.verbose,
            port_file: cli.port_file,
            tls: match (&cli.tls.cert, &cli.tls.key) {
                (Some(cert), Some(key)) => Some(TlsConfig::load(cert, key)?),
                // The command line requires both or none.
                _ => None,
            },
            generated_seed,
        })
    }
}

/// Returns the address to listen on if neither operands nor inherited sockets
/// are given.
pub(crate) fn default_addr() -> (String, ListenAddr) {
    (
        format!("[::]:{DEFAULT_PORT}"),
        ListenAddr::Inet(any_host(DEFAULT_PORT), None),
    )
}

fn any_host(port: u16) -> Endpoint {
    Endpoint {
        host: Host::Any,
        port,
    }
}

/// Parses the operands and the lists that they name.
fn parse_operands(args: &[String], io: &mut Io) -> Result<Vec<(String, ListenAddr)>> {
    if args.is_empty() {
        return Ok(Vec::new());
    }
    let mut addrs = Vec::new();
    let mut last_error = None;
    for operand in io.operands(args, "ADDR:PORT")?.with_files() {
        let parsed = operand.and_then(|operand| {
            let addr = parse_addr(&operand.text)
                .map_err(|message| operand.error(Error::input(&operand.text, message)))?;
            Ok((operand.text, addr))
        });
        match parsed {
            Ok(addr) => addrs.push(addr),
            // A server on only some of the addresses would be a surprise, so
            // any error ends the run, after all errors have been reported.
            Err(error) => {
                if let Some(earlier) = last_error.replace(error) {
                    io.fail(&earlier)?;
                }
            }
        }
    }
    match last_error {
        Some(error) => Err(error),
        None if addrs.is_empty() => Err(Error::new(Kind::Missing, "the list is empty")),
        None => Ok(addrs),
    }
}

/// Parses an operand; see the help for its forms.
fn parse_addr(text: &str) -> Result<ListenAddr, String> {
    if text.trim().is_empty() {
        return Err("the address is empty; use ADDR:PORT or PORT".to_owned());
    }
    match text.strip_prefix("unix:") {
        Some("" | "@") => Err("missing path; use unix:PATH or unix:@NAME".to_owned()),
        Some(name) if name.starts_with('@') => Ok(ListenAddr::Abstract(name[1..].to_owned())),
        Some(path) => Ok(ListenAddr::Unix(PathBuf::from(path))),
        None => parse_inet(text),
    }
}

/// Parses `ADDR:PORT` in all its forms, optionally with `%IFACE` after the address.
fn parse_inet(text: &str) -> Result<ListenAddr, String> {
    if text.contains("://") {
        return Err("this is a URL; use ADDR:PORT".to_owned());
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return endpoint::parse_port(text).map(|port| ListenAddr::Inet(any_host(port), None));
    }
    let (without_zone, interface) = zone::split(text);
    if interface == Some("") {
        return Err("missing interface after '%'".to_owned());
    }
    let endpoint = match without_zone.strip_prefix("*:") {
        Some(port) => any_host(endpoint::parse_port(port)?),
        None => endpoint::parse(&without_zone)?,
    };
    if let Host::Name(name) = &endpoint.host {
        zone::to_ascii(name)?;
    }
    Ok(ListenAddr::Inet(endpoint, interface.map(str::to_owned)))
}

/// Returns the bytes of `--reply` or `--greeting`, which must fit into the send
/// buffer.
fn reply_bytes(option: &str, text: OsString) -> Result<Vec<u8>> {
    let bytes = text.into_vec();
    if bytes.len() > MAX_SEND_BUFFER {
        return Err(Error::usage(format!(
            "the text of {option} is too long: {} bytes; at most {MAX_SEND_BUFFER} are allowed",
            bytes.len()
        )));
    }
    Ok(bytes)
}

/// Returns the default for `--workers`. One worker leaves the second processor
/// to the kernel and the clients. More than a few find nothing to do, because
/// most of the time is spent in the kernel.
fn default_workers() -> usize {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        0..=2 => 1,
        n => n.min(MAX_DEFAULT_WORKERS),
    }
}

fn generate_seed() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::from(now.subsec_nanos()) << 10 ^ now.as_secs() ^ u64::from(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_parsed_in_all_forms() {
        for (text, host, port, interface) in [
            ("8080", "", 8080, None),
            (":8080", "", 8080, None),
            ("*:8080", "", 8080, None),
            ("*%eth0:8080", "", 8080, Some("eth0")),
            ("%eth0:8080", "", 8080, Some("eth0")),
            ("127.0.0.1%lo:7", "127.0.0.1", 7, Some("lo")),
            ("[fe80::1%eth0]:7", "[fe80::1]", 7, Some("eth0")),
            ("[::]%eth0:7", "[::]", 7, Some("eth0")),
            ("localhost:0", "localhost", 0, None),
        ] {
            let Ok(ListenAddr::Inet(endpoint, found)) = parse_addr(text) else {
                panic!("{text}");
            };
            assert_eq!(endpoint.to_string(), format!("{host}:{port}"), "{text}");
            assert_eq!(found.as_deref(), interface, "{text}");
        }
        for bad in [
            "",
            "65536",
            "tcp://127.0.0.1:7",
            "*",
            "*:",
            "%:80",
            "[fe80::1%]:7",
            "x",
        ] {
            assert!(parse_addr(bad).is_err(), "{bad}");
        }
    }
}
