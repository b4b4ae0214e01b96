//! The command line; data only.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use common::options::{Common, FamilyArgs};
use common::{duration, size};

use crate::fault::Delay;

const AFTER: &str = "\
EVENTS
  One line an event on stdout, fields separated by a TAB:
    listening ADDR:PORT
    connected PEER
    received PEER BYTES \"TEXT\"             (with -v)
    closed PEER BYTES_IN BYTES_OUT MS REASON
  REASON is one of eof reset idle max-bytes drain fault error. A log that is
  closed, full or not read never holds up the service: events it cannot take
  are dropped and counted in the summary, which goes to stderr (with --json it
  is a record like the others).

JSON RECORDS (--json), one a line, each with \"time\"; protocol is tcp, udp, unix
  listening  address protocol
  connected  peer local protocol
  received   peer bytes data data_base64 protocol       (with -v)
  closed     peer bytes_received bytes_sent duration_ms reason protocol
  summary    connections refused bytes_received bytes_sent datagrams_received
             datagrams_sent cut events_dropped duration_ms

STARTED BY SYSTEMD
  Sockets of LISTEN_FDS are served in addition to the operands, and instead of
  the default; NOTIFY_SOCKET is told READY=1 and STOPPING=1.

SIGNALS
  SIGTERM, SIGINT  end in order: accept what is queued, stop listening, serve
                   until the peers end or --drain has passed, print the summary.
                   A second one ends at once, with status 1
  SIGUSR1          print the summary now

EXIT STATUS
  0  ended as asked, every connection served to its end
  1  connections had to be cut off
  2  could not start: usage, an address in use, no permission

EXAMPLES
  tcpecho-server                                 on port 8080, IPv4 and IPv6
  tcpecho-server 127.0.0.1:7777 unix:/tmp/echo   on these two
  tcpecho-server --reply 'Hello, Client!' :0     a fixed answer on a free port
  tcpecho-server --once --port-file port :0 &    serve one client and end
  tcpecho-server --json | jq 'select(.type == \"closed\")'
  tcpecho-server --delay 50ms:20ms --drop 0.01 --seed 7   a bad network";

/// Echo server: gives back every byte it gets (RFC 862)
///
/// Thousands of connections at once, a line on standard output for each event,
/// limits, faults on request, and an orderly end. Without ADDR:PORT it listens
/// on port 8080 of all addresses, IPv4 and IPv6.
#[derive(Parser, Debug)]
#[command(
    name = "tcpecho-server",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    after_long_help = AFTER
)]
pub(crate) struct Cli {
    /// Where to listen: ADDR:PORT, [ADDR]:PORT, NAME:PORT, :PORT or PORT,
    /// unix:PATH, unix:@NAME for an abstract socket; ADDR%IF listens on that
    /// network interface only; port 0 takes a free one; @FILE and - (standard
    /// input) are lists of these
    #[arg(value_name = "ADDR:PORT")]
    pub(crate) places: Vec<String>,

    /// Answer every received chunk with TEXT instead of itself, exactly as
    /// given
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        help_heading = "Answers"
    )]
    pub(crate) reply: Option<OsString>,

    /// Send TEXT on connect, exactly as given
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        help_heading = "Answers"
    )]
    pub(crate) greeting: Option<OsString>,

    /// Serve UDP at the same ports, too: never more bytes out than in, and no
    /// answer to source ports below 1024 or to any port of this server
    #[arg(long, help_heading = "Answers")]
    pub(crate) udp: bool,

    /// Answer at most N datagrams per second and source address outside
    /// loopback; 0 is no limit
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10_000,
        help_heading = "Answers"
    )]
    pub(crate) udp_rate: u32,

    /// Answer datagrams to broadcast and multicast addresses too, if their
    /// source is on a directly attached network
    #[arg(long, help_heading = "Answers")]
    pub(crate) broadcast: bool,

    #[command(flatten)]
    pub(crate) family: FamilyArgs,

    /// No event log and no summary
    #[arg(short, long, help_heading = "Log and readiness")]
    pub(crate) quiet: bool,

    /// Log what is received, too
    #[arg(short, long, help_heading = "Log and readiness")]
    pub(crate) verbose: bool,

    /// Write the port to FILE once listening (renamed into place)
    #[arg(long, value_name = "FILE", help_heading = "Log and readiness")]
    pub(crate) port_file: Option<PathBuf>,

    /// Write a newline to descriptor N once listening, then close it
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(i32).range(3..),
        help_heading = "Log and readiness"
    )]
    pub(crate) ready_fd: Option<i32>,

    /// Connections open at once; further ones wait in the backlog [default:
    /// what the descriptor limit allows]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Limits"
    )]
    pub(crate) max_connections: Option<u32>,

    /// Connections open at once from one address; further ones are closed
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Limits"
    )]
    pub(crate) max_per_ip: Option<u32>,

    /// Close connections with no traffic for this long; 0 disables
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5m",
        value_parser = duration::parse,
        help_heading = "Limits"
    )]
    pub(crate) idle_timeout: Duration,

    /// Echo the first SIZE bytes of a connection, then end it in order
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = nonzero_size,
        help_heading = "Limits"
    )]
    pub(crate) max_bytes: Option<u64>,

    /// Take at most SIZE bytes a second from a connection
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = nonzero_size,
        help_heading = "Limits"
    )]
    pub(crate) rate: Option<u64>,

    /// Connections that may wait to be accepted
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(1..=65_535),
        help_heading = "Limits"
    )]
    pub(crate) backlog: u32,

    /// Threads that serve connections [default: 1 with up to two processors,
    /// else one for each, at most 4]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=256),
        help_heading = "Limits"
    )]
    pub(crate) workers: Option<u16>,

    /// Serve one connection and end; datagrams of --udp do not count
    #[arg(long, conflicts_with = "count", help_heading = "End")]
    pub(crate) once: bool,

    /// Serve N connections and end; datagrams of --udp do not count
    #[arg(
        short,
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "End"
    )]
    pub(crate) count: Option<u64>,

    /// End after so long, as SIGTERM would
    #[arg(
        long = "for",
        value_name = "DURATION",
        value_parser = duration::parse_nonzero,
        help_heading = "End"
    )]
    pub(crate) lifetime: Option<Duration>,

    /// How long to wait for open connections at shutdown; during the last fifth,
    /// stop reading from clients that are not reading their replies
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5s",
        value_parser = duration::parse,
        help_heading = "End"
    )]
    pub(crate) drain: Duration,

    /// Delay each reply by DURATION plus a random 0 to JITTER
    #[arg(
        long,
        value_name = "DURATION[:JITTER]",
        value_parser = delay,
        help_heading = "Faults, for each received chunk, P from 0 to 1"
    )]
    pub(crate) delay: Option<Delay>,

    /// Do not answer, with probability P
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.0,
        hide_default_value = true,
        value_parser = probability,
        help_heading = "Faults, for each received chunk, P from 0 to 1"
    )]
    pub(crate) drop: f64,

    /// Change one byte of the answer
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.0,
        hide_default_value = true,
        value_parser = probability,
        help_heading = "Faults, for each received chunk, P from 0 to 1"
    )]
    pub(crate) corrupt: f64,

    /// Answer with the beginning only
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.0,
        hide_default_value = true,
        value_parser = probability,
        help_heading = "Faults, for each received chunk, P from 0 to 1"
    )]
    pub(crate) truncate: f64,

    /// Reset the connection
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.0,
        hide_default_value = true,
        value_parser = probability,
        help_heading = "Faults, for each received chunk, P from 0 to 1"
    )]
    pub(crate) reset: f64,

    /// Seed of the faults; the same seed gives the same faults [default: one
    /// made up and told on stderr]
    #[arg(
        long,
        value_name = "N",
        help_heading = "Faults, for each received chunk, P from 0 to 1"
    )]
    pub(crate) seed: Option<u64>,

    /// Set SO_REUSEPORT, so that several processes can share the port
    #[arg(long, help_heading = "Sockets")]
    pub(crate) reuse_port: bool,

    /// Listen on this network interface only, where an operand names none
    #[arg(short = 'I', long, value_name = "IF", help_heading = "Sockets")]
    pub(crate) interface: Option<String>,

    /// Permission bits of unix:PATH, in octal, such as 660 [default: by the
    /// umask]
    #[arg(long, value_name = "MODE", value_parser = mode, help_heading = "Sockets")]
    pub(crate) mode: Option<u32>,

    /// Serve the socket that is standard input, for inetd, xinetd and systemd:
    /// a connection, or a socket to listen at; no events, no summary
    #[arg(
        long,
        conflicts_with_all = ["places", "port_file", "ready_fd", "reuse_port", "udp"],
        help_heading = "Sockets"
    )]
    pub(crate) inetd: bool,

    #[cfg(not(feature = "tls"))]
    #[arg(long, hide = true)]
    pub(crate) cert: Option<PathBuf>,

    #[cfg(not(feature = "tls"))]
    #[arg(long, hide = true)]
    pub(crate) key: Option<PathBuf>,

    /// Speak TLS, with the certificate chain of this PEM file
    #[cfg(feature = "tls")]
    #[arg(
        long,
        value_name = "FILE",
        requires = "key",
        conflicts_with = "udp",
        help_heading = "Sockets"
    )]
    pub(crate) cert: Option<PathBuf>,

    /// The certificate's private key, PEM
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = "Sockets")]
    pub(crate) key: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) common: Common,
}

impl common::app::Cli for Cli {
    fn common(&self) -> &Common {
        &self.common
    }

    fn records() -> &'static str {
        include_str!("records.txt")
    }
}

fn nonzero_size(text: &str) -> Result<u64, String> {
    match size::parse(text)? {
        0 => Err("must be at least 1".to_owned()),
        bytes => Ok(bytes),
    }
}

fn mode(text: &str) -> Result<u32, String> {
    let octal = !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if octal && mode <= 0o777 => Ok(mode),
        _ => Err("not a mode; use octal digits, 0 to 777, as in 660".to_owned()),
    }
}

fn probability(text: &str) -> Result<f64, String> {
    // Digits and a dot: `f64` alone would take `nan` and `1e0`.
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match text.parse() {
        Ok(p) if plain && (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("not a probability; use 0 to 1, as in 0.05".to_owned()),
    }
}

fn delay(text: &str) -> Result<Delay, String> {
    let (base, jitter) = text.split_once(':').unwrap_or((text, "0"));
    Ok(Delay {
        base: duration::parse(base)?,
        jitter: duration::parse(jitter)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        assert_eq!(probability("0.25"), Ok(0.25));
        for bad in ["", ".", "1.01", "-0.1", "nan", "1e-1", "x"] {
            assert!(probability(bad).is_err(), "{bad}");
        }
        let ms = Duration::from_millis;
        let both = delay("50ms:10ms").unwrap();
        assert_eq!((both.base, both.jitter), (ms(50), ms(10)));
        assert_eq!(delay("1").unwrap().jitter, ms(0));
        assert!(delay("1:").is_err() && delay(":1").is_err());
        assert!(nonzero_size("0").is_err());
        assert_eq!((mode("660"), mode("0600")), (Ok(0o660), Ok(0o600)));
        for bad in ["", "8", "1000", "+7", "rw", "0o600"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }
}
