//! EDNS (RFC 6891): the OPT record of a query and the options of an answer.

use std::fmt;
use std::net::IpAddr;

use common::address;

use crate::presentation;

const NSID: u16 = 3;
const SUBNET: u16 = 8;
const COOKIE: u16 = 10;
const PADDING: u16 = 12;
const EXTENDED_ERROR: u16 = 15;

/// Queries on encrypted transports are padded to a multiple of this many bytes
/// (RFC 8467, section 4.1).
const BLOCK: usize = 128;

/// The contents of the OPT record of a query.
#[derive(Clone, Debug)]
pub(crate) struct EdnsOptions {
    /// The UDP size to advertise, in bytes.
    pub(crate) size: u16,
    /// Whether to set the DO flag.
    pub(crate) dnssec: bool,
    /// Whether to request the server's identifier (RFC 5001).
    pub(crate) nsid: bool,
    /// The client subnet to send (RFC 7871).
    pub(crate) subnet: Option<(IpAddr, u8)>,
}

/// A DNS cookie (RFC 7873): the client's part, and the server's part once it is
/// known.
#[derive(Clone, Debug)]
pub(crate) struct Cookie {
    pub(crate) client: [u8; 8],
    pub(crate) server: Vec<u8>,
}

impl EdnsOptions {
    /// Returns whether the user requested something that requires EDNS.
    pub(crate) fn is_required(&self) -> bool {
        self.dnssec || self.nsid || self.subnet.is_some()
    }

    /// Composes the OPT record. If the message is to be padded to a multiple of
    /// [`BLOCK`], `padded` is its length before this record.
    pub(crate) fn record(&self, cookie: Option<&Cookie>, padded: Option<usize>) -> Vec<u8> {
        let mut options = Vec::new();
        if self.nsid {
            option(&mut options, NSID, &[]);
        }
        if let Some((ip, length)) = self.subnet {
            option(&mut options, SUBNET, &subnet(ip, length));
        }
        if let Some(cookie) = cookie {
            option(
                &mut options,
                COOKIE,
                &[&cookie.client, &cookie.server[..]].concat(),
            );
        }
        if let Some(before) = padded {
            let unpadded = before + 11 + options.len() + 4;
            let padding = unpadded.next_multiple_of(BLOCK) - unpadded;
            option(&mut options, PADDING, &vec![0; padding]);
        }
        let mut record = vec![0, 0, 41];
        record.extend_from_slice(&self.size.to_be_bytes());
        record.extend_from_slice(&[0, 0, if self.dnssec { 0x80 } else { 0 }, 0]);
        record.extend_from_slice(&(options.len() as u16).to_be_bytes());
        record.extend_from_slice(&options);
        record
    }
}

fn option(options: &mut Vec<u8>, code: u16, data: &[u8]) {
    options.extend_from_slice(&code.to_be_bytes());
    options.extend_from_slice(&(data.len() as u16).to_be_bytes());
    options.extend_from_slice(data);
}

/// Composes the client subnet option: the family, the lengths, and the address
/// bytes that the prefix covers.
fn subnet(ip: IpAddr, length: u8) -> Vec<u8> {
    let (bits, width) = address::to_bits(ip);
    let kept = if length == 0 {
        0
    } else {
        bits >> (width - length) << (width - length)
    };
    let bytes = (kept << (128 - u32::from(width))).to_be_bytes();
    let mut data = vec![0, if width == 32 { 1 } else { 2 }, length, 0];
    data.extend_from_slice(&bytes[..usize::from(length.div_ceil(8))]);
    data
}

/// Iterates over the options of an answer.
pub(crate) fn options(mut data: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    // An option with an invalid length ends the list.
    std::iter::from_fn(move || {
        let (head, rest) = data.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = rest.get(..length)?;
        data = &rest[length..];
        Some((u16::from_be_bytes([head[0], head[1]]), value))
    })
}

/// The COOKIE option of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieOption<'a> {
    Absent,
    /// The option has a length that RFC 7873, section 4 does not allow.
    Invalid,
    /// The client's part, and the server's part, which may be empty.
    Parts(&'a [u8; 8], &'a [u8]),
}

/// Returns the first COOKIE option; further ones are ignored.
pub(crate) fn cookie(data: &[u8]) -> CookieOption<'_> {
    let Some((_, value)) = options(data).find(|(code, _)| *code == COOKIE) else {
        return CookieOption::Absent;
    };
    match value.split_first_chunk::<8>() {
        Some((client, server)) if server.is_empty() || (8..=32).contains(&server.len()) => {
            CookieOption::Parts(client, server)
        }
        _ => CookieOption::Invalid,
    }
}

/// The COOKIE option that an answer must carry (RFC 7873, section 5.3).
#[derive(Clone, Copy, Debug)]
pub(crate) enum CookieRule<'a> {
    /// The option is not checked, since an off-path attacker cannot forge answers over a
    /// connection.
    Ignore,
    /// If the option is present, it must contain this client cookie.
    IfPresent(&'a [u8; 8]),
    /// The option must be present with this client cookie: the server has sent a
    /// server cookie before.
    Required(&'a [u8; 8]),
}

impl Cookie {
    /// Returns the rule for answers over UDP.
    pub(crate) fn rule(&self) -> CookieRule<'_> {
        if self.server.is_empty() {
            CookieRule::IfPresent(&self.client)
        } else {
            CookieRule::Required(&self.client)
        }
    }
}

impl CookieRule<'_> {
    /// Returns whether an answer with this option is acceptable.
    pub(crate) fn admits(self, option: CookieOption<'_>) -> bool {
        match (self, option) {
            (Self::Ignore, _) | (Self::IfPresent(_), CookieOption::Absent) => true,
            (Self::IfPresent(ours) | Self::Required(ours), CookieOption::Parts(theirs, _)) => {
                theirs == ours
            }
            (Self::IfPresent(_) | Self::Required(_), CookieOption::Invalid)
            | (Self::Required(_), CookieOption::Absent) => false,
        }
    }

    /// Returns whether an answer without the option is unacceptable.
    pub(crate) fn is_required(self) -> bool {
        matches!(self, Self::Required(_))
    }
}

/// An extended error (RFC 8914).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtendedError<'a> {
    pub(crate) code: u16,
    /// Additional text from the server.
    pub(crate) text: &'a [u8],
}

/// The maximum number of extended errors of an answer that are shown.
const MAX_ERRORS: usize = 8;

/// The maximum number of bytes of an extended error's text that are shown.
const MAX_ERROR_TEXT: usize = 256;

/// Iterates over the extended errors of an answer, within [`MAX_ERRORS`] and
/// [`MAX_ERROR_TEXT`].
pub(crate) fn extended_errors(data: &[u8]) -> impl Iterator<Item = ExtendedError<'_>> {
    options(data)
        .filter(|(code, _)| *code == EXTENDED_ERROR)
        .filter_map(|(_, value)| extended_error(value))
        .take(MAX_ERRORS)
}

fn extended_error(value: &[u8]) -> Option<ExtendedError<'_>> {
    let (code, text) = value.split_first_chunk::<2>()?;
    Some(ExtendedError {
        code: u16::from_be_bytes(*code),
        text: &text[..text.len().min(MAX_ERROR_TEXT)],
    })
}

impl ExtendedError<'_> {
    /// Returns the name in IANA's registry, if the code has one.
    pub(crate) fn name(&self) -> Option<&'static str> {
        ERRORS.get(usize::from(self.code)).copied()
    }
}

/// Formats an error as in `DNSSEC Bogus: no key`.
impl fmt::Display for ExtendedError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "extended error {}", self.code)?,
        }
        if !self.text.is_empty() {
            write!(f, ": {}", presentation::string(self.text))?;
        }
        Ok(())
    }
}

/// Returns the server's identifier (RFC 5001).
pub(crate) fn nsid(data: &[u8]) -> Option<&[u8]> {
    let (_, value) = options(data).find(|(code, value)| *code == NSID && !value.is_empty())?;
    Some(value)
}

/// Describes the options, one per line, as dig does.
pub(crate) fn describe(data: &[u8]) -> Vec<String> {
    options(data)
        .map(|(code, value)| match (code, value) {
            (NSID, _) => format!(
                "NSID: {} (\"{}\")",
                presentation::hex(value),
                presentation::string(value)
            ),
            (SUBNET, [_, 1, source, scope, bytes @ ..]) if bytes.len() <= 4 => {
                let mut full = [0; 4];
                full[..bytes.len()].copy_from_slice(bytes);
                format!("CLIENT-SUBNET: {}/{source}/{scope}", IpAddr::from(full))
            }
            (SUBNET, [_, 2, source, scope, bytes @ ..]) if bytes.len() <= 16 => {
                let mut full = [0; 16];
                full[..bytes.len()].copy_from_slice(bytes);
                format!("CLIENT-SUBNET: {}/{source}/{scope}", IpAddr::from(full))
            }
            (COOKIE, _) => format!("COOKIE: {}", presentation::hex(value).to_ascii_lowercase()),
            (PADDING, _) => format!("PADDING: {} bytes", value.len()),
            (EXTENDED_ERROR, _) => {
                let error = extended_error(value).map(|error| error.to_string());
                format!("EDE: {}", error.unwrap_or_default())
            }
            _ => format!("OPT={code}: {}", presentation::hex(value)),
        })
        .collect()
}

/// The names in the registry of extended errors, from code 0.
const ERRORS: [&str; 31] = [
    "Other",
    "Unsupported DNSKEY Algorithm",
    "Unsupported DS Digest Type",
    "Stale Answer",
    "Forged Answer",
    "DNSSEC Indeterminate",
    "DNSSEC Bogus",
    "Signature Expired",
    "Signature Not Yet Valid",
    "DNSKEY Missing",
    "RRSIGs Missing",
    "No Zone Key Bit Set",
    "NSEC Missing",
    "Cached Error",
    "Not Ready",
    "Blocked",
    "Censored",
    "Filtered",
    "Prohibited",
    "Stale NXDOMAIN Answer",
    "Not Authoritative",
    "Not Supported",
    "No Reachable Authority",
    "Network Error",
    "Invalid Data",
    "Signature Expired before Valid",
    "Too Early",
    "Unsupported NSEC3 Iterations Value",
    "Unable to conform to policy",
    "Synthesized",
    "Invalid Query Type",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn edns_options() -> EdnsOptions {
        EdnsOptions {
            size: 1232,
            dnssec: true,
            nsid: true,
            subnet: Some(("192.0.2.129".parse().unwrap(), 25)),
        }
    }

    #[test]
    fn the_opt_record_has_the_expected_bytes() {
        let cookie = Cookie {
            client: *b"clientco",
            server: b"servercookie".to_vec(),
        };
        let record = edns_options().record(Some(&cookie), None);
        let mut expected = b"\0\0\x29\x04\xd0\0\0\x80\0".to_vec();
        expected.extend(b"\0\x28\0\x03\0\0\0\x08\0\x08\0\x01\x19\0\xc0\0\x02\x80");
        expected.extend(b"\0\x0a\0\x14clientcoservercookie");
        assert_eq!(record, expected);
    }

    #[test]
    fn a_padded_message_fills_a_block() {
        for before in [29, 100, 116, 117, 250] {
            let record = edns_options().record(None, Some(before));
            assert_eq!((before + record.len()) % BLOCK, 0, "{before}");
        }
    }

    #[test]
    fn cookies_are_checked_by_length_and_content() {
        let data = |length: usize| {
            let mut data = vec![0, 10, 0, length as u8];
            data.extend((0..length).map(|at| b"clientco".get(at).copied().unwrap_or(7)));
            data
        };
        let ours = Cookie {
            client: *b"clientco",
            server: Vec::new(),
        };
        let known = Cookie {
            server: vec![7; 8],
            ..ours.clone()
        };
        let other = Cookie {
            client: *b"anything",
            ..known.clone()
        };
        for length in 0..60 {
            let data = data(length);
            let is_valid = length == 8 || (16..=40).contains(&length);
            let option = cookie(&data);
            assert_eq!(option != CookieOption::Invalid, is_valid, "{length}");
            assert_eq!(ours.rule().admits(option), is_valid, "{length}");
            assert_eq!(known.rule().admits(option), is_valid, "{length}");
            assert!(!other.rule().admits(option), "{length}");
            assert!(CookieRule::Ignore.admits(option));
        }
        assert!(ours.rule().admits(CookieOption::Absent));
        assert!(!known.rule().admits(CookieOption::Absent));
        // Only the first of two counts.
        let two = [data(16), data(3)].concat();
        assert!(matches!(cookie(&two), CookieOption::Parts(_, server) if server == [7; 8]));
    }

    #[test]
    fn options_are_described() {
        let line = |code: u8, data: &[u8]| {
            let head = [0, code, 0, data.len() as u8];
            describe(&[&head[..], data].concat()).join("|")
        };
        for (code, data, text) in [
            (
                NSID,
                &b"ns\"1\xff"[..],
                "NSID: 6E732231FF (\"ns\\\"1\\255\")",
            ),
            (
                SUBNET,
                &[0, 1, 24, 0, 192, 0, 2],
                "CLIENT-SUBNET: 192.0.2.0/24/0",
            ),
            (SUBNET, &[0, 1, 0, 0], "CLIENT-SUBNET: 0.0.0.0/0/0"),
            (
                SUBNET,
                &[0, 1, 32, 24, 192, 0, 2, 9],
                "CLIENT-SUBNET: 192.0.2.9/32/24",
            ),
            (
                SUBNET,
                &[0, 2, 33, 48, 0x20, 1, 0x0d, 0xb8, 0x80],
                "CLIENT-SUBNET: 2001:db8:8000::/33/48",
            ),
            // Too many bytes for an address, an unknown family, too few bytes.
            (
                SUBNET,
                &[0, 1, 32, 0, 1, 2, 3, 4, 5],
                "OPT=8: 000120000102030405",
            ),
            (SUBNET, &[0, 3, 8, 0, 1], "OPT=8: 0003080001"),
            (SUBNET, &[0, 1, 8], "OPT=8: 000108"),
            (COOKIE, &[1, 0xab], "COOKIE: 01ab"),
            (PADDING, &[0; 7], "PADDING: 7 bytes"),
            (EXTENDED_ERROR, &[0, 15], "EDE: Blocked"),
            (EXTENDED_ERROR, &[0, 30, b'x'], "EDE: Invalid Query Type: x"),
            (EXTENDED_ERROR, &[0, 31], "EDE: extended error 31"),
            (EXTENDED_ERROR, &[1, 0, b'x'], "EDE: extended error 256: x"),
            (EXTENDED_ERROR, &[0], "EDE: "),
            (65, &[], "OPT=65: "),
        ] {
            assert_eq!(line(code as u8, data), text);
        }
    }

    #[test]
    fn the_text_of_extended_errors_is_bounded() {
        let one = [&[0, 15, 1, 46, 0, 3][..], &[b'x'; 300]].concat();
        let many = one.repeat(20);
        let errors: Vec<ExtendedError<'_>> = extended_errors(&many).collect();
        assert_eq!(errors.len(), MAX_ERRORS);
        assert!(
            errors
                .iter()
                .all(|error| error.text.len() == MAX_ERROR_TEXT)
        );
        assert_eq!(nsid(&[0, 3, 0, 0]), None);
        assert_eq!(nsid(&[0, 15, 0, 0, 0, 3, 0, 1, 65]), Some(&b"A"[..]));
    }

    #[test]
    fn a_wrong_length_ends_the_list() {
        assert_eq!(options(&[0, 3, 0, 9, 1]).count(), 0);
        assert_eq!(options(&[0, 3, 0, 1, 65, 0]).count(), 1);
        assert_eq!(cookie(&[0, 10, 0, 3, 1, 2, 3]), CookieOption::Invalid);
        assert_eq!(
            extended_errors(&[0, 15, 0, 5, 0, 6, b'b', 7, b'd'])
                .map(|error| error.to_string())
                .collect::<Vec<_>>(),
            ["DNSSEC Bogus: b\\007d"]
        );
        assert_eq!(
            describe(&[0, 8, 0, 6, 0, 1, 16, 0, 10, 2]),
            ["CLIENT-SUBNET: 10.2.0.0/16/0"]
        );
    }
}
