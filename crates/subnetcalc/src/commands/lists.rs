//! The commands that list parts of a network: `hosts`, `split` and `sample`.

use common::address::Family;
use common::app::Io;
use common::random::SplitMix64;
use common::{Error, Exit, Result};

use crate::address_writer::{AddressWriter, Sequence};
use crate::bits::Bits;
use crate::cli::{HostsArgs, SampleArgs, SplitArgs};
use crate::count::Count;
use crate::interval::Interval;
use crate::operand::{self, Rules};
use crate::output::Printer;
use crate::parse::{AnyMember, Member};
use crate::prefix::{Prefix, with_prefix};
use crate::random::Shuffle;

use super::{for_each, for_each_network, parse_network, single, single_network};

/// Runs `subnetcalc hosts NETWORK...`.
pub(super) fn hosts(args: &HostsArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let mut writer = address_writer("hosts", io);
    for_each(&args.networks, "a network", io, &mut |text, io| {
        // Ranges have one of these characters, and so may zones.
        if text.contains(['-', '+']) {
            match operand::parse_member(text, rules).map_err(|why| Error::input(text, why))? {
                AnyMember::V4(Member::Range(first, last)) => {
                    if rules.family != Family::V6 {
                        list_interval(Interval { first, last }, args, &mut writer, io)?;
                    }
                    return Ok(Exit::Success);
                }
                AnyMember::V6(Member::Range(first, last)) => {
                    if rules.family != Family::V4 {
                        list_interval(Interval { first, last }, args, &mut writer, io)?;
                    }
                    return Ok(Exit::Success);
                }
                _ => {}
            }
        }
        let net = parse_network(text, rules)?;
        if rules.family.admits(&net.addr()) {
            with_prefix!(net, |prefix| {
                let listed = if args.all {
                    prefix.interval()
                } else {
                    prefix.usable()
                };
                list_interval(listed, args, &mut writer, io)?;
            });
        }
        Ok(Exit::Success)
    })
}

/// Lists the addresses of an interval.
fn list_interval<N: Bits>(
    listed: Interval<N>,
    args: &HostsArgs,
    writer: &mut AddressWriter,
    io: &mut Io,
) -> Result<()> {
    match Sequence::new(listed, args.step, args.limit, args.reverse) {
        Some(sequence) => writer.sequence(&sequence, &mut io.out),
        None => Ok(()),
    }
}

/// Returns a writer that writes addresses, or records of this type.
fn address_writer(tag: &str, io: &Io) -> AddressWriter {
    if io.json {
        AddressWriter::json(tag)
    } else {
        AddressWriter::new("", "")
    }
}

/// Runs `subnetcalc split NETWORK...`.
pub(super) fn split(args: &SplitArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    for_each_network(&args.networks, rules, io, &mut |net, io| {
        with_prefix!(net, |prefix| {
            let length = part_length(prefix, args)?;
            let firsts = first_addresses(prefix, length);
            if args.form.ranges || io.json {
                let printer = Printer::new("split", io, args.form.ranges);
                let mut next = Some(Prefix::containing(prefix.first, length));
                while let Some(part) = next.filter(|part| part.last() <= prefix.last()) {
                    printer.network(part, &mut io.out)?;
                    next = part.step(1, true);
                }
            } else if let Some(firsts) = firsts {
                let mut writer = AddressWriter::new("", &format!("/{length}"));
                writer.sequence(&firsts, &mut io.out)?;
            }
        });
        Ok(Exit::Success)
    })
}

/// Returns the prefix length of the parts of a network.
fn part_length<N: Bits>(net: Prefix<N>, args: &SplitArgs) -> Result<u32> {
    let input = |message: String| Error::new(common::Kind::Input, message);
    if let Some(length) = args.prefix {
        return if length < net.length || length > N::WIDTH {
            Err(input(format!(
                "cannot be split into /{length}; use --prefix {} to {}",
                net.length,
                N::WIDTH
            )))
        } else {
            Ok(length)
        };
    }
    let parts = args.parts.unwrap_or(1);
    if !parts.is_power_of_two() {
        let (below, above) = (
            1_u128 << parts.ilog2(),
            (1_u128 << parts.ilog2()).checked_mul(2),
        );
        let above = above.map_or(String::new(), |n| format!(" or {n}"));
        return Err(input(format!(
            "cannot be split into {parts} equal parts: the number must be a power of two; use {below}{above}"
        )));
    }
    let length = net.length + parts.ilog2();
    if length > N::WIDTH {
        return Err(input(format!(
            "too small to be split into {parts} parts: it has {} addresses",
            net.total()
        )));
    }
    Ok(length)
}

/// Returns the first addresses of the parts of a prefix length.
fn first_addresses<N: Bits>(net: Prefix<N>, length: u32) -> Option<Sequence<N>> {
    let firsts = Interval {
        first: net.first,
        last: net.last() & N::net_mask(length),
    };
    // The IPv6 address space as one part has no step, and its size does not fit.
    let step = Count::power_of_two(N::WIDTH - length)
        .to_u128()
        .unwrap_or(u128::MAX);
    Sequence::new(firsts, step, None, false)
}

/// Runs `subnetcalc sample NETWORK N`.
pub(super) fn sample(args: &SampleArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let net = single_network(&args.network, rules)?;
    let mut random = SplitMix64::new(single::seed(args.seed)?);
    with_prefix!(net, |prefix| draw(prefix, args, &mut random, io))
}

/// Prints a random sample of the addresses of a network.
fn draw<N: Bits>(
    net: Prefix<N>,
    args: &SampleArgs,
    random: &mut SplitMix64,
    io: &mut Io,
) -> Result<Exit> {
    if Count::new(args.n) > net.total() {
        let text = common::text::escape(args.network.as_bytes()).into_owned();
        let total = net.total();
        io.report.line(format_args!(
            "{text}: cannot sample {} addresses: the network has {total}",
            args.n
        ));
        return Ok(Exit::Negative);
    }
    let shuffle = Shuffle::new(N::WIDTH - net.length, random);
    let mut writer = address_writer("sample", io);
    for n in 0..args.n {
        let address = net.first | N::narrow(shuffle.at(n));
        writer.line(address, &mut io.out)?;
    }
    writer.finish(&mut io.out)?;
    Ok(Exit::Success)
}
