//! [`Bits`]: an address as an unsigned integer.
//!
//! All arithmetic is generic over this trait, so IPv4 (`u32`) and IPv6 (`u128`)
//! share one code path. The two implementations are the only place where the
//! families differ in arithmetic.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::{Add, BitAnd, BitOr, BitXor, Not, Shl, Shr, Sub};

use crate::format::{self, Block, Text};

/// An unsigned integer with as many bits as an address of one family.
pub(crate) trait Bits:
    Copy
    + Ord
    + Debug
    + Default
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Not<Output = Self>
    + Shl<u32, Output = Self>
    + Shr<u32, Output = Self>
{
    /// The number of bits in an address: 32 or 128.
    const WIDTH: u32;
    /// The version of the Internet Protocol: 4 or 6.
    const FAMILY: u8;
    /// The first address of the address space.
    const ZERO: Self;
    const ONE: Self;
    /// The last address of the address space.
    const MAX: Self;

    /// Returns the sum, or `None` past the end of the address space.
    fn checked_add(self, other: Self) -> Option<Self>;
    /// Returns the difference, or `None` if it is negative.
    fn checked_sub(self, other: Self) -> Option<Self>;
    /// Two numbers as one sort key, ordered by the first, then by the second.
    type Pair: Ord;
    /// Combines two numbers into a sort key.
    fn pair(first: Self, second: Self) -> Self::Pair;
    /// Returns the number of trailing zero bits, [`Bits::WIDTH`] for zero.
    fn trailing_zeros(self) -> u32;
    /// Returns the number of leading zero bits, [`Bits::WIDTH`] for zero.
    fn leading_zeros(self) -> u32;
    /// Converts the number to `u128`.
    fn widen(self) -> u128;
    /// Converts the low [`Bits::WIDTH`] bits of a `u128`.
    fn narrow(wide: u128) -> Self;
    /// Converts the number to an address.
    fn ip(self) -> IpAddr;
    /// Formats the address (RFC 5952 for IPv6).
    fn text(self) -> Text;
    /// Describes the text of the 256 addresses that share all but the last octet.
    fn block(self) -> Block;

    /// Returns the wildcard mask of a prefix length: the host bits are ones.
    fn host_mask(length: u32) -> Self {
        if length >= Self::WIDTH {
            Self::ZERO
        } else {
            Self::MAX >> length
        }
    }

    /// Returns the netmask of a prefix length: the network bits are ones.
    fn net_mask(length: u32) -> Self {
        !Self::host_mask(length)
    }

    /// Returns the prefix length of a netmask, or `None` if its ones are not
    /// contiguous.
    fn mask_length(self) -> Option<u32> {
        let length = (!self).leading_zeros();
        (Self::net_mask(length) == self).then_some(length)
    }
}

impl Bits for u32 {
    const WIDTH: u32 = 32;
    const FAMILY: u8 = 4;
    const ZERO: Self = 0;
    const ONE: Self = 1;
    const MAX: Self = u32::MAX;
    type Pair = u64;

    fn pair(first: Self, second: Self) -> u64 {
        u64::from(first) << 32 | u64::from(second)
    }

    fn checked_add(self, other: Self) -> Option<Self> {
        self.checked_add(other)
    }
    fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_sub(other)
    }
    fn trailing_zeros(self) -> u32 {
        self.trailing_zeros()
    }
    fn leading_zeros(self) -> u32 {
        self.leading_zeros()
    }
    fn widen(self) -> u128 {
        u128::from(self)
    }
    fn narrow(wide: u128) -> Self {
        wide as u32
    }
    fn ip(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(self))
    }
    fn text(self) -> Text {
        format::v4(self)
    }
    fn block(self) -> Block {
        format::v4_block(self)
    }
}

impl Bits for u128 {
    const WIDTH: u32 = 128;
    const FAMILY: u8 = 6;
    const ZERO: Self = 0;
    const ONE: Self = 1;
    const MAX: Self = u128::MAX;
    type Pair = (u128, u128);

    fn pair(first: Self, second: Self) -> (u128, u128) {
        (first, second)
    }

    fn checked_add(self, other: Self) -> Option<Self> {
        self.checked_add(other)
    }
    fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_sub(other)
    }
    fn trailing_zeros(self) -> u32 {
        self.trailing_zeros()
    }
    fn leading_zeros(self) -> u32 {
        self.leading_zeros()
    }
    fn widen(self) -> u128 {
        self
    }
    fn narrow(wide: u128) -> Self {
        wide
    }
    fn ip(self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits(self))
    }
    fn text(self) -> Text {
        format::v6(self)
    }
    fn block(self) -> Block {
        format::v6_block(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_convert_to_lengths_and_back() {
        assert_eq!(u32::host_mask(0), u32::MAX);
        assert_eq!(u32::host_mask(32), 0);
        assert_eq!(u128::net_mask(0), 0);
        assert_eq!(u128::net_mask(128), u128::MAX);
        for length in 0..=128 {
            assert_eq!(u128::net_mask(length).mask_length(), Some(length));
        }
        assert_eq!(0xff00_ff00_u32.mask_length(), None);
        assert_eq!(0x0000_00ff_u32.mask_length(), None);
    }
}
