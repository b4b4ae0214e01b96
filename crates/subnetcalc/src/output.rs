//! Networks and addresses as lines and as JSON records, side by side.

use std::net::IpAddr;

use common::app::Io;
use common::{Out, Result};
use serde::Serialize;

use crate::bits::Bits;
use crate::prefix::{Prefix, cover};
use crate::set::{Interval, IntervalSet};

/// How a command prints its networks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    /// The `type` of the JSON records.
    pub(crate) tag: &'static str,
    /// JSON instead of lines.
    pub(crate) json: bool,
    /// Ranges instead of networks.
    pub(crate) ranges: bool,
}

#[derive(Serialize)]
struct NetworkRecord<'a> {
    r#type: &'a str,
    network: String,
}

#[derive(Serialize)]
struct RangeRecord<'a> {
    r#type: &'a str,
    first: IpAddr,
    last: IpAddr,
}

#[derive(Serialize)]
struct AddressRecord<'a> {
    r#type: &'a str,
    address: IpAddr,
}

impl Printer {
    /// For a command whose results are sets.
    pub(crate) fn set(io: &Io, ranges: bool) -> Self {
        Self::of("set", io, ranges)
    }

    /// For a command whose records bear its own name.
    pub(crate) fn of(tag: &'static str, io: &Io, ranges: bool) -> Self {
        Self {
            tag,
            json: io.json,
            ranges,
        }
    }

    /// One network.
    pub(crate) fn network<N: Bits>(self, prefix: Prefix<N>, out: &mut Out) -> Result<()> {
        if self.ranges {
            return self.range(prefix.interval(), out);
        }
        if self.json {
            return out.json(&NetworkRecord {
                r#type: self.tag,
                network: shown(prefix),
            });
        }
        let buffer = out.buffer();
        push_network(buffer, prefix);
        buffer.push(b'\n');
        out.spill_if_full()
    }

    /// An address that stays without a prefix length.
    pub(crate) fn plain<N: Bits>(self, address: N, out: &mut Out) -> Result<()> {
        if self.ranges {
            return self.range(
                Interval {
                    first: address,
                    last: address,
                },
                out,
            );
        }
        if self.json {
            return out.json(&NetworkRecord {
                r#type: self.tag,
                network: address.ip().to_string(),
            });
        }
        let buffer = out.buffer();
        buffer.extend_from_slice(address.text().as_bytes());
        buffer.push(b'\n');
        out.spill_if_full()
    }

    /// An interval: as the fewest networks, or as one range.
    pub(crate) fn interval<N: Bits>(self, interval: Interval<N>, out: &mut Out) -> Result<()> {
        if self.ranges {
            return self.range(interval, out);
        }
        cover(interval).try_for_each(|prefix| self.network(prefix, out))
    }

    /// All of a set.
    pub(crate) fn all<N: Bits>(self, set: &IntervalSet<N>, out: &mut Out) -> Result<()> {
        let mut intervals = set.intervals().iter();
        intervals.try_for_each(|interval| self.interval(*interval, out))
    }

    fn range<N: Bits>(self, interval: Interval<N>, out: &mut Out) -> Result<()> {
        if self.json {
            return out.json(&RangeRecord {
                r#type: self.tag,
                first: interval.first.ip(),
                last: interval.last.ip(),
            });
        }
        let buffer = out.buffer();
        push_range(buffer, interval);
        buffer.push(b'\n');
        out.spill_if_full()
    }

    /// One address.
    pub(crate) fn address(self, address: IpAddr, out: &mut Out) -> Result<()> {
        if self.json {
            return out.json(&AddressRecord {
                r#type: self.tag,
                address,
            });
        }
        out.line(address)
    }
}

/// Adds `ADDR/LEN`.
pub(crate) fn push_network<N: Bits>(buffer: &mut Vec<u8>, prefix: Prefix<N>) {
    buffer.extend_from_slice(prefix.first.text().as_bytes());
    let length = prefix.length as u8;
    let digits = [
        b'/',
        b'0' + length / 100,
        b'0' + length / 10 % 10,
        b'0' + length % 10,
    ];
    match length {
        0..=9 => buffer.extend_from_slice(&[b'/', digits[3]]),
        10..=99 => buffer.extend_from_slice(&[b'/', digits[2], digits[3]]),
        _ => buffer.extend_from_slice(&digits),
    }
}

/// Adds `ADDR-ADDR`.
pub(crate) fn push_range<N: Bits>(buffer: &mut Vec<u8>, interval: Interval<N>) {
    buffer.extend_from_slice(interval.first.text().as_bytes());
    buffer.push(b'-');
    buffer.extend_from_slice(interval.last.text().as_bytes());
}

/// `ADDR/LEN` as a string.
pub(crate) fn shown<N: Bits>(prefix: Prefix<N>) -> String {
    format!("{}/{}", prefix.first.ip(), prefix.length)
}

/// Adds an interval as a network if it is one, else as a range.
pub(crate) fn push_member<N: Bits>(buffer: &mut Vec<u8>, member: Interval<N>) {
    let around = Prefix::around(member);
    if around.interval() == member {
        push_network(buffer, around);
    } else {
        push_range(buffer, member);
    }
}
