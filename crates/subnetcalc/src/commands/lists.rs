//! `hosts`, `split`, `sample`: many lines of one network.

use common::address::Family;
use common::app::Io;
use common::random::SplitMix64;
use common::{Error, Exit, Result};

use crate::bits::Bits;
use crate::cli::{HostsArgs, SampleArgs, SplitArgs};
use crate::count::Count;
use crate::list::{Lister, Walk};
use crate::network::{self, Rules};
use crate::output::Printer;
use crate::parse::{AnyItem, Item};
use crate::prefix::{Prefix, with_prefix};
use crate::random::Shuffle;
use crate::set::Interval;

use super::{for_each, for_each_network, one_network, single, the_network};

/// `hosts NETWORK...`
pub(super) fn hosts(args: &HostsArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let mut lister = address_lister("hosts", io);
    for_each(&args.networks, "a network", io, &mut |text, io| {
        // Only ranges have one of these, and zones. Every address of a range counts.
        if text.contains(['-', '+']) {
            match network::member(text, rules).map_err(|why| Error::input(text, why))? {
                AnyItem::V4(Item::Range(first, last)) => {
                    if rules.family != Family::V6 {
                        walk(Interval { first, last }, args, &mut lister, io)?;
                    }
                    return Ok(Exit::Yes);
                }
                AnyItem::V6(Item::Range(first, last)) => {
                    if rules.family != Family::V4 {
                        walk(Interval { first, last }, args, &mut lister, io)?;
                    }
                    return Ok(Exit::Yes);
                }
                _ => {}
            }
        }
        let net = one_network(text, rules)?;
        if rules.family.admits(&net.addr()) {
            with_prefix!(net, |prefix| {
                let listed = if args.all {
                    prefix.interval()
                } else {
                    prefix.usable()
                };
                walk(listed, args, &mut lister, io)?;
            });
        }
        Ok(Exit::Yes)
    })
}

fn walk<N: Bits>(
    listed: Interval<N>,
    args: &HostsArgs,
    lister: &mut Lister,
    io: &mut Io,
) -> Result<()> {
    match Walk::new(listed, args.step, args.limit, args.reverse) {
        Some(walk) => lister.walk(&walk, &mut io.out),
        None => Ok(()),
    }
}

/// Lines that are addresses, bare or as records.
fn address_lister(tag: &str, io: &Io) -> Lister {
    if io.json {
        Lister::records(tag)
    } else {
        Lister::new("", "")
    }
}

/// `split NETWORK...`
pub(super) fn split(args: &SplitArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    for_each_network(&args.networks, rules, io, &mut |net, io| {
        with_prefix!(net, |prefix| {
            let length = part_length(prefix, args)?;
            let walk = parts(prefix, length);
            if args.form.ranges || io.json {
                let printer = Printer::of("split", io, args.form.ranges);
                let mut part = Some(Prefix::of(prefix.first, length));
                while let Some(this) = part.filter(|part| part.last() <= prefix.last()) {
                    printer.network(this, &mut io.out)?;
                    part = this.step(1, true);
                }
            } else if let Some(walk) = walk {
                let mut lister = Lister::new("", &format!("/{length}"));
                lister.walk(&walk, &mut io.out)?;
            }
        });
        Ok(Exit::Yes)
    })
}

/// The prefix length of the parts of a network.
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
            "{parts} equal parts cannot be made, only a power of two; use {below}{above}"
        )));
    }
    let length = net.length + parts.ilog2();
    if length > N::WIDTH {
        return Err(input(format!(
            "has {} addresses, too few for {parts} parts",
            net.total()
        )));
    }
    Ok(length)
}

/// The first addresses of the parts of that length.
fn parts<N: Bits>(net: Prefix<N>, length: u32) -> Option<Walk<N>> {
    let firsts = Interval {
        first: net.first,
        last: net.last() & N::net_mask(length),
    };
    // Of the whole IPv6 space there is one part and no step.
    let step = Count::power(N::WIDTH - length).get().unwrap_or(u128::MAX);
    Walk::new(firsts, step, None, false)
}

/// `sample NETWORK N`
pub(super) fn sample(args: &SampleArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let net = the_network(&args.network, rules)?;
    let mut random = SplitMix64::new(single::seed(args.seed)?);
    with_prefix!(net, |prefix| draw(prefix, args, &mut random, io))
}

fn draw<N: Bits>(
    net: Prefix<N>,
    args: &SampleArgs,
    random: &mut SplitMix64,
    io: &mut Io,
) -> Result<Exit> {
    if Count::new(args.n) > net.total() {
        let text = common::text::escape(args.network.as_bytes()).into_owned();
        let total = net.total();
        io.report
            .line(format_args!("{text}: has only {total} addresses"));
        return Ok(Exit::No);
    }
    let shuffle = Shuffle::new(N::WIDTH - net.length, random);
    let mut lister = address_lister("sample", io);
    for n in 0..args.n {
        let address = net.first | N::narrow(shuffle.at(n));
        lister.line(address, &mut io.out)?;
    }
    lister.finish(&mut io.out)?;
    Ok(Exit::Yes)
}
