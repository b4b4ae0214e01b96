//! The definition of the command line. [`crate::config`] checks which options may be
//! combined and derives the settings of a run.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser};
use common::options::{Common, FamilyArgs};
use common::zone;

use crate::message::{self, Sizes};

const AFTER_HELP: &str = "\
JSON records:
  With --json, one record per line, each with \"time\". Unknown values are null.
    exchange  target address bytes_sent bytes_received ok corrupt offset data
              data_base64 truncated connect_ms tls_ms duration_ms
    received  bytes data data_base64
    reply     seq bytes rtt_ms reordered duplicate corrupt offset
    late      the keys of reply
    timeout   seq
    stray     bytes
    connect   target address seq connect_ms tls_ms
    interval  elapsed_ms duration_ms connections messages bytes corrupt errors
              messages_per_second bytes_per_second connections_per_second p50_ms
              p90_ms p99_ms max_ms (in this interval)
    summary   target address sent received lost in_flight loss_percent corrupt
              duplicates reordered strays jitter_ms min_ms avg_ms p50_ms p90_ms
              p99_ms max_ms interval_ms duration_ms
    summary   (--bench) target address connections messages bytes corrupt errors
              duration_ms messages_per_second bytes_per_second
              connections_per_second min_ms avg_ms p50_ms p90_ms p99_ms p999_ms
              p9999_ms max_ms send_late_p99_ms send_late_max_ms tcp_rtt_ms
              tcp_retransmits
    error     target kind message address seq

Exit status:
  0  the reply is correct; the port is open; every echo is correct
  1  the reply differs or is incomplete; with --connect-only, the connection
     failed; with -c and --bench, an echo was lost or differs
  2  usage or local error, such as a missing unix: socket (status 1 with
     --connect-only)
  3  no reply: unknown name, refused, reset, timeout

Examples:
  Send a message, print the reply, and verify that it is the echo:
      tcpecho-client localhost:8080 'Hello, Server!'

  Expect a different reply:
      tcpecho-client localhost:8080 'Hello, Server!' --expect 'Hello, Client!'

  Send a file and print the replies, as nc does:
      tcpecho-client localhost 8080 < file | cmp - file

  Wait until a port is open, then start a program:
      tcpecho-client --connect-only --retry 60 localhost:8080 && ./start

  Time five echoes, half a second apart:
      tcpecho-client -c 5 -i 0.5 localhost:8080

  Time five handshakes:
      tcpecho-client --connect-only -c 5 --json localhost:8080

  Run a load test over 50 connections, at full speed, then at a fixed rate:
      tcpecho-client --bench --connections 50 localhost:8080
      tcpecho-client --bench --connections 50 --rate 20000 localhost:8080";

/// Send bytes to an echo server and verify the reply
///
/// With MESSAGE, --file or --hex, sends the message and prints the reply
/// unchanged; the reply must equal the message. Without a message, copies
/// standard input to the peer and the peer's bytes to standard output until
/// both have ended.
#[derive(Parser, Debug)]
#[command(
    name = "tcpecho-client",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    after_long_help = AFTER_HELP,
    override_usage = "tcpecho-client [OPTIONS] HOST:PORT [MESSAGE]\n       \
                      tcpecho-client [OPTIONS] HOST PORT [MESSAGE]\n       \
                      tcpecho-client [OPTIONS] unix:PATH|unix:@NAME [MESSAGE]"
)]
pub(crate) struct Cli {
    /// Target, and message if any; the target is HOST:PORT, HOST PORT, [V6]:PORT,
    /// [V6%IFACE]:PORT, :PORT (this machine), unix:PATH or unix:@NAME (abstract)
    #[arg(value_name = "HOST:PORT [MESSAGE]", required = true, num_args = 1..)]
    pub(crate) operands: Vec<OsString>,

    /// Send the contents of FILE; - is standard input
    #[arg(short, long, value_name = "FILE", help_heading = "Message")]
    pub(crate) file: Option<PathBuf>,

    /// Send bytes given as pairs of hexadecimal digits; spaces and colons may
    /// separate the pairs
    #[arg(long, value_name = "HEX", value_parser = message::HexMessage::parse, help_heading = "Message")]
    pub(crate) hex: Option<message::HexMessage>,

    /// Expect the reply TEXT instead of the echo; without a message, send
    /// standard input
    #[arg(long, value_name = "TEXT", help_heading = "Message")]
    pub(crate) expect: Option<OsString>,

    /// Do not verify the reply; print it until the peer closes the connection or
    /// the timeout expires
    #[arg(long, conflicts_with = "expect", help_heading = "Message")]
    pub(crate) no_verify: bool,

    /// Half-close after the message, for servers that reply only at the end of
    /// input; standard input always ends with a half-close
    #[arg(short = 'N', long, help_heading = "Message")]
    pub(crate) half_close: bool,

    /// Send N messages, one per interval, and time each echo
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Repeated messages")]
    pub(crate) count: Option<u64>,

    /// Send a message at this interval, until interrupted or -c is reached; 0
    /// waits for each echo [default: 1s]
    #[arg(short, long, value_name = "DURATION", value_parser = common::duration::parse, help_heading = "Repeated messages")]
    pub(crate) interval: Option<Duration>,

    /// Size of generated messages in bytes; N:M varies it from N to M
    /// [default: 64]
    #[arg(long, value_name = "N[:M]", value_parser = Sizes::parse, help_heading = "Repeated messages")]
    pub(crate) size: Option<Sizes>,

    /// Open a new connection for every message
    #[arg(long, help_heading = "Repeated messages")]
    pub(crate) reconnect: bool,

    #[command(flatten, next_help_heading = "Load")]
    pub(crate) load: LoadArgs,

    /// Only connect, and print the time that it took; exit with 1 if the
    /// connection fails
    #[arg(long, help_heading = "Connection")]
    pub(crate) connect_only: bool,

    /// Time limit for the connect and the exchange together; with -c, for each
    /// echo; with standard input, for the connect and, if given, for the time
    /// without data [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = common::duration::parse_nonzero, help_heading = "Connection")]
    pub(crate) timeout: Option<Duration>,

    /// Retry a failed connection up to N times; with a message, also a wrong or
    /// missing reply
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        help_heading = "Connection"
    )]
    pub(crate) retry: u32,

    /// Delay before each retry [default: 1s]
    #[arg(long, value_name = "DURATION", requires = "retry", value_parser = common::duration::parse, help_heading = "Connection")]
    pub(crate) retry_delay: Option<Duration>,

    /// Use UDP instead of TCP; each read from standard input is sent as one
    /// datagram of at most 65507 bytes
    #[arg(short, long, help_heading = "Connection")]
    pub(crate) udp: bool,

    /// Connect from this local address; ADDR%IFACE for a link-local one
    #[arg(short, long, value_name = "ADDR", value_parser = parse_source, help_heading = "Connection")]
    pub(crate) source: Option<SocketAddr>,

    /// Connect through this network interface
    #[arg(short = 'I', long, value_name = "IFACE", value_parser = NonEmptyStringValueParser::new(), help_heading = "Connection")]
    pub(crate) interface: Option<String>,

    /// Use TLS
    #[cfg(not(feature = "tls"))]
    #[arg(long, hide = true)]
    pub(crate) tls: bool,

    #[cfg(feature = "tls")]
    #[command(flatten, next_help_heading = "TLS")]
    pub(crate) tls: TlsArgs,

    #[command(flatten, next_help_heading = "Connection")]
    pub(crate) family: FamilyArgs,

    /// Print only the summary; for a single message, print nothing
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Print the peer's address and the byte counts on standard error
    #[arg(short, long, help_heading = "Output")]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options for TLS.
#[cfg(feature = "tls")]
#[derive(Args, Clone, Debug)]
pub(crate) struct TlsArgs {
    /// Use TLS and verify the certificate
    #[arg(long = "tls", id = "tls")]
    pub(crate) on: bool,

    /// Trust the certificate authorities in this PEM file instead of the system's
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

/// Options for a load test.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadArgs {
    /// Run a load test: send as fast as possible, verify every byte, report rates
    /// and latencies
    #[arg(long)]
    pub(crate) bench: bool,

    /// Number of concurrent connections [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: Option<u32>,

    /// Duration of the load test [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = common::duration::parse_nonzero)]
    pub(crate) duration: Option<Duration>,

    /// Messages in flight per connection [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) pipeline: Option<u32>,

    /// Send N messages per second over all connections, without waiting for
    /// echoes (open loop); latency is measured from the scheduled send time
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,

    /// Seed of the generated messages, to reproduce them [default: 0]
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub(crate) seed: Option<u64>,
}

impl LoadArgs {
    /// The options that require `--bench`, each with whether it was given.
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
        _ => Err("must be from 0.001 to 100000000 messages per second".to_owned()),
    }
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

    /// Returns hints for options of nc and ncat.
    fn unsupported_option_hint(_command: Option<&str>, option: &str) -> Option<&'static str> {
        Some(match option {
            "-z" => "use --connect-only",
            "-w" | "--wait" => "use --timeout DURATION",
            "-l" | "--listen" => "use tcpecho-server to listen",
            "-k" => "use tcpecho-server, which serves any number of clients",
            "-p" => "write the port after the host; the system chooses the source port",
            "-n" => "it is not needed: an address is never looked up",
            "-U" | "--unixsock" => "use unix:PATH as the target",
            "-b" => "datagrams can be sent to a broadcast address without an option",
            "-C" | "--crlf" => "the message is sent as it is; end it with $'\\r\\n' in the shell",
            "-e" | "--exec" | "--sh-exec" => "no program is run; use a pipe",
            "-x" | "-X" | "--proxy" => "proxies are not supported",
            "--ssl" => "use --tls",
            _ => return None,
        })
    }
}
