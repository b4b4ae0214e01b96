//! The definition of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::builder::PossibleValue;
use common::options::{Common, FamilyArgs, SuggestedValues};

use crate::{operand, presentation};

const AFTER_HELP: &str = "\
Servers:
  IP[:PORT], udp://IP   UDP, then TCP if the answer is truncated
  tcp://IP[:PORT]       TCP only
  tls://IP[:PORT][#NAME], tls://NAME
                        DNS over TLS, port 853; the certificate must be valid for
                        NAME, or for the IP
  https://HOST/PATH     DNS over HTTPS with POST, or with GET if the URL ends
                        in {?dns}
  system                the system's resolver, with --diff

Without -t, -s, @SERVER or TYPE, resolve uses the system's resolver (hosts file,
nsswitch, search list). With any of them it queries DNS servers directly, by default
those in /etc/resolv.conf. For a single operand it prints only the values; for
several it prints NAME, TYPE and VALUE separated by tabs, and `NAME TYPE - STATUS`
for an operand without a value. After -- and in lists every word is a name.

--trace prints one line per query, separated by tabs: the zone of the server, the
server's address and name, the status (REFERRAL, ALIAS, LAME or the status of the
answer), the zone or name that comes next, and the time.

Examples:
  resolve localhost                          with the system's resolver
  resolve 127.0.0.1                          reverse lookup of an address
  resolve @192.0.2.53 example.com MX         one type from one server
  resolve @192.0.2.53 -t MX,TXT example.com  two types from one server
  resolve -t AAAA --json -f names            one JSON record per line of a file
  resolve @192.0.2.53 -t AXFR example.com    zone transfer
  resolve @tls://192.0.2.53#dns.example.com -t A example.com
  resolve --diff @192.0.2.53 @system example.com
  resolve --trace -t A example.com           from the root servers down
  resolve --watch 10s -t A example.com       print changes

Exit status:
  0  found
  1  the name does not exist or has no data of the requested type
  2  usage error, invalid operand, or local error
  3  no answer: timeout, unreachable, malformed, SERVFAIL or another error code";

/// Look up names and addresses, with the system's resolver or DNS servers
#[derive(Parser, Debug)]
#[command(
    name = "resolve",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    after_long_help = AFTER_HELP
)]
pub(crate) struct Cli {
    /// Names and addresses to look up, @SERVER to ask, and record types in upper case
    /// at the end; `-` reads names from standard input
    #[arg(value_name = "NAME|ADDRESS|@SERVER|TYPE")]
    pub(crate) operands: Vec<String>,

    /// After `--`: only names and addresses
    #[arg(last = true, value_name = "NAME|ADDRESS")]
    pub(crate) plain: Vec<String>,

    /// Read names from this file, one per line
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) files: Vec<String>,

    /// Query DNS servers for these record types, such as MX, TXT, TYPE65534, ANY or
    /// AXFR; separate several with commas
    #[arg(
        short = 't',
        long = "type",
        value_name = "TYPE",
        value_delimiter = ',',
        value_parser = SuggestedValues(type_names),
        hide_possible_values = true
    )]
    pub(crate) types: Vec<String>,

    /// Accept only addresses, and query PTR records or the types of -t
    #[arg(short = 'x', long)]
    pub(crate) reverse: bool,

    /// Query this server; repeat to add servers, which are tried in order
    #[arg(short, long, value_name = "SERVER")]
    pub(crate) server: Vec<String>,

    /// Time limit per name for all servers and retransmissions together; in a zone
    /// transfer, time limit for each message
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = common::duration::parse_nonzero)]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    pub(crate) family: FamilyArgs,

    #[command(flatten)]
    pub(crate) query: QueryArgs,

    #[command(flatten)]
    pub(crate) modes: ModeArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options for queries to DNS servers.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "DNS query options")]
pub(crate) struct QueryArgs {
    /// Use TCP instead of UDP
    #[arg(long)]
    pub(crate) tcp: bool,

    /// Request DNSSEC records and print the signatures
    #[arg(long)]
    pub(crate) dnssec: bool,

    /// Request the server's identifier (NSID); shown by --full and --json
    #[arg(long)]
    pub(crate) nsid: bool,

    /// Send this subnet as EDNS Client Subnet (RFC 7871)
    #[arg(long, value_name = "ADDR/LEN", value_parser = parse_subnet)]
    pub(crate) subnet: Option<(std::net::IpAddr, u8)>,

    /// Advertise this UDP payload size (EDNS) [default: 1232]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(512..))]
    pub(crate) bufsize: Option<u16>,

    /// Ask the server not to recurse
    #[arg(long)]
    pub(crate) no_recurse: bool,

    /// Use the search list of /etc/resolv.conf
    #[arg(long)]
    pub(crate) search: bool,

    /// Trust the certificate authorities in this PEM file for tls:// and https://,
    /// instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,

    /// Send at most N queries per second to each server, retransmissions included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,

    /// Report names that exist only through a wildcard as nonexistent (status
    /// WILDCARD)
    #[arg(long, conflicts_with_all = ["trace", "diff", "watch"])]
    pub(crate) no_wildcards: bool,
}

/// Options that select a mode.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Modes")]
pub(crate) struct ModeArgs {
    /// Follow the delegations from the root servers down
    #[arg(long, conflicts_with_all = ["diff", "watch"])]
    pub(crate) trace: bool,

    /// Start --trace at this server instead of the root servers; use its port for
    /// all servers
    #[arg(long, value_name = "IP[:PORT]", requires = "trace")]
    pub(crate) root: Vec<String>,

    /// Compare the answers of all servers, or of a single server with the system's
    /// resolver
    #[arg(long, conflicts_with = "watch")]
    pub(crate) diff: bool,

    /// Repeat the lookup at this interval and print changes
    #[arg(long, value_name = "INTERVAL", value_parser = common::duration::parse_nonzero)]
    pub(crate) watch: Option<Duration>,
}

/// Options for the output.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Print only the values
    #[arg(long, conflicts_with_all = ["long", "full"])]
    pub(crate) short: bool,

    /// Print NAME, TYPE and VALUE, separated by tabs
    #[arg(long, conflicts_with = "full")]
    pub(crate) long: bool,

    /// Print complete answers, as dig does
    #[arg(long)]
    pub(crate) full: bool,

    /// Print results in the order of the operands, even from lists
    #[arg(long)]
    pub(crate) ordered: bool,

    /// Do not report names that do not exist or have no data
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Print more detail, such as the number of queries
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Returns the known record types, hidden because TYPEnnn is accepted, too.
fn type_names() -> Vec<PossibleValue> {
    let mnemonics = presentation::mnemonics();
    mnemonics
        .filter(|mnemonic| operand::parse_type(mnemonic).is_ok())
        .map(|mnemonic| PossibleValue::new(mnemonic).hide(true))
        .collect()
}

fn parse_subnet(text: &str) -> Result<(std::net::IpAddr, u8), String> {
    if text.contains('/') {
        return common::address::parse_cidr(text);
    }
    let address = common::address::parse(text)?;
    Ok((address, common::address::to_bits(address).1))
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

    fn unsupported_option_hint(_command: Option<&str>, option: &str) -> Option<&'static str> {
        match option {
            "-p" => Some("add the port to the server, as in @192.0.2.53:5353"),
            "-b" => Some("the system chooses the source address"),
            "-r" => Some("use --no-recurse to ask without recursion"),
            _ => None,
        }
    }
}
