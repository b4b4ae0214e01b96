//! The commands that read a SET and print one.

use common::app::Io;
use common::{Error, Exit, Out, Result, time};
use serde::Serialize;

use crate::bits::Bits;
use crate::cli::{
    AggregateArgs, CountArgs, EqualArgs, FreeArgs, OverlapArgs, SetArgs, SubtractArgs, WithArgs,
};
use crate::count::Count;
use crate::ipset::{IpSet, option_words};
use crate::lossy::{self, MaxPrefix};
use crate::members::{Keep, List, Members};
use crate::network::{self, Rules};
use crate::output::{Change, Printer, push_member, push_range};
use crate::prefix::{InOrder, Prefix};
use crate::set::{Interval, IntervalSet, in_order};
use crate::source;

use super::the_network;

/// The union of the operands.
fn operands(words: &[String], rules: Rules, io: &mut Io) -> Result<IpSet> {
    Ok(Members::of_operands(io, words, Keep::Union, rules)?.into())
}

/// The set an option names. Stdin cannot be both that and the operands.
fn option(words: &[String], operands: &[String], rules: Rules, io: &Io) -> Result<IpSet> {
    let dash = |word: &String| source::is_stdin(word);
    let operands = network::joined_ranges(operands);
    if option_words(words).iter().any(dash) && (operands.is_empty() || operands.iter().any(dash)) {
        return Err(Error::usage(
            "stdin cannot be both the option's set and the operands",
        ));
    }
    Ok(Members::of_option(io, words, Keep::Union, rules)?.into())
}

/// Prints a set, IPv4 first.
fn print(set: &IpSet, printer: Printer, out: &mut Out) -> Result<Exit> {
    printer.all(&set.v4, out)?;
    printer.all(&set.v6, out)?;
    Ok(Exit::Yes)
}

/// `aggregate SET`
pub(super) fn aggregate(args: &AggregateArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let exact = operands(&args.set, rules, io)?;
    let printer = Printer::set(io, args.form.ranges);
    if args.max_prefix.is_none() && args.max_count.is_none() {
        return print(&exact, printer, &mut io.out);
    }
    let mut wide = exact.clone();
    if let Some(lengths) = args.max_prefix {
        // One number says nothing about IPv6, unless there is only that.
        let only_v6 = exact.v4.is_empty();
        let lengths = MaxPrefix {
            v4: Some(lengths.first),
            v6: lengths.second.or(only_v6.then_some(lengths.first)),
        };
        wide = lossy::max_prefix(&wide, lengths);
    }
    if let Some(count) = args.max_count {
        let Some(few) = lossy::max_count(&wide, count) else {
            io.report
                .line("--max-count 1 cannot hold both families; use 2, or -4 or -6");
            return Ok(Exit::No);
        };
        wide = few;
    }
    if !args.quiet {
        io.report.line(added(&wide, &exact));
    }
    print(&wide, printer, &mut io.out)
}

/// How many addresses a lossy set has too many, family by family if both are
/// there.
fn added(wide: &IpSet, exact: &IpSet) -> String {
    let v4 = lossy::added(&wide.v4, &exact.v4);
    let v6 = lossy::added(&wide.v6, &exact.v6);
    match (exact.v4.is_empty(), exact.v6.is_empty()) {
        (false, false) => format!("added {v4} IPv4 and {v6} IPv6 addresses"),
        (true, false) => format!("added {v6} addresses"),
        _ => format!("added {v4} addresses"),
    }
}

/// `supernet SET`
pub(super) fn supernet(args: &SetArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let set = operands(&args.set, rules, io)?;
    let printer = Printer::set(io, args.form.ranges);
    if let Some(span) = set.v4.span() {
        printer.network(Prefix::around(span), &mut io.out)?;
    }
    if let Some(span) = set.v6.span() {
        printer.network(Prefix::around(span), &mut io.out)?;
    }
    Ok(Exit::Yes)
}

/// `subtract SET --minus SET`
pub(super) fn subtract(args: &SubtractArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let minus = option(&args.minus, &args.set, rules, io)?;
    let rest = operands(&args.set, rules, io)?.combine(&minus, |a, b| a && !b);
    print(&rest, Printer::set(io, args.form.ranges), &mut io.out)
}

/// `intersect SET --with SET`
pub(super) fn intersect(args: &WithArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    with(args, rules, io, |a, b| a && b)
}

/// `symdiff SET --with SET`
pub(super) fn symdiff(args: &WithArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    with(args, rules, io, |a, b| a != b)
}

fn with(args: &WithArgs, rules: Rules, io: &mut Io, keep: fn(bool, bool) -> bool) -> Result<Exit> {
    let with = option(&args.with, &args.set, rules, io)?;
    let result = operands(&args.set, rules, io)?.combine(&with, keep);
    print(&result, Printer::set(io, args.form.ranges), &mut io.out)
}

#[derive(Serialize)]
struct EqualRecord {
    r#type: &'static str,
    equal: bool,
    time: String,
}

/// `equal SET --with SET`
pub(super) fn equal(args: &EqualArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let with = option(&args.with, &args.set, rules, io)?;
    let equal = operands(&args.set, rules, io)? == with;
    if io.json {
        io.out.json(&EqualRecord {
            r#type: "equal",
            equal,
            time: time::now(),
        })?;
    }
    Ok(if equal { Exit::Yes } else { Exit::No })
}

/// `diff SET --with SET`
pub(super) fn diff(args: &WithArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let with = option(&args.with, &args.set, rules, io)?;
    let set = operands(&args.set, rules, io)?;
    let printer = Printer::of("diff", io, args.form.ranges);
    differences(&set.v4, &with.v4, printer, &mut io.out)?;
    differences(&set.v6, &with.v6, printer, &mut io.out)?;
    Ok(if set == with { Exit::Yes } else { Exit::No })
}

/// Prints what one of two sets has and the other lacks, by address.
fn differences<N: Bits>(
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
        // They have no address in common.
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
            printer.change(*interval, change, out)?;
        }
    }
}

/// `complement SET`
pub(super) fn complement(args: &SetArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    fn other<N: Bits>(set: &IntervalSet<N>) -> IntervalSet<N> {
        if set.is_empty() {
            IntervalSet::default()
        } else {
            set.complement()
        }
    }
    let set = operands(&args.set, rules, io)?;
    let others = IpSet {
        v4: other(&set.v4),
        v6: other(&set.v6),
    };
    print(&others, Printer::set(io, args.form.ranges), &mut io.out)
}

/// `free NETWORK --used SET`
pub(super) fn free(args: &FreeArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    if let Some(operand) = args.excess.first() {
        return Err(Error::usage(format!(
            "unexpected operand '{operand}': free takes one network"
        )));
    }
    let net = the_network(&args.network, rules)?;
    let used = Members::of_option(io, &args.used, Keep::Union, rules)?;
    if let Some(address) = used.host_bits {
        // The address of an interface with its network's length, most likely.
        io.report.line(format_args!(
            "{address}: host bits are set, so all of {} counts as used; for the address alone \
             leave out the prefix length",
            address.trunc()
        ));
    }
    let used: IpSet = used.into();
    let printer = Printer::set(io, args.form.ranges);
    match net {
        ipnet::IpNet::V4(net) => free_of(net.into(), &used.v4, args, printer, &mut io.out),
        ipnet::IpNet::V6(net) => free_of(net.into(), &used.v6, args, printer, &mut io.out),
    }
}

fn free_of<N: Bits>(
    net: Prefix<N>,
    used: &IntervalSet<N>,
    args: &FreeArgs,
    printer: Printer,
    out: &mut Out,
) -> Result<Exit> {
    let free = IntervalSet::new(vec![net.interval()]).subtract(used);
    let Some(length) = args.prefix else {
        printer.all(&free, out)?;
        return Ok(Exit::Yes);
    };
    if length > N::WIDTH {
        let message = format!(
            "has no networks of length {length}; use --prefix {} to {}",
            net.length,
            N::WIDTH
        );
        return Err(Error::input(&args.network, message));
    }
    if length < net.length {
        // Larger than the whole: there is none.
        return Ok(Exit::No);
    }
    let mut exit = Exit::No;
    for interval in free.intervals() {
        // The first network of this length that starts in the interval.
        let mut next = match Prefix::of(interval.first, length) {
            start if start.first == interval.first => Some(start),
            start => start.step(1, true),
        };
        while let Some(part) = next.filter(|part| part.last() <= interval.last) {
            printer.network(part, out)?;
            exit = Exit::Yes;
            next = part.step(1, true);
        }
    }
    Ok(exit)
}

/// `sort SET`
pub(super) fn sort(args: &SetArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let members = Members::of_operands(io, &args.set, Keep::All, rules)?;
    let printer = Printer::of("sort", io, args.form.ranges);
    sorted(members.v4, printer, &mut io.out)?;
    sorted(members.v6, printer, &mut io.out)?;
    Ok(Exit::Yes)
}

/// Prints the members of one family in order. A range is printed as its
/// networks, which are made one by one: there can be 254 of each range.
fn sorted<N: Bits>(members: List<N>, printer: Printer, out: &mut Out) -> Result<()> {
    let (mut networks, mut ranges, addresses) = members.into_parts();
    let plain = addresses.into_iter().map(|address| Interval {
        first: address,
        last: address,
    });
    let mut plain: Vec<Interval<N>> = plain.collect();
    in_order(&mut plain);
    if printer.ranges {
        networks.append(&mut ranges);
    }
    in_order(&mut networks);
    in_order(&mut ranges);
    let key = |interval: Interval<N>| N::pair(interval.first, !interval.last);
    let mut parts = InOrder::new(ranges);
    let mut networks = networks.into_iter().peekable();
    let mut plain = plain.into_iter().peekable();
    loop {
        let network = networks.peek().map(|&network| key(network));
        let address = plain.peek().map(|&address| key(address));
        let part = parts.peek().map(|part| key(part.interval()));
        let least = [&network, &address, &part].into_iter().flatten().min();
        if least.is_none() {
            return Ok(());
        }
        if address.as_ref() == least {
            if let Some(address) = plain.next() {
                printer.plain(address.first, out)?;
            }
        } else if network.as_ref() == least {
            if let Some(network) = networks.next() {
                printer.interval(network, out)?;
            }
        } else if let Some(part) = parts.next() {
            printer.network(part, out)?;
        }
    }
}

#[derive(Serialize)]
struct CountRecord {
    r#type: &'static str,
    /// 4 or 6; null for an empty set.
    family: Option<u8>,
    total: String,
    time: String,
}

/// `count SET`
pub(super) fn count(args: &CountArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let set = operands(&args.set, rules, io)?;
    let counts = [(4, set.v4.count()), (6, set.v6.count())];
    let counts = counts.into_iter().filter(|(_, count)| *count > Count::ZERO);
    let mut counts: Vec<(Option<u8>, Count)> = counts
        .map(|(family, count)| (Some(family), count))
        .collect();
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
    Ok(Exit::Yes)
}

#[derive(Serialize)]
struct OverlapRecord {
    r#type: &'static str,
    a: String,
    b: String,
    time: String,
}

/// `overlap SET`
pub(super) fn overlap(args: &OverlapArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let members = Members::of_operands(io, &args.set, Keep::All, rules)?;
    let v4 = pairs(members.v4, args, io)?;
    let v6 = pairs(members.v6, args, io)?;
    Ok(if v4 || v6 { Exit::Yes } else { Exit::No })
}

/// Prints the pairs of one family; whether there was one.
fn pairs<N: Bits>(members: List<N>, args: &OverlapArgs, io: &mut Io) -> Result<bool> {
    let (mut members, ranges, addresses) = members.into_parts();
    members.extend(ranges);
    members.extend(addresses.into_iter().map(|address| Interval {
        first: address,
        last: address,
    }));
    in_order(&mut members);
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
            pair_member(buffer, *a, args.form.ranges);
            buffer.push(b'\t');
            pair_member(buffer, *b, args.form.ranges);
            buffer.push(b'\n');
            io.out.flush_if_full()?;
        }
    }
    Ok(any)
}

/// Adds a member, with `ranges` as a range.
fn pair_member<N: Bits>(buffer: &mut Vec<u8>, member: Interval<N>, ranges: bool) {
    if ranges {
        push_range(buffer, member);
    } else {
        push_member(buffer, member);
    }
}

fn member_text<N: Bits>(member: Interval<N>, ranges: bool) -> String {
    let mut text = Vec::new();
    pair_member(&mut text, member, ranges);
    String::from_utf8_lossy(&text).into_owned()
}
