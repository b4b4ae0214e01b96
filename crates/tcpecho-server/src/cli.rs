//! The definition of the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use common::options::{Common, FamilyArgs};
use common::{duration, size};

use crate::fault::Delay;

const AFTER_HELP: &str = "\
Events:
  One line per event on standard output, with fields separated by TABs:
    listening ADDR:PORT
    connected PEER
    received PEER BYTES \"TEXT\"             (with -v)
    closed PEER BYTES_RECEIVED BYTES_SENT MS REASON
  REASON is one of eof reset idle max-bytes drain fault error. A log that is
  closed, full or not read never delays the service: events that cannot be
  written are dropped and counted in the summary. The summary is written to
  standard error; with --json it is the last record of the log.

JSON records:
  With --json, one record per line, each with \"time\". The protocol is tcp, udp
  or unix.
    listening  address protocol
    connected  peer local protocol
    received   peer bytes data data_base64 protocol       (with -v)
    closed     peer bytes_received bytes_sent duration_ms reason protocol
    summary    connections refused bytes_received bytes_sent datagrams_received
               datagrams_sent cut events_dropped duration_ms
    error      target kind message

Systemd:
  The sockets of LISTEN_FDS are served in addition to the operands, and instead
  of the default address. If NOTIFY_SOCKET is set, the server sends READY=1 and
  STOPPING=1.

Exit status:
  0  shut down; every connection was served to its end
  1  connections were cut off
  2  local error: usage error, address in use, no permission
  3  no answer: a host name could not be resolved

Signals:
  SIGTERM, SIGINT  shut down: accept queued connections, stop listening, serve
                   until all peers have closed or --drain expires, print the
                   summary. A second signal ends the server immediately, with
                   status 1
  SIGUSR1          print the summary now

Examples:
  tcpecho-server                                 listen on port 8080
  tcpecho-server 127.0.0.1:7777 unix:/tmp/echo   listen on both
  tcpecho-server --reply 'Hello, Client!' :0     send a fixed reply
  tcpecho-server --once --port-file port :0 &    serve one connection, then exit
  tcpecho-server --json | jq 'select(.type == \"closed\")'
  tcpecho-server --delay 50ms:20ms --drop 0.01 --seed 7   simulate a bad network";

/// Send back every received byte (RFC 862)
///
/// Serves thousands of connections at the same time, logs events to standard
/// output, enforces limits, injects faults on request, and shuts down without
/// losing bytes. Without ADDR:PORT it listens on port 8080 of all addresses, IPv4
/// and IPv6.
#[derive(Parser, Debug)]
#[command(
    name = "tcpecho-server",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    after_long_help = AFTER_HELP
)]
pub(crate) struct Cli {
    /// Addresses to listen on: ADDR:PORT, [ADDR]:PORT, NAME:PORT, :PORT, unix:PATH
    /// or unix:@NAME
    ///
    /// PORT, :PORT and *:PORT listen on all addresses, ADDR%IFACE:PORT on one
    /// network interface only. Port 0 selects a free port. unix:@NAME is an abstract
    /// socket. @FILE and - (standard input) are lists of such addresses.
    #[arg(value_name = "ADDR:PORT")]
    pub(crate) addrs: Vec<String>,

    /// Reply to every received chunk with TEXT instead of the chunk
    ///
    /// Escapes are not interpreted, and no newline is added.
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        help_heading = "Replies"
    )]
    pub(crate) reply: Option<OsString>,

    /// Send TEXT to every client that connects
    ///
    /// Escapes are not interpreted, and no newline is added.
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        help_heading = "Replies"
    )]
    pub(crate) greeting: Option<OsString>,

    /// Also serve UDP on the same ports
    ///
    /// A reply is never longer than the datagram. Datagrams from source ports below
    /// 1024, or from any port of this server, get no reply.
    #[arg(long, help_heading = "Replies")]
    pub(crate) udp: bool,

    /// Reply to at most N datagrams per second from each address; 0 for no limit
    ///
    /// Loopback addresses have no limit.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10_000,
        help_heading = "Replies"
    )]
    pub(crate) udp_rate: u32,

    /// Also reply to datagrams sent to broadcast and multicast addresses
    ///
    /// The source must be on a directly attached network.
    #[arg(long, help_heading = "Replies")]
    pub(crate) broadcast: bool,

    #[command(flatten)]
    pub(crate) family: FamilyArgs,

    /// Print neither the event log nor the summary
    #[arg(short, long, help_heading = "Log and readiness")]
    pub(crate) quiet: bool,

    /// Also log the received data
    #[arg(short, long, help_heading = "Log and readiness")]
    pub(crate) verbose: bool,

    /// Write the port to FILE when the server is ready
    ///
    /// The file is renamed into place, so it is never seen incomplete.
    #[arg(long, value_name = "FILE", help_heading = "Log and readiness")]
    pub(crate) port_file: Option<PathBuf>,

    /// Write a newline to file descriptor N when the server is ready
    ///
    /// The descriptor is closed afterwards.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(i32).range(3..),
        help_heading = "Log and readiness"
    )]
    pub(crate) ready_fd: Option<i32>,

    /// Serve at most N connections at the same time [default: as the file
    /// descriptor limit allows]
    ///
    /// Further clients wait in the backlog.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Limits"
    )]
    pub(crate) max_connections: Option<u32>,

    /// Serve at most N connections from one IP address at the same time
    ///
    /// Further connections are closed immediately.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Limits"
    )]
    pub(crate) max_per_ip: Option<u32>,

    /// Close connections with no traffic for this long; 0 for no limit
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5m",
        value_parser = duration::parse,
        help_heading = "Limits"
    )]
    pub(crate) idle_timeout: Duration,

    /// End each connection after BYTES bytes, without a reset
    #[arg(
        long,
        value_name = "BYTES",
        value_parser = nonzero_size,
        help_heading = "Limits"
    )]
    pub(crate) max_bytes: Option<u64>,

    /// Read at most BYTES bytes per second from each connection
    #[arg(
        long,
        value_name = "BYTES",
        value_parser = nonzero_size,
        help_heading = "Limits"
    )]
    pub(crate) rate: Option<u64>,

    /// Let at most N connections wait to be accepted
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(1..=65_535),
        help_heading = "Limits"
    )]
    pub(crate) backlog: u32,

    /// Serve connections with N threads [default: one per CPU, at most 4; 1 on two
    /// CPUs or fewer]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=256),
        help_heading = "Limits"
    )]
    pub(crate) workers: Option<u16>,

    /// Exit after one connection; datagrams do not count
    #[arg(long, conflicts_with = "count", help_heading = "Shutdown")]
    pub(crate) once: bool,

    /// Exit after N connections; datagrams do not count
    #[arg(
        short,
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "Shutdown"
    )]
    pub(crate) count: Option<u64>,

    /// Shut down after DURATION, as on SIGTERM
    #[arg(
        long = "for",
        value_name = "DURATION",
        value_parser = duration::parse_nonzero,
        help_heading = "Shutdown"
    )]
    pub(crate) run_time: Option<Duration>,

    /// Wait at most DURATION for open connections at shutdown
    ///
    /// In the last fifth of this time, the server stops reading from clients that do not read
    /// their replies, so that they receive everything that was echoed.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5s",
        value_parser = duration::parse,
        help_heading = "Shutdown"
    )]
    pub(crate) drain: Duration,

    /// Delay each reply by DURATION plus a random 0 to JITTER
    #[arg(
        long,
        value_name = "DURATION[:JITTER]",
        value_parser = delay,
        help_heading = "Faults"
    )]
    pub(crate) delay: Option<Delay>,

    /// Send no reply, with probability P (0 to 1) per received chunk
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.0,
        hide_default_value = true,
        value_parser = probability,
        help_heading = "Faults"
    )]
    pub(crate) drop: f64,

    /// Change one byte of the reply, with probability P (0 to 1)
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.0,
        hide_default_value = true,
        value_parser = probability,
        help_heading = "Faults"
    )]
    pub(crate) corrupt: f64,

    /// Send only the beginning of the reply, with probability P (0 to 1)
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.0,
        hide_default_value = true,
        value_parser = probability,
        help_heading = "Faults"
    )]
    pub(crate) truncate: f64,

    /// Reset the connection, with probability P (0 to 1)
    #[arg(
        long,
        value_name = "P",
        default_value_t = 0.0,
        hide_default_value = true,
        value_parser = probability,
        help_heading = "Faults"
    )]
    pub(crate) reset: f64,

    /// Seed of the random faults, to reproduce them [default: a random seed,
    /// printed on standard error]
    #[arg(long, value_name = "N", help_heading = "Faults")]
    pub(crate) seed: Option<u64>,

    /// Set SO_REUSEPORT, so that several processes can share the port
    #[arg(long, help_heading = "Sockets")]
    pub(crate) reuse_port: bool,

    /// Listen only on this network interface, unless an operand names another
    #[arg(short = 'I', long, value_name = "IFACE", help_heading = "Sockets")]
    pub(crate) interface: Option<String>,

    /// Set the permission bits of unix:PATH, in octal, such as 660 [default: from
    /// the umask]
    #[arg(long, value_name = "MODE", value_parser = mode, help_heading = "Sockets")]
    pub(crate) mode: Option<u32>,

    /// Serve the socket passed as standard input by inetd, xinetd or systemd
    ///
    /// The socket is either a connection or a listening socket. Nothing is logged.
    #[arg(
        long,
        conflicts_with_all = ["addrs", "port_file", "ready_fd", "reuse_port", "udp"],
        help_heading = "Sockets"
    )]
    pub(crate) inetd: bool,

    /// Use TLS with the certificate chain in this PEM file
    #[arg(
        long,
        value_name = "FILE",
        requires = "key",
        conflicts_with = "udp",
        hide = !cfg!(feature = "tls"),
        help_heading = "TLS"
    )]
    pub(crate) cert: Option<PathBuf>,

    /// Read the private key of the certificate from this PEM file
    #[arg(
        long,
        value_name = "FILE",
        requires = "cert",
        hide = !cfg!(feature = "tls"),
        help_heading = "TLS"
    )]
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

    /// Returns hints for options of the servers that are part of nc and ncat.
    fn foreign_option_hint(option: &str) -> Option<&'static str> {
        Some(match option {
            "-l" | "--listen" => "this program always listens, on ADDR:PORT",
            "-p" | "-s" => "write the address and port as one operand, ADDR:PORT",
            "-k" | "--keep-open" => "any number of clients is served unless --once is given",
            "-m" | "--max-conns" => "use --max-connections N",
            "-i" | "-w" => "use --idle-timeout DURATION",
            "-u" => "use --udp, which serves UDP in addition to TCP",
            "-U" | "--unixsock" => "listen on unix:PATH",
            "-e" | "--exec" | "--sh-exec" => "no program is run; --reply TEXT sets the reply",
            "--ssl" | "--tls" => "use --cert FILE and --key FILE",
            _ => return None,
        })
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
        _ => Err("must be octal digits from 0 to 777, such as 660".to_owned()),
    }
}

fn probability(text: &str) -> Result<f64, String> {
    // Only digits and dots, because `f64` also parses `nan` and `1e0`.
    let is_decimal = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match text.parse() {
        Ok(p) if is_decimal && (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("must be from 0 to 1, such as 0.05".to_owned()),
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
    fn values_are_checked() {
        assert_eq!(probability("0.25"), Ok(0.25));
        for bad in ["", ".", "1.01", "-0.1", "nan", "1e-1", "x"] {
            assert!(probability(bad).is_err(), "{bad}");
        }
        let ms = Duration::from_millis;
        let with_jitter = delay("50ms:10ms").unwrap();
        assert_eq!((with_jitter.base, with_jitter.jitter), (ms(50), ms(10)));
        assert_eq!(delay("1").unwrap().jitter, ms(0));
        assert!(delay("1:").is_err() && delay(":1").is_err());
        assert!(nonzero_size("0").is_err());
        assert_eq!((mode("660"), mode("0600")), (Ok(0o660), Ok(0o600)));
        for bad in ["", "8", "1000", "+7", "rw", "0o600"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }
}
