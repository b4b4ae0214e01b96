//! Options of connections, timeouts and TLS.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use common::duration;

use crate::policy::pin::{self, Pin};
use crate::policy::route::{self, ConnectTo, Resolve};

/// Options for the connection.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct NetworkArgs {
    /// Time limit for opening a connection (lookup, TCP, proxy, TLS)
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse_nonzero)]
    pub(crate) connect_timeout: Duration,

    /// Abort if the server sends nothing for this long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse_nonzero)]
    pub(crate) stall_timeout: Duration,

    /// Time limit for each attempt; 0 for no limit
    #[arg(short, long, value_name = "DURATION", visible_alias = "timeout", value_parser = duration::parse)]
    pub(crate) max_time: Option<Duration>,

    /// Abort if the transfer is slower than SIZE bytes per second for --speed-time
    #[arg(short = 'Y', long, value_name = "SIZE", value_parser = super::saving::any_case)]
    pub(crate) speed_limit: Option<u64>,

    /// Time for which the transfer may be slower than --speed-limit [default: 30s]
    #[arg(short = 'y', long, value_name = "DURATION", value_parser = duration::parse_nonzero)]
    pub(crate) speed_time: Option<Duration>,

    /// Use this proxy: [http|https|socks4|socks4a|socks5|socks5h]://[USER:PASSWORD@]HOST:PORT; '' for none
    #[arg(short = 'x', long, value_name = "PROXY")]
    pub(crate) proxy: Option<String>,

    /// Authenticate to the proxy with this user and password
    #[arg(short = 'U', long, value_name = "USER:PASSWORD")]
    pub(crate) proxy_user: Option<String>,

    /// Connect to these hosts without a proxy: domains with their subdomains, networks, `*`
    #[arg(long, value_name = "LIST")]
    pub(crate) noproxy: Option<String>,

    /// Send from this interface or local address
    #[arg(long, value_name = "NAME|ADDRESS")]
    pub(crate) interface: Option<String>,

    /// Connect to this Unix socket instead of the host
    #[arg(long, value_name = "PATH")]
    pub(crate) unix_socket: Option<PathBuf>,

    /// Use these addresses for HOST:PORT instead of a lookup
    #[arg(long, value_name = "HOST:PORT:ADDRESS[,ADDRESS]", value_parser = route::parse_resolve)]
    pub(crate) resolve: Vec<Resolve>,

    /// Connect to HOST2:PORT2 for requests to HOST1:PORT1
    #[arg(long, value_name = "HOST1:PORT1:HOST2:PORT2", value_parser = route::parse_connect_to)]
    pub(crate) connect_to: Vec<ConnectTo>,
}

/// Options for TLS.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// Accept any certificate (do not verify)
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,

    /// Trust the certificate authorities in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Vec<PathBuf>,

    /// Trust the certificate authorities in the PEM files of this directory instead of the system's
    #[arg(long, value_name = "DIR")]
    pub(crate) capath: Option<PathBuf>,

    /// Present the client certificate in this PEM file
    #[arg(short = 'E', long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,

    /// Read the private key of the client certificate from this PEM file
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Require TLS 1.2 or later (the default)
    #[arg(long = "tlsv1.2")]
    pub(crate) tls12: bool,

    /// Require TLS 1.3 or later
    #[arg(long = "tlsv1.3")]
    pub(crate) tls13: bool,

    /// Use this TLS version or an earlier one
    #[arg(long, value_name = "VERSION", value_parser = ["1.2", "1.3", "default"])]
    pub(crate) tls_max: Option<String>,

    /// Accept only a server with one of these public keys: sha256//BASE64[;sha256//BASE64]
    #[arg(long, value_name = "PINS", value_parser = parse_pins)]
    pub(crate) pinnedpubkey: Option<Pins>,
}

/// The public keys of `--pinnedpubkey`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pins(pub(crate) Vec<Pin>);

fn parse_pins(text: &str) -> Result<Pins, String> {
    pin::parse(text).map(Pins)
}
