//! The command line; data only.

use std::ffi::OsString;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser};
use common::address::Family;
use common::options::Common;

/// IPv4 and IPv6 subnet calculator and CIDR toolkit
#[derive(Parser, Debug)]
#[command(
    name = "subnetcalc",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    override_usage = "subnetcalc [OPTIONS] [NETWORK]...\n       subnetcalc COMMAND [OPTIONS] [ARGS]",
    after_help = "NETWORK is ADDR/LEN, ADDR/MASK or ADDR. A SET is any number of networks, addresses,\n\
        ranges A-B, @FILE and - (stdin), IPv4 and IPv6 mixed. 'subnetcalc COMMAND --help' says more.",
    after_long_help = "\
NETWORK is ADDR/LEN, ADDR/MASK or ADDR. A SET is any number of networks,
addresses, ranges A-B, @FILE and - (stdin), one per line in a file; blank lines
and comments after # or ; are skipped. IPv4 and IPv6 mix freely; results come
IPv4 first, by address, then by length. 'subnetcalc COMMAND --help' says more.

EXAMPLES
  subnetcalc 192.168.1.10/24                 facts of a network
  subnetcalc --get usable,broadcast 10.1.0.0/22
  subnetcalc hosts 192.168.1.0/29            its hosts, one a line
  subnetcalc split 10.0.0.0/16 --prefix 18   smaller networks
  subnetcalc plan 10.0.0.0/24 web=50 db=10   networks by size
  subnetcalc aggregate @nets -               the fewest networks
  subnetcalc subtract 10.0.0.0/8 --minus @used
  subnetcalc match --in @nets 10.1.2.3       longest match
  subnetcalc grep --in @nets access.log      lines with an address in a set

EXIT STATUS
  0  done; for match, overlap, grep, free --prefix: found
  1  the answer is no: nothing matched, does not fit, past the end
  2  a mistake in the command line or the input, or a file that cannot be read"
)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) info: InfoArgs,

    #[command(flatten)]
    pub(crate) reading: ReadingArgs,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// The whole: what goes without a command, and the command.
#[derive(Debug)]
pub(crate) struct Cli {
    pub(crate) command: Option<Command>,
    pub(crate) line: Line,
}

impl common::app::Cli for Cli {
    fn common(&self) -> &Common {
        &self.line.common
    }

    fn command_for(args: &[OsString]) -> clap::Command {
        with_commands(|name| args.iter().any(|arg| arg == name))
    }
}

/// The definition with the commands whose names are wanted.
fn with_commands(wanted: impl Fn(&str) -> bool) -> clap::Command {
    COMMANDS.iter().filter(|(name, ..)| wanted(name)).fold(
        Line::command(),
        |command, &(name, about, arguments)| {
            command.subcommand(clap::Command::new(name).about(about).defer(arguments))
        },
    )
}

impl Parser for Cli {}

impl CommandFactory for Cli {
    fn command() -> clap::Command {
        with_commands(|_| true)
    }

    fn command_for_update() -> clap::Command {
        Self::command()
    }
}

impl FromArgMatches for Cli {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            command: Command::from_matches(matches)?,
            line: Line::from_arg_matches(matches)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// How input is read, for every command.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Input options")]
pub(crate) struct ReadingArgs {
    /// Take IPv4 only, pass IPv6 over
    #[arg(short = '4', long, conflicts_with = "ipv6", global = true)]
    pub(crate) ipv4: bool,

    /// Take IPv6 only, pass IPv4 over
    #[arg(short = '6', long, conflicts_with = "ipv4", global = true)]
    pub(crate) ipv6: bool,

    /// Refuse networks with host bits set
    #[arg(long, global = true)]
    pub(crate) strict: bool,

    /// Read ADDR/MASK with a wildcard (inverse) mask
    #[arg(long, global = true)]
    pub(crate) wildcard: bool,
}

impl ReadingArgs {
    /// The family chosen.
    pub(crate) fn family(self) -> Family {
        match (self.ipv4, self.ipv6) {
            (true, false) => Family::V4,
            (false, true) => Family::V6,
            _ => Family::Any,
        }
    }
}

/// Defines the commands from one list: the enum, how clap learns of each, and
/// how it hands one back. clap's derive would put all of that in one function
/// of 170 kB that runs at every start; this way the arguments of a command are
/// built when it is the one that was asked for.
macro_rules! commands {
    ($($variant:ident($args:ident) $name:literal $about:literal;)*) => {
        /// A command and its arguments.
        #[derive(Debug)]
        pub(crate) enum Command {
            $(#[doc = $about] $variant($args),)*
        }

        /// Name, purpose and arguments of each command.
        const COMMANDS: &[(&str, &str, fn(clap::Command) -> clap::Command)] =
            &[$(($name, $about, |command| {
                // Options flattened in would say what it is about.
                <$args as Args>::augment_args(command).about($about)
            }),)*];

        impl Command {
            /// The command that was given, if one was.
            fn from_matches(matches: &ArgMatches) -> Result<Option<Self>, clap::Error> {
                Ok(match matches.subcommand() {
                    $(Some(($name, matches)) => {
                        Some(Self::$variant(<$args>::from_arg_matches(matches)?))
                    })*
                    _ => None,
                })
            }
        }
    };
}

commands! {
    Info(InfoArgs) "info" "Facts of networks; what is done without a command";
    Hosts(HostsArgs) "hosts" "The usable hosts of networks, one a line";
    Split(SplitArgs) "split" "A network in parts of equal size";
    Plan(PlanArgs) "plan" "A network in parts for given numbers of hosts (VLSM)";
    Aggregate(AggregateArgs) "aggregate" "The fewest networks with the same addresses";
    Supernet(SetArgs) "supernet" "The one smallest network around all, for each family";
    Subtract(SubtractArgs) "subtract" "The addresses of one set that another lacks";
    Intersect(WithArgs) "intersect" "The addresses of both sets";
    Symdiff(WithArgs) "symdiff" "The addresses of exactly one of two sets";
    Complement(SetArgs) "complement" "All other addresses, in the families present";
    Free(FreeArgs) "free" "What of a network is not used";
    Match(MatchArgs) "match" "The longest network of a set around each address";
    Overlap(OverlapArgs) "overlap" "Pairs of networks that overlap";
    Grep(GrepArgs) "grep" "Lines that hold an address of a set";
    Sort(SetArgs) "sort" "Networks in order, host bits masked";
    Count(CountArgs) "count" "How many addresses, for each family";
    Nth(NthArgs) "nth" "The Nth address of a network, from 0; -1 is the last";
    Sample(SampleArgs) "sample" "Random addresses of a network, no two the same";
    Next(StepArgs) "next" "The next network of the same size, or the Nth";
    Prev(StepArgs) "prev" "The previous network of the same size, or the Nth";
    Reverse(ReverseArgs) "reverse" "Reverse zones of a network, the PTR name of an address";
    Mask(MaskArgs) "mask" "A prefix length or mask in all its forms";
    Eui64(Eui64Args) "eui64" "The address made of a MAC address (modified EUI-64)";
    Ula(UlaArgs) "ula" "A random unique local /48 (RFC 4193)";
}

#[derive(Args, Debug, Default)]
#[command(after_long_help = "\
EXAMPLES
  subnetcalc 10.1.2.3/20 2001:db8::/48
  subnetcalc info --get network,special.name - < addresses

FIELDS
  address prefix_length network netmask wildcard broadcast first last
  first_host last_host total usable family special.entry special.name
  special.rfc special.globally_reachable multicast reverse_zones hex decimal
  binary expanded embedded.kind embedded.ipv4 embedded.server embedded.port
  mac solicited_node multicast_scope multicast_mac")]
pub(crate) struct InfoArgs {
    /// Networks; `-` reads them from stdin
    #[arg(value_name = "NETWORK")]
    pub(crate) networks: Vec<String>,

    /// Print only these JSON keys (info --help lists them), by TAB; null prints -
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    pub(crate) get: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  subnetcalc hosts 192.168.1.0/24 | ping --alive -
  subnetcalc hosts --all --step 256 10.0.0.0/8
  subnetcalc hosts 10.0.0.250-10.0.1.5
  subnetcalc hosts ::/0 | head")]
pub(crate) struct HostsArgs {
    /// Networks, and ranges A-B whose every address counts; `-` reads stdin
    #[arg(value_name = "NETWORK")]
    pub(crate) networks: Vec<String>,

    /// Every address, also network and broadcast
    #[arg(short, long)]
    pub(crate) all: bool,

    /// Every Nth address, from the first listed
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive)]
    pub(crate) step: u128,

    /// At most N of each network
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) limit: Option<u128>,

    /// From the last to the first
    #[arg(long)]
    pub(crate) reverse: bool,
}

/// How networks are written.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct FormArgs {
    /// Print ranges A-B instead of networks
    #[arg(long)]
    pub(crate) ranges: bool,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("size").args(["prefix", "parts"]).required(true))]
#[command(after_long_help = "\
EXAMPLES
  subnetcalc split 10.0.0.0/16 --prefix 18
  subnetcalc split 2001:db8::/32 --parts 4")]
pub(crate) struct SplitArgs {
    /// Networks; `-` reads them from stdin
    #[arg(value_name = "NETWORK")]
    pub(crate) networks: Vec<String>,

    /// The prefix length of the parts
    #[arg(short, long, value_name = "LEN", value_parser = length)]
    pub(crate) prefix: Option<u32>,

    /// How many parts: a power of two
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) parts: Option<u128>,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Prints NETWORK NAME ASKED USABLE, the largest first, then what is left as
NETWORK free - USABLE, separated by TABs. Status 1 if it does not fit.

EXAMPLES
  subnetcalc plan 10.0.0.0/24 web=50 db=10 2")]
pub(crate) struct PlanArgs {
    /// The network to hand out
    pub(crate) network: String,

    /// Hosts needed in each part
    #[arg(value_name = "[NAME=]HOSTS", required = true)]
    pub(crate) parts: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct SetArgs {
    /// Networks, addresses, ranges A-B, @FILE, -
    #[arg(value_name = "SET")]
    pub(crate) set: Vec<String>,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Without options the result has exactly the addresses given. --max-prefix and
--max-count add addresses, the fewest first, and say on stderr how many.

EXAMPLES
  subnetcalc aggregate @blocklist
  subnetcalc aggregate --max-count 1000 @blocklist
  subnetcalc aggregate 10.0.0.5-10.0.3.7")]
pub(crate) struct AggregateArgs {
    /// Networks, addresses, ranges A-B, @FILE, -
    #[arg(value_name = "SET")]
    pub(crate) set: Vec<String>,

    /// No network longer than LEN
    #[arg(long, value_name = "LEN", value_parser = length)]
    pub(crate) max_prefix: Option<u32>,

    /// At most N networks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_count: Option<u64>,

    /// Do not say how many addresses were added
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  subnetcalc subtract 10.0.0.0/8 --minus 10.1.0.0/16 --minus @used")]
pub(crate) struct SubtractArgs {
    /// Networks, addresses, ranges A-B, @FILE, -
    #[arg(value_name = "SET")]
    pub(crate) set: Vec<String>,

    /// What to take away; may be repeated
    #[arg(long, value_name = "SET", required = true)]
    pub(crate) minus: Vec<String>,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
pub(crate) struct WithArgs {
    /// Networks, addresses, ranges A-B, @FILE, -
    #[arg(value_name = "SET")]
    pub(crate) set: Vec<String>,

    /// The other set; may be repeated
    #[arg(long, value_name = "SET", required = true)]
    pub(crate) with: Vec<String>,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  subnetcalc free 10.0.0.0/16 --used @leases
  subnetcalc free 10.0.0.0/16 --used @leases --prefix 24 | head -n 1")]
pub(crate) struct FreeArgs {
    /// The network
    pub(crate) network: String,

    /// What is used; may be repeated
    #[arg(long, value_name = "SET", required = true)]
    pub(crate) used: Vec<String>,

    /// Every free network of this length; none: status 1
    #[arg(short, long, value_name = "LEN", value_parser = length)]
    pub(crate) prefix: Option<u32>,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Prints ADDRESS NETWORK, separated by a TAB, - where no network holds the
address (status 1).

EXAMPLES
  subnetcalc match --in @routes 10.1.2.3
  cut -d' ' -f1 access.log | subnetcalc match --in @customers -")]
pub(crate) struct MatchArgs {
    /// Addresses; `-` reads them from stdin
    #[arg(value_name = "ADDRESS")]
    pub(crate) addresses: Vec<String>,

    /// The networks; may be repeated
    #[arg(long = "in", value_name = "SET", required = true)]
    pub(crate) set: Vec<String>,

    /// Print nothing, the status says it all
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Prints every pair A B of members that have an address in common, separated by
a TAB. None: status 1.")]
pub(crate) struct OverlapArgs {
    /// Networks, addresses, ranges A-B, @FILE, -
    #[arg(value_name = "SET")]
    pub(crate) set: Vec<String>,

    /// Print nothing, the status says it all
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
An address counts where no letter, digit or dot stands before it and none
after it, but for a dot at the end of a sentence: `10.0.0.6.`, `10.0.0.1:80`
and `[2001:db8::1]:443` hold one, `x10.0.0.7y` and `1.2.3.4.5` do not.
A line of more than 64 MiB is printed only if an address of the set is in its
first 64 MiB (with --json, not at all); otherwise it is an error. -o, -c and -q
take lines of any length.
Status: 0 a line was selected, 1 none, 2 an error.

EXAMPLES
  subnetcalc grep --in 10.0.0.0/8 --in @partners access.log
  tail -f access.log | subnetcalc grep -x --in @blocklist
  subnetcalc grep -o --in ::/0 notes.txt | sort | uniq -c")]
pub(crate) struct GrepArgs {
    /// Files; stdin if there is none
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<String>,

    /// The set; may be repeated
    #[arg(long = "in", value_name = "SET", required = true)]
    pub(crate) set: Vec<String>,

    /// Lines that have addresses, none of them in the set
    #[arg(short = 'v', long, conflicts_with = "no_address")]
    pub(crate) invert_match: bool,

    /// Lines without any address
    #[arg(long)]
    pub(crate) no_address: bool,

    /// Print the number of lines instead of the lines
    #[arg(short, long)]
    pub(crate) count: bool,

    /// Print only the addresses in the set, one a line
    #[arg(short, long, conflicts_with_all = ["invert_match", "no_address"])]
    pub(crate) only_matching: bool,

    /// Look only at the first white-space field: ADDR, ADDR:PORT, [ADDR], [ADDR]:PORT
    #[arg(short = 'x', long)]
    pub(crate) first_field: bool,

    /// Take ::ffff:10.0.0.1 for 10.0.0.1
    #[arg(long)]
    pub(crate) unmap: bool,

    /// Print the file's name before each line
    #[arg(short = 'H', long, overrides_with = "no_filename")]
    pub(crate) with_filename: bool,

    /// Print no file names
    #[arg(long, overrides_with = "with_filename")]
    pub(crate) no_filename: bool,

    /// Print nothing, the status says it all
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CountArgs {
    /// Networks, addresses, ranges A-B, @FILE, -
    #[arg(value_name = "SET")]
    pub(crate) set: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  subnetcalc nth 10.0.0.0/24 1      the first host
  subnetcalc nth 10.0.0.0/24 -2     the last host")]
pub(crate) struct NthArgs {
    /// The network
    pub(crate) network: String,

    /// The number of the address, from 0; negative from the end
    #[arg(value_name = "N", allow_hyphen_values = true)]
    pub(crate) n: String,
}

#[derive(Args, Debug)]
pub(crate) struct SampleArgs {
    /// The network
    pub(crate) network: String,

    /// How many addresses
    #[arg(value_name = "N", value_parser = number)]
    pub(crate) n: u128,

    /// The same sample each time
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct StepArgs {
    /// The network
    pub(crate) network: String,

    /// How many steps
    #[arg(value_name = "N", default_value = "1", value_parser = number)]
    pub(crate) n: u128,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  subnetcalc reverse 10.1.4.0/22
  subnetcalc reverse 192.0.2.64/26     RFC 2317
  subnetcalc reverse 2001:db8::1")]
pub(crate) struct ReverseArgs {
    /// Networks or addresses; `-` reads them from stdin
    #[arg(value_name = "NETWORK")]
    pub(crate) networks: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Prints LEN NETMASK WILDCARD HEX, separated by TABs. A length up to 32 is
IPv4's unless -6 is given.

EXAMPLES
  subnetcalc mask 22
  subnetcalc mask 255.255.240.0
  subnetcalc mask --wildcard 0.0.15.255")]
pub(crate) struct MaskArgs {
    /// Prefix lengths or masks; `-` reads them from stdin
    #[arg(value_name = "LEN|MASK")]
    pub(crate) masks: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  subnetcalc eui64 00:1b:21:3c:9d:f8 2001:db8:1:2::/64")]
pub(crate) struct Eui64Args {
    /// The MAC address
    pub(crate) mac: String,

    /// The network, /64 or shorter
    #[arg(default_value = "fe80::/64")]
    pub(crate) network: String,
}

#[derive(Args, Debug)]
pub(crate) struct UlaArgs {
    /// The same network each time
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
}

/// A number from 0 in digits.
fn number(text: &str) -> Result<u128, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err("not a number; use digits".to_owned());
    }
    text.parse()
        .map_err(|_| format!("out of range; use 0 to {}", u128::MAX))
}

/// A number from 1 in digits.
fn positive(text: &str) -> Result<u128, String> {
    match number(text) {
        Ok(0) => Err(format!("out of range; use 1 to {}", u128::MAX)),
        other => other,
    }
}

/// A prefix length of either family.
fn length(text: &str) -> Result<u32, String> {
    let leading = text.len() > 1 && text.starts_with('0');
    match number(text)? {
        _ if leading => Err("leading zero in the prefix length".to_owned()),
        n @ 0..=128 => Ok(n as u32),
        _ => Err("prefix length out of range; use 0 to 32 for IPv4, to 128 for IPv6".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_network_needs_no_command() {
        let cli = Cli::parse_from(["subnetcalc", "10.0.0.0/8", "--get", "total,usable"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.line.info.networks, ["10.0.0.0/8"]);
        assert_eq!(cli.line.info.get, ["total", "usable"]);
        let cli = Cli::parse_from(["subnetcalc", "--json", "-4", "aggregate", "-"]);
        assert!(cli.line.common.json && cli.line.reading.ipv4);
        assert!(matches!(cli.command, Some(Command::Aggregate(args)) if args.set == ["-"]));
        let cli = Cli::parse_from(["subnetcalc", "nth", "10.0.0.0/8", "-1", "-j"]);
        assert!(cli.line.common.json);
    }

    #[test]
    fn numbers_are_digits_in_range() {
        assert_eq!(
            positive("0").unwrap_err(),
            format!("out of range; use 1 to {}", u128::MAX)
        );
        assert!(number("+1").is_err() && number("-1").is_err() && number("").is_err());
        assert_eq!(length("128"), Ok(128));
        assert!(length("129").is_err() && length("024").is_err());
    }
}
