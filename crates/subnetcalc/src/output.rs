//! Prints networks, ranges and addresses as lines of text or as JSON records.

use std::net::IpAddr;

use common::app::Io;
use common::{Out, Result, time};
use serde::Serialize;

use crate::bits::Bits;
use crate::interval::Interval;
use crate::prefix::{Prefix, cover};
use crate::set::IntervalSet;

/// Prints the results of a command in the form that the options select.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    /// The `type` of the JSON records.
    pub(crate) tag: &'static str,
    /// Print JSON records instead of lines.
    pub(crate) json: bool,
    /// Print ranges instead of networks.
    pub(crate) ranges: bool,
}

/// The record of a network or range.
#[derive(Serialize)]
struct NetworkRecord<'a> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'a str>,
    /// The network, null for a range.
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

/// The difference that an interval makes between two sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is only in the second set.
    Added,
    /// It is only in the first set.
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
    /// Creates a printer for a command that returns a set.
    pub(crate) fn for_set(io: &Io, ranges: bool) -> Self {
        Self::new("set", io, ranges)
    }

    /// Creates a printer for a command. `tag` is the type of its records.
    pub(crate) fn new(tag: &'static str, io: &Io, ranges: bool) -> Self {
        Self {
            tag,
            json: io.json,
            ranges,
        }
    }

    /// Prints a network as one line or record.
    pub(crate) fn network<N: Bits>(self, prefix: Prefix<N>, out: &mut Out) -> Result<()> {
        if self.ranges {
            return self.range(prefix.interval(), out);
        }
        if self.json {
            return self.record(Some(network_text(prefix)), prefix.interval(), None, out);
        }
        let buffer = out.buffer();
        push_network(buffer, prefix);
        buffer.push(b'\n');
        out.flush_if_full()
    }

    /// Prints an address of a set without a prefix length.
    pub(crate) fn plain_address<N: Bits>(self, address: N, out: &mut Out) -> Result<()> {
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

    /// Prints an interval as the fewest networks or as one range.
    pub(crate) fn interval<N: Bits>(self, interval: Interval<N>, out: &mut Out) -> Result<()> {
        if self.ranges {
            return self.range(interval, out);
        }
        cover(interval).try_for_each(|prefix| self.network(prefix, out))
    }

    /// Prints all intervals of a set.
    pub(crate) fn set<N: Bits>(self, set: &IntervalSet<N>, out: &mut Out) -> Result<()> {
        let mut intervals = set.intervals().iter();
        intervals.try_for_each(|interval| self.interval(*interval, out))
    }

    /// Prints a range as one line or record.
    fn range<N: Bits>(self, interval: Interval<N>, out: &mut Out) -> Result<()> {
        if self.json {
            return self.record(None, interval, None, out);
        }
        let buffer = out.buffer();
        push_range(buffer, interval);
        buffer.push(b'\n');
        out.flush_if_full()
    }

    /// Prints an interval that only one of two sets has.
    pub(crate) fn difference<N: Bits>(
        self,
        interval: Interval<N>,
        change: Change,
        out: &mut Out,
    ) -> Result<()> {
        let one = |part: Interval<N>, out: &mut Out| {
            if self.json {
                let network = (!self.ranges).then(|| network_text(Prefix::enclosing(part)));
                return self.record(network, part, Some(change.name()), out);
            }
            out.buffer().push(change.sign());
            if self.ranges {
                self.range(part, out)
            } else {
                self.network(Prefix::enclosing(part), out)
            }
        };
        if self.ranges {
            return one(interval, out);
        }
        cover(interval).try_for_each(|prefix| one(prefix.interval(), out))
    }

    /// Prints the record of a network or range.
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

    /// Prints an address as one line or record.
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

/// Appends a network as `ADDR/LEN`.
pub(crate) fn push_network<N: Bits>(buffer: &mut Vec<u8>, prefix: Prefix<N>) {
    let mut text = prefix.first.text();
    text.push_length(prefix.length);
    buffer.extend_from_slice(text.as_bytes());
}

/// Appends a range as `ADDR-ADDR`.
pub(crate) fn push_range<N: Bits>(buffer: &mut Vec<u8>, interval: Interval<N>) {
    buffer.extend_from_slice(interval.first.text().as_bytes());
    buffer.push(b'-');
    buffer.extend_from_slice(interval.last.text().as_bytes());
}

/// Formats a network as `ADDR/LEN`.
pub(crate) fn network_text<N: Bits>(prefix: Prefix<N>) -> String {
    format!("{}/{}", prefix.first.ip(), prefix.length)
}

/// Appends an interval as a network if it is one, otherwise as a range.
pub(crate) fn push_member<N: Bits>(buffer: &mut Vec<u8>, member: Interval<N>) {
    let network = Prefix::enclosing(member);
    if network.interval() == member {
        push_network(buffer, network);
    } else {
        push_range(buffer, member);
    }
}
