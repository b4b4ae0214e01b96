//! The command line; data only. What the options mean together is decided in
//! [`crate::config`].

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};
use common::options::{Common, FamilyArgs};
use common::zone;

use crate::message::{self, Sizes};

const EXAMPLES: &str = "\
EXAMPLES
  Send a message; the echo is printed and must be the same:
      tcpecho-client localhost:8080 'Hello, Server!'

  Expect another answer:
      tcpecho-client localhost:8080 'Hello, Server!' --expect 'Hello, Client!'

  Everything from a file there and back, as nc does:
      tcpecho-client localhost 8080 < file | cmp - file

  Wait until a port is open, then go on:
      tcpecho-client --connect-only --retry 60 localhost:8080 && ./start

  Five echoes, half a second apart, and their times:
      tcpecho-client -c 5 -i 0.5 localhost:8080

  How long does the handshake take?
      tcpecho-client --connect-only -c 5 --json localhost:8080

  Load of 50 connections for 10 seconds, then at 20,000 messages a second:
      tcpecho-client --bench --connections 50 localhost:8080
      tcpecho-client --bench --connections 50 --rate 20000 localhost:8080

JSON RECORDS (--json), one a line, each with \"time\"; what is unknown is null
  exchange  target address bytes_sent bytes_received ok corrupt offset data
            data_base64 truncated connect_ms tls_ms duration_ms
  received  bytes data data_base64
  reply     seq bytes rtt_ms reordered duplicate corrupt offset; late: the same
  timeout   seq
  stray     bytes
  connect   target address seq connect_ms tls_ms
  interval  elapsed_ms duration_ms connections messages bytes corrupt errors
            messages_per_second bytes_per_second connections_per_second p50_ms
            p90_ms p99_ms max_ms, all of that interval alone
  summary   target address sent received lost in_flight loss_percent corrupt
            duplicates reordered strays jitter_ms min_ms avg_ms p50_ms p90_ms
            p99_ms max_ms interval_ms duration_ms
  summary   (--bench) target address connections messages bytes corrupt errors
            duration_ms messages_per_second bytes_per_second
            connections_per_second min_ms avg_ms p50_ms p90_ms p99_ms p999_ms
            p9999_ms max_ms send_late_p99_ms send_late_max_ms tcp_rtt_ms
            tcp_retransmits
  error     target kind message address seq

EXIT STATUS
  0  what was sent came back; the port is open; every echo came back right
  1  the reply differs or was cut short; with --connect-only no
     connection could be made; with -c and --bench an echo was lost or differed
  2  a usage error, or a fault of this machine, such as a unix: path with no
     socket (with --connect-only that is 1)
  3  no answer could be had: no such name, refused, reset, timeout";

/// Send bytes to an echo server and verify what comes back
///
/// With MESSAGE, --file or --hex the message is sent and what comes back is
/// printed as it is; it must equal what was sent. Without one, stdin goes to
/// the peer and what the peer sends goes to stdout, both at once, until both
/// have ended.
#[derive(Parser, Debug)]
#[command(
    name = "tcpecho-client",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    after_long_help = EXAMPLES,
    override_usage = "tcpecho-client [OPTIONS] HOST:PORT [MESSAGE]\n       \
                      tcpecho-client [OPTIONS] HOST PORT [MESSAGE]\n       \
                      tcpecho-client [OPTIONS] unix:PATH|unix:@NAME [MESSAGE]"
)]
pub(crate) struct Cli {
    /// HOST:PORT, [V6]:PORT, [V6%IF]:PORT, :PORT for this machine, HOST PORT,
    /// unix:PATH, or unix:@NAME for an abstract socket; then the message
    #[arg(value_name = "HOST:PORT [MESSAGE]", required = true, num_args = 1..=3)]
    pub(crate) operands: Vec<OsString>,

    /// Send this file's bytes; `-` is stdin
    #[arg(short, long, value_name = "FILE", help_heading = "Message")]
    pub(crate) file: Option<PathBuf>,

    /// Send these bytes, two hexadecimal digits each; blanks and colons may
    /// separate them
    #[arg(long, value_name = "HEX", value_parser = message::Hex::parse, help_heading = "Message")]
    pub(crate) hex: Option<message::Hex>,

    /// Expect this reply instead of the same bytes; without a message stdin
    /// is sent
    #[arg(long, value_name = "TEXT", help_heading = "Message")]
    pub(crate) expect: Option<OsString>,

    /// Print until the peer closes or the time is up; any reply will do
    #[arg(long, conflicts_with = "expect", help_heading = "Message")]
    pub(crate) no_verify: bool,

    /// Shut down the sending side after the message (half-close), for servers
    /// that reply only at the end of input; always done at the end of stdin
    #[arg(short = 'N', long, help_heading = "Message")]
    pub(crate) half_close: bool,

    /// Send N messages, one every interval, and time each echo
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Echo by echo")]
    pub(crate) count: Option<u64>,

    /// Time between two messages; without -c until interrupted; 0 sends the
    /// next as soon as the last came back [default: 1s]
    #[arg(short, long, value_name = "DURATION", value_parser = common::duration::parse, help_heading = "Echo by echo")]
    pub(crate) interval: Option<Duration>,

    /// Bytes of each message where none is given; N:M for sizes between the
    /// two [default: 64]
    #[arg(long, value_name = "N[:M]", value_parser = Sizes::parse, help_heading = "Echo by echo")]
    pub(crate) size: Option<Sizes>,

    /// A new connection for every message
    #[arg(long, help_heading = "Echo by echo")]
    pub(crate) reconnect: bool,

    #[command(flatten, next_help_heading = "Load")]
    pub(crate) load: Load,

    /// Only connect, and print how long it took; no connection is status 1
    #[arg(long, help_heading = "Connection")]
    pub(crate) connect_only: bool,

    /// Bounds the connect and the exchange; with -c each echo; with stdin the
    /// connect and, if given, every silence [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = common::duration::parse_nonzero, help_heading = "Connection")]
    pub(crate) timeout: Option<Duration>,

    /// Try up to N times more to connect; with a message, until its reply is right
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        help_heading = "Connection"
    )]
    pub(crate) retry: u32,

    /// Time between two tries
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = common::duration::parse, help_heading = "Connection")]
    pub(crate) retry_delay: Duration,

    /// Datagrams instead of a stream; with stdin, each read is sent as one
    /// datagram of at most 65507 bytes
    #[arg(short, long, help_heading = "Connection")]
    pub(crate) udp: bool,

    /// Connect from this address of this machine; ADDR%IF for a link-local one
    #[arg(short, long, value_name = "ADDR", value_parser = parse_source, help_heading = "Connection")]
    pub(crate) source: Option<SocketAddr>,

    /// Connect through this network interface
    #[arg(short = 'I', long, value_name = "IF", help_heading = "Connection")]
    pub(crate) interface: Option<String>,

    /// TLS over the connection
    #[cfg(not(feature = "tls"))]
    #[arg(long, hide = true)]
    pub(crate) tls: bool,

    #[cfg(feature = "tls")]
    #[command(flatten, next_help_heading = "TLS")]
    pub(crate) tls: Tls,

    #[command(flatten, next_help_heading = "Connection")]
    pub(crate) family: FamilyArgs,

    /// Print the summary only; in an exchange print nothing
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Print on stderr the address connected to and the bytes sent and received
    #[arg(short, long, help_heading = "Output")]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// The options of `--tls`.
#[cfg(feature = "tls")]
#[derive(Args, Clone, Debug)]
pub(crate) struct Tls {
    /// Use TLS, and verify the certificate
    #[arg(long = "tls", id = "tls")]
    pub(crate) on: bool,

    /// Trust the CA certificates in this PEM file instead of the system's
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls",
        conflicts_with = "insecure"
    )]
    pub(crate) cacert: Option<PathBuf>,

    /// Accept any certificate (do not verify)
    #[arg(long, requires = "tls")]
    pub(crate) insecure: bool,

    /// Verify the certificate against NAME instead of HOST (also sent as SNI)
    #[arg(long, value_name = "NAME", requires = "tls")]
    pub(crate) server_name: Option<String>,
}

/// The options of `--bench`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    /// Load test: send as fast as possible, verify every byte, report rates and
    /// latencies
    #[arg(long)]
    pub(crate) bench: bool,

    /// Connections at the same time [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: Option<u32>,

    /// How long messages are sent [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = common::duration::parse_nonzero)]
    pub(crate) duration: Option<Duration>,

    /// Messages in flight per connection [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) pipeline: Option<u32>,

    /// Total messages per second, sent on schedule without waiting for replies
    /// (open loop); latency is measured from the scheduled send time
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,

    /// Seed for the generated message contents [default: 0]
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub(crate) seed: Option<u64>,
}

impl Load {
    /// Which of the options that need `--bench` are there.
    pub(crate) fn given(&self) -> [(bool, &'static str); 5] {
        [
            (self.connections.is_some(), "--connections"),
            (self.duration.is_some(), "--duration"),
            (self.pipeline.is_some(), "--pipeline"),
            (self.rate.is_some(), "--rate"),
            (self.seed.is_some(), "--seed"),
        ]
    }
}

fn parse_source(text: &str) -> Result<SocketAddr, String> {
    let (address, zone) = zone::split(text);
    let address = common::address::parse(&address)?;
    let source = SocketAddr::new(address, 0);
    match zone {
        None => Ok(source),
        Some(zone) if zone::is_needed(address) => Ok(zone::within(source, zone::index(zone)?)),
        Some(_) => Err("only IPv6 link-local and multicast addresses have a zone".to_owned()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=1e8).contains(&rate) => Ok(rate),
        _ => Err("not a rate; use a number a second, 0.001 to 100000000".to_owned()),
    }
}

impl common::app::Cli for Cli {
    fn common(&self) -> &Common {
        &self.common
    }

    fn records() -> &'static str {
        include_str!("records.txt")
    }

    fn error_keys() -> &'static [&'static str] {
        &["address", "seq"]
    }
}
