//! The commands that compute a single result: `nth`, `next`, `prev`, `reverse`, `mask`,
//! `eui64` and `ula`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::address::{self, Family};
use common::app::Io;
use common::random::SplitMix64;
use common::{Error, Exit, Kind, Result, text, time};
use serde::Serialize;

use crate::bits::Bits;
use crate::cli::{Eui64Args, MaskArgs, NthArgs, ReverseArgs, StepArgs, UlaArgs};
use crate::count::{Count, ParseCountError};
use crate::eui64::Mac;
use crate::mask;
use crate::network_info::mask_text;
use crate::operand::Rules;
use crate::output::Printer;
use crate::prefix::{Prefix, with_prefix};
use crate::reverse;

use super::{for_each, for_each_network, single_network};

/// Reports why the command has no result. Returns status 1.
fn no_result(operand: &str, message: &str, io: &Io) -> Exit {
    let operand = text::escape(operand.as_bytes());
    io.report.line(format_args!("{operand}: {message}"));
    Exit::Negative
}

/// Runs `subnetcalc nth NETWORK N`.
pub(super) fn nth(args: &NthArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    let net = single_network(&args.network, rules)?;
    let (negative, digits) = match args.n.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, args.n.as_str()),
    };
    let n = match Count::parse(digits) {
        Ok(n) => Some(n),
        Err(ParseCountError::TooLarge) => None,
        Err(ParseCountError::NotANumber) => {
            let message = "index is not a number; use 0 for the first address, -1 for the last";
            return Err(Error::input(&args.n, message));
        }
    };
    let address = with_prefix!(net, |prefix| nth_address(prefix, n, negative).map(Bits::ip));
    let Some(address) = address else {
        let total = with_prefix!(net, |prefix| prefix.total());
        let last = total.saturating_sub(Count::new(1));
        let message = format!(
            "index {} is out of range; use 0 to {last} or -{total} to -1",
            args.n
        );
        return Ok(no_result(&args.network, &message, io));
    };
    Printer::new("nth", io, false).address(address, &mut io.out)?;
    Ok(Exit::Success)
}

/// Returns the address with an index, which counts from the end if `negative`.
fn nth_address<N: Bits>(net: Prefix<N>, n: Option<Count>, negative: bool) -> Option<N> {
    let n = n?;
    let total = net.total();
    let index = if negative && n > Count::ZERO {
        // -1 is the last address, -total is the first.
        (n <= total).then(|| total.saturating_sub(n))?
    } else {
        n
    };
    (index < total).then_some(())?;
    Some(net.first | N::narrow(index.to_u128()?))
}

/// Runs `subnetcalc next NETWORK [N]`, or `prev` if not `forward`.
pub(super) fn step(args: &StepArgs, forward: bool, rules: Rules, io: &mut Io) -> Result<Exit> {
    let net = single_network(&args.network, rules)?;
    let tag = if forward { "next" } else { "prev" };
    let printer = Printer::new(tag, io, args.form.ranges);
    with_prefix!(net, |prefix| match prefix.step(args.n, forward) {
        Some(other) => {
            printer.network(other, &mut io.out)?;
            Ok(Exit::Success)
        }
        None => Ok(no_result(
            &args.network,
            if forward {
                "the result is past the end of the address space"
            } else {
                "the result is before the start of the address space"
            },
            io
        )),
    })
}

#[derive(Serialize)]
struct ReverseRecord<'a> {
    r#type: &'static str,
    network: String,
    reverse_zones: &'a [String],
    time: String,
}

/// Runs `subnetcalc reverse NETWORK|ADDRESS...`.
pub(super) fn reverse(args: &ReverseArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    for_each_network(&args.networks, rules, io, &mut |net, io| {
        let zones = reverse::zones(net);
        if io.json {
            io.out.json(&ReverseRecord {
                r#type: "reverse",
                network: net.trunc().to_string(),
                reverse_zones: &zones,
                time: time::now(),
            })?;
        } else {
            zones.iter().try_for_each(|zone| io.out.line(zone))?;
        }
        Ok(Exit::Success)
    })
}

#[derive(Serialize)]
struct MaskRecord<'a> {
    r#type: &'static str,
    prefix_length: u8,
    netmask: &'a str,
    wildcard: &'a str,
    hex: &'a str,
    time: String,
}

/// Runs `subnetcalc mask LEN|MASK...`.
pub(super) fn convert_masks(args: &MaskArgs, rules: Rules, io: &mut Io) -> Result<Exit> {
    for_each(
        &args.masks,
        "a prefix length or mask",
        io,
        &mut |text, io| {
            let (length, width) = parse_mask(text, rules).map_err(|why| Error::input(text, why))?;
            let length_bits = u32::from(length);
            let (netmask, wildcard, hex) = if width == 32 {
                let mask = u32::net_mask(length_bits);
                let dotted = |bits| Ipv4Addr::from_bits(bits).to_string();
                (dotted(mask), dotted(!mask), format!("{mask:08x}"))
            } else {
                let mask = u128::net_mask(length_bits);
                let groups = |bits| mask_text(Ipv6Addr::from_bits(bits));
                (groups(mask), groups(!mask), format!("{mask:032x}"))
            };
            if io.json {
                io.out.json(&MaskRecord {
                    r#type: "mask",
                    prefix_length: length,
                    netmask: &netmask,
                    wildcard: &wildcard,
                    hex: &hex,
                    time: time::now(),
                })?;
            } else {
                io.out
                    .line(format_args!("{length}\t{netmask}\t{wildcard}\t{hex}"))?;
            }
            Ok(Exit::Success)
        },
    )
}

/// Parses a prefix length or mask. Returns the prefix length and the number of bits in
/// an address of its family. The error is the reason.
fn parse_mask(text: &str, rules: Rules) -> Result<(u8, u8), String> {
    let check_family = |width: u8| match (rules.family, width) {
        (Family::V4, 128) => Err("an IPv6 mask cannot be used with -4".to_owned()),
        (Family::V6, 32) => Err("an IPv4 mask cannot be used with -6".to_owned()),
        _ => Ok(()),
    };
    let mask = match mask::parse_hex_mask(text) {
        Some(mask) => Some(mask),
        None if text.contains(['.', ':']) => Some(address::parse(text)?),
        None => None,
    };
    if let Some(mask) = mask {
        let width = if mask.is_ipv4() { 32 } else { 128 };
        check_family(width)?;
        // A mask that can be a netmask and a wildcard mask is a netmask, unless
        // --wildcard is given.
        let length = match mask::mask_lengths(mask) {
            (None, Some(length)) => length,
            _ => mask::mask_length(mask, rules.wildcard)?,
        };
        return Ok((length, width));
    }
    let any = if rules.family == Family::V4 {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    let length = address::parse_prefix(text, &any)?;
    let width = match rules.family {
        Family::V6 => 128,
        Family::Any if length > 32 => 128,
        _ => 32,
    };
    Ok((length, width))
}

#[derive(Serialize)]
struct Eui64Record {
    r#type: &'static str,
    mac: String,
    address: IpAddr,
    time: String,
}

/// Runs `subnetcalc eui64 MAC [NETWORK]`.
pub(super) fn eui64(args: &Eui64Args, rules: Rules, io: &mut Io) -> Result<Exit> {
    let mac = Mac::parse(&args.mac).map_err(|why| Error::input(&args.mac, why))?;
    let net = match single_network(&args.network, rules)? {
        ipnet::IpNet::V6(net) if net.prefix_len() <= 64 => net,
        ipnet::IpNet::V6(_) => {
            let message = "the prefix is longer than /64: the interface identifier needs 64 bits; use /64 or shorter";
            return Err(Error::input(&args.network, message));
        }
        ipnet::IpNet::V4(_) => return Err(Error::input(&args.network, "not an IPv6 network")),
    };
    let bits = net.network().to_bits() | u128::from(mac.interface_id());
    if io.json {
        io.out.json(&Eui64Record {
            r#type: "eui64",
            mac: mac.to_string(),
            address: bits.ip(),
            time: time::now(),
        })?;
    } else {
        io.out.line(bits.ip())?;
    }
    Ok(Exit::Success)
}

/// Runs `subnetcalc ula`: makes a network of fd00::/8 with 40 random bits (RFC 4193
/// section 3.2).
pub(super) fn ula(args: &UlaArgs, io: &mut Io) -> Result<Exit> {
    let global_id = u128::from(SplitMix64::new(seed(args.seed)?).bits() >> 24);
    let prefix = Prefix::containing(0xfd << 120 | global_id << 80, 48);
    Printer::new("ula", io, false).network(prefix, &mut io.out)?;
    Ok(Exit::Success)
}

/// Returns the given seed, or a random one.
pub(super) fn seed(given: Option<u64>) -> Result<u64> {
    match given {
        Some(seed) => Ok(seed),
        None => getrandom::u64().map_err(|error| {
            Error::new(Kind::System, format!("cannot get random numbers: {error}"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_count_from_either_end() {
        let net = Prefix::containing(0x0a00_0000_u32, 24);
        let of = |n: u128, negative| nth_address(net, Some(Count::new(n)), negative);
        assert_eq!(of(0, false), Some(0x0a00_0000));
        assert_eq!(of(0, true), Some(0x0a00_0000));
        assert_eq!(of(255, false), Some(0x0a00_00ff));
        assert_eq!(of(256, false), None);
        assert_eq!(of(1, true), Some(0x0a00_00ff));
        assert_eq!(of(256, true), Some(0x0a00_0000));
        assert_eq!(of(257, true), None);
        let all = Prefix::containing(0_u128, 0);
        assert_eq!(nth_address(all, Some(Count::MAX), true), Some(0));
        assert_eq!(nth_address(all, Some(Count::MAX), false), None);
        assert_eq!(
            nth_address(all, Some(Count::new(u128::MAX)), false),
            Some(u128::MAX)
        );
        assert_eq!(nth_address(all, None, false), None);
    }
}
