//! The commands that work on sets of addresses.

use common::app::Io;
use common::{Error, Exit, Out, Result, time};
use serde::Serialize;

use crate::approximate::{self, MaxPrefix};
use crate::bits::Bits;
use crate::cli::{
    AggregateArgs, CountArgs, EqualArgs, FreeArgs, OverlapArgs, SetArgs, SubtractArgs, WithArgs,
};
use crate::count::Count;
use crate::input;
use crate::interval::{Interval, sort_intervals};
use crate::ipset::{IpSet, option_words};
use crate::members::{FamilyMembers, Keep, Members};
use crate::operand::{self, Rules};
use crate::output::{Change, Printer, push_member, push_range};
use crate::prefix::{MergedCovers, Prefix};
use crate::set::IntervalSet;

use super::single_network;

/// Reads the union of the operands.
fn read_operands(words: &[String], rules: Rules, io: &mut Io) -> Result<IpSet> {
    Ok(Members::from_operands(io, words, Keep::Union, rules)?.into())
}

/// Reads the set of an option. Refuses to read both it and the operands from stdin.
fn read_option(words: &[String], operands: &[String], rules: Rules, io: &Io) -> Result<IpSet> {
    let is_stdin = |word: &String| input::is_stdin(word);
    let operands = operand::join_ranges(operands);
    if option_words(words).iter().any(is_stdin)
        && (operands.is_empty() || operands.iter().any(is_stdin))
    {
        return Err(Error::usage(
            "stdin cannot be read for both the operands and the option",
        ));
    }
    Ok(Members::from_option(io, words, Keep::Union, rules)?.into())
}

/// Prints a set, IPv4 first.
fn print_set(set: &IpSet, printer: Printer, out: &mut Out) -> Result<Exit> {
    printer.set(&set.v4, out)?;
    printer.set(&set.v6, out)?;
    Ok(Exit::Success)
}

/// Runs `subnetcalc aggregate SET`.
pub(super) fn aggregate(args: &AggregateArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let exact = read_operands(&args.set, rules, io)?;
    let printer = Printer::for_set(io, args.form.ranges);
    if args.max_prefix.is_none() && args.max_count.is_none() {
        return print_set(&exact, printer, &mut io.out);
    }
    let mut widened = exact.clone();
    if let Some(lengths) = args.max_prefix {
        // Without IPv4, a single length applies to IPv6.
        let only_v6 = exact.v4.is_empty();
        if !only_v6 && lengths.first > 32 {
            let message = format!(
                "invalid value '{}' for '--max-prefix': must be from 0 to 32 for IPv4; use \
                 LEN,LEN6 to give both lengths",
                lengths.first
            );
            return Err(Error::usage(message));
        }
        let lengths = MaxPrefix {
            v4: Some(lengths.first),
            v6: lengths.second.or(only_v6.then_some(lengths.first)),
        };
        widened = approximate::max_prefix(&widened, lengths);
    }
    if let Some(count) = args.max_count {
        let Some(merged) = approximate::max_count(&widened, count) else {
            io.report
                .line("one network cannot cover both families; use --max-count 2, -4 or -6");
            return Ok(Exit::Negative);
        };
        widened = merged;
    }
    if !args.quiet {
        io.report.line(added(&widened, &exact));
    }
    print_set(&widened, printer, &mut io.out)
}

/// Describes the number of addresses that widening has added to a set, for each family
/// if both are present.
fn added(widened: &IpSet, exact: &IpSet) -> String {
    let v4 = approximate::added(&widened.v4, &exact.v4);
    let v6 = approximate::added(&widened.v6, &exact.v6);
    match (exact.v4.is_empty(), exact.v6.is_empty()) {
        (false, false) => format!("added {v4} IPv4 and {v6} IPv6 addresses"),
        (lacks_v4, _) => {
            let count = if lacks_v4 { v6 } else { v4 };
            let plural = if count == Count::new(1) { "" } else { "es" };
            format!("added {count} address{plural}")
        }
    }
}

/// Runs `subnetcalc supernet SET`.
pub(super) fn supernet(args: &SetArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let set = read_operands(&args.set, rules, io)?;
    let printer = Printer::for_set(io, args.form.ranges);
    if let Some(span) = set.v4.span() {
        printer.network(Prefix::enclosing(span), &mut io.out)?;
    }
    if let Some(span) = set.v6.span() {
        printer.network(Prefix::enclosing(span), &mut io.out)?;
    }
    Ok(Exit::Success)
}

/// Runs `subnetcalc subtract SET --minus SET`.
pub(super) fn subtract(args: &SubtractArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let minus = read_option(&args.minus, &args.set, rules, io)?;
    let rest = read_operands(&args.set, rules, io)?.combine(&minus, |a, b| a && !b);
    print_set(&rest, Printer::for_set(io, args.form.ranges), &mut io.out)
}

/// Runs `subnetcalc intersect SET --with SET`.
pub(super) fn intersect(args: &WithArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    combine(args, rules, io, |a, b| a && b)
}

/// Runs `subnetcalc symdiff SET --with SET`.
pub(super) fn symdiff(args: &WithArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    combine(args, rules, io, |a, b| a != b)
}

/// Prints the addresses of two sets for which `keep` is true.
fn combine(
    args: &WithArgs,
    rules: Rules,
    io: &mut Io,
    keep: fn(bool, bool) -> bool,
) -> Result<Exit> {
    let with = read_option(&args.with, &args.set, rules, io)?;
    let result = read_operands(&args.set, rules, io)?.combine(&with, keep);
    print_set(&result, Printer::for_set(io, args.form.ranges), &mut io.out)
}

#[derive(Serialize)]
struct EqualRecord {
    r#type: &'static str,
    equal: bool,
    time: String,
}

/// Runs `subnetcalc equal SET --with SET`.
pub(super) fn equal(args: &EqualArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let with = read_option(&args.with, &args.set, rules, io)?;
    let equal = read_operands(&args.set, rules, io)? == with;
    if io.json {
        io.out.json(&EqualRecord {
            r#type: "equal",
            equal,
            time: time::now(),
        })?;
    }
    Ok(if equal { Exit::Success } else { Exit::Negative })
}

/// Runs `subnetcalc diff SET --with SET`.
pub(super) fn diff(args: &WithArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let with = read_option(&args.with, &args.set, rules, io)?;
    let set = read_operands(&args.set, rules, io)?;
    let printer = Printer::new("diff", io, args.form.ranges);
    print_differences(&set.v4, &with.v4, printer, &mut io.out)?;
    print_differences(&set.v6, &with.v6, printer, &mut io.out)?;
    Ok(if set == with {
        Exit::Success
    } else {
        Exit::Negative
    })
}

/// Prints the differences between two sets in the order of addresses.
fn print_differences<N: Bits>(
    set: &IntervalSet<N>,
    with: &IntervalSet<N>,
    printer: Printer,
    out: &mut Out,
) -> Result<()> {
    let removed = set.subtract(with);
    let added = with.subtract(set);
    let mut removed = removed.intervals().iter().peekable();
    let mut added = added.intervals().iter().peekable();
    loop {
        // These intervals do not overlap.
        let removed_first = match (removed.peek(), added.peek()) {
            (None, None) => return Ok(()),
            (Some(a), Some(b)) => a.first < b.first,
            (a, _) => a.is_some(),
        };
        let (interval, change) = if removed_first {
            (removed.next(), Change::Removed)
        } else {
            (added.next(), Change::Added)
        };
        if let Some(interval) = interval {
            printer.difference(*interval, change, out)?;
        }
    }
}

/// Runs `subnetcalc complement SET`.
pub(super) fn complement(args: &SetArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    fn complement_of<N: Bits>(set: &IntervalSet<N>) -> IntervalSet<N> {
        if set.is_empty() {
            IntervalSet::default()
        } else {
            set.complement()
        }
    }
    let set = read_operands(&args.set, rules, io)?;
    let complement = IpSet {
        v4: complement_of(&set.v4),
        v6: complement_of(&set.v6),
    };
    print_set(
        &complement,
        Printer::for_set(io, args.form.ranges),
        &mut io.out,
    )
}

/// Runs `subnetcalc free NETWORK --used SET`.
pub(super) fn free(args: &FreeArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    if let Some(operand) = args.excess.first() {
        return Err(Error::usage(format!(
            "unexpected operand '{operand}': 'free' searches only one network"
        )));
    }
    let net = single_network(&args.network, rules)?;
    let used = Members::from_option(io, &args.used, Keep::Union, rules)?;
    if let Some(address) = used.host_bits {
        // This is most likely the address of an interface.
        io.report.line(format_args!(
            "{address}: host bits are set, so all of {} counts as used; omit the prefix length \
             if only the address is used",
            address.trunc()
        ));
    }
    let used: IpSet = used.into();
    let printer = Printer::for_set(io, args.form.ranges);
    match net {
        ipnet::IpNet::V4(net) => print_free(net.into(), &used.v4, args, printer, io),
        ipnet::IpNet::V6(net) => print_free(net.into(), &used.v6, args, printer, io),
    }
}

/// Prints the unused parts of a network.
fn print_free<N: Bits>(
    net: Prefix<N>,
    used: &IntervalSet<N>,
    args: &FreeArgs,
    printer: Printer,
    io: &mut Io,
) -> Result<Exit> {
    let Io { out, report, .. } = io;
    let free = IntervalSet::new(vec![net.interval()]).subtract(used);
    let Some(length) = args.prefix else {
        printer.set(&free, out)?;
        return Ok(Exit::Success);
    };
    if length > N::WIDTH {
        let message = format!(
            "has no networks with prefix length {length}; use --prefix {} to {}",
            net.length,
            N::WIDTH
        );
        return Err(Error::input(&args.network, message));
    }
    if length < net.length {
        report.line(format_args!(
            "{}: smaller than a /{length}, so it cannot contain one",
            args.network
        ));
        return Ok(Exit::Negative);
    }
    let mut exit = Exit::Negative;
    for interval in free.intervals() {
        // The first network of this length in the interval.
        let mut next = match Prefix::containing(interval.first, length) {
            network if network.first == interval.first => Some(network),
            network => network.step(1, true),
        };
        while let Some(part) = next.filter(|part| part.last() <= interval.last) {
            printer.network(part, out)?;
            exit = Exit::Success;
            next = part.step(1, true);
        }
    }
    Ok(exit)
}

/// Runs `subnetcalc sort SET`.
pub(super) fn sort(args: &SetArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let members = Members::from_operands(io, &args.set, Keep::All, rules)?;
    let printer = Printer::new("sort", io, args.form.ranges);
    print_sorted(members.v4, printer, &mut io.out)?;
    print_sorted(members.v6, printer, &mut io.out)?;
    Ok(Exit::Success)
}

/// Prints the members of one family in order. A range is printed as its networks, of
/// which it can have 254, so they are computed one by one.
fn print_sorted<N: Bits>(members: FamilyMembers<N>, printer: Printer, out: &mut Out) -> Result<()> {
    let (mut networks, mut ranges, addresses) = members.into_lists();
    let plain = addresses.into_iter().map(|address| Interval {
        first: address,
        last: address,
    });
    let mut plain: Vec<Interval<N>> = plain.collect();
    sort_intervals(&mut plain);
    if printer.ranges {
        networks.append(&mut ranges);
    }
    sort_intervals(&mut networks);
    sort_intervals(&mut ranges);
    let key = |interval: Interval<N>| N::pair(interval.first, !interval.last);
    let mut covers = MergedCovers::new(ranges);
    let mut networks = networks.into_iter().peekable();
    let mut plain = plain.into_iter().peekable();
    loop {
        let network = networks.peek().map(|&network| key(network));
        let address = plain.peek().map(|&address| key(address));
        let part = covers.peek().map(|part| key(part.interval()));
        let first = [&network, &address, &part].into_iter().flatten().min();
        if first.is_none() {
            return Ok(());
        }
        if address.as_ref() == first {
            if let Some(address) = plain.next() {
                printer.plain_address(address.first, out)?;
            }
        } else if network.as_ref() == first {
            if let Some(network) = networks.next() {
                printer.interval(network, out)?;
            }
        } else if let Some(part) = covers.next() {
            printer.network(part, out)?;
        }
    }
}

#[derive(Serialize)]
struct CountRecord {
    r#type: &'static str,
    /// The family, 4 or 6, or null for an empty set.
    family: Option<u8>,
    total: String,
    time: String,
}

/// Runs `subnetcalc count SET`.
pub(super) fn count(args: &CountArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let set = read_operands(&args.set, rules, io)?;
    let counts = [(4, set.v4.count()), (6, set.v6.count())];
    let counts = counts.into_iter().filter(|(_, count)| *count > Count::ZERO);
    let mut counts: Vec<(Option<u8>, Count)> = counts
        .map(|(family, count)| (Some(family), count))
        .collect();
    if counts.is_empty() && io.report.worst() != Exit::Success {
        // The set could not be read, which is not an empty set.
        return Ok(Exit::Success);
    }
    if counts.is_empty() {
        counts.push((None, Count::ZERO));
    }
    for (family, count) in counts {
        if io.json {
            io.out.json(&CountRecord {
                r#type: "count",
                family,
                total: count.to_string(),
                time: time::now(),
            })?;
        } else {
            io.out.line(count)?;
        }
    }
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct OverlapRecord {
    r#type: &'static str,
    a: String,
    b: String,
    time: String,
}

/// Runs `subnetcalc overlap SET`.
pub(super) fn overlap(args: &OverlapArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let members = Members::from_operands(io, &args.set, Keep::All, rules)?;
    let v4 = print_pairs(members.v4, args, io)?;
    let v6 = print_pairs(members.v6, args, io)?;
    Ok(if v4 || v6 {
        Exit::Success
    } else {
        Exit::Negative
    })
}

/// Prints the overlapping pairs of one family. Returns whether there is one.
fn print_pairs<N: Bits>(
    members: FamilyMembers<N>,
    args: &OverlapArgs,
    io: &mut Io,
) -> Result<bool> {
    let (mut members, ranges, addresses) = members.into_lists();
    members.extend(ranges);
    members.extend(addresses.into_iter().map(|address| Interval {
        first: address,
        last: address,
    }));
    sort_intervals(&mut members);
    let mut any = false;
    for (at, a) in members.iter().enumerate() {
        for b in members[at + 1..].iter().take_while(|b| b.first <= a.last) {
            any = true;
            if args.quiet {
                return Ok(true);
            }
            if io.json {
                io.out.json(&OverlapRecord {
                    r#type: "overlap",
                    a: member_text(*a, args.form.ranges),
                    b: member_text(*b, args.form.ranges),
                    time: time::now(),
                })?;
                continue;
            }
            let buffer = io.out.buffer();
            push_pair_member(buffer, *a, args.form.ranges);
            buffer.push(b'\t');
            push_pair_member(buffer, *b, args.form.ranges);
            buffer.push(b'\n');
            io.out.flush_if_full()?;
        }
    }
    Ok(any)
}

/// Appends a member of a pair, as a range if `--ranges` is given.
fn push_pair_member<N: Bits>(buffer: &mut Vec<u8>, member: Interval<N>, ranges: bool) {
    if ranges {
        push_range(buffer, member);
    } else {
        push_member(buffer, member);
    }
}

/// Formats a member of a pair for its record.
fn member_text<N: Bits>(member: Interval<N>, ranges: bool) -> String {
    let mut text = Vec::new();
    push_pair_member(&mut text, member, ranges);
    String::from_utf8_lossy(&text).into_owned()
}
