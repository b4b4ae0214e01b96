//! The definition of the command line.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser};
use common::Error;
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
    after_help = "\
NETWORK is ADDR/LEN, ADDR/MASK or ADDR. A SET is any number of networks, addresses,
ranges A-B, @FILE and - (standard input). IPv4 and IPv6 may be mixed. For the arguments of a
command, see 'subnetcalc COMMAND --help'.",
    after_long_help = "\
NETWORK is ADDR/LEN, ADDR/MASK or ADDR. A SET is any number of networks,
addresses, ranges A-B, @FILE and - (standard input). A file has one of them per line;
blank lines and comments after # or ; are ignored. IPv4 and IPv6 may be mixed.
Commands that print sets sort their results: IPv4 first, by address, then by
prefix length. An IPv6 address may have a zone (fe80::1%eth0), which is ignored,
because it names a link and not a network. For the arguments of a command, see
'subnetcalc COMMAND --help'.

Exit status:
  0  success; for match, overlap, grep and free --prefix: something was found
  1  negative answer: nothing found, sets differ, parts do not fit, index out of
     range, or a list without operands where networks are expected
  2  invalid command line or input, or a file cannot be read

Examples:
  subnetcalc 192.168.1.10/24                 show details of a network
  subnetcalc --get usable,broadcast 10.1.0.0/22
  subnetcalc hosts 192.168.1.0/29            list its hosts
  subnetcalc split 10.0.0.0/16 --prefix 18   split it into /18 networks
  subnetcalc plan 10.0.0.0/24 web=50 db=10   plan subnets by number of hosts
  subnetcalc aggregate @nets -               find the fewest networks
  subnetcalc subtract 10.0.0.0/8 --minus @used
  subnetcalc match --in @nets 10.1.2.3       find the network of an address
  subnetcalc grep --in @nets access.log      print lines with these addresses"
)]
pub(crate) struct TopLevelArgs {
    #[command(flatten)]
    pub(crate) info: InfoArgs,

    #[command(flatten)]
    pub(crate) reading: ReadingArgs,

    #[command(flatten)]
    pub(crate) common: Common,
}

/// A parsed command line.
#[derive(Debug)]
pub(crate) struct Cli {
    /// The command, or `None` for the default command, `info`.
    pub(crate) command: Option<Command>,
    /// The arguments outside of the command.
    pub(crate) top_level: TopLevelArgs,
}

impl common::app::Cli for Cli {
    fn common(&self) -> &Common {
        &self.top_level.common
    }

    fn records() -> &'static str {
        include_str!("records.txt")
    }

    fn environment() -> &'static str {
        include_str!("environment.txt")
    }

    fn command_for(args: &[OsString]) -> clap::Command {
        let named = |name: &str| args.iter().any(|arg| arg == name);
        let needs_all = named("help");
        with_commands(|name| needs_all || named(name))
    }

    fn unknown_command(operand: &str) -> Option<Error> {
        let is_name = operand.starts_with(|c: char| c.is_ascii_alphabetic())
            && operand
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_name {
            return None;
        }
        let error = Error::usage(format!("{operand}: neither a network nor a command"));
        Some(match similar_command(operand) {
            Some(command) => error.hint(format!(
                "did you mean '{command}'? see 'subnetcalc {command} --help'"
            )),
            None => error,
        })
    }

    fn unsupported_option_hint(command: Option<&str>, option: &str) -> Option<&'static str> {
        if command == Some("grep") {
            return grep_option_hint(option);
        }
        // Options of ipcalc, sipcalc, iprange and prips, and commands with hyphens.
        Some(match option {
            "-q" | "--quiet" | "-s" if command == Some("equal") => {
                "'equal' prints nothing; test its exit status"
            }
            "--split" | "--hosts" | "--plan" | "--aggregate" | "--count" | "--free" | "--match"
            | "--mask" | "--grep" | "--reverse" | "--sort"
                if command.is_none() =>
            {
                "commands have no hyphens, as in 'subnetcalc split 10.0.0.0/16 --prefix 18'"
            }
            "-f" | "--file" => "use @FILE to read networks from a file, as in --in @FILE",
            "-b" | "--broadcast" => "use --get broadcast",
            "-m" | "--netmask" => "use --get netmask",
            "--network" => "use --get network",
            "--minaddr" => "use --get first_host",
            "--maxaddr" => "use --get last_host",
            "-d" | "-r" | "--deaggregate" => {
                "use 'subnetcalc aggregate A-B' to convert a range to networks"
            }
            "-s" | "-S" => "use 'subnetcalc split' or 'subnetcalc plan'",
            "-e" | "--except" | "--exclude" => "use 'subnetcalc subtract SET --minus SET'",
            "--common" => "use 'subnetcalc intersect SET --with SET'",
            "--print-ranges" => "use --ranges",
            _ => return None,
        })
    }
}

/// Returns a hint for an option of grep or grepcidr that the command `grep` lacks.
fn grep_option_hint(option: &str) -> Option<&'static str> {
    Some(match option {
        "-f" | "--file" => "use @FILE to read networks from a file, as in --in @FILE",
        "-e" | "--regexp" => "use --in SET for the networks to search for",
        "-r" | "-R" | "--recursive" => {
            "use 'find DIR -type f -exec subnetcalc grep --in SET {} +' to search directories"
        }
        "-m" | "--max-count" => "pipe the output to 'head -n NUM'",
        "-s" | "--no-messages" => "add 2>/dev/null to suppress error messages",
        "-i" | "--ignore-case" => "addresses match in any case",
        "-h" | "--no-filename" => "pipe the files to it with 'cat FILE... |' to omit their names",
        "-A" | "-B" | "-C" | "--context" => {
            "pipe the output of 'subnetcalc grep -o' to 'grep -F -f -'"
        }
        "-d" | "-D" => "use 'subnetcalc overlap' to compare networks with networks",
        _ => return None,
    })
}

/// Returns the definition with the commands that `wanted` accepts by name.
fn with_commands(wanted: impl Fn(&str) -> bool) -> clap::Command {
    COMMANDS.iter().filter(|(name, ..)| wanted(name)).fold(
        TopLevelArgs::command(),
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
            top_level: TopLevelArgs::from_arg_matches(matches)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Rejects operands on both sides of an option that takes a SET: the later ones were
/// most likely meant as its value.
fn check_operand_positions(matches: &ArgMatches) -> Result<(), clap::Error> {
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
        let Some(positions) = indices(option) else {
            continue;
        };
        let is_between = |position: &usize| {
            operands.iter().any(|operand| operand < position)
                && operands.iter().any(|operand| operand > position)
        };
        if positions.iter().any(is_between) {
            let message = format!(
                "operands both before and after '--{option}', which takes one value; \
                 use --{option} A,B or --{option} @FILE for several"
            );
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
    }
    Ok(())
}

/// Returns the name of the command that is most similar to a word.
fn similar_command(word: &str) -> Option<String> {
    let names = COMMANDS.iter().map(|&(name, ..)| clap::Command::new(name));
    let command = clap::Command::new("subnetcalc").subcommands(names);
    let error = command.try_get_matches_from(["subnetcalc", word]).err()?;
    match error.get(ContextKind::SuggestedSubcommand)? {
        // The most similar one is the last.
        ContextValue::Strings(names) => names.last().cloned(),
        _ => None,
    }
}

/// Options of every command that change how input is read.
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

    /// Read the mask of ADDR/MASK as a wildcard (inverse) mask
    #[arg(long, global = true)]
    pub(crate) wildcard: bool,
}

impl ReadingArgs {
    /// Returns the selected address family.
    pub(crate) fn family(self) -> Family {
        match (self.ipv4, self.ipv6) {
            (true, false) => Family::V4,
            (false, true) => Family::V6,
            _ => Family::Any,
        }
    }
}

/// Defines the commands from one list: the enum, the definitions for clap, and the
/// conversion from the matches of clap. The derive macro of clap would generate one
/// function of 170 kB that runs at every start. With this macro, only the arguments
/// of the given command are built.
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
                // A flattened struct of options would replace the purpose.
                <$args as Args>::augment_args(command).about($about)
            }),)*];

        impl Command {
            /// Returns the given command, if there is one.
            fn from_matches(matches: &ArgMatches) -> Result<Option<Self>, clap::Error> {
                Ok(match matches.subcommand() {
                    $(Some(($name, matches)) => {
                        check_operand_positions(matches)?;
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
    Aggregate(AggregateArgs) "aggregate" "Find the fewest networks with exactly the same addresses";
    Supernet(SetArgs) "supernet" "Find the smallest network that contains all addresses, per family";
    Subtract(SubtractArgs) "subtract" "List the addresses of one set that are not in another";
    Intersect(WithArgs) "intersect" "List the addresses that are in both sets";
    Symdiff(WithArgs) "symdiff" "List the addresses that are in exactly one of two sets";
    Equal(EqualArgs) "equal" "Test whether two sets have the same addresses";
    Diff(WithArgs) "diff" "Show the differences between two sets, marked with + and -";
    Complement(SetArgs) "complement" "List the addresses that are not in the set, for each family in it";
    Free(FreeArgs) "free" "List the unused parts of a network";
    Match(MatchArgs) "match" "Find the most specific network that contains each address";
    Overlap(OverlapArgs) "overlap" "List pairs of networks that overlap";
    Grep(GrepArgs) "grep" "Print the lines that contain an address in a set";
    Sort(SetArgs) "sort" "Sort networks and clear their host bits";
    Count(CountArgs) "count" "Count addresses, per family";
    Nth(NthArgs) "nth" "Print the Nth address of a network";
    Sample(SampleArgs) "sample" "Print random addresses of a network, without duplicates";
    Next(StepArgs) "next" "Print the next network of the same size";
    Prev(StepArgs) "prev" "Print the previous network of the same size";
    Reverse(ReverseArgs) "reverse" "Print the reverse zones of a network, or the PTR name of an address";
    Mask(MaskArgs) "mask" "Convert between prefix length, netmask, wildcard mask and hex";
    Eui64(Eui64Args) "eui64" "Derive an IPv6 address from a MAC address (modified EUI-64)";
    Ula(UlaArgs) "ula" "Generate a random unique local IPv6 /48 (RFC 4193)";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn info_is_the_default_command() {
        let cli = Cli::parse_from(["subnetcalc", "10.0.0.0/8", "--get", "total,usable"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.top_level.info.networks, ["10.0.0.0/8"]);
        assert_eq!(cli.top_level.info.get, ["total", "usable"]);
        let cli = Cli::parse_from(["subnetcalc", "--json", "-4", "aggregate", "-"]);
        assert!(cli.top_level.common.json && cli.top_level.reading.ipv4);
        assert!(matches!(cli.command, Some(Command::Aggregate(args)) if args.set == ["-"]));
        let cli = Cli::parse_from(["subnetcalc", "nth", "10.0.0.0/8", "-1", "-j"]);
        assert!(cli.top_level.common.json);
    }

    #[test]
    fn numbers_have_only_digits_and_a_range() {
        use super::numbers::{length, number, positive};
        assert_eq!(
            positive(&"9".repeat(41)).unwrap_err(),
            "the number is too large"
        );
        assert_eq!(positive("0").unwrap_err(), "must be at least 1");
        assert!(number("+1").is_err() && number("-1").is_err() && number("").is_err());
        assert_eq!(length("128"), Ok(128));
        assert!(length("129").is_err() && length("024").is_err());
    }
}
