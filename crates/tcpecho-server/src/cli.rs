//! The definition of the command line. Groups of options have their own files.

mod faults;
mod limits;
mod sockets;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use common::options::{Common, FamilyArgs};

pub(crate) use faults::FaultArgs;
pub(crate) use limits::{LimitArgs, ShutdownArgs};
pub(crate) use sockets::{SocketArgs, TlsArgs};

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
    /// [default: 10000]
    ///
    /// Loopback addresses have no limit.
    #[arg(long, value_name = "N", help_heading = "Replies")]
    pub(crate) udp_rate: Option<u32>,

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

    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) limits: LimitArgs,

    #[command(flatten, next_help_heading = "Shutdown")]
    pub(crate) shutdown: ShutdownArgs,

    #[command(flatten, next_help_heading = "Faults")]
    pub(crate) faults: FaultArgs,

    #[command(flatten, next_help_heading = "Sockets")]
    pub(crate) sockets: SocketArgs,

    #[command(flatten, next_help_heading = "TLS")]
    pub(crate) tls: TlsArgs,

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

    fn environment() -> &'static str {
        include_str!("environment.txt")
    }

    /// Returns hints for options of the servers that are part of nc and ncat.
    fn unsupported_option_hint(_command: Option<&str>, option: &str) -> Option<&'static str> {
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
