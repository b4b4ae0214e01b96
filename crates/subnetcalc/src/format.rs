//! Fast formatting of addresses. A listing of millions of addresses spends nearly
//! all of its time here, and the `Display` of std is too slow for that.
//!
//! [`v4`] and [`v6`] format one address, with the same result as std: IPv6 by
//! RFC 5952, v4-mapped addresses with a dotted end. [`v4_block`] and [`v6_block`]
//! return the text that the 256 addresses of a block start with, so that a listing
//! only appends an entry of a table to it.

/// A short text without an allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    bytes: [u8; 48],
    length: usize,
}

impl Text {
    fn new() -> Self {
        Self {
            bytes: [0; 48],
            length: 0,
        }
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// Appends the first `length` of four bytes. Copying all four is faster, and
    /// the next text overwrites the others.
    #[inline]
    fn push_some(&mut self, bytes: [u8; 4], length: usize) {
        self.bytes[self.length..self.length + 4].copy_from_slice(&bytes);
        self.length += length;
    }

    /// Appends a slash and a prefix length.
    #[inline]
    pub(crate) fn push_length(&mut self, length: u32) {
        let length = length as usize;
        let digits = 1 + usize::from(length >= 10) + usize::from(length >= 100);
        self.push(b'/');
        self.push_some(DECIMALS[length % 256], digits);
    }

    /// Appends a dotted quad.
    fn push_quad(&mut self, address: u32) {
        let mut rest = address;
        for _ in 0..4 {
            let octet = (rest >> 24) as usize;
            rest <<= 8;
            let digits = 1 + usize::from(octet >= 10) + usize::from(octet >= 100);
            self.push_some(DECIMALS[octet % 256], digits + 1);
        }
        // Removes the dot after the last octet.
        self.length -= 1;
    }

    /// Appends a group of four hexadecimal digits without leading zeros.
    fn push_group(&mut self, group: u16) {
        let [high, low] = group.to_be_bytes();
        let (high, low) = (HEX[usize::from(high)], HEX[usize::from(low)]);
        let digits = u32::from_be_bytes([high[0], high[1], low[0], low[1]]);
        let zeros = (group.leading_zeros() / 4).min(3);
        self.push_some((digits << (8 * zeros)).to_be_bytes(), 4 - zeros as usize);
    }

    /// Returns the text as ASCII bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Each octet in decimal digits, followed by a dot.
static DECIMALS: [[u8; 4]; 256] = {
    let mut table = [[0; 4]; 256];
    let mut octet = 0;
    // Constants cannot use `for` yet.
    while octet < 256 {
        let (hundreds, tens, ones) = (
            (octet / 100) as u8,
            (octet / 10 % 10) as u8,
            (octet % 10) as u8,
        );
        let digits = [b'0' + hundreds, b'0' + tens, b'0' + ones];
        table[octet] = match octet {
            0..=9 => [digits[2], b'.', 0, 0],
            10..=99 => [digits[1], digits[2], b'.', 0],
            _ => [digits[0], digits[1], digits[2], b'.'],
        };
        octet += 1;
    }
    table
};

/// Each octet in two hexadecimal digits.
static HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = [digits[octet / 16], digits[octet % 16]];
        octet += 1;
    }
    table
};

/// Formats an IPv4 address.
pub(crate) fn v4(address: u32) -> Text {
    let mut text = Text::new();
    text.push_quad(address);
    text
}

/// Formats an IPv6 address by RFC 5952, a v4-mapped one with a dotted end.
pub(crate) fn v6(address: u128) -> Text {
    if address >> 32 == 0xffff {
        let mut text = Text::new();
        for &byte in b"::ffff:" {
            text.push(byte);
        }
        text.push_quad(address as u32);
        return text;
    }
    v6_hex(address)
}

/// Formats the eight groups of an IPv6 address or mask. The longest run of two or
/// more zero groups, the first one of several, becomes `::`.
pub(crate) fn v6_hex(address: u128) -> Text {
    let mut text = Text::new();
    let bytes = address.to_be_bytes();
    // Iterators would be slow in a build that is optimized for size.
    let group = |at: usize| u16::from_be_bytes([bytes[2 * at], bytes[2 * at + 1]]);
    let (start, length) = longest_zeros(group);
    let mut at = 0;
    while at < 8 {
        if length > 1 && at == start {
            text.push(b':');
            text.push(b':');
            at += length;
            continue;
        }
        if at > 0 && (length < 2 || at != start + length) {
            text.push(b':');
        }
        text.push_group(group(at));
        at += 1;
    }
    text
}

/// Returns the start and the length of the longest run of zero groups, the first
/// one of several.
#[inline]
fn longest_zeros(group: impl Fn(usize) -> u16) -> (usize, usize) {
    let (mut best, mut run) = ((0, 0), (0, 0));
    for at in 0..8 {
        if group(at) != 0 {
            run = (at + 1, 0);
            continue;
        }
        run.1 += 1;
        if run.1 > best.1 {
            best = run;
        }
    }
    best
}

/// How the 256 addresses of a block are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// As this text, then the last octet in decimal digits.
    Decimal(BlockPrefix),
    /// As this text, then the last octet in two hexadecimal digits.
    Hex(BlockPrefix),
    /// Without a common form.
    Irregular,
}

/// The text that all addresses of a block start with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockPrefix {
    bytes: [u8; 48],
    length: usize,
}

impl std::fmt::Debug for BlockPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl BlockPrefix {
    /// Copies a text without its last `cut` bytes.
    fn new(text: &Text, cut: usize) -> Self {
        let mut bytes = text.bytes;
        let length = text.length - cut;
        bytes[length..].fill(0);
        Self { bytes, length }
    }

    /// Returns the text as ASCII bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Describes the block of an IPv4 address.
pub(crate) fn v4_block(address: u32) -> Block {
    Block::Decimal(BlockPrefix::new(&v4(address & !0xff), 1))
}

/// Describes the block of an IPv6 address.
pub(crate) fn v6_block(address: u128) -> Block {
    let first = address & !0xff;
    if first >> 32 == 0xffff {
        return Block::Decimal(BlockPrefix::new(&v6(first), 1));
    }
    if first & 0xff00 == 0 {
        // The last group loses its leading zeros, and a zero group may become
        // part of `::`.
        return Block::Irregular;
    }
    Block::Hex(BlockPrefix::new(&v6(first), 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::Bits;
    use proptest::prelude::*;

    fn shown<N: Bits>(address: N) -> String {
        String::from_utf8(address.text().as_bytes().to_vec()).unwrap()
    }

    /// Addresses with runs of zero groups at every position.
    pub(crate) fn v6_addresses() -> impl Strategy<Value = u128> {
        (any::<u128>(), any::<u8>(), 0..=128_u32).prop_map(|(bits, zeros, shift)| {
            let keep = (0..8)
                .filter(|group| zeros >> group & 1 == 1)
                .fold(0, |mask, group| mask | 0xffff_u128 << (16 * group));
            (bits & keep).checked_shr(shift % 17).unwrap_or(0)
        })
    }

    #[test]
    fn addresses_with_zero_groups_are_shortened() {
        for text in [
            "::",
            "::1",
            "1::",
            "2001:db8::1",
            "2001:db8:0:1:1:1:1:1",
            "1:0:0:2::3",
            "::ffff:1.2.3.4",
            "::ffff:0:0:0",
            "::ffff:ffff",
            "fe80::",
            "1:0:0:2:0:0:3:4",
        ] {
            let expected = text.parse::<std::net::Ipv6Addr>().unwrap();
            assert_eq!(shown(expected.to_bits()), expected.to_string());
        }
        assert_eq!(shown(0x0a00_0a64_u32), "10.0.10.100");
    }

    proptest! {
        #[test]
        fn every_address_is_formatted_as_std_formats_it(v4: u32, v6 in v6_addresses(), any6: u128) {
            prop_assert_eq!(shown(v4), v4.ip().to_string());
            prop_assert_eq!(shown(v6), v6.ip().to_string());
            prop_assert_eq!(shown(any6), any6.ip().to_string());
            let mapped = 0xffff_0000_0000 | u128::from(v4);
            prop_assert_eq!(shown(mapped), mapped.ip().to_string());
        }

        #[test]
        fn a_block_has_the_start_of_its_addresses(v4: u32, v6 in v6_addresses(), low: u8) {
            let octet = usize::from(low);
            let address = v4 & !0xff | u32::from(low);
            let Block::Decimal(head) = v4.block() else { panic!("{v4}") };
            let text = String::from_utf8_lossy(head.as_bytes()).into_owned();
            prop_assert_eq!(shown(address), format!("{text}{octet}"));
            for v6 in [v6, 0xffff_0000_0000 | u128::from(v4)] {
                let address = v6 & !0xff | u128::from(low);
                let text = |head: BlockPrefix| String::from_utf8_lossy(head.as_bytes()).into_owned();
                match v6.block() {
                    Block::Irregular => prop_assert_eq!(v6 & 0xff00, 0),
                    Block::Hex(h) => prop_assert_eq!(shown(address), format!("{}{octet:02x}", text(h))),
                    Block::Decimal(h) => prop_assert_eq!(shown(address), format!("{}{octet}", text(h))),
                }
            }
        }
    }
}
