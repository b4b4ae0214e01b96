//! The definition of the command line.

mod format;
mod hints;
mod values;

use std::time::Duration;

use clap::{Parser, ValueHint};
use common::duration;
use common::options::{Common, FamilyArgs};

use self::format::FormatArgs;
use self::hints::unsupported_option_hint;
pub(crate) use self::values::{Pattern, Pmtu};
use self::values::{data_size, mark, pattern, percent, sweep, tos, watch_interval};
use crate::schedule::DataSizes;

/// The text after the options in `--help`.
pub(crate) const AFTER_HELP: &str = "\
TARGET is a name, an address, a network (its usable hosts), a range A-B, @FILE
for the targets in a file, or - for those on standard input. For a single target
each reply is reported, as in classic ping; with several targets each gets one
line.

A probe is lost when its timeout passes without a reply. -W sets the timeout.
The default is
  one target       10 s; after the last probe twice the longest round trip, but
                   at least 2 s
  several targets  500 ms; with -c the period, but from 500 ms to 2 s
A reply after the timeout is late. Any reply, even a late one, makes an undecided
target of a list alive. If a run is cut short, probes without a reply count as
neither received nor lost if they are younger than -W or, without -W, than twice
the longest round trip; if nothing was received at all, they are lost.

Exit status:
  0  every target answered (a single one: at least once), or the condition of
     --max-loss, --reachable, --until-up or --until-down holds
  1  at least one target did not answer, or the condition does not hold
  2  usage or local error, or no permission to send ICMP
  3  nothing could be sent: no such name, no route

Examples:
  ping 192.0.2.1                          until Ctrl-C
  ping -c 3 -i 0.2 example.com            three probes
  ping 192.0.2.0/24                       which hosts are alive
  ping --alive 2001:db8::/120             only those, for the next tool
  ping -c 10 192.0.2.1 192.0.2.2          ten probes each, a line for each
  ping --max-loss 5 -c 100 -q 192.0.2.1   fail if more than 5 % are lost
  ping --until-up --timeout 5m host       wait for a host to come up
  ping --mtu 192.0.2.1                    the path MTU
  ping --json -c 3 192.0.2.1 | jq .rtt_ms";

/// Send ICMP echo requests to one host or many
#[derive(Parser, Debug)]
#[command(
    name = "ping",
    version,
    override_usage = "ping [OPTIONS] TARGET...",
    disable_help_flag = true,
    disable_version_flag = true,
    after_long_help = AFTER_HELP
)]
pub(crate) struct Cli {
    /// Names, addresses, networks, ranges A-B, @FILE, or - for standard input
    #[arg(value_name = "TARGET", value_hint = ValueHint::Hostname)]
    pub(crate) targets: Vec<String>,

    /// Send N probes to each target
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    pub(crate) count: Option<u64>,

    /// Time between probes [default: 1s; several targets: 0]
    #[arg(short, long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) interval: Option<Duration>,

    /// Time to wait for each reply
    #[arg(short = 'W', value_name = "DURATION", value_parser = duration::parse_nonzero)]
    pub(crate) wait: Option<Duration>,

    /// Same as -W; with --until-up or --until-down, time to wait for the state
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_nonzero)]
    pub(crate) timeout: Option<Duration>,

    /// Stop after DURATION; -c then counts replies instead of probes
    #[arg(short = 'w', long, value_name = "DURATION", value_parser = duration::parse_nonzero)]
    pub(crate) deadline: Option<Duration>,

    #[command(flatten)]
    pub(crate) family: FamilyArgs,

    /// Print only the header and the summary; with several targets and no -c, print nothing
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Also print identifiers, percentiles, and ICMP errors of targets in a list
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Do not look up the names of addresses
    #[arg(short, long)]
    pub(crate) numeric: bool,

    /// Bytes of data in a probe
    #[arg(short, long, value_name = "BYTES", default_value_t = 56, value_parser = data_size, help_heading = "Probes")]
    pub(crate) size: u16,

    /// Use sizes MIN to MAX in turn instead of -s; without -c each size is sent once
    #[arg(long, value_name = "MIN:MAX[:STEP]", value_parser = sweep, conflicts_with = "size", help_heading = "Probes")]
    pub(crate) sweep: Option<DataSizes>,

    /// Fill the data with up to 16 bytes, given in hexadecimal
    #[arg(short, long, value_name = "HEX", value_parser = pattern, help_heading = "Probes")]
    pub(crate) pattern: Option<Pattern>,

    /// Time to live (hop limit)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..), help_heading = "Probes")]
    pub(crate) ttl: Option<u8>,

    /// Type of service (traffic class), in decimal, or in hexadecimal with 0x
    #[arg(short = 'Q', long, value_name = "TOS", value_parser = tos, help_heading = "Probes")]
    pub(crate) tos: Option<u8>,

    /// Set the path MTU discovery mode
    #[arg(
        short = 'M',
        long,
        value_name = "WHEN",
        value_enum,
        help_heading = "Probes"
    )]
    pub(crate) pmtudisc: Option<Pmtu>,

    /// Send from this address or interface
    #[arg(short = 'I', long, value_name = "ADDR|IFACE", help_heading = "Probes")]
    pub(crate) interface: Vec<String>,

    /// Allow broadcast addresses as targets
    #[arg(short, long, help_heading = "Probes")]
    pub(crate) broadcast: bool,

    /// Do not loop multicast probes back to this host
    #[arg(short = 'L', long, help_heading = "Probes")]
    pub(crate) no_loop: bool,

    /// Bypass the routing table; only hosts on directly attached networks are reachable
    #[arg(short = 'r', long, help_heading = "Probes")]
    pub(crate) no_gateway: bool,

    // Options of iputils that have no effect: round trips are measured in user
    // space, the source address never changes, sockets are not debugged.
    #[arg(short = 'U', hide = true)]
    pub(crate) user_latency: bool,

    #[arg(short = 'B', hide = true)]
    pub(crate) sticky_source: bool,

    #[arg(short = 'd', hide = true)]
    pub(crate) debug: bool,

    /// Ignore replies from addresses other than the target's
    #[arg(long, help_heading = "Probes")]
    pub(crate) strict_source: bool,

    /// Firewall mark, in decimal, or in hexadecimal with 0x
    #[arg(short, long, value_name = "MARK", value_parser = mark, help_heading = "Probes")]
    pub(crate) mark: Option<u32>,

    /// Send each probe when the previous one is answered; print dots instead of lines
    #[arg(short, long, help_heading = "One target")]
    pub(crate) flood: bool,

    /// Adapt the interval to the round-trip time
    #[arg(short = 'A', long, help_heading = "One target")]
    pub(crate) adaptive: bool,

    /// Number of probes to send before waiting for replies
    #[arg(short = 'l', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65536), help_heading = "One target")]
    pub(crate) preload: u32,

    /// Prefix each line with the time
    #[arg(short = 'D', long, help_heading = "One target")]
    pub(crate) timestamps: bool,

    /// Report a probe that is still unanswered when the next one is due
    #[arg(short = 'O', long, help_heading = "One target")]
    pub(crate) outstanding: bool,

    /// Ring the terminal bell on each reply
    #[arg(short, long, help_heading = "One target")]
    pub(crate) audible: bool,

    /// Always print times with three decimals
    #[arg(short = '3', long, help_heading = "One target")]
    pub(crate) precise: bool,

    /// Print percentiles and jitter before the summary
    #[arg(long, help_heading = "One target")]
    pub(crate) percentiles: bool,

    /// Probe until interrupted, and print one line per target and INTERVAL [default: 10s]
    #[arg(
        long,
        value_name = "INTERVAL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = watch_interval,
        conflicts_with_all = ["count", "retries", "alive", "unreachable", "until_up", "until_down", "reachable", "mtu", "graph"],
        help_heading = "Several targets"
    )]
    pub(crate) watch: Option<Duration>,

    /// Probe every address of a name, not only the first
    #[arg(long, help_heading = "Several targets")]
    pub(crate) all_addresses: bool,

    /// Print only the targets that answered
    #[arg(long, conflicts_with_all = ["unreachable", "count"], help_heading = "Several targets")]
    pub(crate) alive: bool,

    /// Print only the targets that did not answer
    #[arg(long, conflicts_with = "count", help_heading = "Several targets")]
    pub(crate) unreachable: bool,

    /// Send up to N further probes to a target that has not answered [default: 3]
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "count",
        help_heading = "Several targets"
    )]
    pub(crate) retries: Option<u32>,

    /// Probe networks and ranges in random order
    #[arg(long, help_heading = "Several targets")]
    pub(crate) shuffle: bool,

    /// Send at most N probes per second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000), help_heading = "Several targets")]
    pub(crate) rate: Option<u64>,

    /// Time between two probes to the same target with -c or --watch [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_nonzero, help_heading = "Several targets")]
    pub(crate) period: Option<Duration>,

    /// Exit 0 if no target loses more than this
    #[arg(long, value_name = "PERCENT", value_parser = percent, group = "condition", help_heading = "Conditions")]
    pub(crate) max_loss: Option<f64>,

    /// Exit 0 as soon as N targets have answered
    #[arg(
        long,
        value_name = "N",
        group = "condition",
        help_heading = "Conditions"
    )]
    pub(crate) reachable: Option<u64>,

    /// Wait until the target answers
    #[arg(
        long,
        group = "condition",
        conflicts_with = "count",
        help_heading = "Conditions"
    )]
    pub(crate) until_up: bool,

    /// Wait until three probes in a row are lost
    #[arg(
        long,
        group = "condition",
        conflicts_with = "count",
        help_heading = "Conditions"
    )]
    pub(crate) until_down: bool,

    /// Find the path MTU of each target
    #[arg(long, conflicts_with_all = ["count", "size", "sweep", "pmtudisc", "until_up", "until_down", "max_loss"], help_heading = "Output")]
    pub(crate) mtu: bool,

    #[command(flatten)]
    pub(crate) formats: FormatArgs,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// The default interval of `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(10);

impl Cli {
    /// Takes the first operand as the interval of `--watch` if it is a duration,
    /// as in `--watch 5s HOST`. No target looks like a duration. clap can only
    /// take the next word always or never.
    pub(crate) fn take_watch_interval(&mut self) {
        if let Some(interval) = self.watch.as_mut().filter(|interval| interval.is_zero()) {
            let first = self.targets.first();
            let starts_with_digit = |text: &&String| text.starts_with(|c: char| c.is_ascii_digit());
            let word = first.filter(starts_with_digit);
            let given = word.and_then(|text| duration::parse_nonzero(text).ok());
            if given.is_some() {
                self.targets.remove(0);
            }
            *interval = given.unwrap_or(WATCH_INTERVAL);
        }
    }
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
        unsupported_option_hint(option)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn formats_and_conditions_exclude_each_other() {
        for group in [
            &["--json", "--csv", "--metrics"][..],
            &["--json", "--graph", "--csv"],
            &["--graph", "--metrics", "--mtu"],
            &[
                "--max-loss=5",
                "--reachable=1",
                "--until-up",
                "--until-down",
            ],
            &["--until-up", "-c3", "--until-down"],
        ] {
            for pair in group.windows(2) {
                let words = ["ping", "a"].iter().chain(pair);
                let error = Cli::try_parse_from(words).unwrap_err();
                assert_eq!(
                    error.kind(),
                    clap::error::ErrorKind::ArgumentConflict,
                    "{pair:?}"
                );
            }
        }
        assert!(Cli::try_parse_from(["ping", "--mtu", "--json", "--reachable=1", "a"]).is_ok());
    }

    #[test]
    fn the_interval_of_a_watch_is_optional() {
        for (line, interval, targets) in [
            ("--watch a b", 10.0, 2),
            ("--watch 5 a b", 5.0, 2),
            ("--watch 0.5s a", 0.5, 1),
            ("--watch=2m 5 a", 120.0, 2),
            ("a --watch", 10.0, 1),
            ("--watch 10.0.0.1", 10.0, 1),
        ] {
            let words = std::iter::once("ping").chain(line.split_whitespace());
            let mut cli = Cli::try_parse_from(words).unwrap();
            cli.take_watch_interval();
            let watched = cli.watch.unwrap().as_secs_f64();
            assert_eq!((watched, cli.targets.len()), (interval, targets), "{line}");
        }
    }
}
