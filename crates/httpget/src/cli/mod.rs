//! The definition of the command line. Options that curl has, too, have the same
//! names. Each group of options has its own file; [`hints`] has the options of other
//! programs.

mod hints;
mod network;
mod output;
mod request;
mod saving;

use clap::Parser;
use common::options::{Common, FamilyArgs};

pub(crate) use network::{NetworkArgs, TlsArgs};
pub(crate) use output::{ManyArgs, OutputArgs};
pub(crate) use request::RequestArgs;
pub(crate) use saving::SavingArgs;

const AFTER_HELP: &str = "\
Examples:
  httpget https://example.com/data.json
  httpget -O https://example.com/big.iso --sha256 HEX
  httpget -O -C - --retry 5 https://example.com/big.iso
  httpget -O --segments 4 https://example.com/big.iso
  httpget --pointer /items/0/id https://example.com/list.json
  httpget --json example.com | jq .status
  httpget -Z -O --output-dir pages - < urls
  httpget -u user:password -H 'Accept: text/csv' https://example.com/report

Unlike curl, httpget follows redirects, sends credentials only to the origin of
the URL, and exits with 1 for a status of 400 or more (but prints the body). It
supports HTTP/1.1 only and cannot upload.

Exit status:
  0  the body was received, complete and verified
  1  a negative answer: status 400 or more, digest mismatch, body too large,
     no such value
  2  a local error: usage, invalid URL, file error, full disk
  3  no answer: name, connection, TLS, timeout, truncated or malformed response

With several URLs, the exit status is the highest of all.";

/// Fetch URLs over HTTP or HTTPS, and print them or save them to files
#[derive(Parser, Debug)]
#[command(
    name = "httpget",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    after_long_help = AFTER_HELP
)]
pub(crate) struct Cli {
    /// URLs to fetch; https:// is added if the scheme is missing, but http:// for
    /// localhost, loopback addresses and :PORT/PATH (this host), unless the port is 443
    /// or 8443. `-` reads URLs from standard input, @FILE reads them from a file
    #[arg(
        value_name = "URL",
        help = "URLs to fetch; https:// is added if the scheme is missing. `-` reads URLs \
                from standard input, @FILE reads them from a file"
    )]
    pub(crate) urls: Vec<String>,

    #[command(flatten)]
    pub(crate) request: RequestArgs,

    #[command(flatten)]
    pub(crate) saving: SavingArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,

    #[command(flatten)]
    pub(crate) many: ManyArgs,

    #[command(flatten)]
    pub(crate) network: NetworkArgs,

    // Before TLS, so that help lists it among the options for the connection.
    #[command(flatten)]
    pub(crate) family: FamilyArgs,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,

    #[command(flatten)]
    pub(crate) common: Common,
}

impl common::app::Cli for Cli {
    fn common(&self) -> &Common {
        &self.common
    }

    fn records() -> &'static str {
        include_str!("../records.txt")
    }

    fn environment() -> &'static str {
        include_str!("../environment.txt")
    }

    fn unsupported_option_hint(_command: Option<&str>, option: &str) -> Option<&'static str> {
        hints::hint(option)
    }
}
