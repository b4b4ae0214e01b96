//! Networks and addresses as lines and as JSON records, side by side.

use std::net::IpAddr;

use common::app::Io;
use common::{Out, Result, time};
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

/// A network or range. All records of a type have all keys.
#[derive(Serialize)]
struct NetworkRecord<'a> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'a str>,
    /// Null for a range.
    network: Option<String>,
    first: IpAddr,
    last: IpAddr,
    time: String,
}

#[derive(Serialize)]
struct AddressRecord<'a> {
    r#type: &'a str,
    address: IpAddr,
    time: String,
}

/// The change of a network from one set to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Only the second set has it.
    Added,
    /// Only the first set has it.
    Removed,
}

impl Change {
    fn sign(self) -> u8 {
        match self {
            Self::Added => b'+',
            Self::Removed => b'-',
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
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
            return self.record(Some(shown(prefix)), prefix.interval(), None, out);
        }
        let buffer = out.buffer();
        push_network(buffer, prefix);
        buffer.push(b'\n');
        out.flush_if_full()
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
            let interval = Interval {
                first: address,
                last: address,
            };
            return self.record(Some(address.ip().to_string()), interval, None, out);
        }
        let buffer = out.buffer();
        buffer.extend_from_slice(address.text().as_bytes());
        buffer.push(b'\n');
        out.flush_if_full()
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
            return self.record(None, interval, None, out);
        }
        let buffer = out.buffer();
        push_range(buffer, interval);
        buffer.push(b'\n');
        out.flush_if_full()
    }

    /// An interval that one of two sets has, as networks or as a range.
    pub(crate) fn change<N: Bits>(
        self,
        interval: Interval<N>,
        change: Change,
        out: &mut Out,
    ) -> Result<()> {
        let one = |part: Interval<N>, out: &mut Out| {
            if self.json {
                let network = (!self.ranges).then(|| shown(Prefix::around(part)));
                return self.record(network, part, Some(change.name()), out);
            }
            out.buffer().push(change.sign());
            if self.ranges {
                self.range(part, out)
            } else {
                self.network(Prefix::around(part), out)
            }
        };
        if self.ranges {
            return one(interval, out);
        }
        cover(interval).try_for_each(|prefix| one(prefix.interval(), out))
    }

    fn record<N: Bits>(
        self,
        network: Option<String>,
        interval: Interval<N>,
        change: Option<&str>,
        out: &mut Out,
    ) -> Result<()> {
        out.json(&NetworkRecord {
            r#type: self.tag,
            change,
            network,
            first: interval.first.ip(),
            last: interval.last.ip(),
            time: time::now(),
        })
    }

    /// One address.
    pub(crate) fn address(self, address: IpAddr, out: &mut Out) -> Result<()> {
        if self.json {
            return out.json(&AddressRecord {
                r#type: self.tag,
                address,
                time: time::now(),
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
