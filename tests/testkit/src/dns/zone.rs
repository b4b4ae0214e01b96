//! The table of records behind the server, and what it answers to a query.
//!
//! The table plays a recursive server that knows everything it was given:
//! aliases are followed inside it, a name that exists without the asked type
//! is NODATA, a name that does not exist is NXDOMAIN, and both carry the SOA of
//! the nearest zone above if there is one.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::wire::{Query, Record, Response, labels, rtype};

const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;

/// A table of records, built by chaining.
#[derive(Debug, Clone)]
#[must_use]
pub struct Zone {
    records: Vec<Record>,
    ttl: u32,
}

impl Default for Zone {
    fn default() -> Self {
        Self::new()
    }
}

impl Zone {
    /// An empty table: everything is NXDOMAIN.
    pub fn new() -> Self {
        Self {
            records: Vec::new(),
            ttl: 300,
        }
    }

    /// The time to live, in seconds, of the records added after this.
    pub fn ttl(mut self, seconds: u32) -> Self {
        self.ttl = seconds;
        self
    }

    /// Any type with any data.
    pub fn raw(mut self, name: &str, rtype: u16, rdata: impl Into<Vec<u8>>) -> Self {
        self.records.push(Record::new(name, rtype, self.ttl, rdata));
        self
    }

    /// An IPv4 address. Panics if `address` is none.
    pub fn a(self, name: &str, address: &str) -> Self {
        let address: Ipv4Addr = address.parse().expect("an IPv4 address");
        self.raw(name, rtype::A, address.octets())
    }

    /// An IPv6 address. Panics if `address` is none.
    pub fn aaaa(self, name: &str, address: &str) -> Self {
        let address: Ipv6Addr = address.parse().expect("an IPv6 address");
        self.raw(name, rtype::AAAA, address.octets())
    }

    /// An alias.
    pub fn cname(self, name: &str, target: &str) -> Self {
        self.raw(name, rtype::CNAME, labels(target))
    }

    /// A name server.
    pub fn ns(self, name: &str, target: &str) -> Self {
        self.raw(name, rtype::NS, labels(target))
    }

    /// A pointer; `name` is the reverse name.
    pub fn ptr(self, name: &str, target: &str) -> Self {
        self.raw(name, rtype::PTR, labels(target))
    }

    /// A mail exchanger.
    pub fn mx(self, name: &str, preference: u16, target: &str) -> Self {
        let mut rdata = preference.to_be_bytes().to_vec();
        rdata.extend(labels(target));
        self.raw(name, rtype::MX, rdata)
    }

    /// A service.
    pub fn srv(self, name: &str, priority: u16, weight: u16, port: u16, target: &str) -> Self {
        let numbers = [priority, weight, port];
        let mut rdata: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
        rdata.extend(labels(target));
        self.raw(name, rtype::SRV, rdata)
    }

    /// Text, one character string for each element (of at most 255 bytes).
    pub fn txt<T: AsRef<[u8]>>(self, name: &str, strings: &[T]) -> Self {
        let mut rdata = Vec::new();
        for string in strings {
            let string = string.as_ref();
            rdata.push(u8::try_from(string.len()).expect("at most 255 bytes"));
            rdata.extend(string);
        }
        self.raw(name, rtype::TXT, rdata)
    }

    /// The start of a zone, with `ns.` and `admin.` below it, serial 1, refresh
    /// 7200, retry 900, expire 86400, minimum 60.
    pub fn soa(self, zone: &str) -> Self {
        let mut rdata = labels(&format!("ns.{zone}"));
        rdata.extend(labels(&format!("admin.{zone}")));
        for number in [1u32, 7200, 900, 86400, 60] {
            rdata.extend(number.to_be_bytes());
        }
        self.raw(zone, rtype::SOA, rdata)
    }

    /// What the table says to a query.
    pub fn answer(&self, query: &Query) -> Response {
        let mut response = query.response();
        let mut name = query.name_wire.to_ascii_lowercase();
        let mut seen = Vec::new();
        loop {
            let here = || self.records.iter().filter(|r| same(&r.name, &name));
            let wanted = |r: &&Record| query.qtype == rtype::ANY || r.rtype == query.qtype;
            let mut found: Vec<Record> = here().filter(wanted).cloned().collect();
            if !found.is_empty() {
                if same(&name, &query.name_wire) {
                    // The case of the question comes back, as from real servers.
                    for record in &mut found {
                        record.name.clone_from(&query.name_wire);
                    }
                }
                response.answers.extend(found);
                return response;
            }
            let alias = here().find(|r| r.rtype == rtype::CNAME);
            if let Some(alias) = alias.filter(|_| !seen.contains(&name)) {
                response.answers.push(alias.clone());
                seen.push(name);
                name = alias.rdata.to_ascii_lowercase();
                continue;
            }
            if alias.is_none() {
                let exists = self.records.iter().any(|r| below(&r.name, &name));
                if !exists {
                    response.rcode = NXDOMAIN;
                }
                response.authority.extend(self.soa_above(&name));
            }
            return response;
        }
    }

    /// A zone transfer: the SOA, the rest of the zone, the SOA again, in
    /// messages of at most `per_message` records.
    pub fn transfer(&self, query: &Query, per_message: usize) -> Vec<Response> {
        let name = &query.name_wire;
        let mut soa = self.records.iter().filter(|r| r.rtype == rtype::SOA);
        let Some(soa) = soa.find(|r| same(&r.name, name)) else {
            return vec![query.response().rcode(REFUSED)];
        };
        let inside = |r: &&Record| below(&r.name, name) && *r != soa;
        let middle = self.records.iter().filter(inside);
        let all: Vec<&Record> = std::iter::once(soa)
            .chain(middle)
            .chain(std::iter::once(soa))
            .collect();
        all.chunks(per_message)
            .map(|chunk| {
                let mut response = query.response().authoritative();
                response.answers = chunk.iter().map(|&record| record.clone()).collect();
                response
            })
            .collect()
    }

    /// The SOA of the closest zone that holds `name`.
    fn soa_above(&self, name: &[u8]) -> Option<Record> {
        let starts = self.records.iter().filter(|r| r.rtype == rtype::SOA);
        starts
            .filter(|soa| below(name, &soa.name))
            .max_by_key(|soa| soa.name.len())
            .cloned()
    }
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Whether `name` is `top` or lies below it, label by label.
fn below(name: &[u8], top: &[u8]) -> bool {
    let mut at = 0;
    loop {
        if same(&name[at..], top) {
            return true;
        }
        match name.get(at) {
            None | Some(0) => return false,
            Some(&length) => at = (at + 1 + usize::from(length)).min(name.len()),
        }
    }
}
