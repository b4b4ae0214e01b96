//! What a run does, resolved from the command line: where options interact
//! and defaults depend on the machine, it is decided here.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use common::endpoint::{self, Endpoint, Host};
use common::{Error, Io, Kind, Result, zone};

use crate::cli::Cli;
use crate::fault::Faults;
use crate::listen::{self, Place};
use crate::machine::{Rules, TAIL_MAX};
use crate::output::Format;

/// The port without an operand.
const DEFAULT_PORT: u16 = 8080;

/// The most workers nobody asked for.
const MAX_DEFAULT_WORKERS: usize = 4;

/// A run.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where to listen, with the operands as typed; none for the default.
    pub(crate) places: Vec<(String, Place)>,
    /// Serve the socket that is standard input.
    pub(crate) inetd: bool,
    /// How to listen.
    pub(crate) listen: listen::Options,
    /// How connections behave.
    pub(crate) rules: Rules,
    /// Connections open at once, if asked for.
    pub(crate) max_connections: Option<usize>,
    /// The same for each address.
    pub(crate) max_per_ip: Option<u32>,
    /// Whether datagrams to broadcast and multicast addresses are answered.
    pub(crate) broadcast: bool,
    /// Datagrams answered per second and source outside loopback; 0 is no limit.
    pub(crate) udp_rate: u32,
    /// Connections accepted in all.
    pub(crate) count: Option<u64>,
    /// How long to serve.
    pub(crate) lifetime: Option<Duration>,
    /// How long peers may take at the end.
    pub(crate) drain: Duration,
    /// Threads that serve, 1 or more.
    pub(crate) workers: usize,
    /// The form of the log; `None` for silence.
    pub(crate) log: Option<Format>,
    /// Whether to log what is received.
    pub(crate) verbose: bool,
    /// Where to write the port.
    pub(crate) port_file: Option<PathBuf>,
    /// Certificate and key, with TLS.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::Settings>,
    /// A seed nobody asked for, to be told.
    pub(crate) made_up_seed: Option<u64>,
}

impl Config {
    /// Resolves a command line; bad operands are reported to `io`, all of
    /// them, and make the error.
    pub(crate) fn resolve(cli: Cli, io: &mut Io) -> Result<Self> {
        #[cfg(not(feature = "tls"))]
        if cli.cert.is_some() || cli.key.is_some() {
            return Err(Error::usage(
                "TLS is not in this build, which was made with '--no-default-features'",
            ));
        }
        let places = places(&cli.places, io)?;
        let reply = cli.reply.map(|text| answer("--reply", text)).transpose()?;
        let greeting = cli.greeting.map(|text| answer("--greeting", text));
        let faults = Faults {
            delay: cli.delay,
            drop: cli.drop,
            corrupt: cli.corrupt,
            truncate: cli.truncate,
            reset: cli.reset,
            seed: cli.seed.unwrap_or_else(some_seed),
        };
        let faults = faults.any().then_some(faults);
        let made_up_seed = match (&faults, cli.seed) {
            (Some(faults), None) => Some(faults.seed),
            _ => None,
        };
        if cli.port_file.is_some()
            && !places.is_empty()
            && !places.iter().any(|(_, p)| matches!(p, Place::Inet(..)))
        {
            return Err(Error::usage("--port-file needs an address with a port"));
        }
        if cli.mode.is_some() && !places.iter().any(|(_, p)| matches!(p, Place::Unix(_))) {
            return Err(Error::usage("--mode needs a unix:PATH to listen at"));
        }
        Ok(Self {
            places,
            inetd: cli.inetd,
            listen: listen::Options {
                family: cli.family.family(),
                backlog: i32::try_from(cli.backlog).unwrap_or(i32::MAX),
                reuse_port: cli.reuse_port,
                udp: cli.udp,
                mode: cli.mode,
                interface: cli.interface,
            },
            rules: Rules {
                greeting: greeting.transpose()?.unwrap_or_default(),
                reply,
                max_bytes: cli.max_bytes,
                idle: (!cli.idle_timeout.is_zero()).then_some(cli.idle_timeout),
                rate: cli.rate,
                faults,
            },
            max_connections: cli.max_connections.map(|n| n as usize),
            max_per_ip: cli.max_per_ip,
            broadcast: cli.broadcast,
            udp_rate: cli.udp_rate,
            count: if cli.once { Some(1) } else { cli.count },
            lifetime: cli.lifetime,
            drain: cli.drain,
            workers: cli.workers.map_or_else(default_workers, usize::from),
            log: match (cli.quiet || cli.inetd, cli.common.json) {
                (true, _) => None,
                (false, true) => Some(Format::Json),
                (false, false) => Some(Format::Text),
            },
            verbose: cli.verbose,
            port_file: cli.port_file,
            #[cfg(feature = "tls")]
            tls: match (&cli.cert, &cli.key) {
                (Some(cert), Some(key)) => Some(crate::tls::settings(cert, key)?),
                _ => None,
            },
            made_up_seed,
        })
    }
}

/// Where to listen when nothing else is asked for: all addresses at the
/// default port.
pub(crate) fn default_place() -> (String, Place) {
    let all = Endpoint {
        host: Host::Any,
        port: DEFAULT_PORT,
    };
    (format!("[::]:{DEFAULT_PORT}"), Place::Inet(all, None))
}

/// The operands, if there are any.
fn places(args: &[String], io: &mut Io) -> Result<Vec<(String, Place)>> {
    if args.is_empty() {
        return Ok(Vec::new());
    }
    let mut places = Vec::new();
    let mut last = None;
    for operand in io.operands(args, "ADDR:PORT")?.with_files() {
        let parsed = operand.and_then(|operand| {
            let place = place(&operand.text)
                .map_err(|message| operand.error(Error::input(&operand.text, message)))?;
            Ok((operand.text, place))
        });
        match parsed {
            Ok(place) => places.push(place),
            // A server that serves only some of what was asked would be a
            // surprise; but all mistakes are told at once.
            Err(error) => {
                if let Some(earlier) = last.replace(error) {
                    io.fail(&earlier)?;
                }
            }
        }
    }
    match last {
        Some(error) => Err(error),
        None if places.is_empty() => Err(Error::new(Kind::Missing, "the list is empty")),
        None => Ok(places),
    }
}

fn place(text: &str) -> Result<Place, String> {
    match text.strip_prefix("unix:") {
        Some("" | "@") => Err("no path; use unix:PATH or unix:@NAME".to_owned()),
        Some(name) if name.starts_with('@') => Ok(Place::Abstract(name[1..].to_owned())),
        Some(path) => Ok(Place::Unix(PathBuf::from(path))),
        None => inet(text),
    }
}

/// `ADDR:PORT` in all its forms, perhaps with `%IFACE` after the address.
fn inet(text: &str) -> Result<Place, String> {
    if text.contains("://") {
        return Err("this is a URL; give ADDR:PORT".to_owned());
    }
    let all = |port| Endpoint {
        host: Host::Any,
        port,
    };
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return endpoint::parse_port(text).map(|port| Place::Inet(all(port), None));
    }
    let (plain, interface) = zone::split(text);
    if interface == Some("") {
        return Err("an interface is missing after %".to_owned());
    }
    let endpoint = match plain.strip_prefix("*:") {
        Some(port) => all(endpoint::parse_port(port)?),
        None => endpoint::parse(&plain)?,
    };
    if let Host::Name(name) = &endpoint.host {
        zone::to_ascii(name)?;
    }
    Ok(Place::Inet(endpoint, interface.map(str::to_owned)))
}

/// The bytes of an answer, which must fit into one chunk.
fn answer(option: &str, text: OsString) -> Result<Vec<u8>> {
    let bytes = text.into_vec();
    if bytes.len() > TAIL_MAX {
        return Err(Error::usage(format!(
            "{option} is too long: {} bytes; at most {TAIL_MAX}",
            bytes.len()
        )));
    }
    Ok(bytes)
}

/// One worker leaves the second processor to the kernel and the client; more
/// than a few find nothing to do, since the kernel is what takes the time.
fn default_workers() -> usize {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        0..=2 => 1,
        n => n.min(MAX_DEFAULT_WORKERS),
    }
}

fn some_seed() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::from(now.subsec_nanos()) << 10 ^ now.as_secs() ^ u64::from(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_all_forms() {
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
            let Ok(Place::Inet(endpoint, found)) = place(text) else {
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
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
