//! The items that pass from the threads of the source to the engine's thread:
//! operands that were parsed and checked, with names looked up.

use std::net::IpAddr;
use std::path::Path;
use std::sync::mpsc::SyncSender;

use common::address::Family;
use common::{Error, Kind, Result};
use net::Waker;

use crate::operand::{self, Operand, Range};
use crate::packet::IpVersion;
use crate::socket;

/// An operand with its names looked up.
#[derive(Debug)]
pub(crate) enum ResolvedOperand {
    /// A single address, which may be that of a name.
    Single {
        /// The operand as typed, if it is not the address itself.
        typed: Option<String>,
        address: IpAddr,
        /// The interface index of its zone.
        zone: Option<u32>,
    },
    /// The addresses of a network or range.
    Range(Range),
    /// An operand that cannot be probed.
    Rejected(Error),
}

/// How operands become targets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceOptions {
    /// The address families that are accepted.
    pub(crate) family: Family,
    /// The interface index of link-local addresses, or 0.
    pub(crate) scope: u32,
    /// The number of data bytes in the largest probe.
    pub(crate) max_data: u16,
    /// The seed of the order of addresses in a range; `None` for numeric order.
    pub(crate) shuffle: Option<u64>,
    /// Whether every address of a name is a target, and not only the first.
    pub(crate) all_addresses: bool,
    /// Whether a name that does not resolve is looked up until it does.
    pub(crate) retries_lookups: bool,
}

/// Sends batches of items to the engine's thread.
#[derive(Clone)]
pub(crate) struct BatchSender {
    sender: SyncSender<Vec<ResolvedOperand>>,
    waker: Waker,
}

impl BatchSender {
    /// Creates a sender that wakes the engine's thread with `waker`.
    pub(super) fn new(sender: SyncSender<Vec<ResolvedOperand>>, waker: Waker) -> Self {
        Self { sender, waker }
    }

    /// Sends the items and leaves the vector empty. Returns whether the engine's
    /// thread still receives.
    pub(crate) fn send(&self, items: &mut Vec<ResolvedOperand>) -> bool {
        if items.is_empty() {
            return true;
        }
        let is_sent = self.sender.send(std::mem::take(items)).is_ok();
        self.waker.wake();
        is_sent
    }

    /// Closes this sender. The source is exhausted when all are closed.
    pub(crate) fn close(self) {
        let Self { sender, waker } = self;
        drop(sender);
        waker.wake();
    }
}

/// A parsed operand. A name has not been looked up.
pub(super) enum Parsed {
    Resolved(ResolvedOperand),
    Name(String),
}

/// Parses an operand like [`operand::parse`], and adds a hint to the error if a
/// file of that name exists.
pub(crate) fn parse(text: &str, family: Family) -> Result<Operand> {
    operand::parse(text, family).map_err(|error| match file_hint(text) {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

pub(super) fn parse_operand(text: &str, options: &SourceOptions) -> Result<Parsed> {
    let item = match parse(text, options.family)? {
        Operand::Address(address) => {
            // The text is stored only if it differs from the address.
            let typed = (text != address.to_string()).then(|| text.to_owned());
            ResolvedOperand::Single {
                typed,
                address,
                zone: None,
            }
        }
        Operand::Zoned(address, zone) => {
            let index =
                zone_index(&zone, options.scope).map_err(|error| error.with_subject(text))?;
            ResolvedOperand::Single {
                typed: Some(text.to_owned()),
                address: address.into(),
                zone: Some(index),
            }
        }
        Operand::Range(range) => ResolvedOperand::Range(range),
        Operand::Name(name) => return Ok(Parsed::Name(name)),
    };
    check_size(&item, options.max_data)?;
    Ok(Parsed::Resolved(item))
}

/// Returns a hint if a file of this name exists.
pub(super) fn file_hint(text: &str) -> Option<String> {
    let is_file = Path::new(text).is_file();
    is_file.then(|| format!("use @{text} to read the file with that name"))
}

/// Returns the error of a command-line operand, if there is one that can be found
/// without a name lookup or file access.
pub(crate) fn check_operand(text: &str, options: &SourceOptions) -> Option<Error> {
    if text == "-" || text.starts_with('@') {
        return None;
    }
    let error = parse_operand(text, options).err()?;
    Some(match error.subject() {
        Some(_) => error,
        None => error.with_subject(text),
    })
}

/// Checks that probes to the addresses of an item can carry `size` data bytes.
/// `-s` accepts sizes that only fit an IPv6 packet.
pub(super) fn check_size(item: &ResolvedOperand, size: u16) -> Result<()> {
    let is_v4 = match item {
        ResolvedOperand::Single { address, .. } => address.is_ipv4(),
        ResolvedOperand::Range(range) => range.is_v4(),
        ResolvedOperand::Rejected(_) => false,
    };
    if is_v4 { check_ipv4_size(size) } else { Ok(()) }
}

/// Checks that an IPv4 probe can carry `size` data bytes.
pub(crate) fn check_ipv4_size(size: u16) -> Result<()> {
    let max = IpVersion::V4.max_data();
    if size <= max {
        return Ok(());
    }
    let text = format!("the data of an IPv4 probe is at most {max} bytes; use a smaller -s");
    Err(Error::new(Kind::Usage, text))
}

/// Returns the interface index of a zone. It must not contradict the interface
/// index of `-I`, which is 0 without that option.
pub(crate) fn zone_index(zone: &str, selected: u32) -> Result<u32> {
    let index = socket::interface_index(zone)?;
    if selected != 0 && selected != index {
        return Err(Error::usage("-I and the zone select different interfaces"));
    }
    Ok(index)
}
