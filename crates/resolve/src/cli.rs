//! The command line; data only.

use std::time::Duration;

use clap::Parser;
use common::options::{Common, FamilyArgs};

const AFTER: &str = "\
Examples:
  resolve localhost                          through the system, as other programs do
  resolve 127.0.0.1                          an address is looked up backwards
  resolve @192.0.2.53 -t MX,TXT example.com  two types from one server
  resolve -t AAAA --json - < names           one record for each line of a file
  resolve @192.0.2.53 -t AXFR example.com    a whole zone

Without -t, -s and @SERVER the system is asked (hosts file, nsswitch, search
list); with any of them DNS servers are, those of /etc/resolv.conf if none is
named. One operand gives values only, several give NAME, TYPE and VALUE
separated by tabs, and `NAME TYPE - STATUS` for one without any value.

EXIT STATUS
  0  found
  1  no such name, or no data of the type asked
  2  a mistake or fault on this side: usage, an operand that is no name
  3  no answer: timeout, unreachable, malformed, SERVFAIL and the like";

/// Names and addresses, through the system or straight from DNS servers
#[derive(Parser, Debug)]
#[command(
    name = "resolve",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    after_long_help = AFTER
)]
pub(crate) struct Cli {
    /// Names or addresses, and @SERVER; `-` reads them from stdin
    #[arg(value_name = "NAME|ADDRESS|@SERVER")]
    pub(crate) operands: Vec<String>,

    /// Record types, such as MX,TXT, TYPE65534, ANY, AXFR; asks DNS servers
    #[arg(short = 't', long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub(crate) types: Vec<String>,

    /// Look addresses up backwards with the types of -t
    #[arg(short = 'x', long)]
    pub(crate) reverse: bool,

    /// Ask this server: IP[:PORT], udp://IP, tcp://IP
    #[arg(short, long, value_name = "SERVER")]
    pub(crate) server: Vec<String>,

    /// Time for one name over all tries and servers
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = common::duration::parse_nonzero)]
    pub(crate) timeout: Duration,

    /// Ask over TCP
    #[arg(long)]
    pub(crate) tcp: bool,

    /// Ask for DNSSEC records
    #[arg(long)]
    pub(crate) dnssec: bool,

    /// Ask for the server's identifier, shown with --full
    #[arg(long)]
    pub(crate) nsid: bool,

    /// UDP size to advertise
    #[arg(long, value_name = "BYTES", default_value_t = 1232, value_parser = clap::value_parser!(u16).range(512..))]
    pub(crate) bufsize: u16,

    /// Ask the server not to recurse
    #[arg(long)]
    pub(crate) no_recurse: bool,

    /// Use the search list of /etc/resolv.conf
    #[arg(long)]
    pub(crate) search: bool,

    /// Queries a second to each server
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,

    /// Results in the order of the operands
    #[arg(long)]
    pub(crate) ordered: bool,

    /// Values only
    #[arg(long, conflicts_with_all = ["long", "full"])]
    pub(crate) short: bool,

    /// NAME TYPE VALUE
    #[arg(long, conflicts_with = "full")]
    pub(crate) long: bool,

    /// Whole answers, like dig
    #[arg(long)]
    pub(crate) full: bool,

    /// No lines about names that do not exist
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Say more
    #[arg(short, long)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) family: FamilyArgs,

    #[command(flatten)]
    pub(crate) common: Common,
}

impl common::app::Cli for Cli {
    fn common(&self) -> &Common {
        &self.common
    }
}
