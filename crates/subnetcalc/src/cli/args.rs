//! The arguments of each command.

use clap::builder::PossibleValue;
use clap::{Args, ValueHint};
use common::options::SuggestedValues;

use crate::network_info::FIELD_NAMES;

use super::numbers::{PrefixLengths, length, lengths, number, positive};

#[derive(Args, Debug, Default)]
#[command(after_long_help = "\
Examples:
  subnetcalc 10.1.2.3/20 2001:db8::/48
  subnetcalc 192.168.1.10 255.255.255.0       one network
  subnetcalc info --get network,special.name - < addresses

Fields:
  address prefix_length network netmask wildcard broadcast first last
  first_host last_host total usable family special.entry special.name
  special.rfc special.globally_reachable multicast reverse_zones hex decimal
  binary expanded embedded.kind embedded.ipv4 embedded.server embedded.port
  mac solicited_node multicast_scope multicast_mac")]
pub(crate) struct InfoArgs {
    /// Networks, @FILE or - (standard input)
    #[arg(value_name = "NETWORK")]
    pub(crate) networks: Vec<String>,

    /// Print only these fields, separated by TABs, with '-' for a field that does not
    /// apply (see 'subnetcalc info --help' for the names)
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    #[arg(value_parser = SuggestedValues(|| FIELD_NAMES.map(PossibleValue::new).to_vec()), hide_possible_values = true)]
    pub(crate) get: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
For a range, every address is listed. The list can be of any length and needs
little memory.

Examples:
  subnetcalc hosts 192.168.1.0/24 | ping --alive -
  subnetcalc hosts --all --step 256 10.0.0.0/8
  subnetcalc hosts 10.0.0.250-10.0.1.5
  subnetcalc hosts ::/0 | head")]
pub(crate) struct HostsArgs {
    /// Networks, ranges A-B, @FILE or - (standard input)
    #[arg(value_name = "NETWORK")]
    pub(crate) networks: Vec<String>,

    /// List every address, including the network and broadcast addresses
    #[arg(short, long)]
    pub(crate) all: bool,

    /// List only every Nth address, starting with the first
    #[arg(long, value_name = "N", default_value = "1", value_parser = positive)]
    pub(crate) step: u128,

    /// List at most N addresses of each network
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) limit: Option<u128>,

    /// List the addresses in descending order
    #[arg(long)]
    pub(crate) reverse: bool,
}

/// The form in which networks are printed.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct FormArgs {
    /// Print ranges A-B instead of networks
    #[arg(long)]
    pub(crate) ranges: bool,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("size").args(["prefix", "parts"]).required(true))]
#[command(after_long_help = "\
Examples:
  subnetcalc split 10.0.0.0/16 --prefix 18
  subnetcalc split 2001:db8::/32 --parts 4")]
pub(crate) struct SplitArgs {
    /// Networks, @FILE or - (standard input)
    #[arg(value_name = "NETWORK")]
    pub(crate) networks: Vec<String>,

    /// Split into networks with this prefix length
    #[arg(short, long, value_name = "LEN", value_parser = length)]
    pub(crate) prefix: Option<u32>,

    /// Split into N networks; N is a power of two
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) parts: Option<u128>,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Prints NETWORK NAME ASKED USABLE for each part, the largest part first, then
NETWORK free - USABLE for the unused remainder, separated by TABs. If the
parts do not fit, prints nothing and exits with status 1.

A part for a number of hosts is a /30 or larger in IPv4, and a /64 or larger in
IPv6 unless --exact is given. A part with a /LEN has exactly that length.

Examples:
  subnetcalc plan 10.0.0.0/24 web=50 db=10 link=/31
  subnetcalc plan 2001:db8::/48 lan=50 guests=/60")]
pub(crate) struct PlanArgs {
    /// Network to divide
    pub(crate) network: String,

    /// Number of hosts or prefix length of each part: [NAME=]HOSTS or [NAME=]/LEN
    #[arg(value_name = "[NAME=]HOSTS", required = true)]
    pub(crate) parts: Vec<String>,

    /// Keep the given order instead of putting the largest part first
    #[arg(long)]
    pub(crate) keep_order: bool,

    /// Make IPv6 parts just large enough for their hosts, even if longer than /64
    #[arg(long)]
    pub(crate) exact: bool,
}

#[derive(Args, Debug)]
pub(crate) struct SetArgs {
    /// Networks, addresses, ranges A-B or A+COUNT, @FILE or - (standard input)
    #[arg(id = "operands", value_name = "SET")]
    pub(crate) set: Vec<String>,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Without options the result contains exactly the given addresses. --max-prefix
and --max-count add addresses and report on stderr how many.

--max-count adds as few addresses as possible if the number of networks times N
is at most 16,777,216. A larger set is first reduced to that size step by step,
each time by merging the two networks that add the fewest addresses.

Examples:
  subnetcalc aggregate @blocklist
  subnetcalc aggregate --max-count 1000 @blocklist
  subnetcalc aggregate 10.0.0.5-10.0.3.7")]
pub(crate) struct AggregateArgs {
    /// Networks, addresses, ranges A-B or A+COUNT, @FILE or - (standard input)
    #[arg(id = "operands", value_name = "SET")]
    pub(crate) set: Vec<String>,

    /// Replace networks longer than /LEN (IPv6: /LEN6) by the /LEN that contains them,
    /// which adds addresses; without IPv4 input, a single LEN applies to IPv6
    #[arg(long, value_name = "LEN[,LEN6]", value_parser = lengths)]
    pub(crate) max_prefix: Option<PrefixLengths>,

    /// Merge networks until there are at most N (adds addresses)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_count: Option<u64>,

    /// Do not report the number of added addresses
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  subnetcalc subtract 10.0.0.0/8 --minus 10.1.0.0/16,10.2.0.0/16
  subnetcalc subtract 0.0.0.0/0 --minus @private --minus @reserved")]
pub(crate) struct SubtractArgs {
    /// Networks, addresses, ranges A-B or A+COUNT, @FILE or - (standard input)
    #[arg(id = "operands", value_name = "SET")]
    pub(crate) set: Vec<String>,

    /// Set to subtract, comma-separated; may be repeated
    #[arg(long, value_name = "SET", required = true)]
    pub(crate) minus: Vec<String>,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
pub(crate) struct WithArgs {
    /// Networks, addresses, ranges A-B or A+COUNT, @FILE or - (standard input)
    #[arg(id = "operands", value_name = "SET")]
    pub(crate) set: Vec<String>,

    /// Second set, comma-separated; may be repeated
    #[arg(long, value_name = "SET", required = true)]
    pub(crate) with: Vec<String>,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Prints nothing. The exit status is 0 if the sets are equal and 1 if they differ.")]
pub(crate) struct EqualArgs {
    /// Networks, addresses, ranges A-B or A+COUNT, @FILE or - (standard input)
    #[arg(id = "operands", value_name = "SET")]
    pub(crate) set: Vec<String>,

    /// Second set, comma-separated; may be repeated
    #[arg(long, value_name = "SET", required = true)]
    pub(crate) with: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  subnetcalc free 10.0.0.0/16 --used @leases
  subnetcalc free 10.0.0.0/16 --used @leases --prefix 24 | head -n 1")]
pub(crate) struct FreeArgs {
    /// Network to search
    pub(crate) network: String,

    /// Set of used addresses, comma-separated; may be repeated
    #[arg(long, value_name = "SET", required = true)]
    pub(crate) used: Vec<String>,

    /// List every free network with this prefix length; exit with status 1 if none
    /// is found
    #[arg(short, long, value_name = "LEN", value_parser = length)]
    pub(crate) prefix: Option<u32>,

    /// Operands that were most likely meant for `--used`; they are rejected with a
    /// hint.
    #[arg(hide = true)]
    pub(crate) excess: Vec<String>,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Prints ADDRESS NETWORK for each address, separated by a TAB. If no
network contains the address, NETWORK is '-' and the exit status is 1.

Examples:
  subnetcalc match --in @routes 10.1.2.3
  cut -d' ' -f1 access.log | subnetcalc match --in @customers -")]
pub(crate) struct MatchArgs {
    /// Addresses, @FILE or - (standard input)
    #[arg(value_name = "ADDRESS")]
    pub(crate) addresses: Vec<String>,

    /// Networks to search, comma-separated; may be repeated
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
Prints A B for each pair of members that have an address in common, separated by
a TAB. Without such a pair, the exit status is 1.")]
pub(crate) struct OverlapArgs {
    /// Networks, addresses, ranges A-B or A+COUNT, @FILE or - (standard input)
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
An address must not be preceded or followed by a letter, digit or dot, except
for a dot that ends a sentence. So `10.0.0.6.`, `10.0.0.1:80` and
`[2001:db8::1]:443` contain an address, but `x10.0.0.7y` and `1.2.3.4.5` do not.
A bare `::` is not an address.

A line longer than 64 MiB is printed only if its first 64 MiB contain an address
in the set; otherwise, and always with --json, it is an error. This limit does
not apply to -o, -c and -q.

The exit status is 0 if a line was selected, 1 if none was, 2 after an error.

Examples:
  subnetcalc grep --in 10.0.0.0/8 --in @partners access.log
  tail -f access.log | subnetcalc grep -x --in @blocklist
  subnetcalc grep -o --in ::/0 notes.txt | sort | uniq -c")]
pub(crate) struct GrepArgs {
    /// Files to search, by default standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<String>,

    /// Addresses to search for, comma-separated; may be repeated
    #[arg(id = "in", long, value_name = "SET", required = true)]
    pub(crate) set: Vec<String>,

    /// Select lines that contain addresses, none of them in the set
    #[arg(short = 'v', long, conflicts_with = "no_address")]
    pub(crate) invert_match: bool,

    /// Select lines without an address
    #[arg(long)]
    pub(crate) no_address: bool,

    /// Print the number of selected lines instead of the lines
    #[arg(short, long)]
    pub(crate) count: bool,

    /// Print only the addresses in the set, each on its own line with its /LEN
    #[arg(short, long, conflicts_with_all = ["invert_match", "no_address"])]
    pub(crate) only_matching: bool,

    /// Search only the first field of each line, which ends at white space, a comma, a
    /// semicolon or a vertical bar: ADDR, ADDR/LEN, ADDR:PORT, [ADDR] or [ADDR]:PORT
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

    /// Print the file name before each line
    #[arg(short = 'H', long, overrides_with = "no_filename")]
    pub(crate) with_filename: bool,

    /// Never print file names
    #[arg(long, overrides_with = "with_filename")]
    pub(crate) no_filename: bool,

    /// Print nothing; report through the exit status only
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CountArgs {
    /// Networks, addresses, ranges A-B or A+COUNT, @FILE or - (standard input)
    #[arg(id = "operands", value_name = "SET")]
    pub(crate) set: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  subnetcalc nth 10.0.0.0/24 1      the first host
  subnetcalc nth 10.0.0.0/24 -2     the last host")]
pub(crate) struct NthArgs {
    /// Network that contains the address
    pub(crate) network: String,

    /// Index of the address, from 0; -1 is the last address
    #[arg(value_name = "N", allow_hyphen_values = true)]
    pub(crate) n: String,
}

#[derive(Args, Debug)]
pub(crate) struct SampleArgs {
    /// Network to sample from
    pub(crate) network: String,

    /// Number of addresses to print
    #[arg(value_name = "N", value_parser = number)]
    pub(crate) n: u128,

    /// Seed of the random numbers, to reproduce the sample
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct StepArgs {
    /// Network to start from
    pub(crate) network: String,

    /// Number of networks to skip
    #[arg(value_name = "N", default_value = "1", value_parser = number)]
    pub(crate) n: u128,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  subnetcalc reverse 10.1.4.0/22
  subnetcalc reverse 192.0.2.64/26     by RFC 2317
  subnetcalc reverse 2001:db8::1")]
pub(crate) struct ReverseArgs {
    /// Networks, addresses, @FILE or - (standard input)
    #[arg(value_name = "NETWORK")]
    pub(crate) networks: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Prints LEN NETMASK WILDCARD HEX, separated by TABs. A prefix length up to 32
belongs to IPv4 unless -6 is given. 0.0.0.0 and 255.255.255.255 are netmasks unless
--wildcard is given.

Examples:
  subnetcalc mask 22
  subnetcalc mask 255.255.240.0
  subnetcalc mask 0.0.15.255
  subnetcalc mask 0xfffff000")]
pub(crate) struct MaskArgs {
    /// Prefix lengths, masks, @FILE or - (standard input)
    #[arg(value_name = "LEN|MASK")]
    pub(crate) masks: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  subnetcalc eui64 00:1b:21:3c:9d:f8 2001:db8:1:2::/64")]
pub(crate) struct Eui64Args {
    /// MAC address in any common spelling
    pub(crate) mac: String,

    /// IPv6 network of the address, /64 or shorter
    #[arg(default_value = "fe80::/64")]
    pub(crate) network: String,
}

#[derive(Args, Debug)]
pub(crate) struct UlaArgs {
    /// Seed of the random numbers, to reproduce the network
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}
