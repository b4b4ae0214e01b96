//! The table of record types: one line per type with the fields of its data.

use domain::base::iana::Rtype;

use super::{loc, special, svcb};

/// One field of record data.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    U8,
    U16,
    U32,
    /// A domain name, compressed or not.
    Name,
    /// A character string in quotes.
    Text,
    /// Character strings in quotes up to the end.
    Texts,
    /// A character string without quotes (a CAA tag).
    Word,
    /// The rest of the data as one string in quotes.
    Rest,
    V4,
    V6,
    /// The rest of the data in hexadecimal.
    Hex,
    /// The rest of the data in base64.
    Base64,
    /// A length byte and a salt; `-` when empty.
    Salt,
    /// A length byte and a hash in base32hex.
    Hash,
    /// A record type's mnemonic.
    Type,
    /// The type bitmap of NSEC (RFC 4034, section 4.1.2), with a space before each
    /// type.
    Bitmap,
    /// A DNSSEC timestamp (RFC 4034, section 3.2).
    Time,
    /// Eight bytes as four groups (RFC 6742).
    Locator,
    /// This many bytes in hexadecimal, joined by `-` (RFC 7043).
    Dashed(usize),
    /// The rest of the data, shown by its own function.
    Custom(fn(&[u8]) -> Option<String>),
}

/// Returns the fields of a type, or `None` for the generic form of RFC 3597.
pub(super) fn fields(rtype: Rtype) -> Option<&'static [Field]> {
    use Field as F;
    Some(match rtype.to_int() {
        1 => &[F::V4],
        // NS MD MF CNAME MB MG MR PTR NSAP-PTR DNAME
        2..=5 | 7..=9 | 12 | 23 | 39 => &[F::Name],
        6 => &[F::Name, F::Name, F::U32, F::U32, F::U32, F::U32, F::U32],
        11 => &[F::V4, F::U8, F::Custom(special::ports)],
        13 => &[F::Text, F::Text],
        // MINFO RP TALINK
        14 | 17 | 58 => &[F::Name, F::Name],
        // MX AFSDB RT KX LP
        15 | 18 | 21 | 36 | 107 => &[F::U16, F::Name],
        // TXT ISDN NINFO SPF AVC RESINFO WALLET CLA
        16 | 20 | 56 | 99 | 258 | 261 | 262 | 263 => &[F::Texts],
        19 => &[F::Text],
        22 => &[F::Custom(special::nsap)],
        // SIG RRSIG
        24 | 46 => &[
            F::Type,
            F::U8,
            F::U8,
            F::U32,
            F::Time,
            F::Time,
            F::U16,
            F::Name,
            F::Base64,
        ],
        // KEY DNSKEY RKEY CDNSKEY
        25 | 48 | 57 | 60 => &[F::U16, F::U8, F::U8, F::Base64],
        26 => &[F::U16, F::Name, F::Name],
        27 => &[F::Text, F::Text, F::Text],
        28 => &[F::V6],
        29 => &[F::Custom(loc::loc)],
        33 => &[F::U16, F::U16, F::U16, F::Name],
        35 => &[F::U16, F::U16, F::Text, F::Text, F::Text, F::Name],
        37 => &[F::Custom(special::cert)],
        42 => &[F::Custom(special::apl)],
        // DS CDS TA DLV
        43 | 59 | 32768 | 32769 => &[F::U16, F::U8, F::U8, F::Hex],
        44 => &[F::U8, F::U8, F::Hex],
        45 => &[F::Custom(special::ipseckey)],
        47 => &[F::Name, F::Bitmap],
        // DHCID OPENPGPKEY
        49 | 61 => &[F::Base64],
        50 => &[F::U8, F::U8, F::U16, F::Salt, F::Hash, F::Bitmap],
        51 => &[F::U8, F::U8, F::U16, F::Salt],
        // TLSA SMIMEA
        52 | 53 => &[F::U8, F::U8, F::U8, F::Hex],
        55 => &[F::Custom(special::hip)],
        62 => &[F::U32, F::U16, F::Bitmap],
        63 => &[F::U32, F::U8, F::U8, F::Hex],
        // SVCB HTTPS
        64 | 65 => &[F::U16, F::Name, F::Custom(svcb::params)],
        // NID L64
        104 | 106 => &[F::U16, F::Locator],
        105 => &[F::U16, F::V4],
        108 => &[F::Dashed(6)],
        109 => &[F::Dashed(8)],
        256 => &[F::U16, F::U16, F::Rest],
        257 => &[F::U8, F::Word, F::Rest],
        260 => &[F::Custom(special::amtrelay)],
        _ => return None,
    })
}
