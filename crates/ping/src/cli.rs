//! The command line; data only.

use std::time::Duration;

use clap::{Parser, ValueEnum};
use common::duration;
use common::options::{Common, FamilyArgs};

use crate::plan::DataSizes;

/// Bytes of data that fit an IPv6 packet; an IPv4 one takes 20 less.
const MOST_DATA: u16 = u16::MAX - 8;

/// What `--help` adds.
pub(crate) const MORE: &str = "\
Examples:
  ping 192.0.2.1                          until Ctrl-C
  ping -c 3 -i 0.2 example.com            three probes
  ping 192.0.2.0/24                       who is alive?
  ping --alive 2001:db8::/120             only those, for the next tool
  ping -c 10 192.0.2.1 192.0.2.2          ten probes each, a line for each
  ping --max-loss 5 -c 100 -q 192.0.2.1   fails when more is lost
  ping --until-up --timeout 5m host       waits for a host to come up
  ping --mtu 192.0.2.1                    the path MTU
  ping --json -c 3 192.0.2.1 | jq .rtt_ms

TARGET is a name, an address, a network (its usable hosts), a range A-B, or -
for standard input. One name or address is told line by line, as ping always
was; several targets get one line each.

A probe is lost when its timeout has passed: -W, else 10 s, and 2 s or twice the
longest round trip for the last ones (500 ms with several targets). What comes
later is late. When a run ends early, probes younger than -W, else than twice the
longest round trip, count as neither received nor lost, unless nothing came.

Exit status:
  0  every target answered (a single one: at least once), or the condition of
     --max-loss, --reachable, --until-up or --until-down holds
  1  some did not, or it does not
  2  a mistake or fault on this side; ICMP not permitted
  3  nothing could be sent: no such name, no route";

/// ICMP echo for one host or a million
#[derive(Parser, Debug)]
#[command(
    name = "ping",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    after_long_help = MORE
)]
pub(crate) struct Cli {
    /// Names, addresses, networks, ranges A-B, or - for standard input
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,

    /// Send so many probes to each target
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    pub(crate) count: Option<u64>,

    /// Pause between probes [default: 1s; several targets: 0]
    #[arg(short, long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) interval: Option<Duration>,

    /// How long to wait for each reply
    #[arg(short = 'W', value_name = "DURATION", value_parser = duration::parse_nonzero)]
    pub(crate) wait: Option<Duration>,

    /// The same as -W; with --until-up and --until-down, how long to wait in all
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_nonzero)]
    pub(crate) timeout: Option<Duration>,

    /// End after this time; -c then counts replies
    #[arg(short = 'w', long, value_name = "DURATION", value_parser = duration::parse_nonzero)]
    pub(crate) deadline: Option<Duration>,

    #[command(flatten)]
    pub(crate) family: FamilyArgs,

    /// Header and summary only; of several targets, without -c, only the status
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Print more
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Numbers only, no names of addresses
    #[arg(short, long)]
    pub(crate) numeric: bool,

    /// Bytes of data in a probe
    #[arg(short, long, value_name = "BYTES", default_value_t = 56, value_parser = data_size, help_heading = "Probes")]
    pub(crate) size: u16,

    /// Sizes from MIN to MAX in turn, instead of -s; without -c, once each
    #[arg(long, value_name = "MIN:MAX[:STEP]", value_parser = sweep, conflicts_with = "size", help_heading = "Probes")]
    pub(crate) sweep: Option<DataSizes>,

    /// Fill the data with these bytes, up to 16 in hexadecimal
    #[arg(short, long, value_name = "HEX", value_parser = pattern, help_heading = "Probes")]
    pub(crate) pattern: Option<Pattern>,

    /// Time to live (hop limit)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..), help_heading = "Probes")]
    pub(crate) ttl: Option<u8>,

    /// Type of service (traffic class), decimal or 0x hexadecimal
    #[arg(short = 'Q', long, value_name = "TOS", value_parser = tos, help_heading = "Probes")]
    pub(crate) tos: Option<u8>,

    /// Path MTU discovery
    #[arg(
        short = 'M',
        long,
        value_name = "WHEN",
        value_enum,
        help_heading = "Probes"
    )]
    pub(crate) pmtudisc: Option<Pmtu>,

    /// Source address or interface
    #[arg(short = 'I', long, value_name = "ADDR|IFACE", help_heading = "Probes")]
    pub(crate) interface: Vec<String>,

    /// Firewall mark, decimal or 0x hexadecimal
    #[arg(short, long, value_name = "MARK", value_parser = mark, help_heading = "Probes")]
    pub(crate) mark: Option<u32>,

    /// Send the next probe as soon as the last is answered; dots instead of lines
    #[arg(short, long, help_heading = "One target")]
    pub(crate) flood: bool,

    /// Adapt the interval to the round-trip time
    #[arg(short = 'A', long, help_heading = "One target")]
    pub(crate) adaptive: bool,

    /// Probes to send before waiting for replies
    #[arg(short = 'l', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65536), help_heading = "One target")]
    pub(crate) preload: u32,

    /// Begin each line with the time
    #[arg(short = 'D', long, help_heading = "One target")]
    pub(crate) timestamps: bool,

    /// Tell of probes not answered when the next is due
    #[arg(short = 'O', long, help_heading = "One target")]
    pub(crate) outstanding: bool,

    /// Ring the bell with each reply
    #[arg(short, long, help_heading = "One target")]
    pub(crate) audible: bool,

    /// All digits of the time, always
    #[arg(short = '3', long, help_heading = "One target")]
    pub(crate) precise: bool,

    /// Print only the operands that answered
    #[arg(long, conflicts_with_all = ["unreachable", "count"], help_heading = "Several targets")]
    pub(crate) alive: bool,

    /// Print only the operands that did not answer
    #[arg(long, conflicts_with = "count", help_heading = "Several targets")]
    pub(crate) unreachable: bool,

    /// Probes after the first, until a target answers [default: 3]
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "count",
        help_heading = "Several targets"
    )]
    pub(crate) retries: Option<u32>,

    /// Networks and ranges in a random order
    #[arg(long, help_heading = "Several targets")]
    pub(crate) shuffle: bool,

    /// Probes a second, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000), help_heading = "Several targets")]
    pub(crate) rate: Option<u64>,

    /// With -c: from one probe to the next of the same target [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_nonzero, help_heading = "Several targets")]
    pub(crate) period: Option<Duration>,

    /// Succeed if no target loses more than this
    #[arg(long, value_name = "PERCENT", value_parser = percent, help_heading = "Conditions")]
    pub(crate) max_loss: Option<f64>,

    /// Succeed if at least so many targets answer
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "max_loss",
        help_heading = "Conditions"
    )]
    pub(crate) reachable: Option<u64>,

    /// Wait until the target answers
    #[arg(long, conflicts_with_all = ["until_down", "count", "reachable", "max_loss"], help_heading = "Conditions")]
    pub(crate) until_up: bool,

    /// Wait until three probes in a row are lost
    #[arg(long, conflicts_with_all = ["count", "reachable", "max_loss"], help_heading = "Conditions")]
    pub(crate) until_down: bool,

    /// Find the path MTU of each target
    #[arg(long, conflicts_with_all = ["count", "size", "sweep", "pmtudisc", "until_up", "until_down", "max_loss"], help_heading = "Output")]
    pub(crate) mtu: bool,

    /// Write the records as comma-separated values
    #[arg(long, conflicts_with_all = ["json", "mtu"], help_heading = "Output")]
    pub(crate) csv: bool,

    /// Write the summaries as OpenMetrics text
    #[arg(long, conflicts_with_all = ["json", "csv", "mtu"], help_heading = "Output")]
    pub(crate) metrics: bool,

    /// On a terminal, draw the round trips of each target in a line
    #[arg(long, conflicts_with_all = ["json", "csv", "metrics", "mtu"], help_heading = "Output")]
    pub(crate) graph: bool,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// Values of `-M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pmtu {
    /// Never fragment
    Do,
    /// Fragment here if the path needs it
    Want,
    /// Let routers fragment
    Dont,
    /// Never fragment, and ignore what is known of the path
    Probe,
}

/// The bytes of `-p`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(pub(crate) Vec<u8>);

impl common::app::Cli for Cli {
    fn common(&self) -> &Common {
        &self.common
    }

    /// The letters of iputils' ping that are none here.
    fn instead(option: &str) -> Option<&'static str> {
        Some(match option {
            "-b" => "no broadcast: give the network, as in 192.0.2.0/24, and each host is asked",
            "-B" => "-I ADDR holds the source address",
            "-C" => "the path to the host is always looked up at the start",
            "-e" => "the identifier is always a random one",
            "-F" => "the flow label is the system's choice",
            "-H" => "names are always asked for unless -n is given",
            "-N" => "no node information queries",
            "-R" | "-T" => "no IP options: try traceroute or tracepath",
            "-r" => "a host on a link is reached by -I IFACE",
            "-S" => "the buffers are as large as the system allows",
            "-U" => "times are the kernel's, from just before sending to receipt",
            "-d" | "-L" => "it has no counterpart",
            _ => return None,
        })
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("patterns must be specified as hex digits".to_owned());
    }
    // As sscanf's %2x reads them: the last one may have a single digit.
    let bytes: Vec<u8> = text
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    if bytes.len() > 16 {
        return Err("a pattern has at most 16 bytes".to_owned());
    }
    Ok(Pattern(bytes))
}

/// A size; the most depends on the family, which is not known here.
fn data_size(text: &str) -> Result<u16, String> {
    let size = common::size::parse(text)?;
    u16::try_from(size)
        .ok()
        .filter(|size| *size <= MOST_DATA)
        .ok_or_else(|| "not in 0 to 65507 (IPv6: 65527)".to_owned())
}

fn sweep(text: &str) -> Result<DataSizes, String> {
    let form = || "not sizes; use MIN:MAX or MIN:MAX:STEP, 0 to 65507 (IPv6: 65527)".to_owned();
    let numbers: Option<Vec<u16>> = text.split(':').map(|part| data_size(part).ok()).collect();
    let (min, max, step) = match numbers.as_deref() {
        Some(&[min, max]) => (min, max, 1),
        Some(&[min, max, step]) => (min, max, step),
        _ => return Err(form()),
    };
    if min > max || step == 0 {
        return Err(form());
    }
    Ok(DataSizes { min, max, step })
}

/// Decimal, or hexadecimal after `0x`.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    // The standard parser would take a sign as well.
    let plain = digits.chars().all(|c| c.is_digit(radix));
    u32::from_str_radix(digits, radix).ok().filter(|_| plain)
}

fn tos(text: &str) -> Result<u8, String> {
    number(text)
        .and_then(|n| u8::try_from(n).ok())
        .ok_or_else(|| "not a type of service; use 0 to 255 or 0x0 to 0xff".to_owned())
}

fn mark(text: &str) -> Result<u32, String> {
    number(text).ok_or_else(|| "not a mark; use 0 to 4294967295 or 0x hexadecimal".to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    text.strip_suffix('%')
        .unwrap_or(text)
        .parse()
        .ok()
        .filter(|p| (0.0..=100.0).contains(p))
        .ok_or_else(|| "not a percentage; use 0 to 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values() {
        assert_eq!(pattern("ff00f"), Ok(Pattern(vec![0xff, 0, 0xf])));
        assert!(pattern("fg").is_err() && pattern("").is_err());
        assert!(pattern(&"0".repeat(33)).is_err());
        assert_eq!((tos("0x10"), tos("184")), (Ok(16), Ok(184)));
        assert!(tos("256").is_err() && tos("0x").is_err() && tos("-1").is_err());
        assert_eq!(mark("0xffffffff"), Ok(u32::MAX));
        assert!(mark("4294967296").is_err() && mark("+1").is_err());
        let sizes = |min, max, step| Ok(DataSizes { min, max, step });
        assert_eq!(sweep("0:65507:8"), sizes(0, 65_507, 8));
        assert_eq!(sweep("8:9"), sizes(8, 9, 1));
        for bad in ["8", "9:8", "1:2:0", "1:65528", "1:2:3:4", ":5", "-1:5"] {
            assert!(sweep(bad).is_err(), "{bad}");
        }
        assert_eq!((percent("5%"), percent("0.5")), (Ok(5.0), Ok(0.5)));
        assert!(percent("101").is_err() && percent("nan").is_err());
    }
}
