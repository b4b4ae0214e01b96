//! The arguments of each command.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Args, ValueHint};

use crate::facts::FIELD_NAMES;

use super::numbers::{Lengths, length, lengths, number, positive};

#[derive(Args, Debug, Default)]
#[command(after_long_help = "\
EXAMPLES
  subnetcalc 10.1.2.3/20 2001:db8::/48
  subnetcalc 192.168.1.10 255.255.255.0       one network
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

    /// Print only these fields, separated by TABs; '-' where a field does not apply
    /// (names: info --help)
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    #[arg(value_parser = FieldName, hide_possible_values = true)]
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
A part for hosts is a /30 or larger in IPv4, and a /64 or larger in IPv6 unless
--exact is given; a part with a /LEN has that length.

EXAMPLES
  subnetcalc plan 10.0.0.0/24 web=50 db=10 link=/31
  subnetcalc plan 2001:db8::/48 lan=50 guests=/60")]
pub(crate) struct PlanArgs {
    /// The network to hand out
    pub(crate) network: String,

    /// Hosts needed in each part, or its prefix length: [NAME=]/LEN
    #[arg(value_name = "[NAME=]HOSTS", required = true)]
    pub(crate) parts: Vec<String>,

    /// Keep the given order instead of putting the largest first
    #[arg(long)]
    pub(crate) keep_order: bool,

    /// Give IPv6 parts only as many addresses as their hosts need, not a /64
    #[arg(long)]
    pub(crate) exact: bool,
}

#[derive(Args, Debug)]
pub(crate) struct SetArgs {
    /// Networks, addresses, ranges A-B or A+COUNT, @FILE, -
    #[arg(id = "operands", value_name = "SET")]
    pub(crate) set: Vec<String>,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Without options the result has exactly the addresses given. --max-prefix and
--max-count add addresses and say on stderr how many. --max-count adds as few as
possible if the number of networks times N is at most 16,777,216; a larger set
is first reduced to that by the best single steps.

EXAMPLES
  subnetcalc aggregate @blocklist
  subnetcalc aggregate --max-count 1000 @blocklist
  subnetcalc aggregate 10.0.0.5-10.0.3.7")]
pub(crate) struct AggregateArgs {
    /// Networks, addresses, ranges A-B or A+COUNT, @FILE, -
    #[arg(id = "operands", value_name = "SET")]
    pub(crate) set: Vec<String>,

    /// Widen networks longer than /LEN to /LEN, IPv6 ones to /LEN6 (adds addresses);
    /// LEN alone leaves IPv6 as it is, unless there is only IPv6
    #[arg(long, value_name = "LEN[,LEN6]", value_parser = lengths)]
    pub(crate) max_prefix: Option<Lengths>,

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
    /// Networks, addresses, ranges A-B or A+COUNT, @FILE, -
    #[arg(id = "operands", value_name = "SET")]
    pub(crate) set: Vec<String>,

    /// What to take away; comma-separated, may be repeated
    #[arg(long, value_name = "SET", required = true)]
    pub(crate) minus: Vec<String>,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
pub(crate) struct WithArgs {
    /// Networks, addresses, ranges A-B or A+COUNT, @FILE, -
    #[arg(id = "operands", value_name = "SET")]
    pub(crate) set: Vec<String>,

    /// The other set; comma-separated, may be repeated
    #[arg(long, value_name = "SET", required = true)]
    pub(crate) with: Vec<String>,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
pub(crate) struct EqualArgs {
    /// Networks, addresses, ranges A-B or A+COUNT, @FILE, -
    #[arg(id = "operands", value_name = "SET")]
    pub(crate) set: Vec<String>,

    /// The other set; comma-separated, may be repeated
    #[arg(long, value_name = "SET", required = true)]
    pub(crate) with: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  subnetcalc free 10.0.0.0/16 --used @leases
  subnetcalc free 10.0.0.0/16 --used @leases --prefix 24 | head -n 1")]
pub(crate) struct FreeArgs {
    /// The network
    pub(crate) network: String,

    /// What is used; comma-separated, may be repeated
    #[arg(long, value_name = "SET", required = true)]
    pub(crate) used: Vec<String>,

    /// Every free network of this length; none: status 1
    #[arg(short, long, value_name = "LEN", value_parser = length)]
    pub(crate) prefix: Option<u32>,

    /// Further operands, which are an error: most likely they were meant for
    /// `--used`.
    #[arg(hide = true)]
    pub(crate) excess: Vec<String>,

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

    /// The networks; comma-separated, may be repeated
    #[arg(id = "in", long, value_name = "SET", required = true)]
    pub(crate) set: Vec<String>,

    /// Treat ::ffff:10.0.0.1 as 10.0.0.1
    #[arg(long)]
    pub(crate) unmap: bool,

    /// Print nothing; report through the exit status only
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Prints every pair A B of members that have an address in common, separated by
a TAB. None: status 1.")]
pub(crate) struct OverlapArgs {
    /// Networks, addresses, ranges A-B or A+COUNT, @FILE, -
    #[arg(id = "operands", value_name = "SET")]
    pub(crate) set: Vec<String>,

    /// Print nothing; report through the exit status only
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
An address counts if no letter, digit or dot stands before it and none after
it, except a dot that ends a sentence: `10.0.0.6.`, `10.0.0.1:80` and
`[2001:db8::1]:443` contain one, `x10.0.0.7y` and `1.2.3.4.5` do not. A bare
`::` is not an address.
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
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<String>,

    /// The set; comma-separated, may be repeated
    #[arg(id = "in", long, value_name = "SET", required = true)]
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

    /// Print only the addresses in the set, with their /LEN, one per line
    #[arg(short, long, conflicts_with_all = ["invert_match", "no_address"])]
    pub(crate) only_matching: bool,

    /// Look only at the first field of a line, which ends at white space, a comma,
    /// semicolon or bar: ADDR, ADDR/LEN, ADDR:PORT, [ADDR], [ADDR]:PORT
    #[arg(short = 'x', long)]
    pub(crate) first_field: bool,

    /// Print the line number before each line
    #[arg(short = 'n', long)]
    pub(crate) line_number: bool,

    /// Print only the names of files with selected lines
    #[arg(short = 'l', long, conflicts_with_all = ["count", "only_matching"])]
    pub(crate) files_with_matches: bool,

    /// Treat ::ffff:10.0.0.1 as 10.0.0.1
    #[arg(long)]
    pub(crate) unmap: bool,

    /// Accept .PORT after an address, as tcpdump and netstat print it
    #[arg(long)]
    pub(crate) dot_port: bool,

    /// Print the file's name before each line
    #[arg(short = 'H', long, overrides_with = "no_filename")]
    pub(crate) with_filename: bool,

    /// Print no file names
    #[arg(long, overrides_with = "with_filename")]
    pub(crate) no_filename: bool,

    /// Print nothing; report through the exit status only
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CountArgs {
    /// Networks, addresses, ranges A-B or A+COUNT, @FILE, -
    #[arg(id = "operands", value_name = "SET")]
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
IPv4's unless -6 is given. 0.0.0.0 and 255.255.255.255 are netmasks unless
--wildcard is given.

EXAMPLES
  subnetcalc mask 22
  subnetcalc mask 255.255.240.0
  subnetcalc mask 0.0.15.255
  subnetcalc mask 0xfffff000")]
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

/// A field of `--get`. Its names are known for completions; a wrong one is
/// refused by the command, which says more about it.
#[derive(Clone, Debug)]
struct FieldName;

impl TypedValueParser for FieldName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(FIELD_NAMES.into_iter().map(PossibleValue::new)))
    }
}
