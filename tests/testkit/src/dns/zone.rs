//! The records of the server and its correct answers.
//!
//! The server answers like a recursive server that knows only these records. It
//! follows aliases to other records of the table. A name without the type of the
//! question is NODATA, a missing name is NXDOMAIN, and both answers contain the
//! SOA of the closest enclosing zone, if there is one.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::wire::{Query, Record, Response, labels, rtype};

const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;

/// A table of records, built with chained calls.
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
    /// Creates an empty table, in which every name is NXDOMAIN.
    pub fn new() -> Self {
        Self {
            records: Vec::new(),
            ttl: 300,
        }
    }

    /// Sets the time to live, in seconds, of the records added from now on.
    pub fn ttl(mut self, seconds: u32) -> Self {
        self.ttl = seconds;
        self
    }

    /// Adds a record of any type with any data.
    pub fn raw(mut self, name: &str, rtype: u16, rdata: impl Into<Vec<u8>>) -> Self {
        self.records.push(Record::new(name, rtype, self.ttl, rdata));
        self
    }

    /// Adds an IPv4 address. Panics if `address` is not one.
    pub fn a(self, name: &str, address: &str) -> Self {
        let address: Ipv4Addr = address.parse().expect("parse an IPv4 address");
        self.raw(name, rtype::A, address.octets())
    }

    /// Adds an IPv6 address. Panics if `address` is not one.
    pub fn aaaa(self, name: &str, address: &str) -> Self {
        let address: Ipv6Addr = address.parse().expect("parse an IPv6 address");
        self.raw(name, rtype::AAAA, address.octets())
    }

    /// Adds an alias (CNAME).
    pub fn cname(self, name: &str, target: &str) -> Self {
        self.raw(name, rtype::CNAME, labels(target))
    }

    /// Adds a name server (NS).
    pub fn ns(self, name: &str, target: &str) -> Self {
        self.raw(name, rtype::NS, labels(target))
    }

    /// Adds a pointer (PTR); `name` is the reverse name.
    pub fn ptr(self, name: &str, target: &str) -> Self {
        self.raw(name, rtype::PTR, labels(target))
    }

    /// Adds a mail exchanger (MX).
    pub fn mx(self, name: &str, preference: u16, target: &str) -> Self {
        let mut rdata = preference.to_be_bytes().to_vec();
        rdata.extend(labels(target));
        self.raw(name, rtype::MX, rdata)
    }

    /// Adds a service (SRV).
    pub fn srv(self, name: &str, priority: u16, weight: u16, port: u16, target: &str) -> Self {
        let numbers = [priority, weight, port];
        let mut rdata: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
        rdata.extend(labels(target));
        self.raw(name, rtype::SRV, rdata)
    }

    /// Adds text, with one character string of at most 255 bytes for each element.
    pub fn txt<T: AsRef<[u8]>>(self, name: &str, strings: &[T]) -> Self {
        let mut rdata = Vec::new();
        for string in strings {
            let string = string.as_ref();
            rdata.push(u8::try_from(string.len()).expect("use strings of at most 255 bytes"));
            rdata.extend(string);
        }
        self.raw(name, rtype::TXT, rdata)
    }

    /// Adds the SOA of a zone: server `ns.ZONE`, mailbox `admin.ZONE`, serial 1,
    /// refresh 7200, retry 900, expire 86400, minimum 60.
    pub fn soa(self, zone: &str) -> Self {
        let mut rdata = labels(&format!("ns.{zone}"));
        rdata.extend(labels(&format!("admin.{zone}")));
        for number in [1u32, 7200, 900, 86400, 60] {
            rdata.extend(number.to_be_bytes());
        }
        self.raw(zone, rtype::SOA, rdata)
    }

    /// Returns the answer to a query.
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
                    // Like real servers, use the letter case of the question.
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

    /// Returns a zone transfer (the SOA, the other records, the SOA again) in
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

    /// Returns the SOA of the closest zone that contains `name`.
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

/// Whether `name` is `top` or a subdomain of it.
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
