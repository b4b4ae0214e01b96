//! The command line; data only.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser};
use common::address::Family;
use common::options::Common;

mod args;
mod numbers;

pub(crate) use args::*;

/// IPv4 and IPv6 subnet calculator and CIDR toolkit
#[derive(Parser, Debug)]
#[command(
    name = "subnetcalc",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    override_usage = "subnetcalc [OPTIONS] [NETWORK]...\n       subnetcalc COMMAND [OPTIONS] [ARGS]",
    after_help = "NETWORK is ADDR/LEN, ADDR/MASK or ADDR. A SET is any number of networks, addresses,\n\
        ranges A-B, @FILE and - (stdin), IPv4 and IPv6 mixed. 'subnetcalc COMMAND --help' says more.",
    after_long_help = "\
NETWORK is ADDR/LEN, ADDR/MASK or ADDR. A SET is any number of networks,
addresses, ranges A-B, @FILE and - (stdin), one per line in a file; blank lines
and comments after # or ; are skipped. An IPv6 address may have a zone
(fe80::1%eth0), which is ignored: it names a link, not a network. IPv4 and IPv6 mix freely; results come
IPv4 first, by address, then by length. 'subnetcalc COMMAND --help' says more.

EXAMPLES
  subnetcalc 192.168.1.10/24                 details of a network
  subnetcalc --get usable,broadcast 10.1.0.0/22
  subnetcalc hosts 192.168.1.0/29            its hosts, one per line
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

/// A command line: what needs no command, and the command.
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
        let named = |name: &str| args.iter().any(|arg| arg == name);
        let all = named("help");
        with_commands(|name| all || named(name))
    }

    fn foreign_option_hint(option: &str) -> Option<&'static str> {
        // Options of ipcalc, sipcalc, grepcidr, grep, iprange and prips.
        Some(match option {
            "-f" | "--file" => "@FILE reads networks from a file, also in --in @FILE",
            "-b" | "--broadcast" => "use --get broadcast",
            "-m" | "--netmask" => "use --get netmask",
            "--network" => "use --get network",
            "--minaddr" => "use --get first_host",
            "--maxaddr" => "use --get last_host",
            "-d" | "-r" | "--deaggregate" => "'subnetcalc aggregate A-B' prints the networks",
            "-s" | "-S" => "use 'subnetcalc split' or 'subnetcalc plan'",
            "-e" | "--except" | "--exclude" => "use 'subnetcalc subtract SET --minus SET'",
            "--common" => "use 'subnetcalc intersect SET --with SET'",
            "--print-ranges" => "use --ranges",
            _ => return None,
        })
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

/// Refuses operands both before and after an option that takes a SET: they
/// would count as operands, though the later ones were most likely meant for
/// the option.
fn operands_on_one_side(matches: &ArgMatches) -> Result<(), clap::Error> {
    const OPERANDS: [&str; 5] = ["operands", "addresses", "files", "network", "excess"];
    const OPTIONS: [&str; 4] = ["minus", "with", "used", "in"];
    let indices = |id: &str| {
        let known = matches.try_contains_id(id).unwrap_or(false);
        let indices = known.then(|| matches.indices_of(id)).flatten();
        indices.map(Iterator::collect::<Vec<usize>>)
    };
    let operands: Vec<usize> = OPERANDS
        .iter()
        .copied()
        .filter_map(indices)
        .flatten()
        .collect();
    for option in OPTIONS {
        let Some(places) = indices(option) else {
            continue;
        };
        let between = |place: &usize| {
            operands.iter().any(|operand| operand < place)
                && operands.iter().any(|operand| operand > place)
        };
        if places.iter().any(between) {
            let message = format!(
                "operands both before and after --{option}, which takes one word; \
                 use --{option} A,B or --{option} @FILE"
            );
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
    }
    Ok(())
}

/// The command that a word was most likely meant to be.
pub(crate) fn similar_command(word: &str) -> Option<String> {
    let names = COMMANDS.iter().map(|&(name, ..)| clap::Command::new(name));
    let command = clap::Command::new("subnetcalc").subcommands(names);
    let error = command.try_get_matches_from(["subnetcalc", word]).err()?;
    match error.get(ContextKind::SuggestedSubcommand)? {
        // The most similar one comes last.
        ContextValue::Strings(names) => names.last().cloned(),
        _ => None,
    }
}

/// How input is read, for every command.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Input options")]
pub(crate) struct ReadingArgs {
    /// Use IPv4 only and ignore IPv6
    #[arg(short = '4', long, conflicts_with = "ipv6", global = true)]
    pub(crate) ipv4: bool,

    /// Use IPv6 only and ignore IPv4
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
                        operands_on_one_side(matches)?;
                        Some(Self::$variant(<$args>::from_arg_matches(matches)?))
                    })*
                    _ => None,
                })
            }
        }
    };
}

commands! {
    Info(InfoArgs) "info" "Show details of each network (the default command)";
    Hosts(HostsArgs) "hosts" "List the usable hosts of networks, one per line";
    Split(SplitArgs) "split" "Split a network into equal parts";
    Plan(PlanArgs) "plan" "Plan subnets by number of hosts or length (VLSM)";
    Aggregate(AggregateArgs) "aggregate" "Find the fewest networks with the same addresses";
    Supernet(SetArgs) "supernet" "Find the smallest single network that covers everything, per family";
    Subtract(SubtractArgs) "subtract" "List the addresses of one set that another lacks";
    Intersect(WithArgs) "intersect" "List the addresses that are in both sets";
    Symdiff(WithArgs) "symdiff" "List the addresses that are in exactly one of two sets";
    Equal(EqualArgs) "equal" "Test whether two sets have the same addresses";
    Diff(WithArgs) "diff" "Show what one set has and the other lacks, with + and -";
    Complement(SetArgs) "complement" "List everything not in the set (for each address family in it)";
    Free(FreeArgs) "free" "List the unused parts of a network";
    Match(MatchArgs) "match" "Find the most specific network that contains each address";
    Overlap(OverlapArgs) "overlap" "List pairs of networks that overlap";
    Grep(GrepArgs) "grep" "Print lines that contain an address of a set";
    Sort(SetArgs) "sort" "Sort networks, with host bits masked";
    Count(CountArgs) "count" "Count addresses, per family";
    Nth(NthArgs) "nth" "Print the Nth address of a network, from 0; -1 is the last";
    Sample(SampleArgs) "sample" "Print random addresses of a network, without repeats";
    Next(StepArgs) "next" "Print the next network of the same size, or the Nth";
    Prev(StepArgs) "prev" "Print the previous network of the same size, or the Nth";
    Reverse(ReverseArgs) "reverse" "Print the reverse zones of a network, or the PTR name of an address";
    Mask(MaskArgs) "mask" "Convert between prefix length, netmask, wildcard mask and hex";
    Eui64(Eui64Args) "eui64" "Make an address from a MAC address (modified EUI-64)";
    Ula(UlaArgs) "ula" "Make a random unique local /48 (RFC 4193)";
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
        use super::numbers::{length, number, positive};
        assert_eq!(
            positive(&"9".repeat(41)).unwrap_err(),
            format!("out of range; use 1 to {}", u128::MAX)
        );
        assert_eq!(
            positive("0").unwrap_err(),
            format!("out of range; use 1 to {}", u128::MAX)
        );
        assert!(number("+1").is_err() && number("-1").is_err() && number("").is_err());
        assert_eq!(length("128"), Ok(128));
        assert!(length("129").is_err() && length("024").is_err());
    }
}
