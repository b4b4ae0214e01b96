//! Compares subnetcalc with Python's `ipaddress`, and its aggregation with iprange and
//! aggregate.

use support::TaskResult;
use support::exec::Exec;
use support::random::Random;

use super::{Context, same_lines};

/// Prints operands with every prefix length of both families, each with the details of
/// the network as Python computes them, separated by TABs.
const FACTS: &str = include_str!("facts.py");

/// Reads networks and prints the fewest networks with the same addresses.
const COLLAPSE: &str = "\
import ipaddress, sys
nets = [ipaddress.ip_network(line.strip(), strict=False) for line in sys.stdin]
for version in (4, 6):
    for net in ipaddress.collapse_addresses(n for n in nets if n.version == version):
        print(net)
";

/// Reads two sets and prints the results of several operations on them.
const ALGEBRA: &str = include_str!("algebra.py");

/// The fields that both programs compute, in the order of `facts.py`.
const FIELDS: &str = "network,netmask,wildcard,broadcast,first_host,last_host,first,last,total,\
                      usable,hex,decimal,expanded";

/// Compares `info` for every prefix length.
pub(super) fn facts(context: &Context) -> TaskResult<String> {
    let theirs = Exec::new("python3", ["-c", FACTS]).text()?;
    let mut operands = String::new();
    let mut expected = String::new();
    for line in theirs.lines() {
        let (operand, facts) = line.split_once('\t').unwrap_or((line, ""));
        operands.push_str(operand);
        operands.push('\n');
        expected.push_str(facts);
        expected.push('\n');
    }
    let ours = context
        .tool("subnetcalc", ["info", "--get", FIELDS, "-"])
        .stdin(operands)
        .text()?;
    same_lines(FIELDS, &ours, &expected)?;
    Ok(format!("{} networks", theirs.lines().count()))
}

/// Compares `aggregate` for sets of both families.
pub(super) fn collapse(context: &Context) -> TaskResult<String> {
    let mut total = 0;
    for seed in 1..=5 {
        let mut input = networks(seed, 2000, 8..=32);
        input.push_str(&networks6(seed, 2000));
        let theirs = Exec::new("python3", ["-c", COLLAPSE])
            .stdin(input.as_str())
            .text()?;
        let ours = aggregated(context, &input)?;
        same_lines(&format!("seed {seed}"), &ours, &theirs)?;
        total += input.lines().count();
    }
    Ok(format!("{total} networks in 5 sets"))
}

/// Compares set operations, counts and sorting for sets of both families, some of which
/// reach the ends of the address spaces.
pub(super) fn algebra(context: &Context) -> TaskResult<String> {
    const ENDS: &str = "0.0.0.0/31\n255.255.255.252/30\n::/127\n\
                        ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00/120\n";
    let mut operations = 0;
    for seed in 1..=4 {
        let count = [0, 3, 50, 1500][seed as usize % 4];
        let set = |seed| {
            let nets = networks(seed, count, 8..=32) + &networks6(seed, count);
            if seed % 2 == 1 { nets + ENDS } else { nets }
        };
        let (a, b) = (set(seed), set(seed + 100));
        for (name, text) in [("a", &a), ("b", &b)] {
            let path = context.dir().join(name);
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let theirs = Exec::new("python3", ["-c", ALGEBRA, "a", "b"])
            .cwd(context.dir())
            .text()?;
        let mut ours = String::new();
        for words in [
            &["aggregate", "@a"][..],
            &["subtract", "@a", "--minus", "@b"],
            &["intersect", "@a", "--with", "@b"],
            &["symdiff", "@a", "--with", "@b"],
            &["complement", "@a"],
            &["count", "@a"],
            &["sort", "@a"],
        ] {
            ours.push_str(words[0]);
            ours.push('\n');
            ours.push_str(&context.tool("subnetcalc", words).text()?);
            operations += 1;
        }
        same_lines(&format!("seed {seed}"), &ours, &theirs)?;
    }
    Ok(format!(
        "{operations} operations on sets of up to 3000 networks"
    ))
}

/// Compares `aggregate` with `iprange` (IPv4 only).
pub(super) fn iprange(context: &Context) -> TaskResult<String> {
    compare(context, |input| {
        let theirs = Exec::new("iprange", ["--optimize"]).stdin(input).text()?;
        // iprange prints single addresses without a prefix length.
        let with_length = |line: &str| {
            let length = if line.contains('/') { "" } else { "/32" };
            format!("{line}{length}\n")
        };
        Ok(theirs.lines().map(with_length).collect())
    })
}

/// Compares `aggregate` with the program of that name (IPv4 only).
pub(super) fn aggregate(context: &Context) -> TaskResult<String> {
    compare(context, |input| {
        Exec::new("aggregate", ["-q", "-t"]).stdin(input).text()
    })
}

/// Compares `aggregate` with another program for three sets.
fn compare(context: &Context, peer: impl Fn(&str) -> TaskResult<String>) -> TaskResult<String> {
    let mut total = 0;
    for (seed, count) in [(1, 10), (2, 1000), (3, 20_000)] {
        let input = networks(seed, count, 12..=32);
        same_lines(
            &format!("seed {seed}"),
            &aggregated(context, &input)?,
            &peer(&input)?,
        )?;
        total += count;
    }
    Ok(format!("{total} networks in 3 sets"))
}

/// Returns the output of `aggregate` for these networks.
fn aggregated(context: &Context, input: &str) -> TaskResult<String> {
    context
        .tool("subnetcalc", ["aggregate", "-"])
        .stdin(input)
        .text()
}

/// Returns `count` random IPv4 networks without host bits, many of which overlap.
fn networks(seed: u64, count: usize, lengths: std::ops::RangeInclusive<u32>) -> String {
    let mut random = Random::new(seed);
    let spread = lengths.end() - lengths.start() + 1;
    (0..count)
        .map(|_| {
            let length = lengths.start() + random.below(spread);
            let address = (10 << 24 | random.below(1 << 20)) & (u32::MAX << (32 - length));
            format!("{}/{length}\n", std::net::Ipv4Addr::from(address))
        })
        .collect()
}

/// Returns `count` random IPv6 networks without host bits, many of which overlap.
fn networks6(seed: u64, count: usize) -> String {
    let mut random = Random::new(seed);
    (0..count)
        .map(|_| {
            let length = 100 + random.below(29);
            let low = u128::from(random.below(1 << 20));
            let address = (0x2001_0db8 << 96 | low) & (u128::MAX << (128 - length));
            format!("{}/{length}\n", std::net::Ipv6Addr::from(address))
        })
        .collect()
}
