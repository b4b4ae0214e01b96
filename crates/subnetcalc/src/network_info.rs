//! [`NetworkInfo`]: the details of a network and of the address that it was written
//! with.
//!
//! [`FIELDS`] is the table of the JSON keys, which are also the fields of `--get`.
//! [`LINES`] is the table of the lines of text. A new detail is a row in each.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::bits::Bits;
use crate::format;
use crate::prefix::with_prefix;
use crate::reverse;
use crate::special::{self, Row};
use crate::value::Value;
use crate::{embedded, eui64, multicast};

/// A network with the address as it was written, including host bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NetworkInfo {
    net: IpNet,
}

/// A field of the details.
#[derive(Debug)]
pub(crate) struct Field {
    /// The key, which is also the name for `--get`.
    pub(crate) key: &'static str,
    /// The keys of the value if it is an object.
    pub(crate) parts: &'static [&'static str],
    /// The function that returns the value.
    pub(crate) value: fn(&NetworkInfo) -> Value,
}

const fn field(key: &'static str, value: fn(&NetworkInfo) -> Value) -> Field {
    Field {
        key,
        parts: &[],
        value,
    }
}

/// All fields in the order of the JSON record.
#[rustfmt::skip]
pub(crate) const FIELDS: [Field; 25] = [
    field("address", |f| address(f.net.addr())),
    field("prefix_length", |f| Value::Number(f.net.prefix_len().into())),
    field("network", |f| Value::text(f.net.trunc())),
    field("netmask", |f| mask(f.net.netmask())),
    field("wildcard", |f| mask(f.net.hostmask())),
    field("broadcast", |f| f.broadcast().map_or(Value::Null, address)),
    field("first", |f| address(f.net.network())),
    field("last", |f| address(f.net.broadcast())),
    field("first_host", |f| address(f.hosts().0)),
    field("last_host", |f| address(f.hosts().1)),
    field("total", |f| Value::Text(f.total())),
    field("usable", |f| Value::Text(f.usable())),
    field("family", |f| Value::Number(if f.net.addr().is_ipv4() { 4 } else { 6 })),
    Field {
        key: "special",
        parts: &["entry", "name", "rfc", "globally_reachable"],
        value: |f| f.special().map_or(Value::Null, |row| Value::Object(vec![
            ("entry", Value::text(row.entry)),
            ("name", Value::text(row.name)),
            ("rfc", Value::text(row.rfc)),
            ("globally_reachable", row.globally_reachable.map_or(Value::Null, Value::Bool)),
        ])),
    },
    field("multicast", |f| Value::Bool(f.is_multicast())),
    field("reverse_zones", |f| Value::List(reverse::zones(f.net))),
    field("hex", |f| Value::Text(f.hex())),
    field("decimal", |f| Value::Text(f.bits().to_string())),
    field("binary", |f| Value::Text(f.binary())),
    field("expanded", |f| Value::Text(f.expanded())),
    Field {
        key: "embedded",
        parts: &["kind", "ipv4", "server", "port"],
        value: |f| f.v6().and_then(embedded::embedded).map_or(Value::Null, |e| Value::Object(vec![
            ("kind", Value::text(e.kind)),
            ("ipv4", Value::text(e.ipv4)),
            ("server", e.server.map_or(Value::Null, Value::text)),
            ("port", e.port.map_or(Value::Null, |port| Value::Number(port.into()))),
        ])),
    },
    field("mac", |f| f.v6().and_then(eui64::mac).map_or(Value::Null, Value::text)),
    field("solicited_node", |f| {
        f.v6().and_then(multicast::solicited_node).map_or(Value::Null, |group| address(group.ip()))
    }),
    field("multicast_scope", |f| f.multicast_scope().map_or(Value::Null, Value::text)),
    field("multicast_mac", |f| f.multicast_mac().map_or(Value::Null, Value::text)),
];

/// The names of the fields for `--get`: a key, or a key and a part.
pub(crate) const FIELD_NAMES: [&str; 31] = [
    "address",
    "prefix_length",
    "network",
    "netmask",
    "wildcard",
    "broadcast",
    "first",
    "last",
    "first_host",
    "last_host",
    "total",
    "usable",
    "family",
    "special.entry",
    "special.name",
    "special.rfc",
    "special.globally_reachable",
    "multicast",
    "reverse_zones",
    "hex",
    "decimal",
    "binary",
    "expanded",
    "embedded.kind",
    "embedded.ipv4",
    "embedded.server",
    "embedded.port",
    "mac",
    "solicited_node",
    "multicast_scope",
    "multicast_mac",
];

/// A label and the function that returns the text after it.
type TextLine = (&'static str, fn(&NetworkInfo) -> Option<String>);

/// The lines of text in order. A line is omitted if its text is `None`.
#[rustfmt::skip]
pub(crate) const LINES: [TextLine; 17] = [
    ("Address", |f| Some(f.text_or_dash("address"))),
    ("Network", |f| Some(f.text_or_dash("network"))),
    ("Netmask", |f| Some(format!("{} = {}", f.text_or_dash("netmask"), f.net.prefix_len()))),
    ("Wildcard", |f| Some(f.text_or_dash("wildcard"))),
    ("Broadcast", |f| f.text("broadcast")),
    ("First host", |f| Some(f.text_or_dash("first_host"))),
    ("Last host", |f| Some(f.text_or_dash("last_host"))),
    ("Total IPs", |f| Some(f.total())),
    ("Usable hosts", |f| Some(f.usable())),
    ("Special purpose", |f| f.special().map(special_line)),
    ("Reverse zone", |f| Some(zones_line(&reverse::zones(f.net)))),
    ("EUI-64 MAC", |f| f.text("mac")),
    ("Solicited node", |f| f.text("solicited_node")),
    ("Multicast scope", |f| f.text("multicast_scope")),
    ("Multicast MAC", |f| f.text("multicast_mac")),
    ("Embedded IPv4", |f| f.embedded_line()),
    ("Teredo server", |f| f.teredo_line()),
];

impl NetworkInfo {
    /// Creates the details of a network.
    pub(crate) fn new(net: IpNet) -> Self {
        Self { net }
    }

    /// Returns the text of a field, `-` if it is null.
    fn text_or_dash(&self, key: &str) -> String {
        self.text(key).unwrap_or_else(|| "-".to_owned())
    }

    /// Returns the text of a field, or `None` if it is null.
    fn text(&self, key: &str) -> Option<String> {
        let field = FIELDS.iter().find(|field| field.key == key)?;
        match (field.value)(self) {
            Value::Null => None,
            value => Some(value.to_string()),
        }
    }

    /// Returns the address as a number if it is an IPv6 address.
    fn v6(&self) -> Option<u128> {
        match self.net {
            IpNet::V4(_) => None,
            IpNet::V6(net) => Some(net.addr().to_bits()),
        }
    }

    /// Returns the address as a number.
    fn bits(&self) -> u128 {
        common::address::to_bits(self.net.addr()).0
    }

    /// Returns the broadcast address of an IPv4 network up to /30.
    fn broadcast(&self) -> Option<IpAddr> {
        match self.net {
            IpNet::V4(net) if net.prefix_len() < 31 => Some(net.broadcast().into()),
            _ => None,
        }
    }

    /// Returns the first and the last address that hosts can use.
    fn hosts(&self) -> (IpAddr, IpAddr) {
        with_prefix!(self.net, |prefix| {
            let hosts = prefix.usable();
            (hosts.first.ip(), hosts.last.ip())
        })
    }

    fn total(&self) -> String {
        with_prefix!(self.net, |prefix| prefix.total().to_string())
    }

    fn usable(&self) -> String {
        with_prefix!(self.net, |prefix| prefix.usable().count().to_string())
    }

    fn special(&self) -> Option<&'static Row> {
        special::lookup(self.net.trunc())
    }

    /// Returns whether all addresses of the network are multicast addresses.
    fn is_multicast(&self) -> bool {
        let length = if self.net.addr().is_ipv4() { 4 } else { 8 };
        self.net.addr().is_multicast() && self.net.prefix_len() >= length
    }

    fn hex(&self) -> String {
        match self.net {
            IpNet::V4(net) => format!("{:08x}", net.addr().to_bits()),
            IpNet::V6(net) => format!("{:032x}", net.addr().to_bits()),
        }
    }

    fn binary(&self) -> String {
        let octets = match self.net.addr() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let octets: Vec<String> = octets.iter().map(|octet| format!("{octet:08b}")).collect();
        octets.join(".")
    }

    fn expanded(&self) -> String {
        match self.net.addr() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let groups = address.segments().map(|group| format!("{group:04x}"));
                groups.join(":")
            }
        }
    }

    fn multicast_scope(&self) -> Option<&'static str> {
        match self.net {
            IpNet::V4(net) => multicast::scope_v4(net.addr().to_bits()),
            IpNet::V6(net) => multicast::scope_v6(net.addr().to_bits()),
        }
    }

    fn multicast_mac(&self) -> Option<eui64::Mac> {
        match self.net {
            IpNet::V4(net) => multicast::mac_v4(net.addr().to_bits()),
            IpNet::V6(net) => multicast::mac_v6(net.addr().to_bits()),
        }
    }

    fn embedded_line(&self) -> Option<String> {
        let inside = embedded::embedded(self.v6()?)?;
        Some(match inside.port {
            Some(port) => format!("{} ({} client, UDP port {port})", inside.ipv4, inside.kind),
            None => format!("{} ({})", inside.ipv4, inside.kind),
        })
    }

    fn teredo_line(&self) -> Option<String> {
        let server = embedded::embedded(self.v6()?)?.server?;
        Some(server.to_string())
    }
}

/// Converts an address to a value.
fn address(address: IpAddr) -> Value {
    Value::text(address)
}

/// Converts a mask to a value.
fn mask(mask: IpAddr) -> Value {
    match mask {
        IpAddr::V4(mask) => Value::text(mask),
        IpAddr::V6(mask) => Value::Text(mask_text(mask)),
    }
}

/// Formats an IPv6 mask in groups. As an address it could get a dotted end.
pub(crate) fn mask_text(mask: Ipv6Addr) -> String {
    String::from_utf8_lossy(format::v6_hex(mask.to_bits()).as_bytes()).into_owned()
}

fn special_line(row: &Row) -> String {
    let reachable = match row.globally_reachable {
        Some(true) => "yes",
        Some(false) => "no",
        None => "N/A",
    };
    let rfc = row.rfc.replace(',', ", ");
    format!("{}, {rfc}, globally reachable: {reachable}", row.name)
}

/// Returns up to 8 zones, or the first, the last and the number of more zones.
fn zones_line(zones: &[String]) -> String {
    match zones {
        [first, .., last] if zones.len() > 8 => {
            format!("{first} to {last} ({} zones)", zones.len())
        }
        _ => zones.join(", "),
    }
}
