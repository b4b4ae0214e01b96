//! subnetcalc beside Python's `ipaddress`, and its aggregation beside iprange
//! and aggregate.

use super::{Bench, same_lines};
use crate::Outcome;
use crate::exec::Exec;

/// Prints, for every prefix length of both families and several addresses,
/// the facts as Python sees them, TAB-separated, after the operand.
const FACTS: &str = include_str!("facts.py");

/// Reads networks, prints the fewest that cover the same addresses.
const COLLAPSE: &str = "\
import ipaddress, sys
nets = [ipaddress.ip_network(line.strip(), strict=False) for line in sys.stdin]
for version in (4, 6):
    for net in ipaddress.collapse_addresses(n for n in nets if n.version == version):
        print(net)
";

/// Reads two sets and prints the answers to several questions about them.
const ALGEBRA: &str = include_str!("algebra.py");

/// The fields that both can say, in the order of `facts.py`.
const FIELDS: &str = "network,netmask,wildcard,broadcast,first_host,last_host,first,last,total,\
                      usable,hex,decimal,expanded";

/// `info` for every prefix length.
pub(super) fn facts(bench: &Bench) -> Outcome<String> {
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
    let ours = bench
        .tool("subnetcalc", ["info", "--get", FIELDS, "-"])
        .stdin(operands)
        .text()?;
    same_lines(FIELDS, &ours, &expected)?;
    Ok(format!("{} networks", theirs.lines().count()))
}

/// `aggregate` on sets of both families.
pub(super) fn collapse(bench: &Bench) -> Outcome<String> {
    let mut total = 0;
    for seed in 1..=5 {
        let mut input = networks(seed, 2000, 8..=32);
        input.push_str(&networks6(seed, 2000));
        let theirs = Exec::new("python3", ["-c", COLLAPSE])
            .stdin(input.as_str())
            .text()?;
        let ours = aggregated(bench, &input)?;
        same_lines(&format!("seed {seed}"), &ours, &theirs)?;
        total += input.lines().count();
    }
    Ok(format!("{total} networks in 5 sets"))
}

/// Set algebra, counts and order, on sets of both families that reach the
/// ends of both address spaces.
pub(super) fn algebra(bench: &Bench) -> Outcome<String> {
    const ENDS: &str = "0.0.0.0/31\n255.255.255.252/30\n::/127\n\
                        ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00/120\n";
    let mut questions = 0;
    for seed in 1..=4 {
        let count = [0, 3, 50, 1500][seed as usize % 4];
        let set = |seed| {
            let nets = networks(seed, count, 8..=32) + &networks6(seed, count);
            if seed % 2 == 1 { nets + ENDS } else { nets }
        };
        let (a, b) = (set(seed), set(seed + 100));
        for (name, text) in [("a", &a), ("b", &b)] {
            let path = bench.dir().join(name);
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let theirs = Exec::new("python3", ["-c", ALGEBRA, "a", "b"])
            .cwd(bench.dir())
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
            ours.push_str(&bench.tool("subnetcalc", words).text()?);
            questions += 1;
        }
        same_lines(&format!("seed {seed}"), &ours, &theirs)?;
    }
    Ok(format!(
        "{questions} questions about sets of up to 3000 networks"
    ))
}

/// `aggregate` beside `iprange` (IPv4 only).
pub(super) fn iprange(bench: &Bench) -> Outcome<String> {
    compare(bench, |input| {
        let theirs = Exec::new("iprange", ["--optimize"]).stdin(input).text()?;
        // Single addresses come bare from there.
        let with_length = |line: &str| {
            let length = if line.contains('/') { "" } else { "/32" };
            format!(
                "{line}{length}
"
            )
        };
        Ok(theirs.lines().map(with_length).collect())
    })
}

/// `aggregate` beside `aggregate` (IPv4 only).
pub(super) fn aggregate(bench: &Bench) -> Outcome<String> {
    compare(bench, |input| {
        Exec::new("aggregate", ["-q", "-t"]).stdin(input).text()
    })
}

fn compare(bench: &Bench, peer: impl Fn(&str) -> Outcome<String>) -> Outcome<String> {
    let mut total = 0;
    for (seed, count) in [(1, 10), (2, 1000), (3, 20_000)] {
        let input = networks(seed, count, 12..=32);
        same_lines(
            &format!("seed {seed}"),
            &aggregated(bench, &input)?,
            &peer(&input)?,
        )?;
        total += count;
    }
    Ok(format!("{total} networks in 3 sets"))
}

fn aggregated(bench: &Bench, input: &str) -> Outcome<String> {
    bench
        .tool("subnetcalc", ["aggregate", "-"])
        .stdin(input)
        .text()
}

/// `count` IPv4 networks without host bits, dense enough to meet each other.
fn networks(seed: u64, count: usize, lengths: std::ops::RangeInclusive<u32>) -> String {
    let mut random = Random(seed);
    let spread = lengths.end() - lengths.start() + 1;
    (0..count)
        .map(|_| {
            let length = lengths.start() + random.below(spread);
            let address = (10 << 24 | random.below(1 << 20)) & (u32::MAX << (32 - length));
            format!("{}/{length}\n", std::net::Ipv4Addr::from(address))
        })
        .collect()
}

fn networks6(seed: u64, count: usize) -> String {
    let mut random = Random(seed);
    (0..count)
        .map(|_| {
            let length = 100 + random.below(29);
            let low = u128::from(random.below(1 << 20));
            let address = (0x2001_0db8 << 96 | low) & (u128::MAX << (128 - length));
            format!("{}/{length}\n", std::net::Ipv6Addr::from(address))
        })
        .collect()
}

/// Numbers that look random and are the same in every run (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    /// Numbers from a seed, which must not be 0.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to `end` exclusive; `end` is small beside 2^32.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        self.bits() % end
    }

    /// 32 bits.
    pub(crate) fn bits(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        u32::try_from(high).unwrap_or(0)
    }
}
